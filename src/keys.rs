//! API keys: who calls is looked up once and then answered from memory; keys are made, changed and replaced in the
//! submodules.
//! Called by the extractors of the API.

mod change;
mod creation;
mod rotation;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::app::{App, SharedApp};
use crate::auth::scopes;
use crate::caches::{OncePerSecond, TimedCache};
use crate::crypto::{Secret, constant_time_eq, sha256};
use crate::db::api_keys::{self, KeyKind};
use crate::db::environments::{self, Environment};
use crate::db::{AccountId, ApiKeyId, EnvironmentId};
use crate::lane;

pub use change::{change_scopes, change_secret, delete_api_key};
pub use creation::{CreatedKey, KeyError, KeyOwner, NewApiKey, create_api_key, insert_key};
pub use rotation::{RotationError, SIGNING_KEY_NAME, rotate_api_key, rotate_signing_key};

/// The scope of keys that may do everything in their environment.
pub const FULL_ACCESS: &str = "environment:*";
/// The scope of keys that may do everything in the account.
pub const FULL_ACCOUNT_ACCESS: &str = "account:*";

const KNOWN_FOR: TimeDelta = TimeDelta::seconds(60);
const UNKNOWN_FOR: TimeDelta = TimeDelta::seconds(5);
const CAPACITY: usize = 10_000;

/// An authenticated API key.
#[derive(Debug)]
pub struct KeyIdentity {
    pub account_id: AccountId,
    /// Missing for account keys and for keys of a deleted environment.
    pub environment: Option<Arc<Environment>>,
    /// Missing for keys that the operator provisioned.
    pub key_id: Option<ApiKeyId>,
    pub scopes: Vec<String>,
    /// A replaced key works until then.
    pub expires_at: Option<DateTime<Utc>>,
    noted: OncePerSecond,
}

impl KeyIdentity {
    fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether the key may do something that needs this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        scopes::any_covers(&self.scopes, scope)
    }
}

type CacheKey = ([u8; 32], bool);

pub struct KeyCache {
    identities: TimedCache<CacheKey, Option<Arc<KeyIdentity>>>,
    used: Mutex<HashSet<ApiKeyId>>,
}

impl Default for KeyCache {
    fn default() -> Self {
        KeyCache { identities: TimedCache::new(CAPACITY, KNOWN_FOR), used: Mutex::default() }
    }
}

impl KeyCache {
    /// Forgets keys of an environment, after a change to it or to one of its keys.
    pub fn forget_environment(&self, id: EnvironmentId) {
        self.identities.invalidate(|_, identity| {
            identity.as_ref().is_none_or(|identity| {
                identity.environment.as_ref().is_none_or(|environment| environment.id == id)
            })
        });
    }

    /// The keys used since the last call, for `last_used_at`.
    pub fn drain_used(&self) -> Vec<i64> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *used).into_iter().map(|id| id.0).collect()
    }

    fn note_use(&self, identity: &KeyIdentity, now: DateTime<Utc>) {
        if let Some(id) = identity.key_id.filter(|_| identity.noted.is_first(now)) {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
    }
}

/// The identity behind a key; `None` when it is unknown or revoked.
///
/// # Errors
/// The database did not answer: an outage must not look like bad credentials.
pub async fn find_identity(
    app: &SharedApp,
    secret: &str,
    is_script: bool,
) -> sqlx::Result<Option<Arc<KeyIdentity>>> {
    let now = app.clock.now();
    let cache_key = (sha256(secret.as_bytes()), is_script);
    if let Some(cached) = app.keys.identities.get(&cache_key, now) {
        let cached = cached.filter(|identity| !identity.is_expired(now));
        if let Some(identity) = &cached {
            app.keys.note_use(identity, now);
        }
        return Ok(cached);
    }
    let mark = app.keys.identities.begin();
    let (loading, secret) = (app.clone(), Secret::new(secret.to_owned()));
    let load = async move { load_identity(&loading, secret.expose(), is_script).await };
    let found = lane::at_home(load).await?.filter(|identity| !identity.is_expired(now)).map(Arc::new);
    let ttl = if found.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
    app.keys.identities.insert_for(mark, cache_key, found.clone(), now, ttl);
    if let Some(identity) = &found {
        app.keys.note_use(identity, now);
    }
    Ok(found)
}

async fn load_identity(app: &App, secret: &str, is_script: bool) -> sqlx::Result<Option<KeyIdentity>> {
    if !is_script && let Some(name) = provisioned_environment(app, secret) {
        return provisioned_identity(app, name).await;
    }
    let kind = if is_script { KeyKind::Internal } else { KeyKind::Api };
    let hashes = app.cipher.lookup_hashes(secret);
    let Some(key) = api_keys::find_by_hash(&app.db, kind, &hashes).await? else { return Ok(None) };
    let environment = match key.environment_id {
        Some(id) => environments::find(&app.db, id).await?.map(Arc::new),
        None => None,
    };
    Ok(Some(KeyIdentity {
        account_id: key.account_id,
        environment,
        key_id: Some(key.id),
        scopes: key.scopes,
        expires_at: key.expires_at,
        noted: OncePerSecond::default(),
    }))
}

/// The name of the environment for which the operator fixed this key. Compares with every fixed key, so that
/// the time says nothing about which one came close.
fn provisioned_environment<'a>(app: &'a App, secret: &str) -> Option<&'a str> {
    let keys = &app.config.keys.provisioned;
    keys.iter().fold(None, |found, (name, key)| {
        let is_equal = constant_time_eq(key.expose(), secret);
        if is_equal { Some(name.as_str()) } else { found }
    })
}

async fn provisioned_identity(app: &App, name: &str) -> sqlx::Result<Option<KeyIdentity>> {
    let environment = environments::find_by_name(&app.db, name).await?;
    Ok(environment.map(|environment| KeyIdentity {
        account_id: environment.account_id,
        environment: Some(Arc::new(environment)),
        key_id: None,
        scopes: vec![FULL_ACCESS.to_owned()],
        expires_at: None,
        noted: OncePerSecond::default(),
    }))
}
