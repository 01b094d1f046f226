//! `/api/v1/webhook-deliveries`: what was sent to an environment's webhook addresses, what came of it, and sending it again.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Operator, find_environment};
use crate::api::extract::{IntoApiError, PathTree, QueryTree};
use crate::api::input::formats::{ENVIRONMENT_NAME, UUID};
use crate::api::input::{ObjectReader, ROW_ID, TextRule, read_object};
use crate::api::scope::AccountEverything;
use crate::app::{App, SharedApp};
use crate::db::WebhookDeliveryId;
use crate::db::environments::Environment;
use crate::db::webhook_deliveries::{Delivery, DeliveryState, Filter, WebhookType};
use crate::error::ApiError;
use crate::time_format::format_millis_z;
use crate::webhooks::deliveries::{self, Detail, ShownAttempt};
use crate::webhooks::outgoing::operation_id;

const TEXT: TextRule = TextRule::length(1, 255);
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// The deliveries of an environment, newest first.
pub async fn list_webhook_deliveries(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    let (environment, filter) = read_filter(&app, &operator, &query).await?;
    let page = deliveries::list(&app, environment.id, &filter).await?;
    let data: Vec<Value> = page.deliveries.iter().map(show).collect();
    Ok(Json(json!({ "data": data, "next_cursor": page.next.map(|id| id.0.to_string()) })))
}

/// One delivery with its body and every attempt.
pub async fn get_webhook_delivery(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<Value>, ApiError> {
    let environment = read_environment(&app, &operator, &query).await?;
    let id = read_id(&path)?;
    let detail = deliveries::find(&app, environment.id, id).await?.ok_or_else(unknown)?;
    Ok(Json(json!({ "data": show_detail(&detail) })))
}

/// Sends one delivery again, or now when it still waits.
pub async fn replay_webhook_delivery(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<Value>, ApiError> {
    let environment = read_environment(&app, &operator, &query).await?;
    let id = read_id(&path)?;
    let delivery = deliveries::replay(&app, environment.id, id).await?.ok_or_else(unknown)?;
    tracing::info!(environment.id = environment.id.0, delivery.id = %id, "a webhook is sent again");
    Ok(Json(json!({ "data": show(&delivery) })))
}

/// Sends everything again that was given up and that the filter of the query lets through, a thousand at most.
pub async fn replay_failed_webhook_deliveries(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    let (environment, filter) = read_filter(&app, &operator, &query).await?;
    let replayed = deliveries::replay_failed(&app, environment.id, &filter).await?;
    tracing::info!(environment.id = environment.id.0, replayed, "failed webhooks are sent again");
    Ok(Json(json!({ "data": { "replayed": replayed } })))
}

fn unknown() -> ApiError {
    ApiError::not_found("There is no such webhook delivery.")
}

async fn read_environment(
    app: &App,
    operator: &Operator<AccountEverything>,
    query: &Value,
) -> Result<Environment, ApiError> {
    let name = read_object(Some(query), |query| query.required_text("env", &ENVIRONMENT_NAME)).in_query()?;
    find_environment(app, operator.account_id, &name).await
}

fn read_id(path: &Value) -> Result<Uuid, ApiError> {
    let text = read_object(Some(path), |path| path.required_text("deliveryId", &UUID)).in_path()?;
    Uuid::parse_str(&text).map_err(|_| unknown())
}

async fn read_filter(
    app: &App,
    operator: &Operator<AccountEverything>,
    query: &Value,
) -> Result<(Environment, Filter), ApiError> {
    let read = |query: &mut ObjectReader<'_>| {
        let name = query.required_text("env", &ENVIRONMENT_NAME);
        let filter = Filter {
            state: query.optional_one_of("state", DeliveryState::WORDS),
            kind: query.optional_one_of("type", WebhookType::WORDS),
            provider_config_key: query.optional_text("provider_config_key", &TEXT),
            connection_id: query.optional_text("connection_id", &TEXT),
            before: query.integer_text("cursor", ROW_ID).map(WebhookDeliveryId),
            limit: query.integer_text("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT),
        };
        (name, filter)
    };
    let (name, filter) = read_object(Some(query), read).in_query()?;
    Ok((find_environment(app, operator.account_id, &name).await?, filter))
}

fn show(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.uuid,
        "type": delivery.kind.as_str(),
        "event": delivery.event,
        "provider_config_key": delivery.provider_config_key,
        "connection_id": delivery.connection_id,
        "target": delivery.target.as_str(),
        "url": delivery.url,
        "state": delivery.state.as_str(),
        "attempt_count": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "operation_id": operation_id(delivery.created_at, delivery.uuid),
        "created_at": format_millis_z(delivery.created_at),
        "next_attempt_at": delivery.next_attempt_at.map(format_millis_z),
        "finished_at": delivery.finished_at.map(format_millis_z),
    })
}

fn show_detail(detail: &Detail) -> Value {
    let mut shown = show(&detail.delivery);
    shown["body"] = detail.body.as_str().into();
    let header = |(name, value): &(String, String)| json!({ "name": name, "value": value });
    shown["forwarded_headers"] = detail.headers.iter().map(header).collect();
    shown["attempts"] = detail.attempts.iter().map(show_attempt).collect();
    shown
}

fn show_attempt(attempt: &ShownAttempt) -> Value {
    json!({
        "number": attempt.number,
        "started_at": format_millis_z(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error,
        "answer": attempt.answer,
    })
}
