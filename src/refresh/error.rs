//! Why a connection has no fresh credentials.

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::error::{ApiError, Source};
use crate::logs::LogError;
use crate::oauth::TokenError;

/// After a failure, unforced callers are refused for this long.
pub const BACKOFF: TimeDelta = TimeDelta::seconds(30);

/// A failed or refused refresh. `kind` is the wire's inner type (`spec` errors, section 8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RefreshError {
    pub kind: String,
    pub message: String,
}

impl From<&RefreshError> for LogError {
    fn from(error: &RefreshError) -> Self {
        LogError::new(error.kind.as_str(), error.message.as_str())
    }
}

impl RefreshError {
    fn new(kind: &str, message: impl Into<String>) -> Self {
        RefreshError { kind: kind.to_owned(), message: message.into() }
    }

    pub fn exhausted() -> Self {
        Self::new(
            "connection_refresh_exhausted",
            "Refreshing failed on four different days. Reconnect, or force a refresh.",
        )
    }

    pub fn backoff() -> Self {
        Self::new("connection_refresh_backoff", "The last refresh failed less than 30 seconds ago.")
    }

    pub fn timed_out() -> Self {
        Self::new("refresh_token_external_error", "Another refresh of this connection did not end in time.")
    }

    pub fn test_failed(reason: impl Into<String>) -> Self {
        Self::new("connection_test_failed", reason)
    }

    pub fn gone() -> Self {
        Self::new("refresh_token_external_error", "The connection was deleted while it was being refreshed.")
    }

    /// Something in this server failed, not the provider.
    fn internal(source: impl Into<Source>) -> Self {
        tracing::error!(error = %source.into(), "a refresh failed inside the server");
        Self::new("server_error", "The refresh failed inside the server.")
    }

    pub fn unsupported(message: &str) -> Self {
        Self::new("refresh_token_external_error", message)
    }

    /// Whether the provider, rather than this server or a rule of it, said no: only that counts as a failure.
    pub fn is_providers(&self) -> bool {
        !matches!(
            self.kind.as_str(),
            "connection_refresh_exhausted" | "connection_refresh_backoff" | "server_error"
        )
    }

    /// The status that `GET /connections/:id` and `/proxy` answer with.
    pub fn status(&self) -> StatusCode {
        match self.kind.as_str() {
            "connection_refresh_exhausted" | "connection_refresh_backoff" => StatusCode::FAILED_DEPENDENCY,
            "aws_sigv4_sts_request_failed" => StatusCode::BAD_GATEWAY,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The form stored for callers on other replicas.
    pub fn to_json(&self) -> Value {
        json!({"kind": self.kind, "message": self.message})
    }

    pub fn from_json(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        RefreshError { kind: text("kind"), message: text("message") }
    }
}

impl From<sqlx::Error> for RefreshError {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(error)
    }
}

impl From<crate::crypto::CryptoError> for RefreshError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::internal(error)
    }
}

impl From<ApiError> for RefreshError {
    fn from(error: ApiError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<TokenError> for RefreshError {
    fn from(error: TokenError) -> Self {
        RefreshError { kind: error.kind.to_owned(), message: error.message }
    }
}
