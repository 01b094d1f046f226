//! Making API keys for environments and for the account. Called by the API, settings files, the command line and the first
//! start.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::change::announce;
use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::crypto::{CryptoError, Secret};
use crate::db::api_keys::{self, KeyKind, NewKey};
use crate::db::{AccountId, ApiKeyId, EnvironmentId, accounts, environments};
use crate::error::{ApiError, is_constraint};

/// The constraint that keeps secrets apart, those of deleted keys too.
const LOOKUP_HASH: &str = "api_keys_lookup_hash_key";
/// Live API keys that an environment may have, and as many the account.
const MAX_KEYS: i64 = 50;

/// Whose key it is: an environment's, or without one the account's.
#[derive(Debug, Clone, Copy)]
pub struct KeyOwner {
    pub account_id: AccountId,
    pub environment_id: Option<EnvironmentId>,
}

impl KeyOwner {
    /// The environment under which the change feed names the owner's keys. Caches drop what has no environment at
    /// every change, so keys of the account may be named under one that does not exist.
    pub(super) fn feed_environment(self) -> EnvironmentId {
        self.environment_id.unwrap_or(EnvironmentId(0))
    }

    /// An event of the audit trail about one of the owner's keys.
    pub(super) fn event(self, action: Action) -> Event {
        match self.environment_id {
            Some(id) => Event::of_environment(id, action),
            None => Event::of_account(self.account_id, action),
        }
    }
}

/// A key to be made.
pub struct NewApiKey<'a> {
    pub display_name: &'a str,
    pub scopes: &'a [String],
    /// `None`: a random one.
    pub secret: Option<&'a Secret>,
}

/// A key just made. The secret is not shown again.
pub struct CreatedKey {
    pub id: ApiKeyId,
    pub secret: Secret,
    pub created_at: DateTime<Utc>,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("There is no such environment.")]
    UnknownEnvironment,
    #[error("Another key has this name.")]
    NameTaken,
    #[error("There are {MAX_KEYS} keys already. Delete one first.")]
    TooMany,
    #[error("Another key has, or had, this secret. Make a new one, for example with `uuidgen`.")]
    SecretReused,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::UnknownEnvironment => ApiError::not_found(error.to_string()),
            KeyError::NameTaken | KeyError::SecretReused => ApiError::conflict(error.to_string()),
            KeyError::TooMany => ApiError::bad_request("resource_capped", error.to_string()),
            KeyError::Database(error) => error.into(),
            KeyError::Crypto(error) => error.into(),
        }
    }
}

/// Makes an API key with a name of its own, and tells the caches of every replica, which may know its secret as unknown.
///
/// # Errors
/// The environment is gone, the name is taken, the secret was used before, or there are too many keys.
pub async fn create_api_key(app: &App, owner: KeyOwner, new: NewApiKey<'_>) -> Result<CreatedKey, KeyError> {
    let mut transaction = app.db.begin().await?;
    lock_owner(&mut transaction, owner).await?;
    let KeyOwner { account_id, environment_id } = owner;
    if api_keys::is_name_taken(&mut *transaction, account_id, environment_id, new.display_name).await? {
        return Err(KeyError::NameTaken);
    }
    if api_keys::count(&mut *transaction, account_id, environment_id, app.clock.now()).await? >= MAX_KEYS {
        return Err(KeyError::TooMany);
    }
    let target = new.display_name.to_owned();
    let made = json!({ "display_name": new.display_name, "scopes": new.scopes });
    let created = store(app, &mut transaction, owner, KeyKind::Api, new).await?;
    let event = owner.event(Action::ApiKeyCreated).target(Target::api_key(created.id, &target)).made(&made);
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    announce(app, owner, created.id).await?;
    tracing::info!(
        environment.id = environment_id.map(|id| id.0),
        api_key.id = created.id.0,
        "API key created"
    );
    Ok(created)
}

/// One change of an owner's keys at a time, so that name and number hold until the end.
pub(super) async fn lock_owner(db: &mut PgConnection, owner: KeyOwner) -> Result<(), KeyError> {
    let Some(environment) = owner.environment_id else {
        return Ok(accounts::lock(db, owner.account_id).await?);
    };
    let is_there = environments::lock(db, environment).await?;
    if is_there { Ok(()) } else { Err(KeyError::UnknownEnvironment) }
}

/// Stores a new random key of any kind, without the rules about names and numbers.
pub async fn insert_key(
    app: &App,
    db: &mut PgConnection,
    owner: KeyOwner,
    kind: KeyKind,
    display_name: &str,
    scopes: &[String],
) -> Result<CreatedKey, KeyError> {
    store(app, db, owner, kind, NewApiKey { display_name, scopes, secret: None }).await
}

async fn store(
    app: &App,
    db: &mut PgConnection,
    owner: KeyOwner,
    kind: KeyKind,
    new: NewApiKey<'_>,
) -> Result<CreatedKey, KeyError> {
    let secret = new.secret.cloned().unwrap_or_else(|| Secret::new(app.rng.uuid().to_string()));
    let created_at = app.clock.now();
    let row = NewKey {
        account_id: owner.account_id,
        environment_id: owner.environment_id,
        kind,
        display_name: new.display_name,
        scopes: new.scopes,
        sealed_secret: &app.cipher.seal_text(secret.expose())?,
        lookup_hash: &app.cipher.lookup_hash(secret.expose()),
        now: created_at,
    };
    let id = api_keys::insert(db, row).await.map_err(reused_secret)?;
    Ok(CreatedKey { id, secret, created_at })
}

/// The error of storing a key's secret.
pub(super) fn reused_secret(error: sqlx::Error) -> KeyError {
    if is_constraint(&error, LOOKUP_HASH) { KeyError::SecretReused } else { error.into() }
}
