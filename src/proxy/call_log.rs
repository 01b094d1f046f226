//! What the log learns of a proxied call. While the call runs, only cheap handles are noted: no text is made and nothing is
//! looked up. When its last piece goes away, with the answer's body or with the caller, the whole is handed to the log, whose
//! writer puts it into words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::{Map, Value, json};

use super::target::Target;
use super::{Call, ProxyError};
use crate::app::App;
use crate::db::EnvironmentId;
use crate::logs::{
    Context, HttpExchange, Kind, LaterWeight, Level, LogError, Logs, MessageRecord, OperationRecord,
    Redactor, Retry, State, Terms, advice, http_message,
};

/// The log of one call; empty when nobody keeps logs.
pub(super) struct CallLog(Option<Box<Noted>>);

struct Noted {
    logs: Logs,
    environment: EnvironmentId,
    started_at: DateTime<Utc>,
    began: Instant,
    method: Method,
    /// The caller's key, so that it can be kept out.
    authorization: Option<HeaderValue>,
    target: Option<Arc<Target>>,
    /// What the caller named, when there is no target.
    named: Option<(String, String)>,
    attempts: Vec<Attempt>,
    max_retries: u32,
    waited: Duration,
    request_bytes: Option<u64>,
    response_bytes: u64,
    outcome: Outcome,
}

/// How a call ended, as far as it is known.
enum Outcome {
    Open,
    Answered { is_failure: bool },
    Failed(LogError),
}

struct Attempt {
    uri: Uri,
    ended_after: Duration,
    took: Duration,
    waited: Duration,
    /// Of attempts that failed.
    request_headers: HeaderMap,
    result: Result<(u16, Head), String>,
}

/// What is kept of an answer's headers: all when it failed.
enum Head {
    Short { content_type: Option<HeaderValue>, content_length: Option<HeaderValue> },
    Whole(HeaderMap),
}

impl Head {
    fn into_headers(self) -> HeaderMap {
        match self {
            Head::Whole(headers) => headers,
            Head::Short { content_type, content_length } => {
                let pairs = [(CONTENT_TYPE, content_type), (CONTENT_LENGTH, content_length)];
                pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }
    }
}

/// One exchange with the provider.
pub(super) struct Exchanged<'a> {
    pub uri: Uri,
    pub took: Duration,
    pub result: Result<(u16, &'a HeaderMap), &'a ProxyError>,
}

impl CallLog {
    pub fn begin(app: &App, call: &Call<'_>) -> Self {
        if !app.logs.is_recording() {
            return CallLog(None);
        }
        let length = call.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        CallLog(Some(Box::new(Noted {
            logs: app.logs.clone(),
            environment: call.environment,
            started_at: app.clock.now(),
            began: Instant::now(),
            method: call.method.clone(),
            authorization: call.headers.get(AUTHORIZATION).cloned(),
            target: None,
            named: None,
            attempts: Vec::with_capacity(1),
            max_retries: call.control.retries,
            waited: Duration::ZERO,
            request_bytes: length.and_then(|length| length.parse().ok()),
            response_bytes: 0,
            outcome: Outcome::Open,
        })))
    }

    pub fn note_target(&mut self, target: &Arc<Target>) {
        if let Some(noted) = &mut self.0 {
            noted.target = Some(Arc::clone(target));
        }
    }

    pub fn note_wait(&mut self, wait: Duration) {
        if let Some(noted) = &mut self.0 {
            noted.waited = wait;
        }
    }

    /// One attempt. `request_headers` is asked for those that failed only.
    pub fn note_attempt(&mut self, exchanged: Exchanged<'_>, request_headers: impl FnOnce() -> HeaderMap) {
        let Some(noted) = &mut self.0 else { return };
        let result = match exchanged.result {
            Ok((status, headers)) if status >= 400 => Ok((status, Head::Whole(headers.clone()))),
            Ok((status, headers)) => {
                let [content_type, content_length] =
                    [CONTENT_TYPE, CONTENT_LENGTH].map(|name| headers.get(name).cloned());
                Ok((status, Head::Short { content_type, content_length }))
            }
            Err(error) => Err(error.to_string()),
        };
        let is_failure = result.as_ref().map_or(true, |(status, _)| *status >= 400);
        noted.attempts.push(Attempt {
            uri: exchanged.uri,
            ended_after: noted.began.elapsed(),
            took: exchanged.took,
            waited: std::mem::take(&mut noted.waited),
            request_headers: if is_failure { request_headers() } else { HeaderMap::new() },
            result,
        });
    }

    /// The call got the provider's answer; its body is still to come.
    pub fn note_answer(&mut self, status: u16) {
        if let Some(noted) = &mut self.0 {
            noted.outcome = Outcome::Answered { is_failure: status >= 400 };
        }
    }

    pub fn note_bytes(&mut self, count: usize) {
        if let Some(noted) = &mut self.0 {
            noted.response_bytes += count as u64;
        }
    }

    /// The call ended without an answer, or its body broke.
    pub fn note_failure(&mut self, code: &str, message: impl Into<String>) {
        if let Some(noted) = &mut self.0 {
            noted.outcome = Outcome::Failed(LogError::new(code, message));
        }
    }

    /// The call never had a target; `call` says what it asked for.
    pub fn note_names(&mut self, call: &Call<'_>) {
        if let Some(noted) = self.0.as_mut().filter(|noted| noted.target.is_none()) {
            noted.named = Some((call.control.integration.to_owned(), call.control.connection.to_owned()));
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        let Some(noted) = self.0.take() else { return };
        let logs = noted.logs.clone();
        let took = noted.began.elapsed();
        let is_success = matches!(noted.outcome, Outcome::Answered { is_failure: false });
        if is_success && !logs.wants_proxy_success() {
            if let Some(target) = &noted.target {
                target.unlogged.note(took);
            }
            return;
        }
        let weight = if is_success { LaterWeight::ProxySuccess } else { LaterWeight::Failure };
        logs.note_later(weight, move || noted.into_record(took));
    }
}

impl Noted {
    /// The operation with its messages. Called by the writer.
    fn into_record(mut self: Box<Self>, took: Duration) -> OperationRecord {
        let redactor = self.redactor();
        let id = self.logs.operation_id(self.started_at);
        let ended_at = self.started_at + delta(took);
        let attempts = std::mem::take(&mut self.attempts);
        let summary = summary(&self.method, attempts.last(), &redactor);
        let count = attempts.len();
        let number =
            |(index, attempt): (usize, Attempt)| self.attempt_message(&id, index, attempt, &redactor);
        let mut messages: Vec<MessageRecord> = attempts.into_iter().enumerate().map(number).collect();
        let mut data = self.about();
        let (state, error) = match &self.outcome {
            Outcome::Answered { is_failure: false } => (State::Success, None),
            Outcome::Answered { is_failure: true } => (State::Failed, None),
            Outcome::Failed(error) => (State::Failed, Some(error.clone())),
            Outcome::Open => {
                let message = "The caller went away before the answer came.";
                (State::Cancelled, Some(LogError::new("interrupted", message)))
            }
        };
        if let Some(error) = error {
            let shown = error.to_json(&redactor);
            data.insert("error".to_owned(), shown.clone());
            messages.push(MessageRecord {
                level: Level::Error,
                message: redactor.text(&error.message),
                error: Some(shown),
                meta: advice(&error.name).map(|advice| json!({ "advice": advice })),
                ..self.message(&id, ended_at)
            });
        }
        data.insert("durationMs".to_owned(), millis(took).into());
        let sizes = json!({
            "attempts": count, "requestBytes": self.request_bytes, "responseBytes": self.response_bytes,
        });
        data.insert("meta".to_owned(), sizes);
        OperationRecord {
            id,
            kind: Kind::ProxyCall,
            state,
            level: Level::Info,
            message: summary,
            environment_id: Some(self.environment),
            account_id: None,
            created_at: self.started_at_millis(),
            updated_at: ended_at,
            started_at: Some(self.started_at),
            ended_at: Some(ended_at),
            expires_at: None,
            data,
            messages,
            terms: Terms::default(),
        }
    }

    /// As the id says it.
    fn started_at_millis(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.started_at.timestamp_millis()).unwrap_or(self.started_at)
    }

    fn redactor(&self) -> Redactor {
        let mut redactor = self.target.as_ref().map(|target| target.redactor().clone()).unwrap_or_default();
        let header = self.authorization.as_ref().and_then(|value| value.to_str().ok());
        redactor.hide(header.and_then(|value| value.split(' ').next_back()).unwrap_or_default());
        redactor
    }

    fn about(&self) -> Map<String, Value> {
        let mut data = Map::new();
        let mut set = |name: &str, value: Value| data.insert(name.to_owned(), value);
        if let Some(target) = &self.target {
            let (integration, connection) = (&target.integration.row, &target.connection);
            set("integrationId", integration.id.0.into());
            set("integrationName", integration.unique_key.as_str().into());
            set("providerName", integration.provider.as_str().into());
            set("connectionId", connection.id.0.into());
            set("connectionName", connection.connection_id.as_str().into());
        } else if let Some((integration, connection)) = &self.named {
            set("integrationName", integration.as_str().into());
            set("connectionName", connection.as_str().into());
        }
        data
    }

    fn attempt_message(
        &self,
        id: &str,
        index: usize,
        attempt: Attempt,
        redactor: &Redactor,
    ) -> MessageRecord {
        let Attempt { uri, ended_after, took, waited, request_headers, result } = attempt;
        let retry = Retry {
            attempt: u32::try_from(index).unwrap_or(u32::MAX),
            max: self.max_retries,
            waited: millis(waited),
        };
        let ended_at = self.started_at + delta(ended_after);
        let (status, headers) = match result {
            Ok((status, head)) => (Ok(status), head.into_headers()),
            Err(reason) => (Err(reason), HeaderMap::new()),
        };
        let exchange = HttpExchange {
            method: &self.method,
            url: &uri.to_string(),
            request_headers: &request_headers,
            outcome: status.map(|status| (status, &headers)),
            ended_at,
            duration_ms: millis(took),
            retry: Some(retry),
            meta: None,
        };
        http_message(self.message(id, ended_at), &exchange, redactor)
    }

    fn message(&self, id: &str, created_at: DateTime<Utc>) -> MessageRecord {
        MessageRecord {
            id: self.logs.message_id(),
            operation_id: id.to_owned(),
            operation_at: self.started_at_millis(),
            account_id: None,
            level: Level::Info,
            is_http: false,
            message: String::new(),
            context: Context::Proxy,
            error: None,
            request: None,
            response: None,
            retry: None,
            meta: None,
            created_at,
            ended_at: None,
            duration_ms: None,
        }
    }
}

/// The call in one line.
fn summary(method: &Method, last: Option<&Attempt>, redactor: &Redactor) -> String {
    let Some(attempt) = last else { return format!("{method} (nothing was sent)") };
    let url = redactor.url(&attempt.uri.to_string());
    match &attempt.result {
        Ok((status, _)) => format!("{method} {url} {status}"),
        Err(_) => format!("{method} {url}"),
    }
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
