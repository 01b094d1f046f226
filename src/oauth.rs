//! OAuth 2: the popup flow and the calls to token endpoints.
//!
//! Called by the popup's routes, by the JSON route for client credentials and by `refresh`. Never answers HTTP itself
//! (`crate::api` does) and never keeps a token: the callers store what is returned.

mod answer;
mod assertion;
mod authorize;
pub mod callback;
mod client_credentials;
mod exception;
mod exchange;
mod grant;
pub mod popup;
mod popup_error;
mod redaction;
pub mod session;
mod token_call;
mod token_error;
mod token_refresh;
mod tokens;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::Credentials;
use crate::catalog::Provider;
use crate::integrations::OpenIntegration;

pub use client_credentials::{ClientCredentialsInput, obtain_client_credentials, renew_client_credentials};
pub use exception::renews_access_tokens;
pub use popup_error::PopupError;
pub use token_error::TokenError;
pub use token_refresh::refresh_token;

/// New credentials, and what of the answer belongs into the connection config.
pub struct Renewed {
    pub credentials: Credentials,
    pub connection_config: Map<String, Value>,
}

fn provider_of<'i>(
    integration: &'i OpenIntegration,
    kind: &'static str,
) -> Result<&'i Arc<Provider>, TokenError> {
    integration.provider.as_ref().ok_or_else(|| {
        let name = &integration.row.provider;
        TokenError::new(kind, format!("The provider `{name}` is not in the catalog any more."))
    })
}

/// The connection config as templates see it: operator-set values of the integration fill what the connection lacks
/// (`spec` providers, section 7.5).
fn with_operator_defaults(integration: &OpenIntegration, config: &Map<String, Value>) -> Map<String, Value> {
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
