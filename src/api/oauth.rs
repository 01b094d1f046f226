//! The popup's routes: to the provider and back (`spec` auth-flows, sections 4.3 and 4.5).

mod installation;
mod page;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client_address::is_https;
use super::extract::{PathTree, QueryTree};
use super::frontend::{FrontendCaller, connection_config, query_text, text_members};
use super::input::TextRule;
use super::input::formats::PROVIDER_CONFIG_KEY;
use super::openapi::{Caller, Operation, Tag};
use super::prefers_html;
use crate::app::App;
use crate::app::SharedApp;
use crate::auth::ClientOverride;
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::logs::LogError;
use crate::oauth::PopupError;
use crate::oauth::callback::{self, Callback, CallbackRoute};
use crate::oauth::popup::{self, SignIn, Started};
use page::Page;

pub use installation::get_app_auth_connect;

const COOKIE_SECONDS: i64 = 3600;

/// The popup's routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    let any_text = || json!({"type": "string"});
    let texts = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let page = || json!({"type": "string"});
    let connect = Operation::get(
        "/oauth/connect/{provider_config_key}",
        "get_oauth_connect",
        "Send a popup to the provider's sign-in",
    );
    let connect = ["connection_id", "hmac", "ws_client_id", "user_scope"]
        .into_iter()
        .fold(connect, |connect, name| connect.parameter("query", name, any_text()));
    let connect = ["params", "authorization_params", "credentials"]
        .into_iter()
        .fold(connect, |connect, name| connect.object_parameter(name, texts()));
    let callback = Operation::get("/oauth/callback", "get_oauth_callback", "End a sign-in");
    let callback = [
        "state",
        "payload",
        "customField",
        "code",
        "error",
        "error_description",
        "installation_id",
        "setup_action",
    ]
    .into_iter()
    .fold(callback, |callback, name| callback.parameter("query", name, any_text()));
    vec![
        connect
            .describe(
                "Errors are pages for browsers and JSON for others; the waiting websocket hears them too.",
            )
            .tag(Tag::Authorization)
            .caller(Caller::Browser)
            .path_text("provider_config_key", &TextRule::ANY)
            .answers_nothing(302, "To the provider.")
            .answer_header(302, "Location", "Location")
            .refuses(400, &["invalid_query_params", "integration_not_allowed", "invalid_connection"])
            .refuses_with_pages(),
        callback
            .describe("Where providers send browsers back to. The `state` is the credential.")
            .tag(Tag::Authorization)
            .answers_with(200, "A page that tells its opener and closes itself.", "text/html", page())
            .answers_nothing(302, "Back to where an app was installed.")
            .answer_header(302, "Location", "Location")
            .refuses_with_pages(),
        installation::operation(),
    ]
}

/// Sends the popup to the provider. Authenticated by the connect session or the public key in its query.
pub async fn get_oauth_connect(
    State(app): State<SharedApp>,
    PathTree(path): PathTree,
    caller: Result<FrontendCaller, ApiError>,
    QueryTree(query): QueryTree,
    headers: HeaderMap,
) -> Response {
    let integration = query_text(&path, "provider_config_key").unwrap_or_default();
    let attempt = Attempt { integration, query: &query };
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return attempt.refuse(&app, error.into(), None, &headers).await,
    };
    let operation = caller.operation.clone();
    operation.hide_named(&query);
    let integration = match operation.attempt(attempt.identify(&app, &caller)).await {
        Ok(integration) => integration,
        Err(failed) => return attempt.refuse(&app, failed, None, &headers).await,
    };
    operation.about_integration(&integration);
    match operation.attempt(attempt.start(&app, &caller, &integration)).await {
        Ok(started) => redirect(&app, &started, &headers),
        Err(failed) => attempt.refuse(&app, failed, Some(&integration), &headers).await,
    }
}

/// Ends the sign-in that the `state` names. Public: the state is the credential.
pub async fn get_oauth_callback(
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    headers: HeaderMap,
) -> Response {
    let state = ["state", "payload", "customField"].into_iter().find_map(|name| query_text(&query, name));
    let Some(state) = state else { return without_state(&app, &query, &headers) };
    let callback = Callback {
        state: state.to_owned(),
        has_cookie: has_state_cookie(&headers, state),
        query: query.clone(),
        route: CallbackRoute::OAuth,
    };
    let finished = callback::finish(&app, callback).await;
    let provider = finished.provider.as_deref();
    match &finished.result {
        Ok(()) => Page::success(provider, &query).render(&app),
        Err(error) => Page::error(provider, error, &query).render(&app),
    }
}

/// What a browser asked for, as far as it is known when something fails.
struct Attempt<'a> {
    integration: &'a str,
    query: &'a Value,
}

/// A sign-in that did not start.
enum Failed {
    /// Answered as JSON, unless the browser prefers a page.
    Api(ApiError),
    /// Answered with a page.
    Popup(PopupError),
}

impl From<&Failed> for LogError {
    fn from(failed: &Failed) -> Self {
        match failed {
            Failed::Api(error) => error.into(),
            Failed::Popup(error) => error.into(),
        }
    }
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Failed::Api(error)
    }
}

impl From<PopupError> for Failed {
    fn from(error: PopupError) -> Self {
        Failed::Popup(error)
    }
}

impl Attempt<'_> {
    /// Whether the caller may, and for which integration: the first checks of the route, in the order of the wire.
    async fn identify(&self, app: &App, caller: &FrontendCaller) -> Result<OpenIntegration, Failed> {
        let chosen = caller.chosen_connection_id(self.query)?;
        caller.check_hmac(app, self.query, self.integration, chosen).map_err(hmac_failure)?;
        self.find_integration(app, caller).await
    }

    /// The other checks, and the redirect.
    async fn start(
        &self,
        app: &App,
        caller: &FrontendCaller,
        integration: &OpenIntegration,
    ) -> Result<Started, Failed> {
        if integration.provider.is_none() {
            let message = "The provider of this integration is not in the catalog any more.";
            return Err(PopupError::new("unknown_config_key", message).into());
        }
        caller.check_allowed(self.integration)?;
        let connection_id = caller.connection_id(app, query_text(self.query, "connection_id")).await?;
        caller.operation.about_connection(None, &connection_id);
        let sign_in = self.sign_in(app, caller, integration, &connection_id)?;
        Ok(popup::begin(app, sign_in).await?)
    }

    async fn find_integration(&self, app: &App, caller: &FrontendCaller) -> Result<OpenIntegration, Failed> {
        let unknown = || PopupError::new("provider_config_err", "There is no integration with this id.");
        if !PROVIDER_CONFIG_KEY.accepts(self.integration) {
            return Err(unknown().into());
        }
        let found = integrations::find(app, caller.environment.id, self.integration).await?;
        Ok(found.ok_or_else(unknown)?)
    }

    /// Session and caller put together (`spec` auth-flows, section 3.5).
    fn sign_in<'s>(
        &'s self,
        app: &App,
        caller: &'s FrontendCaller,
        integration: &'s OpenIntegration,
        connection_id: &'s str,
    ) -> Result<SignIn<'s>, ApiError> {
        let defaults = caller.defaults(app, self.integration)?;
        let config = connection_config(self.query, &defaults);
        let has_session = caller.session.is_some();
        let scopes = if has_session { &defaults.connection_config } else { &config };
        let scopes = scopes.get("oauth_scopes_override").and_then(Value::as_str).map(str::to_owned);
        let user_scope = if has_session {
            defaults.user_scopes
        } else {
            query_text(self.query, "user_scope").map(str::to_owned)
        };
        let params = defaults.authorization_params;
        let mut credentials = text_members(self.query, "credentials");
        Ok(SignIn {
            environment: &caller.environment,
            integration,
            connection_id,
            connect_session: caller.session.as_ref().map(|session| session.id),
            socket: self.socket(),
            connection_config: config,
            user_scope,
            scopes,
            authorization_params: params.unwrap_or_else(|| text_members(self.query, "authorization_params")),
            client: ClientOverride {
                client_id: take_text(&mut credentials, "oauth_client_id_override"),
                client_secret: take_text(&mut credentials, "oauth_client_secret_override"),
            },
            refresh_token: take_text(&mut credentials, "oauth_refresh_token_override"),
            operation: &caller.operation,
        })
    }

    /// The id of the waiting socket, when it is one that this server could have given.
    fn socket(&self) -> Option<&str> {
        query_text(self.query, "ws_client_id").filter(|id| Uuid::try_parse(id).is_ok())
    }

    /// Tells the socket, so that the promise in the browser settles, and answers the popup.
    async fn refuse(
        &self,
        app: &App,
        failed: Failed,
        integration: Option<&OpenIntegration>,
        headers: &HeaderMap,
    ) -> Response {
        let shown = match &failed {
            Failed::Popup(error) => error.clone(),
            Failed::Api(error) => shown_as(error),
        };
        let outcome = shown.outcome(Some(self.integration), query_text(self.query, "connection_id"));
        popup::announce_refusal(app, self.socket(), integration, outcome).await;
        match failed {
            Failed::Api(error) if !wants_page(headers) => error.into_response(),
            Failed::Api(error) => {
                error.log();
                Page::error(None, &shown, self.query).with_status(error.status()).render(app)
            }
            Failed::Popup(_) => Page::error(None, &shown, self.query).render(app),
        }
    }
}

fn hmac_failure(error: ApiError) -> Failed {
    match error.code() {
        "missing_hmac" => PopupError::new("missing_hmac", error.message()).into(),
        "invalid_hmac" => PopupError::new("invalid_hmac", error.message()).into(),
        _ => Failed::Api(error),
    }
}

fn shown_as(error: &ApiError) -> PopupError {
    let kind = if error.status() == StatusCode::UNAUTHORIZED { "missing_auth_token" } else { "unknown_err" };
    let first_issue = || error.body()["error"]["errors"][0]["message"].as_str().map(str::to_owned);
    let message = Some(error.message().to_owned()).filter(|message| !message.is_empty()).or_else(first_issue);
    PopupError::new(kind, message.unwrap_or_else(|| error.code().to_owned()))
}

fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    prefers_html(accept.unwrap_or_default())
}

fn redirect(app: &App, started: &Started, headers: &HeaderMap) -> Response {
    let https = is_https(headers, app.config.http.trusted_proxy_hops);
    let protection = if https { "Secure; SameSite=None" } else { "SameSite=Lax" };
    let name = cookie_name(&started.state);
    let cookie = format!("{name}=1; Max-Age={COOKIE_SECONDS}; Path=/; HttpOnly; {protection}");
    let headers = [(header::LOCATION, started.url.as_str()), (header::SET_COOKIE, &cookie)];
    (StatusCode::FOUND, headers, [(header::CACHE_CONTROL, "no-store")]).into_response()
}

fn cookie_name(state: &str) -> String {
    format!("oauth2-{state}")
}

fn has_state_cookie(headers: &HeaderMap, state: &str) -> bool {
    let name = cookie_name(state);
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.any(|(given, value)| given == name && value == "1")
}

/// GitHub sends people here after they installed an app on its own pages: back to where they were.
fn without_state(app: &App, query: &Value, headers: &HeaderMap) -> Response {
    if query_text(query, "installation_id").is_some() && query_text(query, "setup_action").is_some() {
        return back_to_where_they_were(headers);
    }
    let error = PopupError::new("state_err", "The callback has no `state`: it belongs to no sign-in.");
    Page::error(None, &error, query).render(app)
}

fn back_to_where_they_were(headers: &HeaderMap) -> Response {
    let referer = headers.get(header::REFERER).filter(|value| is_web_address(value));
    let target = referer.cloned().unwrap_or(HeaderValue::from_static("https://github.com"));
    (StatusCode::FOUND, [(header::LOCATION, target)]).into_response()
}

fn is_web_address(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.starts_with("https://") || text.starts_with("http://"))
}
