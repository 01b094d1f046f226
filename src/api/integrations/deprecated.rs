//! `GET /config/{providerConfigKey}`, the old form of an integration (`spec` http-api, section 9.3).

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::READ_CREDENTIALS;
use crate::api::extract::{QueryTree, SecretKey};
use crate::api::input::TextRule;
use crate::api::last_segment::LastSegment;
use crate::api::scope::IntegrationsRead;
use crate::app::{App, SharedApp};
use crate::auth::AuthMode;
use crate::catalog::Provider;
use crate::connections::public_config;
use crate::crypto::sha256;
use crate::db::connections::{self, Connection};
use crate::db::environments::Environment;
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::time_format::format_millis_z;

/// The old form of an integration.
#[derive(Serialize, ToSchema)]
pub struct ConfigSummary {
    unique_key: String,
    provider: String,
    #[schema(value_type = Vec<Object>)]
    syncs: [Value; 0],
    #[schema(value_type = Vec<Object>)]
    actions: [Value; 0],
}

/// What `include_creds=true` adds.
#[derive(Serialize, ToSchema)]
pub struct ConfigDetails {
    #[schema(required)]
    client_id: Option<String>,
    #[schema(required)]
    client_secret: Option<String>,
    #[schema(required, value_type = Option<Object>)]
    custom: Option<Map<String, Value>>,
    #[schema(required)]
    scopes: Option<String>,
    #[schema(required)]
    app_link: Option<String>,
    #[schema(required, value_type = Option<String>)]
    auth_mode: Option<AuthMode>,
    #[schema(format = DateTime)]
    created_at: String,
    has_webhook: bool,
    #[schema(required)]
    webhook_secret: Option<String>,
    connections: Vec<ConfigConnection>,
    docs: String,
    connection_count: usize,
    has_webhook_user_defined_secret: bool,
    #[schema(required)]
    webhook_url: Option<String>,
}

/// A connection as this route shows it: without secrets, which other scopes are about.
#[derive(Serialize, ToSchema)]
struct ConfigConnection {
    #[schema(value_type = Object)]
    connection_config: Map<String, Value>,
    connection_id: String,
    environment_id: i64,
    id: i64,
    provider_config_key: String,
}

/// The answer.
#[derive(Serialize)]
pub struct ConfigBody {
    config: Config,
}

#[derive(Serialize)]
struct Config {
    #[serde(flatten)]
    summary: ConfigSummary,
    #[serde(flatten)]
    details: Option<ConfigDetails>,
}

/// One integration; with `include_creds=true` everything that is known about it.
pub async fn get_config(
    State(app): State<SharedApp>,
    key: SecretKey<IntegrationsRead>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<Json<ConfigBody>, ApiError> {
    let unique_key = segment.read("providerConfigKey", &TextRule::ANY)?;
    let shows_credentials = query.get("include_creds").and_then(Value::as_str) == Some("true");
    if shows_credentials && !key.identity.has_scope(READ_CREDENTIALS) {
        return Err(ApiError::forbidden(format!("This API key needs the scope {READ_CREDENTIALS}.")));
    }
    let integration = integrations::find(&app, key.environment.id, &unique_key)
        .await?
        .ok_or_else(|| refused("unknown_provider_config", "There is no such integration."))?;
    let provider = integration.provider.clone().ok_or_else(|| {
        refused("unknown_provider_template", "The provider of this integration left the catalog.")
    })?;
    let details = if shows_credentials {
        Some(details(&app, &key.environment, &integration, &provider).await?)
    } else {
        None
    };
    Ok(Json(ConfigBody { config: Config { summary: summary(&integration), details } }))
}

fn refused(code: &'static str, message: &str) -> ApiError {
    ApiError::bad_request(code, message).legacy()
}

fn summary(integration: &OpenIntegration) -> ConfigSummary {
    ConfigSummary {
        unique_key: integration.row.unique_key.clone(),
        provider: integration.row.provider.clone(),
        syncs: [],
        actions: [],
    }
}

async fn details(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    provider: &Provider,
) -> Result<ConfigDetails, ApiError> {
    let row = &integration.row;
    let connections = connections::list_of_integration(&app.db, environment.id, row.id).await?;
    let listed: Vec<ConfigConnection> =
        connections.iter().map(|one| show(app, &row.unique_key, one)).collect();
    let has_webhook = provider.webhook_routing_script.is_some();
    // Wire: built with the provider's name where the integration's key belongs.
    let webhook_url = has_webhook
        .then(|| format!("{}/webhook/{}/{}", app.config.http.server_url, environment.uuid, row.provider));
    Ok(ConfigDetails {
        client_id: row.oauth_client_id.clone(),
        client_secret: integration.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        custom: Some(integration.custom.clone()).filter(|custom| !custom.is_empty()),
        scopes: row.oauth_scopes.clone(),
        app_link: row.app_link.clone(),
        auth_mode: provider.mode(),
        created_at: format_millis_z(row.created_at),
        has_webhook,
        webhook_secret: webhook_secret(integration, provider),
        connections: listed,
        docs: provider.docs.clone(),
        connection_count: connections.len(),
        has_webhook_user_defined_secret: provider.webhook_user_defined_secret,
        webhook_url,
    })
}

fn show(app: &App, unique_key: &str, connection: &Connection) -> ConfigConnection {
    ConfigConnection {
        connection_config: public_config(app, connection),
        connection_id: connection.connection_id.clone(),
        environment_id: connection.environment_id.0,
        id: connection.id.0,
        provider_config_key: unique_key.to_owned(),
    }
}

/// What an installed app signs its webhooks with: a digest of the app's id, stored key and link.
fn webhook_secret(integration: &OpenIntegration, provider: &Provider) -> Option<String> {
    let custom = |name: &str| integration.custom.get(name).and_then(Value::as_str);
    let secret = integration.client_secret.as_ref().map(|secret| secret.expose());
    let (id, key) = match provider.mode()? {
        AuthMode::App => (integration.row.oauth_client_id.as_deref()?, secret?),
        AuthMode::Custom => (custom("app_id")?, custom("private_key")?),
        _ => return None,
    };
    let link = integration.row.app_link.as_deref().unwrap_or_default();
    Some(hex::encode(sha256(format!("{id}{key}{link}").as_bytes())))
}
