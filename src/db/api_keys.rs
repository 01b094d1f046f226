//! API keys, webhook signing keys and the internal keys of functions. Found by keyed hash, never by value.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{AccountId, ApiKeyId, EnvironmentId};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Api,
    WebhookSigning,
    /// Accepted only together with `Nango-Is-Script: true`.
    Internal,
}

impl KeyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            KeyKind::Api => "api",
            KeyKind::WebhookSigning => "webhook_signing",
            KeyKind::Internal => "internal",
        }
    }
}

#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub account_id: AccountId,
    pub environment_id: Option<EnvironmentId>,
    pub scopes: Vec<String>,
    /// A replaced key works until then.
    pub expires_at: Option<DateTime<Utc>>,
}

pub struct NewKey<'a> {
    pub account_id: AccountId,
    pub environment_id: Option<EnvironmentId>,
    pub kind: KeyKind,
    pub display_name: &'a str,
    pub scopes: &'a [String],
    pub sealed_secret: &'a [u8],
    pub lookup_hash: &'a [u8],
    pub now: DateTime<Utc>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: NewKey<'_>) -> sqlx::Result<ApiKeyId> {
    sqlx::query_scalar!(
        r#"INSERT INTO api_keys
               (account_id, environment_id, kind, display_name, scopes, secret, lookup_hash, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id AS "id: ApiKeyId""#,
        new.account_id as AccountId,
        new.environment_id as Option<EnvironmentId>,
        new.kind.as_str(),
        new.display_name,
        new.scopes,
        new.sealed_secret,
        new.lookup_hash,
        new.now
    )
    .fetch_one(db)
    .await
}

/// The key with one of these hashes (one for each key of the encryption ring). It may have expired meanwhile.
pub async fn find_by_hash(
    db: impl PgExecutor<'_>,
    kind: KeyKind,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"SELECT id AS "id: ApiKeyId", account_id AS "account_id: AccountId",
                  environment_id AS "environment_id: EnvironmentId", scopes, expires_at
           FROM api_keys WHERE kind = $1 AND lookup_hash = ANY($2) AND deleted_at IS NULL LIMIT 1"#,
        kind.as_str(),
        hashes
    )
    .fetch_optional(db)
    .await
}

/// How many live API keys an environment, or without one the account, has.
pub async fn count(
    db: impl PgExecutor<'_>,
    account: AccountId,
    environment: Option<EnvironmentId>,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        "SELECT count(*) FROM api_keys WHERE account_id = $1 AND environment_id IS NOT DISTINCT FROM $2
             AND kind = 'api' AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > $3)",
        account as AccountId,
        environment as Option<EnvironmentId>,
        now
    )
    .fetch_one(db)
    .await?;
    Ok(count.unwrap_or_default())
}

/// Whether a live API key of the environment, or without one of the account, has this name.
pub async fn is_name_taken(
    db: impl PgExecutor<'_>,
    account: AccountId,
    environment: Option<EnvironmentId>,
    display_name: &str,
) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE account_id = $1 AND environment_id IS NOT DISTINCT FROM $2
             AND kind = 'api' AND display_name = $3 AND deleted_at IS NULL)",
        account as AccountId,
        environment as Option<EnvironmentId>,
        display_name
    )
    .fetch_one(db)
    .await?;
    Ok(found.unwrap_or_default())
}

/// Revokes an API key of an environment, or without one of the account, and returns its name; `None` when there is no such
/// live key.
pub async fn delete(
    db: impl PgExecutor<'_>,
    account: AccountId,
    environment: Option<EnvironmentId>,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "UPDATE api_keys SET deleted_at = $4
         WHERE account_id = $1 AND environment_id IS NOT DISTINCT FROM $2 AND id = $3
           AND kind = 'api' AND deleted_at IS NULL RETURNING display_name",
        account as AccountId,
        environment as Option<EnvironmentId>,
        id as ApiKeyId,
        now
    )
    .fetch_optional(db)
    .await
}

/// A live API key as lists show it; never its secret.
#[derive(Debug, Clone)]
pub struct ListedKey {
    pub id: ApiKeyId,
    pub display_name: String,
    pub scopes: Vec<String>,
    pub lookup_hash: Vec<u8>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    /// A replaced key works until then.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The live API keys of an environment, or without one of the account, oldest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    environment: Option<EnvironmentId>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ListedKey>> {
    sqlx::query_as!(
        ListedKey,
        r#"SELECT id AS "id: ApiKeyId", display_name, scopes, lookup_hash, last_used_at, created_at, expires_at
           FROM api_keys
           WHERE account_id = $1 AND environment_id IS NOT DISTINCT FROM $2 AND kind = 'api' AND deleted_at IS NULL
               AND (expires_at IS NULL OR expires_at > $3)
           ORDER BY id"#,
        account as AccountId,
        environment as Option<EnvironmentId>,
        now
    )
    .fetch_all(db)
    .await
}

/// Lets a live API key work until `expires_at` only, and makes its name free for its successor.
pub async fn replace(
    db: impl PgExecutor<'_>,
    account: AccountId,
    id: ApiKeyId,
    display_name: &str,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE api_keys SET display_name = $3, expires_at = $4
         WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL",
        account as AccountId,
        id as ApiKeyId,
        display_name,
        expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a key was before a change.
pub struct OldKey {
    pub display_name: String,
    pub scopes: Vec<String>,
}

/// Gives a live API key other scopes, and returns the old ones.
pub async fn update_scopes(
    db: impl PgExecutor<'_>,
    account: AccountId,
    id: ApiKeyId,
    scopes: &[String],
) -> sqlx::Result<Option<OldKey>> {
    sqlx::query_as!(
        OldKey,
        "UPDATE api_keys k SET scopes = $3
         FROM (SELECT id, scopes FROM api_keys WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE) old
         WHERE k.id = old.id RETURNING k.display_name, old.scopes",
        account as AccountId,
        id as ApiKeyId,
        scopes
    )
    .fetch_optional(db)
    .await
}

/// Gives a live API key another secret, and returns its name.
pub async fn update_secret(
    db: impl PgExecutor<'_>,
    account: AccountId,
    id: ApiKeyId,
    sealed_secret: &[u8],
    lookup_hash: &[u8],
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "UPDATE api_keys SET secret = $3, lookup_hash = $4 WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL
         RETURNING display_name",
        account as AccountId,
        id as ApiKeyId,
        sealed_secret,
        lookup_hash
    )
    .fetch_optional(db)
    .await
}

/// The live webhook signing keys of an environment; there should be exactly one.
pub async fn list_signing_keys(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
) -> sqlx::Result<Vec<ApiKeyId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: ApiKeyId" FROM api_keys
           WHERE environment_id = $1 AND kind = 'webhook_signing' AND deleted_at IS NULL"#,
        environment as EnvironmentId
    )
    .fetch_all(db)
    .await
}

/// Takes a signing key out of use, except for a second signature until `until`.
pub async fn retire(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ApiKeyId,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE api_keys SET deleted_at = $4, retired_until = $3
         WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        id as ApiKeyId,
        until,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The sealed signing key that the current one replaced, while it still signs.
pub async fn find_retired_secret(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT secret FROM api_keys
         WHERE environment_id = $1 AND kind = 'webhook_signing' AND retired_until > $2 ORDER BY id DESC LIMIT 1",
        environment as EnvironmentId,
        now
    )
    .fetch_optional(db)
    .await
}

/// Notes the use of keys, for the list of keys.
pub async fn touch(db: impl PgExecutor<'_>, ids: &[i64], now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE api_keys SET last_used_at = $2 WHERE id = ANY($1)", ids, now).execute(db).await?;
    Ok(())
}

/// The sealed secret of the oldest live key of a kind in an environment.
pub async fn find_secret(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    kind: KeyKind,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT secret FROM api_keys
         WHERE environment_id = $1 AND kind = $2 AND deleted_at IS NULL ORDER BY id LIMIT 1",
        environment as EnvironmentId,
        kind.as_str()
    )
    .fetch_optional(db)
    .await
}
