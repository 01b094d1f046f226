//! The public HTTP API. This file is the list of every route, in the order of the reference documentation.

pub mod client_address;
mod connect_sessions;
mod connections;
mod credentials;
pub mod edge;
pub mod extract;
pub mod frontend;
mod health;
pub mod input;
mod integrations;
pub mod json;
pub mod last_segment;
mod loose_body;
mod oauth;
pub mod path;
mod providers;
mod proxy;
pub mod scope;
mod websocket;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};

use crate::app::SharedApp;
use crate::error::ApiError;

/// A route: its path in axum's syntax and what answers it.
type Route = (&'static str, MethodRouter<SharedApp>);

/// Routes with the content-type guard: bodies are JSON.
fn json_routes() -> Vec<Route> {
    vec![
        ("/providers", get(providers::list_providers)),
        ("/providers/{provider}", get(providers::get_provider)),
        ("/integrations", get(integrations::list_integrations).post(integrations::create_integration)),
        ("/integrations/quickstart", integration().post(integrations::create_quickstart_integration)),
        ("/integrations/{unique_key}", integration()),
        ("/connections", get(connections::list_connections).post(connections::import_connection)),
        ("/connection", get(connections::list_connections)),
        ("/connections/metadata", metadata(connection())),
        ("/connection/metadata", metadata(connection())),
        ("/connections/{connection_id}", connection().patch(connections::update_connection)),
        ("/connection/{connection_id}", connection()),
        ("/connect/sessions", post(connect_sessions::create_connect_session)),
        ("/connect/sessions/reconnect", post(connect_sessions::create_reconnect_session)),
        (
            "/connect/session",
            get(connect_sessions::get_connect_session).delete(connect_sessions::delete_connect_session),
        ),
        ("/oauth/connect/{provider_config_key}", get(oauth::get_oauth_connect)),
        ("/api-auth/api-key/{provider_config_key}", post(credentials::connect_api_key)),
        ("/api-auth/basic/{provider_config_key}", post(credentials::connect_basic)),
        ("/auth/unauthenticated/{provider_config_key}", post(credentials::connect_unauthenticated)),
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

/// Routes whose bodies are not JSON, or that have none.
fn plain_routes() -> Vec<Route> {
    vec![
        ("/", get(websocket::get_root)),
        ("/oauth/callback", get(oauth::get_oauth_callback)),
        ("/health", get(health::get_health)),
        ("/ready", get(health::get_ready)),
        ("/providers.json", get(providers::get_raw_catalog)),
        ("/images/template-logos/{file}", get(providers::get_template_logo)),
        ("/oauth2/auth/{provider_config_key}", post(credentials::connect_client_credentials)),
    ]
}

/// The proxy takes every method, extension methods too.
const PROXY_ROUTES: [&str; 3] = ["/proxy", "/proxy/", "/proxy/{*endpoint}"];

/// Every path of the API, for the rules about letter case.
pub fn patterns() -> Vec<&'static str> {
    let routes = json_routes().into_iter().chain(plain_routes());
    routes.map(|(path, _)| path).collect()
}

/// The whole API with its middleware.
pub fn router(app: SharedApp) -> Router {
    let mut guarded = Router::new();
    for (path, methods) in json_routes() {
        guarded = guarded.route(path, methods.fallback(not_found));
    }
    let mut router = guarded.layer(from_fn_with_state(app.clone(), json::json_routes));
    for (path, methods) in plain_routes() {
        router = router.route(path, methods.fallback(not_found));
    }
    for path in PROXY_ROUTES {
        router = router.route(path, any(proxy::call_proxy));
    }
    router
        .fallback(websocket::get_elsewhere)
        .layer(from_fn_with_state(app.clone(), edge::edge))
        .with_state(app)
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
