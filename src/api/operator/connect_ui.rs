//! `/api/v1/connect-ui-settings`: how the Connect UI looks for an environment (`spec` auth-flows, section 13.8).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::OperatorOf;
use super::input::read_connect_ui;
use crate::api::extract::{IntoApiError, JsonBody};
use crate::api::input::read_object;
use crate::api::scope::AccountEverything;
use crate::app::SharedApp;
use crate::environments::connect_ui;
use crate::error::ApiError;

/// The settings of an environment, or the defaults.
pub async fn get_connect_ui_settings(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "data": connect_ui::find(&app, caller.environment.id).await? })))
}

/// Replaces the settings of an environment.
pub async fn put_connect_ui_settings(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let settings = read_object(body.as_ref(), read_connect_ui).in_body()?;
    connect_ui::store(&app, caller.environment.id, &settings).await?;
    tracing::info!(environment.id = caller.environment.id.0, "Connect UI settings changed");
    Ok(Json(json!({ "data": settings })))
}
