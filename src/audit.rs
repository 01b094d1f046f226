//! The audit trail: who changed what in the control plane, from where, and what was different before. Every
//! administrative change calls [`record`], in its own transaction when it has one, so that a change and its event are
//! stored together or not at all. Never holds a secret: [`Event::changed`] redacts what it is given.
//!
//! Who asks is known from [`within`], which the edge puts around the handling of a request.

mod action;
mod call;
mod difference;
mod export;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgExecutor;

pub use action::Action;
pub use call::{Actor, Call, carried, note_actor, within};
pub use difference::{difference, secret};
pub use export::{EventBody, ExportFormat, export};

use crate::app::App;
use crate::db::audit_events::{self, NewEvent};
use crate::db::connections::Connection;
use crate::db::integrations::Integration;
use crate::db::{AccountId, ApiKeyId, ConnectionRowId, EnvironmentId};

/// The version of the event's form.
// Wire: consumers compare it.
pub const VERSION: &str = "2026-07-16";
/// Things that one event names; a change of more says how many.
const MAX_TARGETS: usize = 100;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    Denied,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Denied => "denied",
        }
    }
}

/// Something that was changed.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<String>,
}

impl Target {
    /// A target of any kind of the contract: `connection`, `integration`, `api_key`, `environment`, `member`, `user` ...
    pub fn new(kind: &'static str, id: impl ToString, display: impl Into<String>) -> Self {
        Target { kind, id: id.to_string(), display: Some(display.into()) }
    }

    pub fn connection(connection: &Connection) -> Self {
        Self::connection_row(connection.id, &connection.connection_id)
    }

    pub fn connection_row(id: ConnectionRowId, connection_id: &str) -> Self {
        Self::new("connection", id.0, connection_id)
    }

    pub fn integration(row: &Integration) -> Self {
        Self::new("integration", row.id.0, &row.unique_key)
    }

    pub fn api_key(id: ApiKeyId, display_name: &str) -> Self {
        Self::new("api_key", id.0, display_name)
    }
}

/// Whose trail an event belongs to.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Account(AccountId),
    Environment(EnvironmentId),
}

/// Something that happened, to be recorded.
#[derive(Debug)]
pub struct Event {
    owner: Owner,
    action: Action,
    outcome: Outcome,
    targets: Vec<Target>,
    metadata: Map<String, Value>,
}

impl Event {
    /// Something that was done to an environment, or to what is in it.
    pub fn of_environment(id: EnvironmentId, action: Action) -> Self {
        Self::new(Owner::Environment(id), action)
    }

    /// Something that was done to the account.
    pub fn of_account(id: AccountId, action: Action) -> Self {
        Self::new(Owner::Account(id), action)
    }

    fn new(owner: Owner, action: Action) -> Self {
        Event { owner, action, outcome: Outcome::Success, targets: Vec::new(), metadata: Map::new() }
    }

    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    pub fn targets(mut self, targets: impl Iterator<Item = Target>) -> Self {
        self.targets.extend(targets);
        self
    }

    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// A fact about the event. The caller answers for it: nothing is redacted.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }

    /// What differs between two descriptions of the target, as `before` and `after`; values made by [`secret`] are only
    /// said to differ.
    pub fn changed(mut self, before: &Value, after: &Value) -> Self {
        let [before, after] = difference(before, after);
        self.metadata.insert("before".to_owned(), before);
        self.metadata.insert("after".to_owned(), after);
        self
    }

    /// What something new looks like.
    pub fn made(mut self, after: &Value) -> Self {
        let [_, after] = difference(&Value::Null, after);
        self.metadata.insert("after".to_owned(), after);
        self
    }

    fn shown_targets(&self) -> Value {
        json!(self.targets.iter().take(MAX_TARGETS).collect::<Vec<_>>())
    }
}

/// Appends an event to the trail, unless the operator switched it off.
pub async fn record(app: &App, db: impl PgExecutor<'_>, mut event: Event) -> sqlx::Result<()> {
    if !app.config.audit.is_enabled {
        return Ok(());
    }
    if event.targets.len() > MAX_TARGETS {
        event.metadata.insert("targetCount".to_owned(), event.targets.len().into());
    }
    let (account_id, environment_id) = match event.owner {
        Owner::Account(id) => (Some(id), None),
        Owner::Environment(id) => (None, Some(id)),
    };
    let (actor, context) = call::current();
    let new = NewEvent {
        id: app.rng.uuid(),
        occurred_at: app.clock.now(),
        account_id,
        environment_id,
        actor_key: actor.key,
        actor: &json!(actor),
        targets: &event.shown_targets(),
        context: &context,
        outcome: event.outcome.as_str(),
        resource: event.action.resource(),
        action: event.action.verb(),
        metadata: Some(Value::Object(event.metadata)).filter(|metadata| *metadata != json!({})),
    };
    audit_events::insert(db, new).await
}
