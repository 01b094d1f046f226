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

/// The live key with one of these hashes (one for each key of the encryption ring).
pub async fn find_by_hash(
    db: impl PgExecutor<'_>,
    kind: KeyKind,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"SELECT id AS "id: ApiKeyId", account_id AS "account_id: AccountId",
                  environment_id AS "environment_id: EnvironmentId", scopes
           FROM api_keys WHERE kind = $1 AND lookup_hash = ANY($2) AND deleted_at IS NULL LIMIT 1"#,
        kind.as_str(),
        hashes
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
