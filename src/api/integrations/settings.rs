//! Applies submitted settings to an integration: client credentials, `integration_config` and `custom`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::input::{Client, OAuthClient, Settings, Values};
use crate::app::App;
use crate::auth::AuthMode;
use crate::catalog::{FieldProblem, Provider, apply_integration_config};
use crate::crypto::{Cipher, CryptoError};
use crate::db::integrations::Integration;
use crate::error::ApiError;
use crate::integrations::seal_object;

/// The custom value in which the secret of a provider's webhooks is kept.
const WEBHOOK_SECRET: &str = "webhookSecret";

/// 400 for a body that reads well but makes no sense.
pub fn refused(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("invalid_body", message)
}

/// Whether the submitted client is one for this provider.
pub fn check_client(provider: &Provider, client: Option<&Client>) -> Result<(), ApiError> {
    match client {
        Some(client) if provider.mode() == Some(client.mode) => Ok(()),
        Some(_) => Err(refused("credentials.type is not the auth mode of the provider.")),
        None => Ok(()),
    }
}

/// Whether a new integration of this provider comes with the client that its sign-in needs.
pub fn require_client(provider: &Provider, client: Option<&Client>) -> Result<(), ApiError> {
    // Wire: TBA may come without.
    let needs_client = matches!(
        provider.mode(),
        Some(AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::App | AuthMode::Custom)
    );
    if needs_client && client.is_none() {
        return Err(refused("This provider needs credentials."));
    }
    Ok(())
}

/// The operator-set values after the submitted ones; `stored` is `None` for a new integration.
pub fn merge_values(
    provider: &Provider,
    stored: Option<&Map<String, Value>>,
    settings: &Settings,
) -> Result<Map<String, Value>, ApiError> {
    let fields = &provider.integration_config;
    if fields.is_empty() {
        if settings.integration_config.is_some() {
            return Err(refused("This provider has no integration_config."));
        }
        let mut values = stored.cloned().unwrap_or_default();
        values.extend(settings.custom.iter().flat_map(json_members));
        return Ok(values);
    }
    let submitted: Map<String, Value> = settings.integration_config.iter().flat_map(json_members).collect();
    let values = apply_integration_config(fields, stored, &submitted).map_err(join_problems)?;
    if settings.custom.is_some() {
        return Err(refused("This provider takes integration_config, not custom."));
    }
    Ok(values)
}

fn json_members(values: &Values) -> impl Iterator<Item = (String, Value)> {
    values.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())))
}

fn join_problems(problems: Vec<FieldProblem>) -> ApiError {
    let sentences: Vec<String> =
        problems.iter().map(|problem| format!("{} {}", problem.field, problem.message)).collect();
    refused(format!("integration_config: {}.", sentences.join("; ")))
}

/// Writes the settings into the row, secrets sealed. `values` are the operator-set values that [`merge_values`] made.
pub fn apply(
    app: &App,
    row: &mut Integration,
    mut values: Map<String, Value>,
    settings: Settings,
) -> Result<(), CryptoError> {
    if let Some(client) = settings.client {
        apply_client(&app.cipher, row, &mut values, client)?;
    }
    if settings.display_name.is_some() {
        row.display_name = settings.display_name;
    }
    row.forward_webhooks = settings.forward_webhooks.unwrap_or(row.forward_webhooks);
    row.accept_unverified_webhooks =
        settings.accept_unverified_webhooks.unwrap_or(row.accept_unverified_webhooks);
    row.custom = seal_object(&app.cipher, &values)?;
    Ok(())
}

fn apply_client(
    cipher: &Cipher,
    row: &mut Integration,
    values: &mut Map<String, Value>,
    client: Client,
) -> Result<(), CryptoError> {
    let is_plain_app = client.oauth.is_none();
    if let Some(oauth) = client.oauth {
        apply_oauth_client(cipher, row, values, oauth)?;
    }
    let Some(installed) = client.app else { return Ok(()) };
    row.app_link = Some(installed.link);
    let private_key = STANDARD.encode(&installed.private_key);
    // Where upstream's databases keep them: APP in the OAuth columns, CUSTOM beside its OAuth client.
    if is_plain_app {
        row.oauth_client_id = Some(installed.id);
        row.oauth_client_secret = Some(cipher.seal_text(&private_key)?);
    } else {
        values.insert("app_id".to_owned(), Value::String(installed.id));
        values.insert("private_key".to_owned(), Value::String(private_key));
    }
    Ok(())
}

fn apply_oauth_client(
    cipher: &Cipher,
    row: &mut Integration,
    values: &mut Map<String, Value>,
    client: OAuthClient,
) -> Result<(), CryptoError> {
    row.oauth_client_secret = Some(cipher.seal_text(&client.secret)?);
    row.oauth_client_id = Some(client.id);
    if let Some(scopes) = client.scopes {
        row.oauth_scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
    }
    match client.webhook_secret {
        None => {}
        Some(secret) if secret.is_empty() => {
            values.shift_remove(WEBHOOK_SECRET);
        }
        Some(secret) => {
            values.insert(WEBHOOK_SECRET.to_owned(), Value::String(secret));
        }
    }
    Ok(())
}

/// The provider's own scopes, for integrations that name none.
pub fn default_scopes(provider: &Arc<Provider>) -> Option<String> {
    let scopes = provider.default_scopes.join(",");
    (!scopes.is_empty()).then_some(scopes)
}
