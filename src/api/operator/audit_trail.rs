//! `/api/v1/audit-trail`: who changed what, page by page or as a file (`spec` logs-and-observability, section 7).

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::Operator;
use crate::api::extract::{IntoApiError, QueryTree};
use crate::api::input::formats::ENVIRONMENT_NAME;
use crate::api::input::{IssueCode, ObjectReader, TextRule, read_object};
use crate::api::scope::AccountEverything;
use crate::app::{App, SharedApp};
use crate::audit::{self, Action, Event};
use crate::db::AccountId;
use crate::db::audit_events::{self, AuditEvent, Filter};
use crate::error::{ApiError, Source};
use crate::time_format::format_millis_z;

const PAGE: i64 = 25;
const EXPORT_PAGE: i64 = 1_000;
const MAX_EXPORT: usize = 50_000;
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
struct EventBody {
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
            version: audit::VERSION,
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

/// A page of the trail, newest first.
pub async fn list_audit_trail(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    check_enabled(&app)?;
    let read = |query: &mut ObjectReader<'_>| (read_filter(query), read_cursor(query));
    let (filter, cursor) = read_object(Some(&query), read).in_query()?;
    let mut found = audit_events::list(&app.db, operator.account_id, &filter, cursor, PAGE + 1).await?;
    let has_more = found.len() as i64 > PAGE;
    found.truncate(PAGE as usize);
    let next = found.last().filter(|_| has_more).map(|last| write_cursor(last.seq));
    // Once for each look at the trail, not for each page.
    if cursor.is_none() {
        audit::record(&app, &app.db, Event::of_account(operator.account_id, Action::AuditTrailQueried))
            .await?;
    }
    let data: Vec<EventBody> = found.into_iter().map(EventBody::from).collect();
    Ok(Json(json!({ "data": data, "pagination": { "nextCursor": next } })))
}

/// The form of an exported trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// The trail as a file, newest first.
pub async fn export_audit_trail(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Response, ApiError> {
    check_enabled(&app)?;
    let formats = [("csv", Format::Csv), ("jsonl", Format::JsonLines)];
    let read = |query: &mut ObjectReader<'_>| (read_filter(query), query.optional_one_of("format", &formats));
    let (filter, format) = read_object(Some(&query), read).in_query()?;
    let format = format.unwrap_or(Format::Csv);
    let account = operator.account_id;
    audit::record(&app, &app.db, Event::of_account(account, Action::AuditTrailExported)).await?;
    let export = Export { app, account, filter, format, below: None, written: 0, is_done: false };
    let (media_type, file) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "audit-trail.csv"),
        Format::JsonLines => ("application/x-ndjson", "audit-trail.jsonl"),
    };
    let disposition = format!("attachment; filename=\"{file}\"");
    let mut response = Body::from_stream(stream::try_unfold(export, Export::next)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.extend(HeaderValue::from_str(&disposition).map(|value| (header::CONTENT_DISPOSITION, value)));
    Ok(response)
}

/// An export under way. It reads page by page, so that neither memory nor a connection is held for long.
struct Export {
    app: SharedApp,
    account: AccountId,
    filter: Filter,
    format: Format,
    below: Option<i64>,
    written: usize,
    is_done: bool,
}

impl Export {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Source> {
        if self.is_done {
            return Ok(None);
        }
        let limit = EXPORT_PAGE.min((MAX_EXPORT - self.written) as i64);
        let page = audit_events::list(&self.app.db, self.account, &self.filter, self.below, limit).await?;
        let is_first = self.written == 0;
        self.written += page.len();
        self.below = page.last().map(|last| last.seq).or(self.below);
        self.is_done = (page.len() as i64) < limit || self.written >= MAX_EXPORT;
        let bytes = match self.format {
            Format::Csv => csv_rows(page, is_first)?,
            Format::JsonLines => json_lines(page)?,
        };
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

// Wire: 403, although logs that are switched off answer 404.
fn check_enabled(app: &App) -> Result<(), ApiError> {
    if app.config.audit.is_enabled {
        return Ok(());
    }
    let message = "The audit trail is switched off by FLAG_AUDIT_TRAIL_ENABLED.";
    Err(ApiError::new(StatusCode::FORBIDDEN, "feature_disabled", message))
}

fn read_filter(query: &mut ObjectReader<'_>) -> Filter {
    let all = |name: fn(Action) -> &'static str| -> Vec<(&'static str, &'static str)> {
        let names: BTreeSet<&'static str> = Action::ALL.iter().map(|action| name(*action)).collect();
        names.into_iter().map(|name| (name, name)).collect()
    };
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let filter = Filter {
        from: query.optional_date("from"),
        to: query.optional_date("to"),
        // IMPROVE: upstream shows all environments at once.
        environment: query.optional_text("env", &ENVIRONMENT_NAME),
        resources: query.comma_list_of("resources", &all(Action::resource)).map(owned),
        actions: query.comma_list_of("actions", &all(Action::verb)).map(owned),
    };
    if filter.actions.is_some() && filter.resources.is_none() {
        query.issue(IssueCode::Custom, "actions", "needs `resources`");
    }
    filter
}

fn read_cursor(query: &mut ObjectReader<'_>) -> Option<i64> {
    let text = query.optional_text("cursor", &TextRule::NOT_EMPTY)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    if bytes.is_none() {
        query.issue(IssueCode::Custom, "cursor", "is not one that this server gave");
    }
    bytes.map(i64::from_be_bytes)
}

fn write_cursor(seq: i64) -> String {
    URL_SAFE_NO_PAD.encode(seq.to_be_bytes())
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
