//! A proxied call that somebody makes from a page, and what came of it.

use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::response::IntoResponse;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::error::PageError;
use crate::app::SharedApp;
use crate::connections::{open, open_config};
use crate::db::connections::{self as rows, Connection};
use crate::logs::Redactor;
use crate::proxy::{self, Attempt, Call, Control};

/// Longer answers are not shown: a page is no place for them.
const MOST_BYTES: usize = 512 << 10;
/// What is never news to anybody.
const HIDDEN_HEADERS: [&str; 2] = ["x-request-id", "server-timing"];

/// A call as it was composed.
pub struct Composed<'a> {
    pub integration: &'a str,
    pub connection: &'a Connection,
    pub method: Method,
    /// Path and query, with a slash at the beginning.
    pub path: &'a str,
    pub headers: HeaderMap,
    pub body: String,
    pub retries: u32,
}

/// What came of it.
pub struct Outcome {
    pub status: u16,
    pub reason: &'static str,
    pub is_good: bool,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub milliseconds: u128,
    pub attempts: Vec<ShownAttempt>,
}

/// One request as it went out, its secrets masked.
pub struct ShownAttempt {
    pub request: String,
    pub outcome: String,
    pub is_good: bool,
    pub milliseconds: u128,
    /// Before the next one.
    pub waited: Option<u128>,
}

/// Makes the call.
pub async fn make(app: &SharedApp, composed: Composed<'_>) -> Result<Outcome, PageError> {
    let call = Call {
        environment: composed.connection.environment_id,
        control: Control {
            integration: composed.integration,
            connection: &composed.connection.connection_id,
            retries: composed.retries,
            retry_on: Vec::new(),
            base_url_override: None,
            decompress: true,
            forward_headers_on_redirect: None,
        },
        method: composed.method,
        endpoint: composed.path,
        headers: &composed.headers,
    };
    let began = Instant::now();
    let body = if composed.body.is_empty() { Body::empty() } else { Body::from(composed.body.clone()) };
    let (answered, attempts) = proxy::watch(proxy::call(app, call, body)).await;
    let response = answered.unwrap_or_else(IntoResponse::into_response);
    let (head, body) = response.into_parts();
    let text = read(body).await;
    let milliseconds = began.elapsed().as_millis();
    let redactor = redactor(app, composed.connection).await?;
    Ok(Outcome {
        status: head.status.as_u16(),
        reason: head.status.canonical_reason().unwrap_or_default(),
        is_good: head.status.is_success(),
        headers: shown_headers(&head.headers, &redactor),
        body: redactor.text(&pretty(text)),
        milliseconds,
        attempts: attempts.iter().map(|attempt| show(attempt, &composed.body, &redactor)).collect(),
    })
}

async fn read(body: Body) -> String {
    match to_bytes(body, MOST_BYTES).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => "The answer is too long to be shown here, or it broke off.".to_owned(),
    }
}

/// JSON over several lines, anything else as it is.
fn pretty(text: String) -> String {
    let parsed = serde_json::from_str::<Value>(&text).ok();
    parsed.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or(text)
}

/// Knows the secrets of the connection as they are after the call.
async fn redactor(app: &SharedApp, connection: &Connection) -> Result<Redactor, PageError> {
    let found = rows::find_by_row(&app.db, connection.environment_id, connection.id).await?;
    let mut redactor = Redactor::default();
    for connection in [Some(connection), found.as_ref()].into_iter().flatten() {
        if let Ok(credentials) = open(app, connection) {
            redactor.hide_credentials(&credentials.to_shown_json());
        }
        redactor.hide_named(&Value::Object(open_config(app, connection)));
    }
    Ok(redactor)
}

fn shown_headers(headers: &HeaderMap, redactor: &Redactor) -> Vec<(String, String)> {
    let shown = headers.iter().filter(|(name, _)| !HIDDEN_HEADERS.contains(&name.as_str()));
    let lines = shown.map(|(name, value)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let text = if value.is_sensitive() { mask(&text) } else { redactor.text(&text) };
        (name.to_string(), text)
    });
    lines.collect()
}

/// The kind of an authorization stays, its secret does not.
fn mask(text: &str) -> String {
    match text.split_once(' ') {
        Some((kind, _)) if kind.len() < 16 => format!("{kind} ••••••••"),
        _ => "••••••••".to_owned(),
    }
}

fn show(attempt: &Attempt, body: &str, redactor: &Redactor) -> ShownAttempt {
    let mut request = format!("{} {}", attempt.method, redactor.url(&attempt.uri.to_string()));
    for (name, value) in shown_headers(&attempt.headers, redactor) {
        request.push_str(&format!("\n{name}: {value}"));
    }
    if !body.is_empty() {
        request.push_str(&format!("\n\n{}", redactor.text(body)));
    }
    let (outcome, is_good) = match &attempt.outcome {
        Ok(status) => (status.to_string(), status.is_success()),
        Err(message) => (redactor.text(message), false),
    };
    ShownAttempt {
        request,
        outcome,
        is_good,
        milliseconds: attempt.duration.as_millis(),
        waited: attempt.waited.map(|wait| wait.as_millis()),
    }
}
