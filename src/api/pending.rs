//! Documented routes whose work this server cannot do yet: callers are authenticated and need the route's scope, then hear
//! 501 `not_implemented`.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::cli_version::check_minimum;
use super::extract::SecretKey;
use super::scope::{AnyInEnvironment, Deploy, Mcp, Scope};
use crate::error::ApiError;

/// Anything that needs functions, or what they store.
pub async fn not_implemented<S: Scope>(_key: SecretKey<S>) -> ApiError {
    refused()
}

fn refused() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "not_implemented",
        "This version of the server does not run functions.",
    )
}

/// A deploy by the command line tool, which must not be too old for it.
pub async fn deploy(_key: SecretKey<Deploy>, headers: HeaderMap) -> ApiError {
    check_minimum(&headers).err().unwrap_or_else(refused)
}

/// Results that remote sandboxes send with tokens of their own; an API key is never enough.
pub async fn sandbox_result(_key: SecretKey<AnyInEnvironment>) -> ApiError {
    ApiError::forbidden("Only a sandbox may send results.")
}

/// There is no stream from the server.
pub async fn refuse_mcp_stream(_key: SecretKey<Mcp>) -> Response {
    let error =
        json!({"jsonrpc": "2.0", "error": {"code": -32000, "message": "Method not allowed."}, "id": null});
    // Wire: without a content type.
    (StatusCode::METHOD_NOT_ALLOWED, Body::from(error.to_string())).into_response()
}
