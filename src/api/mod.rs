//! The public HTTP API. This file is the list of every route, in the order of the reference documentation.

pub mod api_keys;
mod body;
mod cli_version;
pub mod client_address;
mod client_metadata;
pub mod connect_sessions;
pub mod connections;
mod cors;
mod credentials;
pub mod edge;
pub mod environments;
pub mod extract;
pub mod frontend;
mod functions;
mod health;
pub mod input;
pub mod integrations;
pub mod json;
pub mod last_segment;
mod loose_body;
mod metrics;
mod monogram;
mod oauth;
pub mod openapi;
pub mod operator;
mod own_environment;
pub mod path;
mod pending;
mod preference;
mod provider_webhooks;
mod providers;
mod proxy;
pub mod scope;
mod telemetry;
mod websocket;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use tower::ServiceExt;

use self::pending::not_implemented;
use self::scope::{
    ActionsExecute, AnyInEnvironment, Deploy, FunctionsCompile, FunctionsDryrun, FunctionsInvocations,
    IntegrationsListFunctions, Mcp, RecordsRead, RecordsWrite, SyncsExecute, SyncsRead, SyncsUpdate,
    SyncsVariantCreate, SyncsVariantDelete,
};
use crate::app::SharedApp;
use crate::connect::{ConnectUi, Mount};
use crate::dashboard::Dashboard;
use crate::error::ApiError;

/// A route: its path in axum's syntax and what answers it.
type Route = (&'static str, MethodRouter<SharedApp>);

/// Routes with the content-type guard: bodies are JSON.
fn json_routes() -> Vec<Route> {
    vec![
        ("/providers", get(providers::list_providers)),
        ("/providers/{provider}", get(providers::get_provider)),
        ("/providers/{provider}/templates", get(providers::list_templates)),
        ("/integrations", get(integrations::list_integrations).post(integrations::create_integration)),
        ("/integrations/quickstart", integration().post(integrations::create_quickstart_integration)),
        ("/integrations/{uniqueKey}", integration()),
        ("/integrations/{uniqueKey}/functions", get(functions::list_functions)),
        (
            "/integrations/{uniqueKey}/functions/{name}",
            get(functions::get_function).delete(functions::delete_function),
        ),
        ("/integrations/{uniqueKey}/functions/{name}/code", get(functions::get_function_code)),
        ("/connections", get(connections::list_connections).post(connections::import_connection)),
        ("/connection", get(connections::list_connections).post(connections::import_flat_connection)),
        ("/connections/metadata", metadata(connection())),
        ("/connection/metadata", metadata(connection())),
        ("/connections/{connection_id}", connection().patch(connections::update_connection)),
        ("/connection/{connection_id}", connection()),
        (
            "/connection/{connection_id}/metadata",
            post(connections::set_metadata_of_one).patch(connections::merge_metadata_of_one),
        ),
        ("/connect/sessions", post(connect_sessions::create_connect_session)),
        ("/connect/sessions/reconnect", post(connect_sessions::create_reconnect_session)),
        (
            "/connect/session",
            get(connect_sessions::get_connect_session).delete(connect_sessions::delete_connect_session),
        ),
        ("/connect/telemetry", post(telemetry::report_connect_event)),
        ("/environments", post(environments::create_environment)),
        ("/environments/{environmentId}", delete(environments::delete_environment)),
        (
            "/environment/api-keys",
            post(api_keys::create_environment_key).delete(api_keys::delete_environment_key),
        ),
        ("/environment-variables", get(own_environment::list_environment_variables)),
        ("/environment/webhook-signing-key/rotate", post(own_environment::rotate_webhook_signing_key)),
        ("/records", get(not_implemented::<RecordsRead>)),
        ("/records/prune", patch(not_implemented::<RecordsWrite>)),
        ("/action/trigger", post(not_implemented::<ActionsExecute>)),
        ("/action/{id}", get(not_implemented::<ActionsExecute>)),
        ("/v1/{*endpoint}", every_method_pending()),
        ("/sync/trigger", post(not_implemented::<SyncsExecute>)),
        ("/sync/pause", post(not_implemented::<SyncsExecute>)),
        ("/sync/start", post(not_implemented::<SyncsExecute>)),
        ("/sync/status", get(not_implemented::<SyncsRead>)),
        ("/sync/update-connection-frequency", put(not_implemented::<SyncsUpdate>)),
        (
            "/sync/{name}/variant/{variant}",
            post(not_implemented::<SyncsVariantCreate>).delete(not_implemented::<SyncsVariantDelete>),
        ),
        ("/scripts/config", get(not_implemented::<IntegrationsListFunctions>)),
        ("/mcp", post(not_implemented::<Mcp>).get(pending::refuse_mcp_stream)),
        ("/sync/deploy", post(pending::deploy)),
        ("/sync/deploy/confirmation", post(pending::deploy)),
        ("/functions/deployments/bundle", post(not_implemented::<Deploy>)),
        ("/functions/deployments/bundle/preview", post(not_implemented::<Deploy>)),
        ("/functions/compile", post(not_implemented::<FunctionsCompile>)),
        ("/functions/dryruns", post(not_implemented::<FunctionsDryrun>)),
        ("/functions/dryruns/{id}", get(not_implemented::<FunctionsDryrun>)),
        ("/functions/dryruns/{id}/result", post(pending::sandbox_result)),
        ("/functions/deployments", post(not_implemented::<Deploy>)),
        ("/functions/deployments/{id}", get(not_implemented::<Deploy>)),
        ("/functions/deployments/{id}/result", post(pending::sandbox_result)),
        ("/functions/invocations", post(not_implemented::<FunctionsInvocations>)),
        ("/cli/telemetry", post(telemetry::report_cli_event)),
        ("/oauth/connect/{provider_config_key}", get(oauth::get_oauth_connect)),
        ("/api-auth/api-key/{provider_config_key}", post(credentials::connect_api_key)),
        ("/api-auth/basic/{provider_config_key}", post(credentials::connect_basic)),
        ("/auth/two-step/{provider_config_key}", post(credentials::connect_two_step)),
        ("/auth/jwt/{provider_config_key}", post(credentials::connect_jwt)),
        ("/auth/bill/{provider_config_key}", post(credentials::connect_bill)),
        ("/auth/signature/{provider_config_key}", post(credentials::connect_signature)),
        ("/auth/tba/{provider_config_key}", post(credentials::connect_tba)),
        ("/auth/aws-sigv4/{provider_config_key}", post(credentials::connect_aws_sigv4)),
        ("/auth/unauthenticated/{provider_config_key}", post(credentials::connect_unauthenticated)),
    ]
}

/// The operator's routes: JSON too, but nobody gets as far as the body without credentials.
fn operator_routes() -> Vec<Route> {
    vec![
        (
            "/api/v1/environments",
            get(operator::list_environments)
                .post(operator::create_environment)
                .patch(operator::update_environment)
                .delete(operator::delete_environment),
        ),
        ("/api/v1/environments/current", get(operator::get_environment)),
        ("/api/v1/environments/variables", get(operator::list_variables).post(operator::replace_variables)),
        (
            "/api/v1/environments/webhook",
            get(operator::get_webhook_settings).patch(operator::update_webhook_settings),
        ),
        ("/api/v1/webhook-deliveries", get(operator::list_webhook_deliveries)),
        ("/api/v1/webhook-deliveries/replay", post(operator::replay_failed_webhook_deliveries)),
        ("/api/v1/webhook-deliveries/{deliveryId}", get(operator::get_webhook_delivery)),
        ("/api/v1/webhook-deliveries/{deliveryId}/replay", post(operator::replay_webhook_delivery)),
        (
            "/api/v1/environment/api-keys",
            get(operator::list_environment_keys).post(operator::create_environment_key),
        ),
        ("/api/v1/environment/api-keys/{keyId}", delete(operator::delete_environment_key)),
        ("/api/v1/environment/webhook-signing-key/rotate", post(operator::rotate_signing_key)),
        ("/api/v1/account/api-keys", get(operator::list_account_keys).post(operator::create_account_key)),
        ("/api/v1/account/api-keys/{keyId}", delete(operator::delete_account_key)),
        ("/api/v1/jobs", get(operator::get_jobs)),
        ("/api/v1/audit-trail", get(operator::list_audit_trail)),
        ("/api/v1/audit-trail/export", get(operator::export_audit_trail)),
        ("/api/v1/logs/operations", post(operator::list_operations)),
        ("/api/v1/logs/operations/{operationId}", get(operator::get_operation)),
        ("/api/v1/logs/messages", post(operator::list_messages)),
        ("/api/v1/logs/filters", post(operator::list_filters)),
        ("/api/v1/logs/insights", post(operator::get_insights)),
        ("/api/v1/connect/sessions", post(connect_sessions::create_operator_session)),
        (
            "/api/v1/connect-ui-settings",
            get(operator::get_connect_ui_settings).put(operator::put_connect_ui_settings),
        ),
    ]
}

/// What one connection answers to under both of its paths; also where a literal shadows its id for another method.
fn connection() -> MethodRouter<SharedApp> {
    get(connections::get_connection).delete(connections::delete_connection)
}

fn metadata(connection: MethodRouter<SharedApp>) -> MethodRouter<SharedApp> {
    connection.post(connections::set_metadata).patch(connections::merge_metadata)
}

/// What one integration answers to; also where a literal shadows its key for another method.
fn integration() -> MethodRouter<SharedApp> {
    get(integrations::get_integration)
        .patch(integrations::update_integration)
        .delete(integrations::delete_integration)
}

/// The deprecated passthrough: what a call needs depends on what it means, so any key of an environment may ask.
fn every_method_pending() -> MethodRouter<SharedApp> {
    let pending = not_implemented::<AnyInEnvironment>;
    get(pending).post(pending).put(pending).patch(pending).delete(pending)
}

/// Routes whose bodies are not JSON, or that have none.
fn plain_routes() -> Vec<Route> {
    vec![
        ("/", get(websocket::get_root)),
        ("/config/{providerConfigKey}", get(integrations::get_config)),
        ("/oauth/callback", get(oauth::get_oauth_callback)),
        ("/app-auth/connect", get(oauth::get_app_auth_connect)),
        (
            "/oauth/client-metadata/{environmentUuid}/{providerConfigKey}",
            get(client_metadata::get_client_metadata),
        ),
        ("/openapi.json", get(openapi::get_openapi)),
        ("/health", get(health::get_health)),
        ("/ready", get(health::get_ready)),
        ("/providers.json", get(providers::get_raw_catalog)),
        ("/images/template-logos/{file}", get(providers::get_template_logo)),
        ("/oauth2/auth/{provider_config_key}", post(credentials::connect_client_credentials)),
        ("/auth/oauth-outbound/{provider_config_key}", post(credentials::connect_oauth_outbound)),
        ("/webhook/{environmentUuid}/{providerConfigKey}", post(provider_webhooks::receive_provider_webhook)),
    ]
}

/// Routes of the operator's own ports.
fn metrics_routes() -> Vec<Route> {
    vec![
        ("/metrics", get(metrics::get_metrics)),
        ("/prometheus", get(metrics::get_metrics)),
        ("/health", get(health::get_health)),
        ("/ready", get(health::get_ready)),
    ]
}

/// What answers on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Everything but the metrics, when the operator's routes have no port of their own.
    PublicAndOperators,
    /// What users, their browsers and the customer's backend call.
    Public,
    /// The dashboard, the operator's routes and the metrics.
    Admin,
    Metrics,
}

impl Surface {
    fn is_public(self) -> bool {
        matches!(self, Surface::PublicAndOperators | Surface::Public)
    }

    fn has_operators(self) -> bool {
        matches!(self, Surface::PublicAndOperators | Surface::Admin)
    }
}

/// The API of one listener: its routes with their middleware.
pub struct Api {
    app: SharedApp,
    surface: Surface,
    router: Router,
    patterns: Vec<&'static str>,
    connect_ui: Option<ConnectUi>,
    dashboard: Option<Dashboard>,
}

impl Api {
    pub fn new(app: SharedApp, surface: Surface) -> Self {
        let connect_ui =
            if surface.is_public() { ConnectUi::new(&app.config, Mount::MainPort) } else { None };
        let dashboard = surface.has_operators().then(|| Dashboard::new(app.clone()));
        let router = router(app.clone(), surface);
        Api { router, patterns: patterns(), surface, connect_ui, dashboard, app }
    }

    /// Answers a request. `ALL /proxy/*` (every method, extension methods too) goes around the router: routing and its
    /// boxed futures were a tenth of a proxied call's time in this process.
    pub async fn answer(&self, mut request: Request) -> Response {
        // First, because relative addresses need the slash that the rules about paths take away.
        if let Some(page) = self.connect_ui.as_ref().filter(|page| page.owns(request.uri().path())) {
            return page.answer(request).await;
        }
        if let Some(dashboard) = self.dashboard.as_ref().filter(|dashboard| dashboard.owns(&request)) {
            return dashboard.answer(request).await;
        }
        if let Some(uri) = path::normalize(request.uri(), &self.patterns) {
            *request.uri_mut() = uri;
        }
        if self.surface.is_public() && is_proxied(request.uri().path()) {
            let handle = |request| proxy::call_proxy(&self.app, request);
            return edge::around(&self.app, PROXY_ROUTE, request, handle).await;
        }
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }
}

/// How the metrics call the proxy, which is not a route of the router.
const PROXY_ROUTE: &str = "/proxy/*";

/// Whether a path, in the spelling of the route list, is the proxy's.
pub fn is_proxied(path: &str) -> bool {
    path.strip_prefix("/proxy").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every path of the API, for the rules about letter case.
pub fn patterns() -> Vec<&'static str> {
    let routes = json_routes().into_iter().chain(operator_routes()).chain(plain_routes());
    routes.map(|(path, _)| path).collect()
}

fn router(app: SharedApp, surface: Surface) -> Router {
    let mut router = Router::new();
    if surface.is_public() {
        let guarded = plain_router(json_routes()).layer(from_fn_with_state(app.clone(), json::json_routes));
        let plain = plain_router(plain_routes()).layer(from_fn(json::tagged));
        router = router.merge(guarded).merge(plain);
    } else {
        router = router.merge(plain_router(metrics_routes()));
    }
    if surface.has_operators() {
        router = router.merge(operator_router(&app));
    }
    router = if surface.is_public() {
        router.fallback(websocket::get_elsewhere)
    } else {
        router.fallback(not_found)
    };
    router.layer(from_fn_with_state(app.clone(), edge::edge)).with_state(app)
}

fn plain_router(routes: Vec<Route>) -> Router<SharedApp> {
    let add =
        |router: Router<SharedApp>, (path, methods): Route| router.route(path, methods.fallback(not_found));
    routes.into_iter().fold(Router::new(), add)
}

fn operator_router(app: &SharedApp) -> Router<SharedApp> {
    let guard = |(path, methods): Route| {
        // The last layer is the first to see a request.
        let methods = methods
            .layer(from_fn_with_state(app.clone(), json::json_routes))
            .layer(from_fn_with_state(app.clone(), operator::authenticated));
        (path, methods)
    };
    plain_router(operator_routes().into_iter().map(guard).collect())
}

/// Unknown paths, and known paths with another method: a page for browsers, JSON for everybody else.
async fn not_found(request: Request) -> Response {
    let accept =
        request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if request.method() == Method::GET && prefers_html(accept) {
        return (StatusCode::NOT_FOUND, Html(include_str!("../../assets/templates/not_found.html")))
            .into_response();
    }
    ApiError::not_found("There is nothing at this address.").into_response()
}

fn prefers_html(accept: &str) -> bool {
    let position = |media: &str| accept.split(',').position(|part| part.trim().starts_with(media));
    match (position("text/html"), position("application/json")) {
        (Some(html), Some(json)) => html < json,
        (html, _) => html.is_some(),
    }
}
