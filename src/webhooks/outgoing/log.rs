//! A delivery in the operation logs: one operation for all its attempts, whichever replica makes them.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::send::{Sent, Verdict};
use crate::app::App;
use crate::db::EnvironmentId;
use crate::db::webhook_deliveries::{GivenUp, Waiting, WebhookType};
use crate::logs::{Kind, LogError, NewOperation, Operation};
use crate::time_format::format_millis_z;

/// The id of a delivery's operation. It follows from the delivery, so that nobody has to remember it between attempts.
pub fn operation_id(created_at: DateTime<Utc>, delivery: Uuid) -> String {
    let random: String = delivery.simple().to_string().chars().take(8).collect();
    format!("{}_{random}", created_at.timestamp_millis())
}

/// What the log says of a delivery.
pub(super) struct Told<'a> {
    environment: EnvironmentId,
    uuid: Uuid,
    kind: WebhookType,
    event: Option<&'a str>,
    provider_config_key: &'a str,
    connection_id: Option<&'a str>,
    created_at: DateTime<Utc>,
}

impl<'a> Told<'a> {
    pub fn of_waiting(environment: EnvironmentId, waiting: &'a Waiting) -> Self {
        Told {
            environment,
            uuid: waiting.uuid,
            kind: waiting.kind,
            event: waiting.event.as_deref(),
            provider_config_key: &waiting.provider_config_key,
            connection_id: waiting.connection_id.as_deref(),
            created_at: waiting.created_at,
        }
    }

    fn of_given_up(given_up: &'a GivenUp) -> Self {
        Told {
            environment: given_up.environment_id,
            uuid: given_up.uuid,
            kind: given_up.kind,
            event: given_up.event.as_deref(),
            provider_config_key: &given_up.provider_config_key,
            connection_id: given_up.connection_id.as_deref(),
            created_at: given_up.created_at,
        }
    }
}

/// The operation of a delivery.
pub(super) fn operation(app: &App, told: &Told<'_>) -> Operation {
    let new = NewOperation::new(kind(told), told.environment)
        .message(kind(told).title())
        .with("integrationName", told.provider_config_key)
        .with("meta", json!({ "deliveryId": told.uuid, "event": told.event }));
    let new = match told.connection_id {
        Some(connection_id) => new.with("connectionName", connection_id),
        None => new,
    };
    app.logs.resume(&operation_id(told.created_at, told.uuid), new)
}

/// Ends the operation of a delivery that is not tried any more.
pub(super) fn give_up(app: &App, given_up: &GivenUp, reason: &str) {
    let operation = operation(app, &Told::of_given_up(given_up));
    operation.fail(&LogError::new("webhook_not_delivered", format!("The webhook was given up: {reason}.")));
}

fn kind(told: &Told<'_>) -> Kind {
    match told.kind {
        WebhookType::Auth if told.event == Some("refresh") => Kind::WebhookConnectionRefresh,
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
