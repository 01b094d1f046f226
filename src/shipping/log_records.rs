//! Messages as log records (`spec` logs-and-observability, section 5), beside the spans of their operation. Pure.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};

use super::spans::{error_attributes, ids, nanos, number, text};
use crate::logs::{Level, MessageRecord};

/// The log record of a message. Trace and span are those of its operation, whether that is traced or not.
pub fn message_record(message: &MessageRecord) -> LogRecord {
    let (trace_id, span_id) = ids(&message.operation_id);
    let mut attributes = vec![
        text("nango.operation.id", &message.operation_id),
        text("nango.message.type", if message.is_http { "http" } else { "log" }),
        text("nango.message.context", message.context.as_str()),
    ];
    let code = message.response.as_ref().and_then(|response| response["code"].as_i64());
    attributes.extend(code.map(|code| number("http.response.status_code", code)));
    attributes.extend(message.error.as_ref().map(error_attributes).unwrap_or_default());
    LogRecord {
        time_unix_nano: nanos(message.created_at),
        observed_time_unix_nano: nanos(message.ended_at.unwrap_or(message.created_at)),
        severity_number: severity(message.level).into(),
        severity_text: message.level.as_str().to_uppercase(),
        body: Some(AnyValue { value: Some(Any::StringValue(message.message.clone())) }),
        attributes,
        trace_id,
        span_id,
        ..LogRecord::default()
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::Debug => SeverityNumber::Debug,
        Level::Info => SeverityNumber::Info,
        Level::Warn => SeverityNumber::Warn,
        Level::Error => SeverityNumber::Error,
    }
}
