//! The routes by which a browser hands over credentials that need no redirect (`spec` auth-flows, sections 3.8 and
//! 5.3 to 5.17), a file per mode unless it is a few lines. All answer 200 with the ids of the connection.

mod attempt;
mod client_credentials;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use self::attempt::{Attempt, Legacy};
use super::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use super::frontend::FrontendCaller;
use super::input::{TextRule, read_nothing, read_object};
use crate::app::SharedApp;
use crate::auth::{AuthMode, Credentials};
use crate::error::ApiError;
use crate::oauth::TokenError;

pub use client_credentials::connect_client_credentials;

/// Bytes of a key or password; some providers' keys are whole JSON documents.
const LONGEST_SECRET: usize = 64 * 1024;

/// Connects with an API key, after the provider accepted it.
pub async fn connect_api_key(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let credentials = read_object(body.as_ref(), |body| Credentials::ApiKey {
        api_key: body.required_text("apiKey", &TextRule::length(1, LONGEST_SECRET)),
    })
    .in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::ApiKey, Legacy::No).await?;
    attempt.verify_and_store(&app, &credentials).await
}

/// Connects with a username and a password, after the provider accepted them.
pub async fn connect_basic(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let credentials = read_object(body.as_ref(), |body| Credentials::Basic {
        username: body.required_text("username", &TextRule::length(0, LONGEST_SECRET)),
        password: body.required_text("password", &TextRule::length(0, LONGEST_SECRET)),
    })
    .in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::Basic, Legacy::No).await?;
    attempt.verify_and_store(&app, &credentials).await
}

/// Connects to a provider that wants no credentials.
pub async fn connect_unauthenticated(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    read_nothing(body.as_ref()).in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::None, Legacy::No).await?;
    attempt.store(&app, &Credentials::None).await
}

fn token_error(error: TokenError) -> ApiError {
    ApiError::bad_request(error.kind, error.message).legacy()
}
