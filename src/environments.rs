//! Environments: making one with its keys, deleting one with everything in it, and telling the caches about every
//! change; the submodules change what belongs to one. Called by the API, settings files and the first start.

pub mod connect_ui;
pub mod settings;
pub mod variables;
pub mod webhooks;

use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use self::settings::name_taken;
use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::crypto::{CryptoError, Secret};
use crate::db::api_keys::KeyKind;
use crate::db::changes::{self, ChangeKind};
use crate::db::environments as rows;
use crate::db::{AccountId, EnvironmentId, connections, integrations, webhook_deliveries, webhook_queues};
use crate::error::ApiError;
use crate::fanout::Wake;
use crate::hooks::plan_partings;
use crate::integrations::seal_object;
use crate::keys::{FULL_ACCESS, KeyError, KeyOwner, SIGNING_KEY_NAME, insert_key};

/// The environment that cannot be deleted and is always one of production.
pub const PRODUCTION: &str = "prod";

/// The API key that every environment starts with.
pub const FIRST_KEY_NAME: &str = "Default - Full access";

/// What an environment starts with.
#[derive(Default)]
pub struct NewEnvironment {
    pub name: String,
    pub is_production: bool,
    /// The redirect URI of its OAuth flows, when it is not the server's.
    pub callback_url: Option<String>,
    pub hmac_key: Option<Secret>,
    pub hmac_enabled: bool,
    pub slack_notifications: bool,
    pub otlp_endpoint: Option<String>,
    /// Names and values; they may hold credentials of the collector.
    pub otlp_headers: Map<String, Value>,
}

/// The keys made for a new environment.
pub struct EnvironmentKeys {
    pub environment_id: EnvironmentId,
    pub api_key: Secret,
    pub webhook_signing_key: Secret,
}

/// Creates an environment with its API key, webhook signing key and internal key.
pub async fn create(
    app: &App,
    db: &mut PgConnection,
    account: AccountId,
    new: &NewEnvironment,
) -> Result<EnvironmentKeys, KeyError> {
    let environment_id = insert(app, db, account, new).await?;
    let owner = KeyOwner { account_id: account, environment_id: Some(environment_id) };
    let everything = [FULL_ACCESS.to_owned()];
    let api = insert_key(app, db, owner, KeyKind::Api, FIRST_KEY_NAME, &everything).await?;
    let signing = insert_key(app, db, owner, KeyKind::WebhookSigning, SIGNING_KEY_NAME, &[]).await?;
    insert_key(app, db, owner, KeyKind::Internal, "default", &everything).await?;
    Ok(EnvironmentKeys { environment_id, api_key: api.secret, webhook_signing_key: signing.secret })
}

/// Creates an environment in a transaction of its own and tells the caches.
///
/// # Errors
/// Another environment has the name.
pub async fn create_announced(
    app: &App,
    account: AccountId,
    new: &NewEnvironment,
) -> Result<EnvironmentId, ApiError> {
    let mut transaction = app.db.begin().await?;
    let created = create(app, &mut transaction, account, new).await;
    let keys = created.map_err(|error| match error {
        KeyError::Database(error) => name_taken(error),
        other => other.into(),
    })?;
    let id = keys.environment_id;
    let made = json!({ "name": new.name, "is_production": new.is_production });
    let event = Event::of_environment(id, Action::EnvironmentCreated);
    let event = event.target(Target::new("environment", id.0, &new.name)).made(&made);
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    announce_change(app, ChangeKind::Environment, id, id.0).await?;
    tracing::info!(environment.id = id.0, "environment created");
    Ok(id)
}

async fn insert(
    app: &App,
    db: &mut PgConnection,
    account: AccountId,
    new: &NewEnvironment,
) -> Result<EnvironmentId, KeyError> {
    let hmac_key = seal(app, new.hmac_key.as_ref())?;
    let otlp_headers = seal_object(&app.cipher, &new.otlp_headers)?;
    let row = rows::NewEnvironment {
        account_id: account,
        uuid: app.rng.uuid(),
        name: &new.name,
        is_production: new.is_production,
        public_key: app.rng.uuid(),
        callback_url: new.callback_url.as_deref(),
        hmac_enabled: new.hmac_enabled,
        sealed_hmac_key: hmac_key.as_deref(),
        slack_notifications: new.slack_notifications,
        otlp_endpoint: new.otlp_endpoint.as_deref(),
        sealed_otlp_headers: otlp_headers.as_deref(),
        now: app.clock.now(),
    };
    Ok(rows::insert(db, row).await?)
}

fn seal(app: &App, secret: Option<&Secret>) -> Result<Option<Vec<u8>>, CryptoError> {
    secret.map(|secret| app.cipher.seal_text(secret.expose())).transpose()
}

/// Deletes an environment with its integrations and connections; `false` when somebody else deleted it first.
pub async fn delete(app: &App, id: EnvironmentId) -> Result<bool, ApiError> {
    let now = app.clock.now();
    let keep_credentials = app.config.jobs.keep_deleted_credentials;
    let mut transaction = app.db.begin().await?;
    if !rows::delete(&mut *transaction, id, now).await? {
        return Ok(false);
    }
    let going = integrations::list(&mut *transaction, id).await?;
    plan_partings(app, &mut transaction, id, &going).await?;
    let integrations = integrations::delete_of_environment(&mut *transaction, id, now).await?;
    let connections =
        connections::delete_of_environment(&mut *transaction, id, keep_credentials, now).await?;
    let reason = "the environment was deleted";
    webhook_deliveries::give_up_environment(&mut *transaction, id, reason, now).await?;
    webhook_queues::delete_of_environment(&mut *transaction, id).await?;
    changes::insert(&mut *transaction, ChangeKind::Environment, id, id.0, now).await?;
    changes::insert_integrations(&mut *transaction, id, &integrations, now).await?;
    changes::insert_connections(&mut *transaction, id, &connections, now).await?;
    let event = Event::of_environment(id, Action::EnvironmentDeleted)
        .with("integrations", integrations.len())
        .with("connections", connections.len());
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    app.keys.forget_environment(id);
    integrations.into_iter().for_each(|integration| app.forget_integration(integration));
    app.page_marks.forget(id);
    app.partings.ring(id);
    app.fanout.call(Wake::Feed).await;
    Ok(true)
}

/// Tells this process at once, and the other replicas through the change feed, that an environment or one of its keys
/// changed. `subject` is the row id of what changed.
pub async fn announce_change(
    app: &App,
    kind: ChangeKind,
    id: EnvironmentId,
    subject: i64,
) -> sqlx::Result<()> {
    app.keys.forget_environment(id);
    changes::insert(&app.db, kind, id, subject, app.clock.now()).await?;
    app.fanout.call(Wake::Feed).await;
    Ok(())
}
