//! Connections that start on the provider's side (Sentry; `spec` auth-flows, section 5.17): first they wait for the provider's
//! webhook, which brings the code of an OAuth 2 exchange (`oauth::completion`).

use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::Provider;
use crate::logs::operation_id;

/// Whether connections of this provider start there.
pub fn is_outbound(provider: &Provider) -> bool {
    provider.installation.as_deref() == Some("outbound")
}

/// What a connection has until the webhook comes; the config gains what marks it as waiting.
pub fn waiting(app: &App, config: &mut Map<String, Value>) -> Credentials {
    config.insert("pending".to_owned(), true.into());
    config.insert("pendingLog".to_owned(), operation_id(app).into());
    Credentials::OAuth2 {
        access_token: String::new(),
        refresh_token: None,
        expires_at: None,
        raw: Value::Null,
        config_override: None,
    }
}
