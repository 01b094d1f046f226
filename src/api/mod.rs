//! The public HTTP API. This file is the list of every route, in the order of the reference documentation.

pub mod client_address;
pub mod edge;
pub mod extract;
mod health;
pub mod input;
pub mod json;
pub mod path;
pub mod scope;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::app::SharedApp;
use crate::error::ApiError;

/// A route: its path in axum's syntax and what answers it.
type Route = (&'static str, MethodRouter<SharedApp>);

/// Routes with the content-type guard: bodies are JSON.
fn json_routes() -> Vec<Route> {
    vec![]
}

/// Routes whose bodies are not JSON, or that have none.
fn plain_routes() -> Vec<Route> {
    vec![
        ("/", get(health::get_index)),
        ("/health", get(health::get_health)),
        ("/ready", get(health::get_ready)),
    ]
}

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
    router.fallback(not_found).layer(from_fn_with_state(app.clone(), edge::edge)).with_state(app)
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
