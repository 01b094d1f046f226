//! What the database holds of an environment, secrets opened, to compare a settings file with and to export.

use serde_json::{Map, Value};

use crate::app::App;
use crate::crypto::Secret;
use crate::db::api_keys::{self, ListedKey};
use crate::db::environments::{self, Environment};
use crate::db::webhook_settings::{self, WebhookSettings};
use crate::db::{AccountId, ApiKeyId, EnvironmentId, integrations};
use crate::environments::connect_ui::{self, ConnectUiSettings};
use crate::environments::settings::open_secrets;
use crate::environments::variables::{self, Variable};
use crate::environments::{FIRST_KEY_NAME, PRODUCTION};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::keys::FULL_ACCESS;

pub struct EnvironmentState {
    pub id: EnvironmentId,
    pub is_production: bool,
    pub callback_url: Option<String>,
    pub hmac_enabled: bool,
    pub hmac_key: Option<Secret>,
    pub slack_notifications: bool,
    pub otlp_endpoint: Option<String>,
    pub otlp_headers: Map<String, Value>,
    pub webhooks: WebhookSettings,
    pub connect_ui: ConnectUiSettings,
    pub api_keys: Vec<ListedKey>,
    pub variables: Vec<Variable>,
    pub integrations: Vec<OpenIntegration>,
}

impl EnvironmentState {
    pub async fn load(app: &App, environment: &Environment) -> Result<Self, ApiError> {
        let id = environment.id;
        let found = environments::find_settings(&app.db, id).await?;
        let row = found.ok_or_else(|| ApiError::not_found("The environment was deleted meanwhile."))?;
        let secrets = open_secrets(app, &row)?;
        let rows = integrations::list(&app.db, id).await?;
        let open = |row| OpenIntegration::open(app, row);
        Ok(EnvironmentState {
            id,
            is_production: row.is_production,
            callback_url: row.callback_url,
            hmac_enabled: row.hmac_enabled,
            hmac_key: secrets.hmac_key,
            slack_notifications: row.slack_notifications,
            otlp_endpoint: row.otlp_endpoint,
            otlp_headers: secrets.otlp_headers,
            webhooks: webhook_settings::find(&app.db, id).await?,
            connect_ui: connect_ui::find(app, id).await?,
            api_keys: api_keys::list(&app.db, environment.account_id, Some(id), app.clock.now()).await?,
            variables: variables::list(app, id).await?,
            integrations: rows.into_iter().map(open).collect::<Result<_, _>>()?,
        })
    }

    /// What an environment will be right after it is created.
    pub fn of_new(app: &App, name: &str) -> Self {
        EnvironmentState {
            id: EnvironmentId(0),
            is_production: name == PRODUCTION,
            callback_url: None,
            hmac_enabled: false,
            hmac_key: None,
            slack_notifications: false,
            otlp_endpoint: None,
            otlp_headers: Map::new(),
            webhooks: WebhookSettings::default(),
            connect_ui: ConnectUiSettings::default(),
            api_keys: vec![ListedKey {
                id: ApiKeyId(0),
                display_name: FIRST_KEY_NAME.to_owned(),
                scopes: vec![FULL_ACCESS.to_owned()],
                lookup_hash: Vec::new(),
                last_used_at: None,
                created_at: app.clock.now(),
                expires_at: None,
            }],
            variables: Vec::new(),
            integrations: Vec::new(),
        }
    }
}

/// The account's environments by age.
pub async fn list_environments(app: &App, account: AccountId) -> Result<Vec<Environment>, ApiError> {
    Ok(environments::list_of_account(&app.db, account).await?)
}
