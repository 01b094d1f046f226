//! The operation log of an environment: a list whose filters are its address, and the story of one operation.

mod operation;
mod summary;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::TimeDelta;
use url::form_urlencoded;

pub use operation::show_operation;

pub use self::summary::{Summary, span};
use super::error::PageError;
use super::form::Form;
use super::page::EnvironmentPage;
use crate::app::{App, SharedApp};
use crate::logs::{self, NameCategory, OperationCursor, OperationQuery, TypeFilter};

/// Operations on a page.
const ROWS: i64 = 50;
/// Operations on pages about something else.
const FEW: i64 = 5;
/// The fields of the form, which are the parameters of the address.
const FILTERS: [&str; 6] = ["search", "state", "type", "integration", "connection", "period"];
/// Longest text of a filter, in characters.
const LONGEST: usize = 256;

const STATES: [(&str, &str); 7] = [
    ("", "Any outcome"),
    ("success", "Success"),
    ("failed", "Failed"),
    ("running", "Running"),
    ("waiting", "Waiting"),
    ("timeout", "Timed out"),
    ("cancelled", "Cancelled"),
];

const TYPES: [(&str, &str); 10] = [
    ("", "Everything"),
    ("auth", "Sign-ins and refreshes"),
    ("proxy", "Proxied calls"),
    ("webhook", "Webhooks"),
    ("sync", "Syncs"),
    ("action", "Actions"),
    ("function", "Functions"),
    ("events", "Event functions"),
    ("deploy", "Deployments"),
    ("admin", "Administration"),
];

/// Values of the form, their names and their minutes; 0 for all that is kept.
const PERIODS: [(&str, &str, i64); 5] = [
    ("", "Any time", 0),
    ("15m", "Last 15 minutes", 15),
    ("1h", "Last hour", 60),
    ("24h", "Last 24 hours", 24 * 60),
    ("7d", "Last 7 days", 7 * 24 * 60),
];

#[derive(Template)]
#[template(path = "dashboard/logs.html")]
struct LogsPage<'a> {
    page: &'a EnvironmentPage,
    form: Form,
    states: [(&'static str, &'static str); 7],
    types: [(&'static str, &'static str); 10],
    periods: [(&'static str, &'static str, i64); 5],
    /// Names to choose from.
    integrations: Vec<String>,
    operations: Vec<Summary>,
    /// How many match, in words.
    total: String,
    has_filters: bool,
    is_stored: bool,
    /// Empty on the first page.
    newest: String,
    /// Empty on the last page.
    older: String,
}

/// Lists the operations that the filters of the address let through, the newest first.
pub async fn list_operations(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let found = logs::list_operations(&app, page.environment.id, &query_of(&app, &form)).await?;
    let is_later = !form.value("after").is_empty();
    page.show(&LogsPage {
        page: &page,
        states: STATES,
        types: TYPES,
        periods: PERIODS,
        integrations: logs::list_recent_names(&app, page.environment.id, NameCategory::Integration).await?,
        operations: found.operations.iter().map(|operation| Summary::new(&page, operation)).collect(),
        total: total(found.total),
        has_filters: FILTERS.iter().any(|name| !form.text(name).is_empty()),
        is_stored: app.logs.is_stored(),
        newest: if is_later { address(&page, &form, None) } else { String::new() },
        older: found.next.map(|next| address(&page, &form, Some(&next))).unwrap_or_default(),
        form,
    })
}

/// The newest operations of a query, for pages that show a few.
pub async fn newest(
    app: &App,
    page: &EnvironmentPage,
    query: OperationQuery,
) -> Result<Vec<Summary>, PageError> {
    let query = OperationQuery { limit: FEW, ..query };
    let found = logs::list_newest(app, page.environment.id, &query).await?;
    Ok(found.iter().map(|operation| Summary::new(page, operation)).collect())
}

/// The operation with this id, if there is one.
pub async fn find_one(app: &App, page: &EnvironmentPage, id: &str) -> Result<Option<Summary>, PageError> {
    let found = logs::find_operation(app, page.environment.id, id).await?;
    Ok(found.map(|operation| Summary::new(page, &operation)))
}

/// What the form asks for. A value that means nothing filters nothing, as if it were not there.
fn query_of(app: &App, form: &Form) -> OperationQuery {
    let names = |name: &str| -> Vec<String> { filter_text(form, name).into_iter().collect() };
    let kind = TYPES.iter().find(|(value, _)| !value.is_empty() && *value == form.text("type"));
    let minutes =
        PERIODS.iter().find(|(value, ..)| *value == form.text("period")).map_or(0, |period| period.2);
    let now = app.clock.now();
    OperationQuery {
        search: filter_text(form, "search"),
        states: logs::State::parse(form.text("state")).into_iter().collect(),
        types: kind.map(|(value, _)| TypeFilter::Type(value)).into_iter().collect(),
        integrations: names("integration"),
        connections: names("connection"),
        functions: Vec::new(),
        period: (minutes > 0).then(|| (now - TimeDelta::minutes(minutes), now)),
        after: OperationCursor::parse(form.text("after")),
        limit: ROWS,
    }
}

fn filter_text(form: &Form, name: &str) -> Option<String> {
    let text: String = form.text(name).chars().take(LONGEST).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// The log counts up to a thousand.
fn total(count: i64) -> String {
    match count {
        1 => "1 operation".to_owned(),
        1000.. => "1,000 operations or more".to_owned(),
        count => format!("{count} operations"),
    }
}

/// The address of a page of the list under the filters of the form.
fn address(page: &EnvironmentPage, form: &Form, after: Option<&OperationCursor>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in FILTERS.iter().filter(|name| !form.text(name).is_empty()) {
        query.append_pair(name, form.text(name));
    }
    if let Some(after) = after {
        query.append_pair("after", &after.to_text());
    }
    let query = query.finish();
    page.link(&page.path_of(if query.is_empty() { "/logs" } else { "/logs?" })) + &query
}
