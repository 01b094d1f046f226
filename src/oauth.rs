//! OAuth 2: the popup flow and the calls to token endpoints.
//!
//! Called by the popup's routes, by the JSON route for client credentials and by `refresh`. Never answers HTTP itself
//! (`crate::api` does) and never keeps a token: the callers store what is returned.

mod answer;
mod assertion;
mod authorize;
pub mod callback;
mod client_credentials;
pub mod completion;
mod exception;
mod exchange;
mod failure;
mod grant;
pub mod popup;
mod popup_error;
mod redaction;
pub mod session;
mod token_call;
mod token_error;
mod token_refresh;
mod tokens;
pub mod xml;

use serde_json::{Map, Value};

use crate::integrations::OpenIntegration;

pub use answer::{Kinds, says_no, without_token};
pub use callback::provider_reason;
pub use client_credentials::{ClientCredentialsInput, obtain_client_credentials, renew_client_credentials};
pub use exception::renews_access_tokens;
pub use exchange::{arrive, code_of};
pub use popup::{SignIn, authorize, depart, scopes_of};
pub use popup_error::PopupError;
pub use redaction::Redaction;
pub use session::Payload;
pub use token_call::{Client, Exchange, TokenCall, token_endpoint};
pub use token_error::TokenError;
pub use token_refresh::{integration_client, refresh_token};
pub use tokens::{expiry, lookup, number, pick_metadata, read_tokens};

/// The connection config as templates see it: operator-set values of the integration fill what the connection lacks
/// (`spec` providers, section 7.5).
pub fn with_operator_defaults(
    integration: &OpenIntegration,
    config: &Map<String, Value>,
) -> Map<String, Value> {
    let mut config = config.clone();
    let fields = integration.provider.iter().flat_map(|provider| provider.integration_config.keys());
    for name in fields {
        let is_missing = config.get(name).is_none_or(|value| value.as_str() == Some(""));
        if let Some(value) = integration.custom.get(name).filter(|_| is_missing) {
            config.insert(name.clone(), value.clone());
        }
    }
    config
}
