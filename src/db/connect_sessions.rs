//! Connect sessions: what a customer's backend allows one end user to connect, for 30 minutes.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{ConnectSessionId, ConnectionRowId, EnvironmentId};

#[derive(Debug, Clone)]
pub struct ConnectSession {
    pub id: ConnectSessionId,
    pub environment_id: EnvironmentId,
    /// `{id, email?, display_name?, tags?}`
    pub end_user: Option<Value>,
    /// `{id, display_name?}`
    pub organization: Option<Value>,
    pub tags: Value,
    pub has_tags: bool,
    pub allowed_integrations: Option<Vec<String>>,
    /// Sealed JSON: integration key -> `{user_scopes?, authorization_params?, connection_config?}`.
    pub integrations_config_defaults: Option<Vec<u8>>,
    pub overrides: Option<Value>,
    pub connection_id: Option<ConnectionRowId>,
    pub webhook_url_override: Option<String>,
    pub operation_id: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Inserts the values of `new`; its id is ignored.
pub async fn insert(
    db: impl PgExecutor<'_>,
    new: &ConnectSession,
    token_hash: &[u8],
) -> sqlx::Result<ConnectSessionId> {
    sqlx::query_scalar!(
        r#"INSERT INTO connect_sessions (environment_id, token_hash, end_user, organization, tags, has_tags,
               allowed_integrations, integrations_config_defaults, overrides, connection_id, webhook_url_override,
               operation_id, created_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
           RETURNING id AS "id: ConnectSessionId""#,
        new.environment_id as EnvironmentId,
        token_hash,
        new.end_user,
        new.organization,
        new.tags,
        new.has_tags,
        new.allowed_integrations.as_deref(),
        new.integrations_config_defaults,
        new.overrides,
        new.connection_id as Option<ConnectionRowId>,
        new.webhook_url_override,
        new.operation_id,
        new.created_at,
        new.expires_at
    )
    .fetch_one(db)
    .await
}

/// The session with one of these token hashes, unless it has expired.
pub async fn find_by_hash(
    db: impl PgExecutor<'_>,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<ConnectSession>> {
    sqlx::query_as!(
        ConnectSession,
        r#"SELECT id AS "id: ConnectSessionId", environment_id AS "environment_id: EnvironmentId", end_user, organization,
               tags, has_tags, allowed_integrations, integrations_config_defaults, overrides,
               connection_id AS "connection_id: ConnectionRowId", webhook_url_override, operation_id, created_at, expires_at
           FROM connect_sessions WHERE token_hash = ANY($1) AND expires_at > $2"#,
        hashes,
        now
    )
    .fetch_optional(db)
    .await
}

/// Whether a token that finds no session had one, until it expired.
pub async fn is_expired(db: impl PgExecutor<'_>, hashes: &[Vec<u8>]) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM connect_sessions WHERE token_hash = ANY($1)) AS "exists!""#,
        hashes
    )
    .fetch_one(db)
    .await
}

/// A session by id, expired or not: a login may outlive its token.
pub async fn find(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectSessionId,
) -> sqlx::Result<Option<ConnectSession>> {
    sqlx::query_as!(
        ConnectSession,
        r#"SELECT id AS "id: ConnectSessionId", environment_id AS "environment_id: EnvironmentId", end_user, organization,
               tags, has_tags, allowed_integrations, integrations_config_defaults, overrides,
               connection_id AS "connection_id: ConnectionRowId", webhook_url_override, operation_id, created_at, expires_at
           FROM connect_sessions WHERE environment_id = $1 AND id = $2"#,
        environment as EnvironmentId,
        id as ConnectSessionId
    )
    .fetch_optional(db)
    .await
}

pub async fn delete(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectSessionId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM connect_sessions WHERE environment_id = $1 AND id = $2",
        environment as EnvironmentId,
        id as ConnectSessionId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes sessions that expired before `before`.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM connect_sessions WHERE id IN (SELECT id FROM connect_sessions WHERE expires_at < $1 LIMIT 1000)",
        before
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}
