//! The story of one operation: its messages in the order in which things happened, with what was sent and what came back.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::Value;

use super::summary::{Summary, span, text, time};
use crate::app::SharedApp;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::page::EnvironmentPage;
use crate::dashboard::time::Moment;
use crate::logs::{self, Level, MessageQuery};

/// Messages on a page.
const STEPS: i64 = 200;

#[derive(Template)]
#[template(path = "dashboard/log_operation.html")]
struct OperationPage<'a> {
    page: &'a EnvironmentPage,
    operation: Summary,
    error: Option<Problem>,
    /// Everything that the operation knows of itself beyond its head, as JSON.
    details: String,
    steps: Vec<Step>,
    /// The address of the messages before these; empty when there are none.
    older: String,
    is_last_part: bool,
}

/// A failure and what can be done about it.
struct Problem {
    code: String,
    message: String,
    advice: String,
}

impl Problem {
    fn find(value: &Value) -> Option<Self> {
        let code = text(value, "/error/name");
        let message = text(value, "/error/message");
        let advice = match text(value, "/meta/advice") {
            "" => logs::advice(code).unwrap_or_default(),
            told => told,
        };
        (!code.is_empty() || !message.is_empty()).then(|| Problem {
            code: code.to_owned(),
            message: message.to_owned(),
            advice: advice.to_owned(),
        })
    }
}

/// One message.
struct Step {
    id: String,
    message: String,
    /// Kind and text of a badge; none for what is ordinary.
    badge: Option<(&'static str, &'static str)>,
    at: Option<Moment>,
    /// How long after the start.
    offset: String,
    /// Status of the answer and how long it took; empty without an exchange.
    answer: String,
    retry: String,
    problem: Option<Problem>,
    /// Titles and JSON of what can be opened.
    payloads: Vec<(&'static str, String)>,
}

impl Step {
    fn new(page: &EnvironmentPage, operation: &Value, message: &Value) -> Self {
        let at = time(message, "/createdAt");
        let start = time(operation, "/startedAt").or_else(|| time(operation, "/createdAt"));
        let offset = at.zip(start).map(|(at, start)| format!("+{}", span((at - start).num_milliseconds())));
        let told = text(message, "/message");
        // The last message of a failure is the failure's own sentence.
        let problem = Problem::find(message);
        Step {
            id: text(message, "/id").to_owned(),
            message: told.to_owned(),
            badge: badge(message),
            at: at.map(|at| page.moment(at)),
            offset: offset.unwrap_or_default(),
            answer: answer(message),
            retry: retry(message),
            problem,
            payloads: payloads(message),
        }
    }
}

fn badge(message: &Value) -> Option<(&'static str, &'static str)> {
    match Level::parse(text(message, "/level"))? {
        Level::Debug => Some(("calm", "Debug")),
        Level::Info => None,
        Level::Warn => Some(("warn", "Warning")),
        Level::Error => Some(("bad", "Error")),
    }
}

fn answer(message: &Value) -> String {
    let code = message.pointer("/response/code").map(|code| format!("answered {code}"));
    let took = message.get("durationMs").and_then(Value::as_i64).map(|millis| format!("in {}", span(millis)));
    [code, took].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn retry(message: &Value) -> String {
    let number = |pointer: &str| message.pointer(pointer).and_then(Value::as_i64);
    match (number("/retry/attempt"), number("/retry/max"), number("/retry/waited")) {
        (Some(attempt), Some(max), Some(waited)) if attempt > 0 => {
            format!("retry {attempt} of {max}, after {}", span(waited))
        }
        _ => String::new(),
    }
}

fn payloads(message: &Value) -> Vec<(&'static str, String)> {
    let parts = [
        ("Request", "/request"),
        ("Response", "/response"),
        ("Error", "/error/payload"),
        ("Details", "/meta"),
    ];
    let shown = |(title, pointer): (&'static str, &str)| {
        let mut value = message.pointer(pointer)?.clone();
        if let Value::Object(members) = &mut value {
            // It stands beside the error.
            members.remove("advice");
        }
        pretty(&value).map(|json| (title, json))
    };
    parts.into_iter().filter_map(shown).collect()
}

/// Readable JSON of what is not empty.
fn pretty(value: &Value) -> Option<String> {
    let is_empty = match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if is_empty { None } else { serde_json::to_string_pretty(value).ok() }
}

/// What the head of the page does not show already.
fn details(operation: &Value) -> Option<String> {
    const SHOWN: [&str; 8] =
        ["message", "operation", "state", "source", "type", "accountId", "environmentId", "error"];
    let mut rest = operation.as_object()?.clone();
    rest.retain(|name, value| !SHOWN.contains(&name.as_str()) && !value.is_null());
    pretty(&Value::Object(rest))
}

/// Shows an operation and its messages; `older` in the address pages back through long ones.
pub async fn show_operation(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let environment = page.environment.id;
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let found = logs::find_operation(&app, environment, &id).await?;
    let operation = found.ok_or_else(PageError::not_found)?;
    let older_than = form.text("older").parse().ok();
    let wanted = MessageQuery { older_than, limit: STEPS, ..MessageQuery::default() };
    let found = logs::list_messages(&app, environment, &id, &wanted).await?;
    let list = found.ok_or_else(PageError::not_found)?;
    let own = page.link(&page.path_of("/logs/")) + &id;
    page.show(&OperationPage {
        page: &page,
        error: Problem::find(&operation),
        details: details(&operation).unwrap_or_default(),
        steps: list.messages.iter().rev().map(|message| Step::new(&page, &operation, message)).collect(),
        older: list.oldest.map(|seq| format!("{own}?older={seq}")).unwrap_or_default(),
        is_last_part: older_than.is_none(),
        operation: Summary::new(&page, &operation),
    })
}
