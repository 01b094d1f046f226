//! What is stored and shipped: operations and messages, in memory as on the wire (`spec` logs, sections 1.1 and 1.2).

use chrono::{DateTime, Timelike, Utc};
use serde_json::{Map, Value, json};

use super::kind::{Context, Kind, Level, State};
use super::redaction::{Redactor, shrink};
use super::terms::{Facet, Terms};
use crate::db::{AccountId, EnvironmentId};
use crate::error::ApiError;
use crate::time_format::format_millis_z;

/// Members of [`OperationRecord::data`] that filters ask for.
const FACETS: [(&str, Facet); 3] = [
    ("integrationName", Facet::Integration),
    ("connectionName", Facet::Connection),
    ("syncConfigName", Facet::Function),
];

/// An operation as far as somebody knows it: a later record of the same id adds to an earlier one.
#[derive(Debug, Clone)]
pub struct OperationRecord {
    pub id: String,
    pub kind: Kind,
    pub state: State,
    pub level: Level,
    /// Empty: as it was.
    pub message: String,
    pub environment_id: Option<EnvironmentId>,
    pub account_id: Option<AccountId>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    /// Everything else, under its names on the wire.
    pub data: Map<String, Value>,
    /// Only of operations that are written as a whole.
    pub messages: Vec<MessageRecord>,
    /// Words of the messages, for the search.
    pub terms: Terms,
}

impl OperationRecord {
    /// Successful proxied calls: they have a shorter retention.
    pub fn is_bulk(&self) -> bool {
        self.kind == Kind::ProxyCall && self.state == State::Success
    }

    /// Takes over what a later record of the same operation says.
    pub fn absorb(&mut self, later: OperationRecord) {
        if later.state.rank() > self.state.rank() {
            self.state = later.state;
        }
        if !later.message.is_empty() {
            self.message = later.message;
        }
        self.level = later.level;
        self.updated_at = self.updated_at.max(later.updated_at);
        self.started_at = self.started_at.or(later.started_at);
        self.ended_at = self.ended_at.or(later.ended_at);
        self.expires_at = later.expires_at.or(self.expires_at);
        self.environment_id = self.environment_id.or(later.environment_id);
        self.data.extend(later.data);
        self.messages.extend(later.messages);
        self.terms.merge(later.terms);
    }

    /// The terms of the index, those of the filters included.
    pub fn all_terms(&self) -> Terms {
        let mut terms = self.terms.clone();
        terms.add_text(&self.message);
        for message in &self.messages {
            message.add_terms(&mut terms);
        }
        if let Some(environment) = self.environment_id {
            terms.add(Facet::Environment, &environment.0.to_string());
        }
        terms.add(Facet::Hour, &format!("{:02}", self.created_at.hour()));
        terms.add(Facet::State, self.state.as_str());
        terms.add(Facet::Type, self.kind.parts().0);
        terms.add(Facet::Kind, self.kind.as_str());
        for (member, facet) in FACETS {
            terms.add(facet, self.data.get(member).and_then(Value::as_str).unwrap_or_default());
        }
        if let Some(error) = self.data.get("error") {
            for member in ["name", "message", "type"] {
                terms.add_text(error.get(member).and_then(Value::as_str).unwrap_or_default());
            }
        }
        terms
    }

    /// The operation as the API shows it.
    pub fn to_json(&self) -> Value {
        let (kind, action) = self.kind.parts();
        let time = |time: Option<DateTime<Utc>>| time.map(format_millis_z);
        let mut shown = json!({
            "id": self.id,
            "source": "internal",
            "type": "operation",
            "level": self.level.as_str(),
            "message": self.message,
            "operation": {"type": kind, "action": action},
            "state": self.state.as_str(),
            "accountId": self.account_id,
            "environmentId": self.environment_id,
            "createdAt": format_millis_z(self.created_at),
            "updatedAt": format_millis_z(self.updated_at),
            "startedAt": time(self.started_at),
            "endedAt": time(self.ended_at),
            "expiresAt": time(self.expires_at),
        });
        if let Value::Object(members) = &mut shown {
            members.extend(self.data.clone());
        }
        shown
    }
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq)]
pub struct LogError {
    /// A code, such as the wire's.
    pub name: String,
    pub message: String,
    pub payload: Option<Value>,
}

impl LogError {
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        LogError { name: name.into(), message: message.into(), payload: None }
    }

    pub fn to_json(&self, redactor: &Redactor) -> Value {
        let mut shown = json!({"name": redactor.text(&self.name), "message": redactor.text(&self.message)});
        if let Some(payload) = &self.payload {
            shown["payload"] = redactor.json(payload);
        }
        shown
    }
}

impl From<&ApiError> for LogError {
    fn from(error: &ApiError) -> Self {
        let body = error.body();
        let issues = body.pointer("/error/errors").cloned();
        let message = Some(error.message()).filter(|message| !message.is_empty());
        LogError {
            name: error.code().to_owned(),
            message: message.unwrap_or("The request was refused.").to_owned(),
            payload: issues,
        }
    }
}

/// One attempt of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// From 0.
    pub attempt: u32,
    pub max: u32,
    /// Milliseconds before this attempt.
    pub waited: u64,
}

/// A line of an operation's story. Everything in it is redacted already.
#[derive(Debug, Clone)]
pub struct MessageRecord {
    pub id: String,
    pub operation_id: String,
    pub operation_at: DateTime<Utc>,
    pub account_id: Option<AccountId>,
    pub level: Level,
    pub is_http: bool,
    pub message: String,
    pub context: Context,
    pub error: Option<Value>,
    pub request: Option<Value>,
    pub response: Option<Value>,
    pub retry: Option<Retry>,
    pub meta: Option<Value>,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<u64>,
}

impl MessageRecord {
    /// Makes the entry small enough to be stored.
    pub fn shrink(&mut self) {
        let size = |value: &Option<Value>| value.as_ref().map_or(0, |value| value.to_string().len());
        let rest = self.message.len() + size(&self.error) + size(&self.request) + size(&self.response);
        if shrink(&mut self.meta, rest) {
            self.message.push_str(" (truncated)");
        }
    }

    /// Adds what the search of operations finds this message by.
    pub fn add_terms(&self, terms: &mut Terms) {
        terms.add_text(&self.message);
        for member in ["name", "message", "type"] {
            let text = self.error.as_ref().and_then(|error| error.get(member));
            terms.add_text(text.and_then(Value::as_str).unwrap_or_default());
        }
        if let Some(code) = self.response.as_ref().and_then(|response| response.get("code")) {
            terms.add_text(&code.to_string());
        }
    }

    /// The message as the API shows it.
    pub fn to_json(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "parentId": self.operation_id,
            "accountId": self.account_id,
            "source": "internal",
            "type": if self.is_http { "http" } else { "log" },
            "level": self.level.as_str(),
            "message": self.message,
            "context": self.context.as_str(),
            "meta": self.meta,
            "createdAt": format_millis_z(self.created_at),
        });
        let retry = self
            .retry
            .map(|retry| json!({"attempt": retry.attempt, "max": retry.max, "waited": retry.waited}));
        let more = [
            ("error", self.error.clone()),
            ("request", self.request.clone()),
            ("response", self.response.clone()),
            ("retry", retry),
            ("endedAt", self.ended_at.map(|time| format_millis_z(time).into())),
            ("durationMs", self.duration_ms.map(Value::from)),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                shown[name] = value;
            }
        }
        shown
    }
}
