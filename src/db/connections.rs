//! Connections: one end user's credentials for one integration. Lists are in `connection_list`, refresh
//! leases in `refresh_leases`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{ConnectionRowId, EndUserId, EnvironmentId, IntegrationId};

#[derive(Debug, Clone)]
pub struct Connection {
    pub id: ConnectionRowId,
    pub environment_id: EnvironmentId,
    pub integration_id: IntegrationId,
    /// The id that the customer chose or was given.
    pub connection_id: String,
    /// Sealed JSON.
    pub credentials: Option<Vec<u8>>,
    pub connection_config: Value,
    pub metadata: Option<Value>,
    pub tags: Value,
    pub end_user_id: Option<EndUserId>,
    pub webhook_url_override: Option<String>,
    pub credentials_expires_at: Option<DateTime<Utc>>,
    pub last_fetched_at: Option<DateTime<Utc>>,
    pub last_refresh_success: Option<DateTime<Utc>>,
    pub last_refresh_failure: Option<DateTime<Utc>>,
    pub refresh_attempts: Option<i16>,
    pub refresh_exhausted: bool,
    pub refresh_lease_owner: Option<Uuid>,
    pub refresh_lease_until: Option<DateTime<Utc>>,
    pub refresh_ended_at: Option<DateTime<Utc>>,
    pub refresh_error: Option<Value>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// New values of a connection that is created or authorized again.
pub struct Upsert<'a> {
    pub environment_id: EnvironmentId,
    pub integration_id: IntegrationId,
    pub connection_id: &'a str,
    pub sealed_credentials: &'a [u8],
    pub connection_config: &'a Value,
    /// `None` keeps what an existing connection has; null clears it.
    pub metadata: Option<&'a Value>,
    /// `None` keeps what an existing connection has.
    pub tags: Option<&'a Value>,
    /// `None` keeps what an existing connection has; empty text clears it.
    pub webhook_url_override: Option<&'a str>,
    pub credentials_expires_at: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// What an upsert left.
pub struct Upserted {
    pub id: ConnectionRowId,
    pub created: bool,
    pub tags: Value,
    pub webhook_url_override: Option<String>,
}

/// Creates the connection or replaces the credentials of the live one with the same key, whose failures are
/// forgotten and whose running refresh loses its lease.
pub async fn upsert(db: impl PgExecutor<'_>, new: Upsert<'_>) -> sqlx::Result<Upserted> {
    sqlx::query_as!(
        Upserted,
        r#"INSERT INTO connections AS c (environment_id, integration_id, connection_id, credentials, connection_config,
               metadata, tags, webhook_url_override, credentials_expires_at, last_fetched_at, last_refresh_success,
               created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, NULLIF($6, 'null'::jsonb), COALESCE($7, '{}'::jsonb), NULLIF($8, ''), $9, $10, $10, $10, $10)
           ON CONFLICT (environment_id, integration_id, connection_id) WHERE deleted_at IS NULL DO UPDATE SET
               credentials = EXCLUDED.credentials,
               connection_config = EXCLUDED.connection_config,
               metadata = NULLIF(COALESCE($6, c.metadata), 'null'::jsonb),
               tags = COALESCE($7, c.tags),
               webhook_url_override = CASE WHEN $8::text IS NULL THEN c.webhook_url_override ELSE NULLIF($8, '') END,
               credentials_expires_at = EXCLUDED.credentials_expires_at,
               last_refresh_success = EXCLUDED.last_refresh_success,
               last_refresh_failure = NULL, refresh_attempts = NULL, refresh_exhausted = false,
               refresh_lease_owner = NULL, refresh_lease_until = NULL,
               refresh_ended_at = EXCLUDED.updated_at, refresh_error = NULL,
               updated_at = EXCLUDED.updated_at
           RETURNING id AS "id: ConnectionRowId", (xmax = 0) AS "created!", tags, webhook_url_override"#,
        new.environment_id as EnvironmentId,
        new.integration_id as IntegrationId,
        new.connection_id,
        new.sealed_credentials,
        new.connection_config,
        new.metadata,
        new.tags,
        new.webhook_url_override,
        new.credentials_expires_at,
        new.now
    )
    .fetch_one(db)
    .await
}

pub async fn find(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
    connection_id: &str,
) -> sqlx::Result<Option<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections
           WHERE environment_id = $1 AND integration_id = $2 AND connection_id = $3 AND deleted_at IS NULL"#,
        environment as EnvironmentId,
        integration as IntegrationId,
        connection_id
    )
    .fetch_optional(db)
    .await
}

pub async fn find_by_row(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
) -> sqlx::Result<Option<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL"#,
        environment as EnvironmentId,
        id as ConnectionRowId
    )
    .fetch_optional(db)
    .await
}

/// A connection whether it was deleted or not.
pub async fn find_even_deleted(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
) -> sqlx::Result<Option<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections WHERE environment_id = $1 AND id = $2"#,
        environment as EnvironmentId,
        id as ConnectionRowId
    )
    .fetch_optional(db)
    .await
}

/// All live connections of an integration, oldest first.
pub async fn list_of_integration(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections WHERE environment_id = $1 AND integration_id = $2 AND deleted_at IS NULL ORDER BY id"#,
        environment as EnvironmentId,
        integration as IntegrationId
    )
    .fetch_all(db)
    .await
}

/// How many live connections an integration has.
pub async fn count_of_integration(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        "SELECT count(*) FROM connections WHERE environment_id = $1 AND integration_id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        integration as IntegrationId
    )
    .fetch_one(db)
    .await?;
    Ok(count.unwrap_or_default())
}

/// Where the webhooks of a connection go.
pub enum WebhookUrl {
    NoConnection,
    Own(String),
    OfTheEnvironment,
}

/// Where the webhooks of a live connection go, by the names that people know it by.
pub async fn find_webhook_url(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    unique_key: &str,
    connection_id: &str,
) -> sqlx::Result<WebhookUrl> {
    let found = sqlx::query_scalar!(
        "SELECT c.webhook_url_override FROM connections c JOIN integrations i ON i.id = c.integration_id
         WHERE c.environment_id = $1 AND i.unique_key = $2 AND c.connection_id = $3
           AND c.deleted_at IS NULL AND i.deleted_at IS NULL",
        environment as EnvironmentId,
        unique_key,
        connection_id
    )
    .fetch_optional(db)
    .await?;
    Ok(match found {
        None => WebhookUrl::NoConnection,
        Some(Some(url)) if !url.trim().is_empty() => WebhookUrl::Own(url),
        Some(_) => WebhookUrl::OfTheEnvironment,
    })
}

/// Changes tags and webhook override; `None` keeps, an empty override clears. `false`: no such connection.
pub async fn update_tags_and_override(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
    tags: Option<&Value>,
    webhook_url_override: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE connections SET tags = COALESCE($3, tags),
             webhook_url_override = CASE WHEN $4::text IS NULL THEN webhook_url_override ELSE NULLIF($4, '') END,
             updated_at = $5
         WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        id as ConnectionRowId,
        tags,
        webhook_url_override,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Row ids of the live connections with these `connection_id`s.
pub async fn list_rows(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
    connection_ids: &[String],
) -> sqlx::Result<Vec<(ConnectionRowId, String)>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: ConnectionRowId", connection_id FROM connections
           WHERE environment_id = $1 AND integration_id = $2 AND connection_id = ANY($3) AND deleted_at IS NULL"#,
        environment as EnvironmentId,
        integration as IntegrationId,
        connection_ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.connection_id)).collect())
}

/// Replaces the metadata of several connections. `updated_at` is not touched.
pub async fn set_metadata(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    rows: &[ConnectionRowId],
    metadata: &Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET metadata = $3 WHERE environment_id = $1 AND id = ANY($2) AND deleted_at IS NULL",
        environment as EnvironmentId,
        rows as &[ConnectionRowId],
        metadata
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Merges top-level keys into the metadata of several connections, inside the database so that concurrent
/// patches keep each other's keys. `updated_at` is not touched.
pub async fn merge_metadata(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    rows: &[ConnectionRowId],
    patch: &Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET metadata = COALESCE(metadata, '{}'::jsonb) || $3::jsonb
         WHERE environment_id = $1 AND id = ANY($2) AND deleted_at IS NULL",
        environment as EnvironmentId,
        rows as &[ConnectionRowId],
        patch
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Merges top-level keys into the connection config.
pub async fn merge_config(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
    patch: &Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET connection_config = connection_config || $3::jsonb
         WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        id as ConnectionRowId,
        patch
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Soft-deletes a connection; its credentials are erased at once unless an undo window was asked for.
/// `false`: somebody else deleted it first.
pub async fn delete(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
    keep_credentials: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE connections SET deleted_at = $3, credentials = CASE WHEN $4 THEN credentials END,
             connection_config = CASE WHEN $4 THEN connection_config ELSE '{}' END,
             refresh_lease_owner = NULL, refresh_lease_until = NULL
         WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        id as ConnectionRowId,
        now,
        keep_credentials
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Soft-deletes every connection of an integration and returns their row ids.
pub async fn delete_of_integration(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
    keep_credentials: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ConnectionRowId>> {
    sqlx::query_scalar!(
        r#"UPDATE connections SET deleted_at = $3, credentials = CASE WHEN $4 THEN credentials END,
             connection_config = CASE WHEN $4 THEN connection_config ELSE '{}' END,
               refresh_lease_owner = NULL, refresh_lease_until = NULL
           WHERE environment_id = $1 AND integration_id = $2 AND deleted_at IS NULL
           RETURNING id AS "id: ConnectionRowId""#,
        environment as EnvironmentId,
        integration as IntegrationId,
        now,
        keep_credentials
    )
    .fetch_all(db)
    .await
}

/// Soft-deletes every connection of an environment and returns their row ids.
pub async fn delete_of_environment(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    keep_credentials: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ConnectionRowId>> {
    sqlx::query_scalar!(
        r#"UPDATE connections SET deleted_at = $2, credentials = CASE WHEN $3 THEN credentials END,
             connection_config = CASE WHEN $3 THEN connection_config ELSE '{}' END,
               refresh_lease_owner = NULL, refresh_lease_until = NULL
           WHERE environment_id = $1 AND deleted_at IS NULL
           RETURNING id AS "id: ConnectionRowId""#,
        environment as EnvironmentId,
        now,
        keep_credentials
    )
    .fetch_all(db)
    .await
}

/// Notes that credentials were read, for several connections at once; each keeps its latest time.
pub async fn touch_fetched(
    db: impl PgExecutor<'_>,
    rows: &[ConnectionRowId],
    times: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections c SET last_fetched_at = f.at
         FROM unnest($1::bigint[], $2::timestamptz[]) AS f (id, at)
         WHERE c.id = f.id AND (c.last_fetched_at IS NULL OR c.last_fetched_at < f.at)",
        rows as &[ConnectionRowId],
        times
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Connections that nobody read for long or whose credentials end soon, least recently read first.
pub async fn list_idle(
    db: impl PgExecutor<'_>,
    fetched_before: DateTime<Utc>,
    expires_before: DateTime<Utc>,
    expires_after: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<(EnvironmentId, ConnectionRowId)>> {
    let rows = sqlx::query!(
        r#"SELECT environment_id AS "environment_id: EnvironmentId", id AS "id: ConnectionRowId" FROM connections
           WHERE id IN (
                 (SELECT id FROM connections
                  WHERE deleted_at IS NULL AND NOT refresh_exhausted AND (last_fetched_at IS NULL OR last_fetched_at < $1)
                  ORDER BY last_fetched_at NULLS FIRST LIMIT $4)
                 UNION
                 (SELECT id FROM connections
                  WHERE deleted_at IS NULL AND NOT refresh_exhausted
                    AND credentials_expires_at < $2 AND credentials_expires_at > $3
                  ORDER BY credentials_expires_at LIMIT $4))
           ORDER BY last_fetched_at NULLS FIRST LIMIT $4"#,
        fetched_before,
        expires_before,
        expires_after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.environment_id, row.id)).collect())
}

/// Removes connections that were deleted before `before`, with their end users.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let removed = sqlx::query_scalar!(
        "WITH gone AS (
             DELETE FROM connections WHERE id IN (
                 SELECT c.id FROM connections c
                 WHERE c.deleted_at < $1
                   AND NOT EXISTS (SELECT 1 FROM connect_sessions s WHERE s.connection_id = c.id)
                 LIMIT 1000)
             RETURNING id, end_user_id),
         users AS (
             DELETE FROM end_users WHERE id IN (SELECT end_user_id FROM gone)
               AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.end_user_id = end_users.id
                                 AND c.id NOT IN (SELECT id FROM gone)))
         SELECT count(*) FROM gone",
        before
    )
    .fetch_one(db)
    .await?;
    Ok(removed.unwrap_or_default().unsigned_abs())
}

/// Live connections of all environments.
pub async fn count_all(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!("SELECT count(*) FROM connections WHERE deleted_at IS NULL")
        .fetch_one(db)
        .await?;
    Ok(count.unwrap_or_default())
}
