//! The error of the HTTP edge and its JSON envelopes (`spec` http-api, section 3).
//!
//! `code` and `status` are wire contract; `source` goes to the log only, once, where the error is answered.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

tokio::task_local! {
    /// The id of the request being answered; `generic_error_support` shows it to the caller.
    pub static REQUEST_ID: HeaderValue;
}

/// The id of the request that is being answered; empty outside of one.
pub fn request_id() -> String {
    REQUEST_ID.try_with(|id| id.to_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// Names the code of every error answer that Hitchpost itself makes, so that a caller of `/proxy` can tell.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-hitchpost-error");

/// The reason behind an error, for the log.
pub type Source = Box<dyn Error + Send + Sync>;

/// An error answer: status, wire code, text for people, and what only the log may see.
pub struct ApiError(Box<Inner>);

struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Option<String>,
    errors: Option<Value>,
    payload: Option<Value>,
    members: Map<String, Value>,
    legacy: bool,
    source: Option<Source>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        ApiError(Box::new(Inner {
            status,
            code: code.into(),
            message: Some(message.into()),
            errors: None,
            payload: None,
            members: Map::new(),
            legacy: false,
            source: None,
        }))
    }

    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401 in the legacy envelope, as every authentication failure.
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message).legacy()
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// An anticipated internal failure; the source is logged, never shown.
    pub fn server_error(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// 400 with the list of everything that is wrong (`invalid_body`, `invalid_query_params` ...).
    pub fn invalid(code: &'static str, issues: Value) -> Self {
        let mut error = Self::bad_request(code, String::new());
        error.0.message = None;
        error.0.errors = Some(issues);
        error
    }

    /// Anything unexpected: 500 `generic_error_support`, whose payload is the request id.
    pub fn unexpected(source: impl Into<Source>) -> Self {
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "generic_error_support", String::new());
        error.legacy().because(source)
    }

    /// Uses the envelope with `payload` that old endpoints have.
    pub fn legacy(mut self) -> Self {
        self.0.legacy = true;
        self
    }

    /// Adds `payload`.
    pub fn with_payload(mut self, payload: Value) -> Self {
        self.0.payload = Some(payload);
        self
    }

    /// Adds a member next to `code`.
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves the message out, where the wire has a code only.
    pub fn without_message(mut self) -> Self {
        self.0.message = None;
        self
    }

    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// Remembers the reason for the log.
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn code(&self) -> &str {
        &self.0.code
    }

    pub fn message(&self) -> &str {
        self.0.message.as_deref().unwrap_or_default()
    }

    /// The list of everything that is wrong, when there is one.
    pub fn issues(&self) -> &[Value] {
        self.0.errors.as_ref().and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn is_unexpected(&self) -> bool {
        self.0.code == "generic_error_support"
    }

    /// The body: `{"error": {...}}`.
    pub fn body(&self) -> Value {
        let inner = &self.0;
        let mut error = Map::new();
        error.insert("code".into(), inner.code.clone().into());
        if let Some(message) = &inner.message {
            error.insert("message".into(), message.clone().into());
        }
        if let Some(errors) = &inner.errors {
            error.insert("errors".into(), errors.clone());
        }
        if let Some(payload) = inner.payload.clone().or_else(|| inner.legacy.then(|| json!({}))) {
            error.insert("payload".into(), payload);
        }
        error.extend(inner.members.clone());
        json!({ "error": error })
    }

    fn name_request(&mut self) {
        let id = request_id();
        self.0.message =
            Some(format!("Something went wrong on our side. Quote the id {id} when you report it."));
        self.0.payload = Some(id.into());
    }

    /// Tells the log why. Answering does it too: for errors that are not answered as they are.
    pub fn log(&self) {
        let source = self.0.source.as_deref().map(chain);
        if self.0.status.is_server_error() {
            let reason = source.unwrap_or_else(|| self.message().to_owned());
            tracing::error!(error.code = self.code(), error.reason = reason, "request failed");
        } else if let Some(reason) = source {
            tracing::debug!(error.code = self.code(), error.reason = reason, "request refused");
        }
    }
}

/// The error and everything behind it, as one line.
fn chain(error: &(dyn Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(mut self) -> Response {
        if self.is_unexpected() {
            self.name_request();
        }
        self.log();
        let mut response = (self.0.status, Json(self.body())).into_response();
        if let Ok(code) = HeaderValue::from_str(&self.0.code) {
            response.headers_mut().insert(ERROR_HEADER, code);
        }
        response
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.code, self.message())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if is_unstorable_text(&error) {
            let message = "A text holds the character U+0000, which cannot be stored.";
            return ApiError::bad_request("invalid_body", message).because(error);
        }
        ApiError::server_error("The database did not answer as expected.").because(error)
    }
}

impl From<crate::crypto::CryptoError> for ApiError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        ApiError::server_error("A stored secret could not be read.").because(error)
    }
}

/// Whether the database refused a text that came from the caller: PostgreSQL has no U+0000, neither in text
/// (`character_not_in_repertoire`) nor in JSON (`untranslatable_character`).
fn is_unstorable_text(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(code.as_ref(), "22021" | "22P05"))
}

/// Whether the database refused a row because of this constraint.
pub fn is_constraint(error: &sqlx::Error, name: &str) -> bool {
    error.as_database_error().and_then(|error| error.constraint()) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_envelope() {
        let cases = [
            (ApiError::not_found("gone"), json!({"error": {"code": "not_found", "message": "gone"}})),
            (
                ApiError::unauthorized("unknown_account", "no"),
                json!({"error": {"code": "unknown_account", "message": "no", "payload": {}}}),
            ),
            (
                ApiError::invalid("invalid_body", json!([{"code": "custom"}])),
                json!({"error": {"code": "invalid_body", "errors": [{"code": "custom"}]}}),
            ),
            (
                ApiError::bad_request("unknown_connection", "x").without_message(),
                json!({"error": {"code": "unknown_connection"}}),
            ),
        ];
        for (error, body) in cases {
            assert_eq!(error.body(), body);
        }
    }
}
