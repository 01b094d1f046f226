//! The trail as files and as JSON, in the form of the contract (`spec` logs-and-observability, section 7). Called by the
//! operator's routes and by the dashboard.

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Action, Event, VERSION, record};
use crate::app::SharedApp;
use crate::db::AccountId;
use crate::db::audit_events::{self, AuditEvent, Filter};
use crate::error::Source;
use crate::time_format::format_millis_z;

/// Events that are read at a time.
const PAGE: i64 = 1_000;
/// Events of one file.
const MOST: usize = 50_000;
const COLUMNS: [&str; 14] = [
    "occurred_at",
    "event_id",
    "resource",
    "action",
    "outcome",
    "actor_type",
    "actor_id",
    "actor_display",
    "environment",
    "targets",
    "ip",
    "user_agent",
    "interface",
    "metadata",
];

/// An event as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    id: uuid::Uuid,
    version: &'static str,
    occurred_at: String,
    account_id: AccountId,
    environment: Option<Value>,
    actor: Value,
    targets: Value,
    context: Value,
    outcome: String,
    resource: String,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

impl From<AuditEvent> for EventBody {
    fn from(event: AuditEvent) -> Self {
        let environment =
            event.environment_id.map(|id| json!({ "id": id, "display": event.environment_name }));
        EventBody {
            id: event.id,
            version: VERSION,
            occurred_at: format_millis_z(event.occurred_at),
            account_id: event.account_id,
            environment,
            actor: event.actor,
            targets: event.targets,
            context: event.context,
            outcome: event.outcome,
            resource: event.resource,
            action: event.action,
            metadata: event.metadata,
        }
    }
}

/// The form of an exported trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    Csv,
    JsonLines,
}

impl ExportFormat {
    /// The words of queries, and what they mean.
    pub const WORDS: [(&'static str, ExportFormat); 2] =
        [("csv", ExportFormat::Csv), ("jsonl", ExportFormat::JsonLines)];

    pub fn media_type(self) -> &'static str {
        match self {
            ExportFormat::Csv => "text/csv; charset=utf-8",
            ExportFormat::JsonLines => "application/x-ndjson",
        }
    }

    /// The name under which browsers keep the file.
    pub fn file_name(self) -> &'static str {
        match self {
            ExportFormat::Csv => "audit-trail.csv",
            ExportFormat::JsonLines => "audit-trail.jsonl",
        }
    }
}

/// The events that `filter` lets through, at most 50,000, newest first, as the pieces of a file. That somebody took them is an
/// event itself.
///
/// # Errors
/// The event cannot be stored.
pub async fn export(
    app: SharedApp,
    account: AccountId,
    filter: Filter,
    format: ExportFormat,
) -> sqlx::Result<impl Stream<Item = Result<Bytes, Source>>> {
    record(&app, &app.db, Event::of_account(account, Action::AuditTrailExported)).await?;
    let export =
        Export { app, account, filter, format, below: None, written: 0, is_begun: false, is_done: false };
    Ok(stream::try_unfold(export, Export::next))
}

/// An export under way. It reads page by page, so that neither memory nor a connection is held for long.
struct Export {
    app: SharedApp,
    account: AccountId,
    filter: Filter,
    format: ExportFormat,
    below: Option<i64>,
    written: usize,
    is_begun: bool,
    is_done: bool,
}

impl Export {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Source> {
        if self.is_done {
            return Ok(None);
        }
        let left = i64::try_from(MOST - self.written).unwrap_or(PAGE);
        let limit = PAGE.min(left);
        let page = audit_events::list(&self.app.db, self.account, &self.filter, self.below, limit).await?;
        self.written += page.events.len();
        self.below = page.next;
        self.is_done = page.next.is_none() || self.written >= MOST;
        let bytes = match self.format {
            ExportFormat::Csv => csv_rows(page.events, !self.is_begun)?,
            ExportFormat::JsonLines => json_lines(page.events)?,
        };
        self.is_begun = true;
        Ok(Some((bytes.into(), self)))
    }
}

fn json_lines(page: Vec<AuditEvent>) -> Result<Vec<u8>, Source> {
    let mut bytes = Vec::new();
    for event in page {
        serde_json::to_writer(&mut bytes, &EventBody::from(event))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn csv_rows(page: Vec<AuditEvent>, with_head: bool) -> Result<Vec<u8>, Source> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_head {
        writer.write_record(COLUMNS)?;
    }
    for event in page {
        writer.write_record(cells(event).map(unformulated))?;
    }
    Ok(writer.into_inner().map_err(|error| error.to_string())?)
}

fn cells(event: AuditEvent) -> [String; 14] {
    let text = |object: &Value, name: &str| object[name].as_str().unwrap_or_default().to_owned();
    [
        format_millis_z(event.occurred_at),
        event.id.to_string(),
        event.resource,
        event.action,
        event.outcome,
        text(&event.actor, "type"),
        text(&event.actor, "id"),
        text(&event.actor, "display"),
        event.environment_name.unwrap_or_default(),
        told_targets(&event.targets),
        text(&event.context, "ip"),
        text(&event.context, "userAgent"),
        text(&event.context, "interface"),
        event.metadata.map(|metadata| metadata.to_string()).unwrap_or_default(),
    ]
}

fn told_targets(targets: &Value) -> String {
    let tell = |target: &Value| {
        let part = |name: &str| target[name].as_str().unwrap_or_default();
        format!("{}:{} {}", part("type"), part("id"), part("display"))
    };
    let told: Vec<String> = targets.as_array().into_iter().flatten().map(tell).collect();
    told.join("; ")
}

/// A cell that no spreadsheet takes for a formula.
fn unformulated(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\tx"),
            ("\nx", "'\nx"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(unformulated(cell.to_owned()), expected);
        }
    }
}
