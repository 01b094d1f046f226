//! An integration with its secrets opened and its provider at hand. Called by everything that acts for one.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::app::App;
use crate::audit;
use crate::catalog::Provider;
use crate::crypto::{Cipher, CryptoError, Secret};
use crate::db::EnvironmentId;
use crate::db::integrations::{self, Integration};
use crate::error::ApiError;

/// An integration as the flows use it.
#[derive(Clone)]
pub struct OpenIntegration {
    pub row: Integration,
    /// Missing when the provider left the catalog.
    pub provider: Option<Arc<Provider>>,
    pub client_secret: Option<Secret>,
    /// Operator-set values of `custom` and `integration_config`.
    pub custom: Map<String, Value>,
}

impl OpenIntegration {
    /// Opens the sealed columns and looks the provider up.
    pub fn open(app: &App, row: Integration) -> Result<Self, CryptoError> {
        let client_secret =
            row.oauth_client_secret.as_deref().map(|sealed| app.cipher.open_text(sealed)).transpose()?;
        let custom = open_object(&app.cipher, row.custom.as_deref())?;
        let provider = app.catalog.load().get(&row.provider).cloned();
        Ok(OpenIntegration { row, provider, client_secret, custom })
    }

    /// What the audit trail shows of the integration, secrets hidden.
    pub fn audited(&self) -> Value {
        let hide = |value: &Value| audit::secret(Some(value.to_string().as_bytes()));
        let custom: Map<String, Value> =
            self.custom.iter().map(|(name, value)| (name.clone(), hide(value))).collect();
        json!({
            "unique_key": self.row.unique_key,
            "provider": self.row.provider,
            "display_name": self.row.display_name,
            "client_id": self.row.oauth_client_id,
            "client_secret": audit::secret(self.client_secret.as_ref().map(|secret| secret.expose().as_bytes())),
            "scopes": self.row.oauth_scopes,
            "app_link": self.row.app_link,
            "custom": custom,
            "forward_webhooks": self.row.forward_webhooks,
            "accept_unverified_webhooks": self.row.accept_unverified_webhooks,
        })
    }

    /// The OAuth client id, or empty text.
    pub fn client_id(&self) -> &str {
        self.row.oauth_client_id.as_deref().unwrap_or_default()
    }

    /// Scopes, without empty ones.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let text = self.row.oauth_scopes.as_deref().unwrap_or_default();
        text.split(',').map(str::trim).filter(|scope| !scope.is_empty())
    }
}

/// The live integration with this key.
pub async fn find(
    app: &App,
    environment: EnvironmentId,
    unique_key: &str,
) -> Result<Option<OpenIntegration>, ApiError> {
    let row = integrations::find(&app.db, environment, unique_key).await?;
    Ok(row.map(|row| OpenIntegration::open(app, row)).transpose()?)
}

/// Opens a sealed JSON object; nothing stored is an empty one.
pub fn open_object(cipher: &Cipher, sealed: Option<&[u8]>) -> Result<Map<String, Value>, CryptoError> {
    let Some(sealed) = sealed else { return Ok(Map::new()) };
    let plain = cipher.open(sealed)?;
    serde_json::from_slice(&plain).map_err(|_| CryptoError::Malformed)
}

/// Seals a JSON object; an empty one is stored as nothing.
pub fn seal_object(cipher: &Cipher, object: &Map<String, Value>) -> Result<Option<Vec<u8>>, CryptoError> {
    if object.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_vec(object).map_err(|_| CryptoError::NotSealed)?;
    cipher.seal(&text).map(Some)
}
