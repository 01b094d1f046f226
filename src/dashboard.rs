//! The dashboard: pages for the people who run the server (`docs/ARCHITECTURE.md` tells how to add one). Written on the
//! server; scripts only make them nicer. Everybody who sees a page was let in by `admission` and may do what the list of
//! pages below says.

mod admission;
mod api_keys;
mod audit_trail;
mod call;
mod connections;
mod cookies;
mod demo;
mod denial;
mod environments;
mod error;
mod flash;
mod form;
mod guide;
mod health;
mod home;
mod integrations;
mod join;
mod login;
mod logs;
mod navigation;
mod outside;
mod page;
mod playground;
mod policy;
mod preferences;
mod profile;
mod providers;
mod search;
mod settings;
mod single_sign_on;
mod start;
mod team;
mod time;
mod viewer;
mod webhooks;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{Method, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use tower::ServiceExt;

pub use self::error::PageError;
pub use self::page::{EnvironmentPage, Page};
pub use self::viewer::Viewer;

use self::admission::Gate;
use self::outside::Outside;
use crate::access::Action::{self, *};
use crate::api::edge;
use crate::app::SharedApp;
use crate::audit::{self, Call};
use crate::connect::{accepted_coding, answer_asset};
use crate::demo::AUTHORIZE_PATH;

/// First segments of the dashboard's paths. No path of the API starts with one of them.
pub const AREAS: [&str; 10] =
    ["env", "settings", "guide", "me", "assets", "login", "setup", "invitation", "reset", "demo-provider"];

/// Every page, with what its visitor must be allowed to do.
fn pages(pages: Pages) -> Pages {
    pages
        .page("/", BeHere, get(home::find_home))
        .page("/guide/{name}", BeHere, get(guide::show_guide))
        .page("/me", BeHere, get(profile::show_profile))
        .page("/me/name", BeHere, post(profile::change_name))
        .page("/me/password", BeHere, post(profile::change_password))
        .page("/me/sessions/{session}/end", BeHere, post(profile::end_session))
        .page("/me/second-factor", BeHere, post(profile::enrol))
        .page("/me/second-factor/confirm", BeHere, post(profile::confirm))
        .page("/me/second-factor/off", BeHere, post(profile::switch_off))
        .page("/me/logout", BeHere, post(login::log_out))
        .page("/me/theme", BeHere, post(preferences::choose_theme))
        .page("/env/{environment}", Read, get(home::show_home))
        .page("/env/{environment}/search", Read, get(search::show_search))
        .page("/env/{environment}/start", Read, get(start::show_start))
        .page("/env/{environment}/start/demo", Write, post(start::start_demo))
        .page("/env/{environment}/start/connect", Write, post(start::connect_demo))
        .page("/env/{environment}/start/call", Write, post(start::call_demo))
        .page("/env/{environment}/start/stop", Write, post(start::stop_demo))
        .page(
            "/env/{environment}/playground",
            Write,
            get(playground::show_playground).post(playground::call_from_playground),
        )
        .page("/env/{environment}/integrations", Read, get(integrations::list_integrations))
        .page("/env/{environment}/integrations/{key}", Read, get(integrations::show_integration))
        .page("/env/{environment}/integrations/{key}/settings", Write, post(integrations::update_integration))
        .page(
            "/env/{environment}/integrations/{key}/secrets",
            ReadSecrets,
            post(integrations::reveal_secrets),
        )
        .page("/env/{environment}/integrations/{key}/delete", Write, post(integrations::delete_integration))
        .page("/env/{environment}/catalog", Read, get(integrations::search_catalog))
        .page(
            "/env/{environment}/catalog/{provider}",
            Write,
            get(integrations::show_new_integration).post(integrations::create_integration),
        )
        .page(
            "/env/{environment}/provider-editor",
            Read,
            get(integrations::show_editor).post(integrations::check_provider),
        )
        .page("/env/{environment}/provider-editor/save", ManageProviders, post(integrations::save_provider))
        .page("/env/{environment}/connections", Read, get(connections::list_connections))
        .page("/env/{environment}/connections/delete", Write, post(connections::delete_chosen))
        .page(
            "/env/{environment}/connections/invite",
            Write,
            get(connections::show_invitation).post(connections::invite_end_user),
        )
        .page("/env/{environment}/connections/{connection}", Read, get(connections::show_connection))
        .page(
            "/env/{environment}/connections/{connection}/refresh",
            Write,
            post(connections::refresh_connection),
        )
        .page(
            "/env/{environment}/connections/{connection}/credentials",
            ReadSecrets,
            post(connections::reveal_credentials),
        )
        .page(
            "/env/{environment}/connections/{connection}/metadata",
            Write,
            post(connections::update_metadata),
        )
        .page("/env/{environment}/connections/{connection}/tags", Write, post(connections::update_tags))
        .page("/env/{environment}/connections/{connection}/invite", Write, post(connections::invite_again))
        .page("/env/{environment}/connections/{connection}/delete", Write, post(connections::delete_one))
        .page("/env/{environment}/logs", Read, get(logs::list_operations))
        .page("/env/{environment}/logs/{operation}", Read, get(logs::show_operation))
        .page("/env/{environment}/webhooks", Read, get(webhooks::list_deliveries))
        .page("/env/{environment}/webhooks/send-again", Write, post(webhooks::send_failed_again))
        .page("/env/{environment}/webhooks/{delivery}", Read, get(webhooks::show_delivery))
        .page("/env/{environment}/webhooks/{delivery}/send-again", Write, post(webhooks::send_again))
        .page("/env/{environment}/settings", ReadSecrets, get(settings::show_settings))
        .page("/env/{environment}/settings/webhooks", Write, post(settings::update_webhooks))
        .page("/env/{environment}/settings/addresses", Write, post(settings::update_addresses))
        .page("/env/{environment}/settings/collector-headers", ReadSecrets, post(settings::update_headers))
        .page("/env/{environment}/settings/signature", ReadSecrets, post(settings::update_signature))
        .page("/env/{environment}/settings/signing-key/show", ReadSecrets, post(settings::show_signing_key))
        .page(
            "/env/{environment}/settings/signing-key/replace",
            ReadSecrets,
            post(settings::replace_signing_key),
        )
        .page("/env/{environment}/settings/variables", ReadSecrets, post(settings::set_variable))
        .page("/env/{environment}/settings/variables/show", ReadSecrets, post(settings::show_variable))
        .page("/env/{environment}/settings/variables/remove", Write, post(settings::remove_variable))
        .page("/env/{environment}/settings/connect-ui", ManageConnectUi, post(settings::update_look))
        .page("/env/{environment}/api-keys", ReadSecrets, get(api_keys::list_keys).post(api_keys::create_key))
        .page("/env/{environment}/api-keys/{key}/rotate", ReadSecrets, post(api_keys::rotate_key))
        .page("/env/{environment}/api-keys/{key}/revoke", ReadSecrets, post(api_keys::revoke_key))
        .page(
            "/settings/environments",
            ManageEnvironments,
            get(environments::list_environments).post(environments::create_environment),
        )
        .page(
            "/settings/environments/{name}",
            ManageEnvironments,
            get(environments::show_environment).post(environments::update_environment),
        )
        .page(
            "/settings/environments/{name}/delete",
            ManageEnvironments,
            post(environments::delete_environment),
        )
        .page("/settings/audit-trail", ReadAudit, get(audit_trail::show_trail))
        .page("/settings/audit-trail/export", ReadAudit, get(audit_trail::export_trail))
        .page("/settings/health", SeeHealth, get(health::show_health))
        .page("/settings/providers", ManageProviders, get(providers::list_providers))
        .page("/settings/providers/{name}/delete", ManageProviders, post(providers::delete_provider))
        .page("/settings/team", ManageTeam, get(team::show_team).post(team::invite))
        .page("/settings/team/invitations/{invitation}/revoke", ManageTeam, post(team::revoke_invitation))
        .page("/settings/team/{member}/role", ManageTeam, post(team::change_role))
        .page("/settings/team/{member}/remove", ManageTeam, post(team::remove_member))
        .page("/settings/team/{member}/reset-link", ManageTeam, post(team::make_reset_link))
}

/// Every page for visitors who are not let in yet. They exist where people have accounts.
fn outside_pages(app: &SharedApp) -> Router<SharedApp> {
    let about_passwords = Router::new()
        .route("/login", post(login::log_in))
        .route("/login/forgotten", get(login::show_forgotten).post(login::send_reset_link))
        .route("/setup/{token}", get(join::show_setup).post(join::set_up))
        .route("/invitation/{token}", get(join::show_invitation).post(join::accept_invitation))
        .route("/reset/{token}", get(join::show_reset).post(join::reset_password))
        .layer(from_fn_with_state(app.clone(), outside::with_passwords));
    Router::new()
        .route("/login", get(login::show_login))
        .route("/login/code", get(login::show_code).post(login::check_code))
        .route("/login/oidc", get(single_sign_on::leave))
        .route("/login/oidc/callback", get(single_sign_on::come_back))
        .merge(about_passwords)
        .layer(from_fn_with_state(app.clone(), outside::welcome))
}

/// The list of pages while it is put together.
struct Pages {
    app: SharedApp,
    router: Router<SharedApp>,
}

impl Pages {
    /// Adds a page. Nobody reaches its handlers without being allowed to do `action`, in the environment that the path
    /// names as `{environment}` if it names one.
    fn page(mut self, path: &'static str, action: Action, methods: MethodRouter<SharedApp>) -> Self {
        let gate = Gate { app: self.app.clone(), action };
        self.router = self.router.route(path, methods.layer(from_fn_with_state(gate, admission::admit)));
        self
    }
}

/// The dashboard, ready to answer.
pub struct Dashboard {
    app: SharedApp,
    router: Router,
}

impl Dashboard {
    pub fn new(app: SharedApp) -> Self {
        let listed = pages(Pages { app: app.clone(), router: Router::new() });
        let router = listed
            .router
            .merge(outside_pages(&app))
            // Public: the files hold no secrets.
            .route("/assets/{build}/{*file}", get(get_asset))
            // Public: the consent page of a provider, while the demo runs.
            .route(AUTHORIZE_PATH, get(demo::ask_consent).post(demo::answer_consent))
            .fallback(not_found)
            .method_not_allowed_fallback(not_found)
            .with_state(app.clone());
        Dashboard { app, router }
    }

    /// Whether a request is for the dashboard: its first segment is one of [`AREAS`], or it asks for `/`. A browser that
    /// asks for a websocket never means a page.
    pub fn owns(&self, request: &Request) -> bool {
        if request.headers().contains_key(header::UPGRADE) {
            return false;
        }
        match request.uri().path() {
            "/" => matches!(*request.method(), Method::GET | Method::HEAD),
            path => path.split('/').nth(1).is_some_and(|first| AREAS.contains(&first)),
        }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request) -> Response {
        let app = &self.app;
        let router = self.router.clone();
        edge::around_pages(app, request, |request| async move {
            let (parts, body) = request.into_parts();
            let outside = Outside::of(app, &parts);
            let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
            let call = Call::of_browser(outside.address(), user_agent);
            let answered = router.oneshot(Request::from_parts(parts, body));
            let Ok(response) = audit::within(call, answered).await;
            policy::guard(outside::dress(&outside, response))
        })
        .await
    }
}

async fn get_asset(Path((build, file)): Path<(String, String)>, request: Request) -> Response {
    answer_asset(&build, &file, accepted_coding(request.headers())).await
}

async fn not_found() -> PageError {
    PageError::not_found()
}
