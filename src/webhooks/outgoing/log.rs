//! A delivery in the operation logs: one operation for all its attempts, whichever replica makes them.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::send::{Sent, Verdict};
use crate::app::App;
use crate::db::EnvironmentId;
use crate::db::webhook_deliveries::{Waiting, WebhookType};
use crate::logs::{Kind, LogError, NewOperation, Operation};
use crate::time_format::format_millis_z;

/// The id of a delivery's operation. It follows from the delivery, so that nobody has to remember it between attempts.
pub fn operation_id(created_at: DateTime<Utc>, delivery: Uuid) -> String {
    let random: String = delivery.simple().to_string().chars().take(8).collect();
    format!("{}_{random}", created_at.timestamp_millis())
}

/// The operation of a delivery that is about to be sent.
pub(super) fn operation(app: &App, environment: EnvironmentId, waiting: &Waiting) -> Operation {
    let new = NewOperation::new(kind(waiting), environment)
        .message(kind(waiting).title())
        .with("integrationName", waiting.provider_config_key.as_str())
        .with("meta", json!({ "deliveryId": waiting.uuid, "event": waiting.event }));
    let new = match &waiting.connection_id {
        Some(connection_id) => new.with("connectionName", connection_id.as_str()),
        None => new,
    };
    app.logs.resume(&operation_id(waiting.created_at, waiting.uuid), new)
}

fn kind(waiting: &Waiting) -> Kind {
    match waiting.kind {
        WebhookType::Auth if waiting.event.as_deref() == Some("refresh") => Kind::WebhookConnectionRefresh,
        WebhookType::Auth => Kind::WebhookConnectionCreate,
        WebhookType::Sync | WebhookType::AsyncAction => Kind::WebhookSync,
        WebhookType::Forward => Kind::WebhookForward,
    }
}

/// Says how an attempt ended; `next_attempt_at` when there will be another.
pub(super) fn conclude(operation: &Operation, sent: &Sent, next_attempt_at: Option<DateTime<Utc>>) {
    if let Some(next) = next_attempt_at {
        operation.warn(&format!("{} It is sent again at {}.", reason(sent), format_millis_z(next)));
        operation.leave_open();
    } else if sent.verdict == Verdict::Delivered {
        operation.succeed();
    } else {
        operation.fail(&LogError::new("webhook_not_delivered", reason(sent)));
    }
}

fn reason(sent: &Sent) -> String {
    match (sent.status, &sent.error) {
        (Some(status), _) => format!("The receiver answered {}.", status.as_u16()),
        (None, Some(error)) => format!("The webhook could not be sent: {error}."),
        (None, None) => "The webhook could not be sent.".to_owned(),
    }
}
