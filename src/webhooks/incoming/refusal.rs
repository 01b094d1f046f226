//! Why a provider's webhook is not accepted.

use super::proof::Unproven;
use crate::catalog::MissingValue;
use crate::error::ApiError;
use crate::logs::LogError;
use crate::oauth::completion::CompletionError;

/// The name of a failure to complete a connection that waited.
pub const COMPLETION_FAILED: &str = "webhook_completion_failed";

/// Why a webhook is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    InvalidSignature,
    MissingSignature,
    MissingToken,
    /// There is no secret to check webhooks with.
    InvalidSecret,
    InvalidPayload,
    MissingConnectionId,
    MissingNangoConnectionId,
    MissingShopDomain,
    /// No connection waits for the installation, or it was completed before.
    NotWaiting,
    /// The provider left the catalog.
    UnknownProvider,
    /// The same delivery is being worked on.
    InProgress,
}

impl Refusal {
    pub const ALL: [Refusal; 11] = [
        Refusal::InvalidSignature,
        Refusal::MissingSignature,
        Refusal::MissingToken,
        Refusal::InvalidSecret,
        Refusal::InvalidPayload,
        Refusal::MissingConnectionId,
        Refusal::MissingNangoConnectionId,
        Refusal::MissingShopDomain,
        Refusal::NotWaiting,
        Refusal::UnknownProvider,
        Refusal::InProgress,
    ];

    /// The name that the wire has for it.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::InvalidSignature => "webhook_invalid_signature",
            Refusal::MissingSignature => "webhook_missing_signature",
            Refusal::MissingToken => "webhook_missing_token",
            Refusal::InvalidSecret => "webhook_invalid_secret",
            Refusal::InvalidPayload => "webhook_invalid_payload",
            Refusal::MissingConnectionId => "webhook_missing_connection_id",
            Refusal::MissingNangoConnectionId => "webhook_missing_nango_connection_id",
            Refusal::MissingShopDomain => "webhook_missing_shop_domain",
            Refusal::NotWaiting => "webhook_no_connection_or_existing_installation_id",
            Refusal::UnknownProvider => "webhook_unknown_provider",
            Refusal::InProgress => "webhook_in_progress",
        }
    }

    /// A sentence for whoever reads the log, here or at the provider.
    pub fn sentence(self) -> &'static str {
        match self {
            Refusal::InvalidSignature => "The signature does not fit, or is of another time.",
            Refusal::MissingSignature => "The request is not signed.",
            Refusal::MissingToken => "The request has no token.",
            Refusal::InvalidSecret => {
                "There is no secret to verify the request with. Set the integration's webhook secret."
            }
            Refusal::InvalidPayload => "The body is not what the provider is known to send.",
            Refusal::MissingConnectionId => "The body has no connectionId.",
            Refusal::MissingNangoConnectionId => "The request names no connection.",
            Refusal::MissingShopDomain => "The request names no shop.",
            Refusal::NotWaiting => "No connection waits for this installation, or it was completed before.",
            Refusal::UnknownProvider => "The provider of the integration left the catalog.",
            Refusal::InProgress => "The same delivery is being worked on.",
        }
    }
}

/// What kept a webhook from being accepted.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A connection that waited could not be completed.
    #[error("{0}")]
    Completion(CompletionError),
    #[error("{0}")]
    Failed(ApiError),
}

impl IncomingError {
    /// The error as operations show it.
    pub fn to_log(&self) -> LogError {
        match self {
            IncomingError::Refused(refusal) => LogError::new(refusal.code(), refusal.sentence()),
            IncomingError::Completion(error) => LogError::new(COMPLETION_FAILED, error.to_string()),
            IncomingError::Failed(error) => LogError::new(error.code(), error.message()),
        }
    }
}

impl From<Refusal> for IncomingError {
    fn from(refusal: Refusal) -> Self {
        IncomingError::Refused(refusal)
    }
}

impl From<Unproven> for IncomingError {
    fn from(unproven: Unproven) -> Self {
        let refusal = match unproven {
            Unproven::NoKey => Refusal::InvalidSecret,
            Unproven::MissingSignature => Refusal::MissingSignature,
            Unproven::MissingToken => Refusal::MissingToken,
            Unproven::WrongSignature | Unproven::WrongTime => Refusal::InvalidSignature,
        };
        refusal.into()
    }
}

impl From<MissingValue> for Refusal {
    fn from(missing: MissingValue) -> Self {
        match missing {
            MissingValue::ConnectionId => Refusal::MissingConnectionId,
            MissingValue::NangoConnectionId => Refusal::MissingNangoConnectionId,
            MissingValue::ShopDomain => Refusal::MissingShopDomain,
        }
    }
}

impl From<ApiError> for IncomingError {
    fn from(error: ApiError) -> Self {
        IncomingError::Failed(error)
    }
}

impl From<sqlx::Error> for IncomingError {
    fn from(error: sqlx::Error) -> Self {
        IncomingError::Failed(error.into())
    }
}
