//! OAuth 2: the popup flow and the calls to token endpoints.

mod token_error;

use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::Credentials;
use crate::integrations::OpenIntegration;

pub use token_error::TokenError;

/// New credentials, and what of the answer belongs into the connection config.
pub struct Renewed {
    pub credentials: Credentials,
    pub connection_config: Map<String, Value>,
}

/// Asks the token endpoint for a successor of an OAUTH2 token (RFC 6749, section 6).
pub async fn refresh_token(
    _app: &App,
    _integration: &OpenIntegration,
    _credentials: &Credentials,
    _config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    Err(TokenError::new("refresh_token_external_error", "Refreshing comes with the popup flow."))
}

/// Asks the token endpoint for a new OAUTH2_CC token (RFC 6749, section 4.4).
pub async fn renew_client_credentials(
    _app: &App,
    _integration: &OpenIntegration,
    _credentials: &Credentials,
    _config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    Err(TokenError::new("client_credentials_fetch_error", "Refreshing comes with the popup flow."))
}
