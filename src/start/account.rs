//! The first start: one account with its environments, each with its keys.

use std::fmt::Write;

use sqlx::PgConnection;

use super::{StartError, key};
use crate::app::App;
use crate::crypto::{CryptoError, Secret};
use crate::db::api_keys::{self, KeyKind, NewKey};
use crate::db::environments::{self, NewEnvironment};
use crate::db::{AccountId, EnvironmentId, accounts, pool};

const FIRST_KEYS_FILE: &str = "api-keys.env";
const PRODUCTION: &str = "prod";
/// Any constant: it only has to be the same in every replica.
const FIRST_START_LOCK: i64 = 0x4869_7463_6870_6f74;

/// The keys made for a new environment.
pub struct EnvironmentKeys {
    pub environment_id: EnvironmentId,
    pub api_key: Secret,
    pub webhook_signing_key: Secret,
}

/// Creates account and environments unless an account exists. The first API keys go to a file in the data
/// directory, because they must not appear in a log.
pub async fn ensure_account(app: &App) -> Result<(), StartError> {
    let mut transaction = app.db.begin().await?;
    // Two replicas may start on an empty database at once.
    pool::lock_in_transaction(&mut transaction, FIRST_START_LOCK).await?;
    if accounts::find_first(&mut *transaction).await?.is_some() {
        return Ok(());
    }
    let account = accounts::insert(&mut *transaction, app.rng.uuid(), "Default", app.clock.now()).await?;
    let mut lines = String::from("# API keys made at the first start. Keep them secret.\n");
    for name in &app.config.keys.initial_environments {
        let keys = create_environment(app, &mut transaction, account, name).await?;
        let variable = name.to_uppercase().replace('-', "_");
        let _ = writeln!(lines, "NANGO_SECRET_KEY_{variable}={}", keys.api_key.expose());
    }
    write_first_keys(app, lines.trim_end())?;
    transaction.commit().await?;
    Ok(())
}

fn write_first_keys(app: &App, content: &str) -> Result<(), StartError> {
    key::prepare_data_dir(&app.config.data_dir)?;
    let path = app.config.data_dir.join(FIRST_KEYS_FILE);
    if path.exists() {
        // Left by an earlier database; its keys mean nothing in this one.
        let moved = path.with_extension("env.old");
        std::fs::rename(&path, &moved)
            .map_err(|error| StartError(format!("{} cannot be renamed: {error}.", path.display())))?;
    }
    key::write_private(&path, content)?;
    tracing::info!(path = %path.display(), "first start: the API keys of the new environments are in this file");
    Ok(())
}

/// Creates an environment with its API key, webhook signing key and internal key.
pub async fn create_environment(
    app: &App,
    db: &mut PgConnection,
    account: AccountId,
    name: &str,
) -> Result<EnvironmentKeys, StartError> {
    let environment = NewEnvironment {
        account_id: account,
        uuid: app.rng.uuid(),
        name,
        is_production: name == PRODUCTION,
        public_key: app.rng.uuid(),
        now: app.clock.now(),
    };
    let environment_id = environments::insert(&mut *db, environment).await?;
    let owner = (account, environment_id);
    let everything = ["environment:*".to_owned()];
    let api_key = create_key(app, db, owner, KeyKind::Api, "Default - Full access", &everything).await?;
    let webhook_signing_key =
        create_key(app, db, owner, KeyKind::WebhookSigning, "Webhook signing", &[]).await?;
    create_key(app, db, owner, KeyKind::Internal, "default", &everything).await?;
    Ok(EnvironmentKeys { environment_id, api_key, webhook_signing_key })
}

async fn create_key(
    app: &App,
    db: &mut PgConnection,
    (account_id, environment_id): (AccountId, EnvironmentId),
    kind: KeyKind,
    display_name: &str,
    scopes: &[String],
) -> Result<Secret, StartError> {
    let secret = Secret::new(app.rng.uuid().to_string());
    let sealed = app.cipher.seal_text(secret.expose()).map_err(|error: CryptoError| error.to_string())?;
    let new = NewKey {
        account_id,
        environment_id: Some(environment_id),
        kind,
        display_name,
        scopes,
        sealed_secret: &sealed,
        lookup_hash: &app.cipher.lookup_hash(secret.expose()),
        now: app.clock.now(),
    };
    api_keys::insert(db, new).await?;
    Ok(secret)
}
