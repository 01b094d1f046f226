//! Connections that start on the provider's side (Sentry; `spec` auth-flows, section 5.17): first they wait for the provider's
//! webhook, which brings the code of an OAuth 2 exchange (`oauth::completion`).

use serde_json::{Map, Value};

use crate::auth::Credentials;
use crate::catalog::Provider;

/// Whether connections of this provider start there.
pub fn is_outbound(provider: &Provider) -> bool {
    provider.installation.as_deref() == Some("outbound")
}

/// What a connection has until the webhook comes; the config gains what marks it as waiting, with the operation that
/// goes on.
pub fn waiting(operation_id: &str, config: &mut Map<String, Value>) -> Credentials {
    config.insert("pending".to_owned(), true.into());
    config.insert("pendingLog".to_owned(), operation_id.into());
    Credentials::OAuth2 {
        access_token: String::new(),
        refresh_token: None,
        expires_at: None,
        raw: Value::Null,
        config_override: None,
    }
}
