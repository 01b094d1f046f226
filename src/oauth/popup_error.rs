//! A popup sign-in that failed.

use serde_json::{Value, json};

use super::TokenError;
use super::authorize::AuthorizeError;
use crate::error::ApiError;
use crate::logs::LogError;

/// `kind` is the wire's error type (`spec` auth-flows, section 4.7); `message` is for people and never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PopupError {
    pub kind: &'static str,
    pub message: String,
    /// Whether the provider's token endpoint said yes, but nobody can read what.
    is_unreadable_answer: bool,
}

impl PopupError {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        PopupError { kind, message: message.into(), is_unreadable_answer: false }
    }

    /// The word of the webhook that tells of the failure.
    pub fn webhook_kind(&self) -> &'static str {
        match self.kind {
            "callback_err" => "invalid_callback",
            _ if self.is_unreadable_answer => "unable_to_parse_token_response",
            _ => "unknown",
        }
    }

    /// The frame for the waiting socket.
    pub fn outcome(&self, integration: Option<&str>, connection_id: Option<&str>) -> Value {
        let mut outcome =
            json!({"message_type": "error", "error_type": self.kind, "error_desc": self.message});
        for (name, value) in [("provider_config_key", integration), ("connection_id", connection_id)] {
            if let Some(value) = value {
                outcome[name] = value.into();
            }
        }
        outcome
    }
}

impl From<&PopupError> for LogError {
    fn from(error: &PopupError) -> Self {
        LogError::new(error.kind, error.message.as_str())
    }
}

impl From<AuthorizeError> for PopupError {
    fn from(error: AuthorizeError) -> Self {
        let kind = match error {
            AuthorizeError::GrantType => "grant_type_err",
            AuthorizeError::NoUrl | AuthorizeError::Url(_) | AuthorizeError::Parameter { .. } => {
                "url_param_err"
            }
        };
        PopupError::new(kind, format!("The authorization URL cannot be built: {error}."))
    }
}

impl From<TokenError> for PopupError {
    fn from(error: TokenError) -> Self {
        let kind = match error.kind {
            "invalid_connection_config" => "url_param_err",
            "github_app_token_fetch_error" => error.kind,
            _ => "unknown_err",
        };
        let is_unreadable_answer = error.kind == "unable_to_parse_token_response";
        PopupError { is_unreadable_answer, ..PopupError::new(kind, error.message) }
    }
}

/// A caller's mistake keeps its text. What failed inside this server is in the log only.
impl From<ApiError> for PopupError {
    fn from(error: ApiError) -> Self {
        error.log();
        if error.status().is_client_error() {
            return PopupError::new("unknown_err", error.message());
        }
        PopupError::new("unknown_err", "Something went wrong on our side.")
    }
}

impl From<sqlx::Error> for PopupError {
    fn from(error: sqlx::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl From<crate::crypto::CryptoError> for PopupError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        ApiError::from(error).into()
    }
}
