//! `/api/v1/environments/variables`: the named values that functions read.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::OperatorOf;
use super::input::read_variables;
use crate::api::extract::{IntoApiError, JsonBody};
use crate::api::input::read_object;
use crate::api::own_environment::shown_variables;
use crate::api::scope::AccountEverything;
use crate::app::SharedApp;
use crate::environments::variables;
use crate::error::ApiError;

/// The variables of an environment with their values.
pub async fn list_variables(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "data": shown_variables(&app, caller.environment.id).await? })))
}

/// Makes the submitted variables the environment's only ones.
// Wire: the list is the whole list; what it does not name goes.
pub async fn replace_variables(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let submitted = read_object(body.as_ref(), read_variables).in_body()?;
    let environment = caller.environment.id;
    variables::replace(&app, environment, &submitted).await?;
    tracing::info!(environment.id = environment.0, count = submitted.len(), "variables replaced");
    Ok(Json(json!({ "data": shown_variables(&app, environment).await? })))
}
