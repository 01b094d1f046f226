//! What a key may ask of its own environment (`spec` http-api, sections 11.5 and 11.6): its variables, and a new webhook
//! signing key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::extract::{IntoApiError, JsonBody, QueryTree, SecretKey};
use super::input::read_nothing;
use super::scope::{SigningKeyRotate, VariablesRead};
use crate::app::{App, SharedApp};
use crate::db::EnvironmentId;
use crate::db::environments::Environment;
use crate::environments::variables::{self, Variable};
use crate::error::ApiError;
use crate::keys::{RotationError, rotate_signing_key};

/// Names and values of the environment's variables.
pub async fn list_environment_variables(
    State(app): State<SharedApp>,
    key: SecretKey<VariablesRead>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Vec<Value>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    read_nothing(body.as_ref()).in_body()?;
    // Wire: a bare list.
    Ok(Json(shown_variables(&app, key.environment.id).await?))
}

/// The variables of an environment as the API shows them.
pub async fn shown_variables(app: &App, environment: EnvironmentId) -> Result<Vec<Value>, ApiError> {
    let variables = variables::list(app, environment).await?;
    let show = |variable: &Variable| json!({ "name": variable.name, "value": variable.value.expose() });
    Ok(variables.iter().map(show).collect())
}

/// Replaces the key that webhooks are signed with; the answer shows the new one.
pub async fn rotate_webhook_signing_key(
    State(app): State<SharedApp>,
    key: SecretKey<SigningKeyRotate>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    rotate(&app, &key.environment).await
}

/// Replaces the signing key of an environment and shows the new one.
pub async fn rotate(app: &App, environment: &Environment) -> Result<Json<Value>, ApiError> {
    let secret = rotate_signing_key(app, environment).await.map_err(refused)?;
    tracing::info!(environment.id = environment.id.0, "webhook signing key replaced");
    Ok(Json(json!({ "data": { "webhook_signing_key": secret.expose() } })))
}

fn refused(error: RotationError) -> ApiError {
    let message = error.to_string();
    match error {
        RotationError::NoKey => ApiError::not_found(message),
        RotationError::SeveralKeys => {
            ApiError::new(StatusCode::CONFLICT, "multiple_webhook_signing_keys", message)
        }
        RotationError::Failed(reason) => {
            let message = "The webhook signing key could not be replaced.";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "rotation_failed", message).because(reason)
        }
    }
}
