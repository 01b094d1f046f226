//! `/api/v1/environments/webhook`: where an environment's webhooks go, and which events are worth one.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use url::Url;

use super::OperatorOf;
use super::input::read_webhook_patch;
use crate::api::extract::{IntoApiError, JsonBody};
use crate::api::input::{ObjectReader, read_object};
use crate::api::scope::AccountEverything;
use crate::app::SharedApp;
use crate::db::webhook_settings;
use crate::environments::webhooks;
use crate::error::ApiError;

/// The webhook settings of an environment.
pub async fn get_webhook_settings(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
) -> Result<Json<Value>, ApiError> {
    let settings = webhook_settings::find(&app.db, caller.environment.id).await?;
    Ok(Json(json!({ "data": settings })))
}

/// Changes the webhook settings of an environment; what the body does not name stays.
pub async fn update_webhook_settings(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    let read = |body: &mut ObjectReader<'_>| read_webhook_patch(body, is_allowed);
    let patch = read_object(body.as_ref(), read).in_body()?;
    let settings = webhooks::change(&app, caller.environment.id, &patch).await?;
    tracing::info!(environment.id = caller.environment.id.0, "webhook settings changed");
    Ok(Json(json!({ "data": settings })))
}
