//! Events that Connect UI and the command line tool report (`spec` http-api, sections 10.5 and 17.4).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::extract::{AnyAddress, BodySession, IntoApiError, JsonBody, QueryTree, SessionToken};
use super::input::formats::PROVIDER_CONFIG_KEY;
use super::input::{IssueCode, ObjectReader, TextRule, read_nothing, read_object};
use super::openapi::{Caller, Operation, Tag};
use crate::app::{App, SharedApp};
use crate::error::ApiError;
use crate::logs::{Kind, Level, NewOperation};
use crate::time_format::format_millis_z;

/// How far the clock of a browser may be off.
const SKEW: TimeDelta = TimeDelta::hours(2);

/// Something that happened in Connect UI.
#[derive(Clone, Copy, Default)]
struct Event {
    name: &'static str,
    is_problem: bool,
}

const fn event(name: &'static str) -> (&'static str, Event) {
    (name, Event { name, is_problem: false })
}

const fn problem(name: &'static str) -> (&'static str, Event) {
    (name, Event { name, is_problem: true })
}

const EVENTS: [(&str, Event); 15] = [
    event("open"),
    event("view:list"),
    event("view:integration"),
    problem("view:unknown_error"),
    problem("view:credentials_error"),
    event("view:success"),
    event("click:integration"),
    event("click:doc"),
    event("click:doc_section"),
    event("click:connect"),
    event("click:close"),
    event("click:finish"),
    event("click:outside"),
    problem("popup:blocked_by_browser"),
    problem("popup:closed_early"),
];

struct Report {
    event: Event,
    integration: Option<String>,
    /// By the clock of the browser.
    at: Option<String>,
}

impl Report {
    fn read(body: &mut ObjectReader<'_>, now: DateTime<Utc>) -> Self {
        body.required_text("token", &TextRule::ANY);
        let event = body.required_one_of("event", &EVENTS);
        let mut at = None;
        if !body.has("timestamp") {
            body.required_date("timestamp");
        } else {
            at = body.optional_date("timestamp");
        }
        if at.is_some_and(|time| (time - now).abs() > SKEW) {
            body.issue(IssueCode::Custom, "timestamp", "is more than 2 hours away from the server's time");
        }
        let integration = body.optional_nested("dimensions", |dimensions| {
            dimensions.optional_text("integration", &PROVIDER_CONFIG_KEY)
        });
        Report { event, integration: integration.flatten(), at: at.map(format_millis_z) }
    }
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/connect/telemetry", "report_connect_event", "Report an event of Connect UI")
            .tag(Tag::ConnectSessions)
            .caller(Caller::BodySession)
            .no_query()
            .body(|body| Report::read(body, DateTime::UNIX_EPOCH))
            .answers_nothing(204, "It is noted."),
        Operation::post("/cli/telemetry", "report_cli_event", "Report an event of the command line tool")
            .describe("It is forgotten at once.")
            .tag(Tag::Server)
            .caller(Caller::Address)
            .no_query()
            .body(ObjectReader::ignore_unknown)
            .answers_nothing(204, "It was read."),
    ]
}

/// Notes what an end user met in Connect UI, under the operation of the session.
pub async fn report_connect_event(
    State(app): State<SharedApp>,
    BodySession(caller): BodySession,
    QueryTree(query): QueryTree,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let now = app.clock.now();
    let report = read_object(body.as_ref(), |body| Report::read(body, now)).in_body()?;
    tracing::info!(
        operation.id = caller.session.operation_id,
        connect_ui.event = report.event.name,
        connect_ui.is_problem = report.event.is_problem,
        integration.key = report.integration,
        "Connect UI reported an event"
    );
    log_report(&app, &caller, &report, &headers);
    Ok(StatusCode::NO_CONTENT)
}

/// A message of the session's operation; the first one also says which browser it is.
fn log_report(app: &App, caller: &SessionToken, report: &Report, headers: &HeaderMap) {
    let new = NewOperation::new(Kind::AuthCreateConnection, caller.environment.id);
    let operation = app.logs.resume(&caller.session.operation_id, new);
    let mut details = json!({"event": report.event.name, "integration": report.integration, "at": report.at});
    if report.event.name == "open" {
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        details["userAgent"] = agent.into();
    }
    let level = if report.event.is_problem { Level::Error } else { Level::Info };
    operation.tell(level, &format!("Connect UI: {}", report.event.name), details);
    operation.leave_open();
}

/// Takes what the command line tool reports about its use, and forgets it. Public, limited by address.
pub async fn report_cli_event(
    _caller: AnyAddress<10>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    read_object(body.as_ref(), ObjectReader::ignore_unknown).in_body()?;
    Ok(StatusCode::NO_CONTENT)
}
