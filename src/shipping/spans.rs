//! Operations and their HTTP messages as spans (`spec` logs-and-observability, section 5). Pure. Ids follow from the
//! operation's, so that spans of one operation find each other whenever they are sent.

use chrono::{DateTime, TimeDelta, Utc};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::Value;

use crate::crypto::sha256;
use crate::logs::{Kind, MessageRecord, OperationRecord, State};

/// Characters of an error's payload.
const MAX_PAYLOAD: usize = 4096;

/// Whether operations of this kind are traced.
pub fn is_traced(kind: Kind) -> bool {
    let (of, action) = kind.parts();
    match (of, action) {
        ("sync", "run") | ("action" | "webhook" | "proxy" | "function", _) => true,
        // IMPROVE: upstream leaves sign-ins, refreshes and the other events out.
        ("auth" | "events", _) => true,
        _ => false,
    }
}

/// The span of an operation that has ended.
pub fn operation_span(record: &OperationRecord) -> Span {
    let (kind, action) = record.kind.parts();
    let (trace_id, span_id) = ids(&record.id);
    let started_at = record.started_at.unwrap_or(record.created_at);
    let mut attributes = vec![
        text("nango.operation.id", &record.id),
        text("nango.operation.type", kind),
        text("nango.operation.action", action),
        text("nango.operation.message", &record.message),
        text("nango.operation.status", record.state.as_str()),
    ];
    for (attribute, member) in [
        ("nango.account", "accountName"),
        ("nango.environment", "environmentName"),
        ("nango.provider", "providerName"),
        ("nango.integration", "integrationName"),
        ("nango.connection", "connectionName"),
        ("nango.sync", "syncConfigName"),
    ] {
        attributes
            .extend(record.data.get(member).and_then(Value::as_str).map(|value| text(attribute, value)));
    }
    let error = record.data.get("error");
    attributes.extend(error.map(error_attributes).unwrap_or_default());
    Span {
        trace_id,
        span_id,
        name: format!("nango.{kind}.{action}").to_lowercase(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(started_at),
        end_time_unix_nano: nanos(record.ended_at.unwrap_or(record.updated_at).max(started_at)),
        attributes,
        status: Some(status(
            matches!(record.state, State::Success | State::Waiting | State::Running),
            error.and_then(|error| error["message"].as_str()).unwrap_or_default(),
        )),
        ..Span::default()
    }
}

/// The span of an exchange with a server, below that of its operation; `None` for messages of another kind.
pub fn message_span(message: &MessageRecord) -> Option<Span> {
    let request = message.request.as_ref().filter(|_| message.is_http)?;
    let method = request["method"].as_str().unwrap_or_default();
    let host = request["url"].as_str().and_then(|url| url::Url::parse(url).ok());
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let (trace_id, parent_span_id) = ids(&message.operation_id);
    let (_, span_id) = ids(&message.id);
    let code = message.response.as_ref().and_then(|response| response["code"].as_i64());
    let mut attributes = vec![text("http.request.method", method), text("server.address", host)];
    attributes.extend(code.map(|code| number("http.response.status_code", code)));
    attributes
        .extend(message.retry.map(|retry| number("http.request.resend_count", i64::from(retry.attempt))));
    attributes.extend(message.error.as_ref().map(error_attributes).unwrap_or_default());
    let took = TimeDelta::milliseconds(i64::try_from(message.duration_ms.unwrap_or(0)).unwrap_or(0));
    Some(Span {
        trace_id,
        span_id,
        parent_span_id,
        name: format!("{method} {host}"),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: nanos(message.created_at),
        end_time_unix_nano: nanos(
            message.ended_at.unwrap_or(message.created_at + took).max(message.created_at),
        ),
        attributes,
        status: Some(status(code.is_some_and(|code| code < 400), "")),
        ..Span::default()
    })
}

/// Trace and span id of an operation or message.
pub fn ids(id: &str) -> (Vec<u8>, Vec<u8>) {
    let digest = sha256(id.as_bytes());
    (digest[..16].to_vec(), digest[16..24].to_vec())
}

fn status(is_ok: bool, message: &str) -> Status {
    let code = if is_ok { StatusCode::Ok } else { StatusCode::Error };
    let message = if is_ok { String::new() } else { message.to_owned() };
    Status { message, code: code.into() }
}

/// The attributes of an error.
pub fn error_attributes(error: &Value) -> Vec<KeyValue> {
    let member = |name: &str| error.get(name).and_then(Value::as_str);
    let mut attributes: Vec<KeyValue> =
        member("message").map(|value| text("nango.error.message", value)).into_iter().collect();
    attributes.extend(member("type").or_else(|| member("name")).map(|value| text("nango.error.type", value)));
    // IMPROVE: upstream hands over an object, which exporters drop.
    attributes.extend(error.get("payload").map(|payload| {
        let payload: String = payload.to_string().chars().take(MAX_PAYLOAD).collect();
        text("nango.error.payload", &payload)
    }));
    attributes
}

/// Nanoseconds since the epoch.
pub fn nanos(time: DateTime<Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default()
}

/// A text attribute.
pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

/// A whole number as an attribute.
pub fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Any::IntValue(value))
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
