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
use futures_util::Stream;
use serde_json::{Value, json};

use super::Operator;
use crate::api::extract::{IntoApiError, QueryTree};
use crate::api::input::formats::ENVIRONMENT_NAME;
use crate::api::input::{IssueCode, ObjectReader, TextRule, read_object};
use crate::api::scope::AccountEverything;
use crate::app::{App, SharedApp};
use crate::audit::{self, Action, Event, EventBody, ExportFormat};
use crate::db::audit_events::{self, Filter};
use crate::error::{ApiError, Source};

const PAGE: i64 = 25;

/// A page of the trail, newest first.
pub async fn list_audit_trail(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    check_enabled(&app)?;
    let read = |query: &mut ObjectReader<'_>| (read_filter(query), read_cursor(query));
    let (filter, cursor) = read_object(Some(&query), read).in_query()?;
    let found = audit_events::list(&app.db, operator.account_id, &filter, cursor, PAGE).await?;
    let next = found.next.map(write_cursor);
    // Once for each look at the trail, not for each page.
    if cursor.is_none() {
        audit::record(&app, &app.db, Event::of_account(operator.account_id, Action::AuditTrailQueried))
            .await?;
    }
    let data: Vec<EventBody> = found.events.into_iter().map(EventBody::from).collect();
    Ok(Json(json!({ "data": data, "pagination": { "nextCursor": next } })))
}

/// The trail as a file, newest first.
pub async fn export_audit_trail(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Response, ApiError> {
    check_enabled(&app)?;
    let read = |query: &mut ObjectReader<'_>| {
        (read_filter(query), query.optional_one_of("format", &ExportFormat::WORDS))
    };
    let (filter, format) = read_object(Some(&query), read).in_query()?;
    let format = format.unwrap_or(ExportFormat::Csv);
    let file = audit::export(app, operator.account_id, filter, format).await?;
    Ok(download(format, file))
}

/// A file that browsers keep instead of showing it.
pub fn download(
    format: ExportFormat,
    file: impl Stream<Item = Result<Bytes, Source>> + Send + 'static,
) -> Response {
    let mut response = Body::from_stream(file).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let disposition = format!("attachment; filename=\"{}\"", format.file_name());
    headers.extend(HeaderValue::from_str(&disposition).map(|value| (header::CONTENT_DISPOSITION, value)));
    response
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
        ..Filter::default()
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
