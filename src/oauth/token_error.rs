//! A token endpoint that gave no token.

/// `kind` is the wire's code (`refresh_token_external_error`, `client_credentials_fetch_error` ...); `message` names the
/// provider's own words, redacted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    pub kind: &'static str,
    pub message: String,
    /// The provider's status, when it answered.
    pub status: Option<u16>,
}

impl TokenError {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        TokenError { kind, message: message.into(), status: None }
    }

    pub fn with_status(self, status: u16) -> Self {
        TokenError { status: Some(status), ..self }
    }
}
