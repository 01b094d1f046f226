//! The handle of an operation that goes on: whoever does the work tells it what happens.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::Logs;
use super::advice::advice;
use super::kind::{Kind, Level, State};
use super::queue::{Entry, Weight};
use super::record::{LogError, MessageRecord, OperationRecord, Retry};
use super::redaction::Redactor;
use super::terms::Terms;
use crate::auth::Credentials;
use crate::db::EnvironmentId;
use crate::db::connections::Connection;
use crate::db::integrations::Integration;
use crate::egress::{Witnessed, witness};
use crate::integrations::OpenIntegration;

/// What starts.
pub struct NewOperation {
    pub(super) kind: Kind,
    pub(super) environment_id: EnvironmentId,
    message: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    state: State,
    data: Map<String, Value>,
}

impl NewOperation {
    pub fn new(kind: Kind, environment_id: EnvironmentId) -> Self {
        let data = Map::new();
        NewOperation { kind, environment_id, message: None, expires_at: None, state: State::Running, data }
    }

    /// What it is, in the list of operations.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    pub fn integration(mut self, row: &Integration) -> Self {
        describe_integration(&mut self.data, row);
        self
    }

    pub fn connection(mut self, row: &Connection) -> Self {
        describe_connection(&mut self.data, Some(row.id.0), &row.connection_id);
        self
    }

    /// Nothing has happened yet, and until then nothing need happen.
    pub fn waiting_until(mut self, expires_at: DateTime<Utc>) -> Self {
        self.state = State::Waiting;
        self.expires_at = Some(expires_at);
        self
    }

    /// A member of the operation, under its name on the wire.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}

fn describe_integration(data: &mut Map<String, Value>, row: &Integration) {
    data.insert("integrationId".to_owned(), row.id.0.into());
    data.insert("integrationName".to_owned(), row.unique_key.clone().into());
    data.insert("providerName".to_owned(), row.provider.clone().into());
}

fn describe_connection(data: &mut Map<String, Value>, id: Option<i64>, name: &str) {
    if let Some(id) = id {
        data.insert("connectionId".to_owned(), id.into());
    }
    data.insert("connectionName".to_owned(), name.into());
}

/// One exchange with a server. Nothing in it is redacted yet.
pub struct HttpExchange<'a> {
    pub method: &'a Method,
    pub url: &'a str,
    pub request_headers: &'a HeaderMap,
    /// Status and headers, or why there was no answer.
    pub outcome: Result<(u16, &'a HeaderMap), String>,
    pub ended_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub retry: Option<Retry>,
    pub meta: Option<Value>,
}

/// An operation that goes on. Cloning gives another handle of the same. When the last handle goes away before anybody said how
/// it ended, the operation was interrupted and says so.
#[derive(Clone)]
pub struct Operation(Arc<Shared>);

struct Shared {
    logs: Logs,
    id: String,
    kind: Kind,
    created_at: DateTime<Utc>,
    redactor: Mutex<Redactor>,
    progress: Mutex<Progress>,
    outlet: Mutex<Outlet>,
}

/// Where entries go.
pub(super) enum Outlet {
    Queue,
    /// Nowhere, until somebody knows whether the operation is worth keeping.
    Held(Vec<(Weight, Entry)>),
    Nowhere,
}

/// What was not queued yet.
struct Progress {
    record: OperationRecord,
    /// Somebody said how it ended, or that somebody else will.
    is_settled: bool,
}

impl Operation {
    pub(super) fn start(
        logs: &Logs,
        id: String,
        created_at: DateTime<Utc>,
        new: NewOperation,
        outlet: Outlet,
    ) -> Self {
        let now = logs.now();
        let is_waiting = new.state == State::Waiting;
        let record = OperationRecord {
            id: id.clone(),
            kind: new.kind,
            state: new.state,
            level: Level::Info,
            message: new.message.unwrap_or_else(|| new.kind.title().to_owned()),
            environment_id: Some(new.environment_id),
            account_id: None,
            created_at,
            updated_at: now,
            started_at: (!is_waiting).then_some(now),
            ended_at: None,
            expires_at: new.expires_at.or(Some(now + new.kind.lifetime())),
            data: new.data,
            messages: Vec::new(),
            terms: Terms::default(),
        };
        let operation = Self::over(logs, record, false, outlet);
        operation.publish();
        operation
    }

    /// A handle for an operation that another request or process started. It ends nothing by itself.
    pub(super) fn resume(logs: &Logs, id: &str, created_at: DateTime<Utc>, new: NewOperation) -> Self {
        let now = logs.now();
        let record = OperationRecord {
            id: id.to_owned(),
            kind: new.kind,
            state: State::Running,
            level: Level::Info,
            message: new.message.unwrap_or_default(),
            environment_id: Some(new.environment_id),
            account_id: None,
            created_at,
            updated_at: now,
            started_at: Some(now),
            ended_at: None,
            expires_at: None,
            data: new.data,
            messages: Vec::new(),
            terms: Terms::default(),
        };
        Self::over(logs, record, true, Outlet::Queue)
    }

    fn over(logs: &Logs, record: OperationRecord, is_settled: bool, outlet: Outlet) -> Self {
        Operation(Arc::new(Shared {
            logs: logs.clone(),
            id: record.id.clone(),
            kind: record.kind,
            created_at: record.created_at,
            redactor: Mutex::default(),
            progress: Mutex::new(Progress { record, is_settled }),
            outlet: Mutex::new(outlet),
        }))
    }

    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Keeps a secret out of everything that this operation says from now on.
    pub fn hide(&self, secret: &str) {
        self.0.redactor().hide(secret);
    }

    pub fn hide_credentials(&self, credentials: &Credentials) {
        self.0.redactor().hide_credentials(&credentials.to_json());
    }

    /// Keeps every text of a body out, except for what names its kind: end users send secrets.
    pub fn hide_body(&self, body: &Value) {
        self.0.redactor().hide_credentials(body);
    }

    /// Keeps every text of a query out that has the name of a secret.
    pub fn hide_named(&self, value: &Value) {
        self.0.redactor().hide_named(value);
    }

    pub fn about_integration(&self, integration: &OpenIntegration) {
        describe_integration(&mut self.0.progress().record.data, &integration.row);
        let mut redactor = self.0.redactor();
        if let Some(secret) = &integration.client_secret {
            redactor.hide(secret.expose());
        }
        redactor.hide_named(&Value::Object(integration.custom.clone()));
    }

    /// Keeps the values of the connection config out that the provider's entry calls secret.
    pub fn hide_config(&self, integration: &OpenIntegration, config: &Map<String, Value>) {
        let Some(provider) = &integration.provider else { return };
        let mut redactor = self.0.redactor();
        for (name, value) in config {
            if provider.connection_config.get(name).is_some_and(|field| field.secret) {
                redactor.hide_all(value);
            }
        }
        redactor.hide_named(&Value::Object(config.clone()));
    }

    pub fn about_connection(&self, id: Option<i64>, name: &str) {
        describe_connection(&mut self.0.progress().record.data, id, name);
    }

    /// A member of the operation, under its name on the wire.
    pub fn set(&self, name: &str, value: impl Into<Value>) {
        let value = self.0.redactor().json(&value.into());
        self.0.progress().record.data.insert(name.to_owned(), value);
    }

    /// A URL without its secrets, for details.
    pub fn clean_url(&self, url: &str) -> String {
        self.0.redactor().url(url)
    }

    pub fn debug(&self, message: &str) {
        self.say(Level::Debug, message, None, None);
    }

    pub fn info(&self, message: &str) {
        self.say(Level::Info, message, None, None);
    }

    pub fn warn(&self, message: &str) {
        self.say(Level::Warn, message, None, None);
    }

    /// A message with details.
    pub fn tell(&self, level: Level, message: &str, meta: Value) {
        self.say(level, message, None, Some(meta));
    }

    pub fn error(&self, message: &str, error: &LogError) {
        self.say(Level::Error, message, Some(error), None);
    }

    fn say(&self, level: Level, message: &str, error: Option<&LogError>, meta: Option<Value>) {
        if !self.0.logs.is_recording() {
            return;
        }
        let mut record = self.0.message(level, message);
        {
            let redactor = self.0.redactor();
            record.error = error.map(|error| error.to_json(&redactor));
            record.meta = meta.map(|meta| redactor.json(&meta));
        }
        self.0.push(record);
    }

    /// One exchange with a server, as a message.
    pub fn http(&self, exchange: &HttpExchange<'_>) {
        if !self.0.logs.is_recording() {
            return;
        }
        let record = http_message(self.0.message(Level::Info, ""), exchange, &self.0.redactor());
        self.0.push(record);
    }

    /// Runs something whose exchanges with servers become messages of this operation.
    pub async fn watch<F: Future>(&self, future: F) -> F::Output {
        let shared = Arc::clone(&self.0);
        let watched = move |seen: &Witnessed<'_>| Operation(Arc::clone(&shared)).witness(seen);
        witness::watch(Arc::new(watched), future).await
    }

    fn witness(&self, seen: &Witnessed<'_>) {
        let outcome = match &seen.outcome {
            Ok((status, headers)) => Ok((status.as_u16(), *headers)),
            Err(error) => Err(error.to_string()),
        };
        self.http(&HttpExchange {
            method: seen.method,
            url: seen.url.as_str(),
            request_headers: seen.headers,
            outcome,
            ended_at: self.0.logs.now(),
            duration_ms: u64::try_from(seen.duration.as_millis()).unwrap_or(u64::MAX),
            retry: None,
            meta: None,
        });
    }

    /// Runs an attempt: its exchanges become messages, and its failure is the operation's. Who succeeds says so.
    pub async fn attempt<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        for<'e> LogError: From<&'e E>,
    {
        let outcome = self.watch(work).await;
        if let Err(error) = &outcome {
            self.fail(&LogError::from(error));
        }
        outcome
    }

    pub fn succeed(&self) {
        self.end(State::Success, None);
    }

    pub fn fail(&self, error: &LogError) {
        self.end(State::Failed, Some(error));
    }

    /// Nobody wanted the rest any more.
    pub fn cancel(&self, error: &LogError) {
        self.end(State::Cancelled, Some(error));
    }

    /// Another request, or another process, says how it ends.
    pub fn leave_open(&self) {
        self.0.progress().is_settled = true;
        self.publish();
    }

    /// It ended without anybody saying so.
    pub(super) fn expire(&self, state: State, error: &LogError) {
        self.end(state, Some(error));
    }

    /// Lets an operation that was held go, with everything it said.
    pub fn release(&self) {
        self.0.release();
    }

    /// Forgets an operation that was held: it is not worth keeping.
    pub fn discard(&self) {
        *self.0.outlet() = Outlet::Nowhere;
        self.0.progress().is_settled = true;
    }

    /// Somebody else says how it ends, until then.
    pub fn wait_until(&self, expires_at: DateTime<Utc>) {
        self.0.progress().record.expires_at = Some(expires_at);
        self.leave_open();
    }

    fn end(&self, state: State, error: Option<&LogError>) {
        self.0.end(state, error);
    }

    fn publish(&self) {
        self.0.publish();
    }
}

impl Shared {
    fn redactor(&self) -> MutexGuard<'_, Redactor> {
        self.redactor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, level: Level, message: &str) -> MessageRecord {
        MessageRecord {
            id: self.logs.message_id(),
            operation_id: self.id.clone(),
            operation_at: self.created_at,
            account_id: None,
            level,
            is_http: false,
            message: self.redactor().text(message),
            context: self.kind.context(),
            error: None,
            request: None,
            response: None,
            retry: None,
            meta: None,
            created_at: self.logs.now(),
            ended_at: None,
            duration_ms: None,
        }
    }

    fn push(&self, mut message: MessageRecord) {
        message.shrink();
        message.add_terms(&mut self.progress().record.terms);
        let weight = if message.level == Level::Debug { Weight::Debug } else { Weight::Normal };
        self.emit(weight, Entry::Message(Box::new(message)));
    }

    fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, weight: Weight, entry: Entry) {
        match &mut *self.outlet() {
            Outlet::Queue => self.logs.push(weight, entry),
            Outlet::Held(entries) => entries.push((weight, entry)),
            Outlet::Nowhere => {}
        }
    }

    fn release(&self) {
        let mut outlet = self.outlet();
        if let Outlet::Held(entries) = &mut *outlet {
            let entries = std::mem::take(entries);
            *outlet = Outlet::Queue;
            entries.into_iter().for_each(|(weight, entry)| self.logs.push(weight, entry));
        }
    }

    fn end(&self, state: State, error: Option<&LogError>) {
        if let Some(error) = error.filter(|_| self.logs.is_recording()) {
            let level = if state == State::Failed { Level::Error } else { Level::Warn };
            let mut record = self.message(level, &error.message);
            let shown = error.to_json(&self.redactor());
            record.error = Some(shown.clone());
            record.meta = advice(&error.name).map(|advice| json!({ "advice": advice }));
            self.push(record);
            self.progress().record.data.insert("error".to_owned(), shown);
        }
        {
            let mut progress = self.progress();
            progress.is_settled = true;
            progress.record.state = state;
            progress.record.ended_at = Some(self.logs.now());
        }
        self.publish();
    }

    /// Queues what is known of the operation.
    fn publish(&self) {
        if !self.logs.is_recording() {
            return;
        }
        let mut record = {
            let mut progress = self.progress();
            progress.record.updated_at = self.logs.now();
            progress.record.clone()
        };
        {
            let redactor = self.redactor();
            record.message = redactor.text(&record.message);
            for value in record.data.values_mut().filter(|value| value.is_string()) {
                *value = redactor.json(value);
            }
        }
        let weight = if record.state == State::Failed { Weight::Failure } else { Weight::Normal };
        self.emit(weight, Entry::Operation(Box::new(record)));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.progress().is_settled {
            return;
        }
        let (state, message) = if std::thread::panicking() {
            (State::Failed, "Something went wrong on our side.")
        } else {
            (State::Cancelled, "The caller went away before the outcome was known.")
        };
        self.end(state, Some(&LogError::new("interrupted", message)));
        self.release();
    }
}

/// Fills a message with an exchange.
pub fn http_message(
    mut record: MessageRecord,
    exchange: &HttpExchange<'_>,
    redactor: &Redactor,
) -> MessageRecord {
    let url = redactor.url(exchange.url);
    record.is_http = true;
    record.message = format!("{} {url}", exchange.method);
    record.request = Some(json!({
        "url": url,
        "method": exchange.method.as_str(),
        "headers": redactor.headers(exchange.request_headers),
    }));
    match &exchange.outcome {
        Ok((status, headers)) => {
            record.level = if *status >= 400 { Level::Error } else { Level::Info };
            record.response = Some(json!({"code": status, "headers": redactor.headers(headers)}));
        }
        Err(reason) => {
            record.level = Level::Error;
            record.error = Some(LogError::new("no_answer", reason.as_str()).to_json(redactor));
        }
    }
    record.retry = exchange.retry;
    record.meta = exchange.meta.as_ref().map(|meta| redactor.json(meta));
    record.ended_at = Some(exchange.ended_at);
    record.duration_ms = Some(exchange.duration_ms);
    let began = TimeDelta::milliseconds(i64::try_from(exchange.duration_ms).unwrap_or(0));
    record.created_at = exchange.ended_at - began;
    record
}
