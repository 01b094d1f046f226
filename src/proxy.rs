//! The HTTP proxy and the verification of credentials; lands with the next merge.

use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::Credentials;
use crate::integrations::OpenIntegration;

/// Why credentials were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum VerificationFailure {
    #[error("the provider refused the credentials with status {status}")]
    Rejected { status: u16 },
    #[error("the provider could not be reached")]
    Unreachable,
}

/// Until the proxy lands, credentials count as untested, which is accepted.
pub async fn verify_credentials(
    _app: &App,
    _integration: &OpenIntegration,
    _credentials: &Credentials,
    _connection_config: &Map<String, Value>,
) -> Result<(), VerificationFailure> {
    Ok(())
}
