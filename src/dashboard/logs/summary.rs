//! An operation in a few words, from the form in which the log shows it.

use chrono::{DateTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::dashboard::page::EnvironmentPage;
use crate::dashboard::time::Moment;
use crate::logs::{Kind, State};

/// What lists and the head of a story tell of an operation; empty texts where there is nothing to tell.
pub struct Summary {
    pub id: String,
    pub message: String,
    pub kind: String,
    /// Kind and text of a badge.
    pub state: (&'static str, &'static str),
    pub is_over: bool,
    pub integration: String,
    /// Empty without an integration.
    pub integration_link: String,
    pub connection: String,
    /// The page of the connection, if it was stored when this happened.
    pub connection_link: String,
    /// The log of everything about a connection of this name.
    pub connection_log: String,
    pub function: String,
    pub began: Option<Moment>,
    pub duration: String,
}

impl Summary {
    pub fn new(page: &EnvironmentPage, operation: &Value) -> Self {
        let name = format!("{}:{}", text(operation, "/operation/type"), text(operation, "/operation/action"));
        let state = State::parse(text(operation, "/state"));
        let began = time(operation, "/startedAt").or_else(|| time(operation, "/createdAt"));
        let ended = time(operation, "/endedAt");
        let integration = text(operation, "/integrationName");
        let connection = text(operation, "/connectionName");
        let row = operation.get("connectionId").and_then(Value::as_i64);
        Summary {
            id: text(operation, "/id").to_owned(),
            message: text(operation, "/message").to_owned(),
            kind: Kind::parse(&name).map_or(name, |kind| kind.title().to_owned()),
            state: state.map_or(("calm", "Unknown"), badge),
            is_over: state.is_none_or(State::is_final),
            integration: integration.to_owned(),
            integration_link: page.environment_link("/integrations/") + &encoded(integration),
            connection: connection.to_owned(),
            connection_link: row
                .map(|row| page.environment_link(&format!("/connections/{row}")))
                .unwrap_or_default(),
            connection_log: page.environment_link("/logs?connection=") + &encoded(connection),
            function: text(operation, "/syncConfigName").to_owned(),
            duration: began
                .zip(ended)
                .map(|(began, ended)| span((ended - began).num_milliseconds()))
                .unwrap_or_default(),
            began: began.map(|time| page.moment(time)),
        }
    }
}

fn badge(state: State) -> (&'static str, &'static str) {
    match state {
        State::Waiting => ("calm", "Waiting"),
        State::Running => ("calm", "Running"),
        State::Success => ("good", "Success"),
        State::Failed => ("bad", "Failed"),
        State::Timeout => ("warn", "Timed out"),
        State::Cancelled => ("warn", "Cancelled"),
    }
}

/// A text as a part of an address.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The text at a JSON pointer; empty when there is none.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The point in time at a JSON pointer.
pub fn time(value: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text(value, pointer)).ok().map(|time| time.to_utc())
}

/// Milliseconds as people read them.
pub fn span(millis: i64) -> String {
    let millis = millis.max(0);
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_they_are_short() {
        for (millis, expected) in
            [(-5, "0 ms"), (999, "999 ms"), (1950, "1.9 s"), (61_000, "1 min 1 s"), (3_660_000, "1 h 1 min")]
        {
            assert_eq!(span(millis), expected);
        }
    }
}
