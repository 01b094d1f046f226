//! What a key may ask of its own environment (`spec` http-api, sections 11.5 and 11.6): its variables, and a new webhook
//! signing key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Data;
use super::extract::{IntoApiError, JsonBody, QueryTree, SecretKey};
use super::input::read_nothing;
use super::openapi::{Operation, Tag};
use super::scope::{SigningKeyRotate, VariablesRead};
use crate::app::{App, SharedApp};
use crate::db::EnvironmentId;
use crate::db::environments::Environment;
use crate::environments::variables::{self, Variable};
use crate::error::ApiError;
use crate::keys::{RotationError, rotate_signing_key};

#[derive(Serialize, ToSchema)]
pub struct EnvironmentVariable {
    name: String,
    value: String,
}

#[derive(Serialize, ToSchema)]
pub struct SigningKey {
    webhook_signing_key: String,
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const ROTATE: &str = "/environment/webhook-signing-key/rotate";
    vec![
        Operation::get("/environment-variables", "list_environment_variables", "List variables")
            .tag(Tag::Environments)
            .key::<VariablesRead>()
            .no_query()
            .no_body()
            .answers_array::<EnvironmentVariable>(200, "The variables."),
        Operation::post(
            ROTATE,
            "rotate_webhook_signing_key",
            "Replace the key that webhooks are signed with",
        )
        .tag(Tag::Environments)
        .key::<SigningKeyRotate>()
        .no_query()
        .answers_data::<SigningKey>(200, "The new key.")
        .refuses(404, &["not_found"])
        .refuses(409, &["multiple_webhook_signing_keys"])
        .refuses(500, &["rotation_failed"]),
    ]
}

/// Names and values of the environment's variables.
pub async fn list_environment_variables(
    State(app): State<SharedApp>,
    key: SecretKey<VariablesRead>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Vec<EnvironmentVariable>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    read_nothing(body.as_ref()).in_body()?;
    // Wire: a bare list.
    Ok(Json(shown_variables(&app, key.environment.id).await?))
}

/// The variables of an environment as the API shows them.
pub async fn shown_variables(
    app: &App,
    environment: EnvironmentId,
) -> Result<Vec<EnvironmentVariable>, ApiError> {
    let variables = variables::list(app, environment).await?;
    let show = |variable: Variable| EnvironmentVariable {
        name: variable.name,
        value: variable.value.expose().to_owned(),
    };
    Ok(variables.into_iter().map(show).collect())
}

/// Replaces the key that webhooks are signed with; the answer shows the new one.
pub async fn rotate_webhook_signing_key(
    State(app): State<SharedApp>,
    key: SecretKey<SigningKeyRotate>,
    QueryTree(query): QueryTree,
) -> Result<Json<Data<SigningKey>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    rotate(&app, &key.environment).await
}

/// Replaces the signing key of an environment and shows the new one.
pub async fn rotate(app: &App, environment: &Environment) -> Result<Json<Data<SigningKey>>, ApiError> {
    let secret = rotate_signing_key(app, environment).await.map_err(refused)?;
    tracing::info!(environment.id = environment.id.0, "webhook signing key replaced");
    Ok(Json(Data { data: SigningKey { webhook_signing_key: secret.expose().to_owned() } }))
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
