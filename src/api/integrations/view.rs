//! The integration object of the API (`spec` http-api, section 7.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::utf8_percent_encode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::auth::AuthMode;
use crate::catalog::Provider;
use crate::crypto::CryptoError;
use crate::integrations::OpenIntegration;
use crate::template::COMPONENT;
use crate::time_format::format_millis_z;

#[derive(Serialize, ToSchema)]
#[schema(as = Integration)]
pub struct IntegrationBody {
    unique_key: String,
    provider: String,
    display_name: String,
    logo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    credentials_label: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    preconfigured_credentials: Vec<String>,
    /// Absent unless asked for; then an address or null.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    webhook_url: Option<Value>,
    /// Absent unless asked for and allowed; then an object or null.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    credentials: Option<Value>,
    /// What the provider sent to be confirmed there; told with the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_verification_token: Option<String>,
    forward_webhooks: bool,
    /// Absent: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    accept_unverified_webhooks: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl IntegrationBody {
    pub fn new(app: &App, integration: &OpenIntegration) -> Self {
        let row = &integration.row;
        let provider = integration.provider.as_deref();
        let base = &app.config.http.public_server_url;
        // A provider that left the catalog still has its name.
        let provider_name = provider.map_or(&row.provider, |provider| &provider.display_name);
        IntegrationBody {
            unique_key: row.unique_key.clone(),
            provider: row.provider.clone(),
            display_name: row.display_name.as_ref().unwrap_or(provider_name).clone(),
            logo: format!("{base}/images/template-logos/{}.svg", row.provider),
            credentials_label: provider.and_then(|provider| credentials_label(provider, integration)),
            preconfigured_credentials: provider
                .map(|provider| preconfigured(provider, integration))
                .unwrap_or_default(),
            webhook_url: None,
            credentials: None,
            webhook_verification_token: None,
            forward_webhooks: row.forward_webhooks,
            accept_unverified_webhooks: row.accept_unverified_webhooks,
            created_at: format_millis_z(row.created_at),
            updated_at: format_millis_z(row.updated_at),
        }
    }

    /// Adds the address for the provider's webhooks, null when the provider has none that are understood.
    pub fn with_webhook_url(mut self, app: &App, environment: Uuid, integration: &OpenIntegration) -> Self {
        let url = webhook_url(app, environment, integration);
        self.webhook_url = Some(url.into());
        self
    }

    /// Adds what the provider of the webhooks wants to have confirmed.
    pub fn with_verification_token(mut self, app: &App, sealed: Option<&[u8]>) -> Result<Self, CryptoError> {
        let token = sealed.map(|sealed| app.cipher.open_text(sealed)).transpose()?;
        self.webhook_verification_token = token.map(|token| token.expose().to_owned());
        Ok(self)
    }

    /// Adds the customer's own client credentials.
    pub fn with_credentials(mut self, integration: &OpenIntegration) -> Self {
        self.credentials = Some(shown_credentials(integration));
        self
    }
}

/// The address for the provider's webhooks, when it has some that are understood or taken as they are.
pub fn webhook_url(app: &App, environment: Uuid, integration: &OpenIntegration) -> Option<String> {
    let provider = integration.provider.as_ref();
    let is_described =
        provider.is_some_and(|entry| entry.webhook_routing_script.is_some() || entry.webhook.is_some());
    let key = utf8_percent_encode(&integration.row.unique_key, COMPONENT);
    let is_taken = is_described || integration.row.accept_unverified_webhooks;
    is_taken.then(|| format!("{}/webhook/{environment}/{key}", app.config.http.server_url))
}

fn stored_text<'i>(integration: &'i OpenIntegration, name: &str) -> Option<&'i str> {
    integration.custom.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn credentials_label(provider: &Provider, integration: &OpenIntegration) -> Option<Value> {
    let label = stored_text(integration, "keyLabel").filter(|_| !provider.integration_config.is_empty())?;
    Some(json!({ "apiKey": label }))
}

/// The fields that end users need not fill in, because the operator did.
fn preconfigured(provider: &Provider, integration: &OpenIntegration) -> Vec<String> {
    if provider.mode() != Some(AuthMode::TwoStep) {
        return Vec::new();
    }
    let names = provider.integration_config.keys();
    names.filter(|name| stored_text(integration, name).is_some()).cloned().collect()
}

/// The customer's own client credentials, secrets included; null where the auth mode has none.
pub fn shown_credentials(integration: &OpenIntegration) -> Value {
    let Some(mode) = integration.provider.as_ref().and_then(|provider| provider.mode()) else {
        return Value::Null;
    };
    let row = &integration.row;
    let secret = integration.client_secret.as_ref().map(|secret| secret.expose());
    match mode {
        AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::Tba => json!({
            "type": mode,
            "client_id": row.oauth_client_id,
            "client_secret": secret,
            "scopes": row.oauth_scopes,
            "webhook_secret": stored_text(integration, "webhookSecret"),
        }),
        AuthMode::App => json!({
            "type": mode,
            "app_id": row.oauth_client_id,
            "private_key": secret.and_then(decode_pem),
            "app_link": row.app_link,
        }),
        AuthMode::Custom => json!({
            "type": mode,
            "client_id": row.oauth_client_id,
            "client_secret": secret,
            "app_id": stored_text(integration, "app_id"),
            "app_link": row.app_link,
            "private_key": stored_text(integration, "private_key").and_then(decode_pem),
        }),
        _ => Value::Null,
    }
}

/// Private keys are kept as base64 of the PEM, as upstream's databases have them.
fn decode_pem(stored: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(stored).ok()?).ok()
}
