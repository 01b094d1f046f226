//! Connections found by what their config or metadata holds (installations, those that wait for a webhook of their provider,
//! and those that one is about), and what their config gains and loses.

use serde_json::Value;
use sqlx::PgExecutor;

use super::connections::Connection;
use super::{ConnectionRowId, EndUserId, EnvironmentId, IntegrationId};

/// The oldest live connection of an integration whose config has this text (or number) under this name; the one called
/// `preferred` before all others.
pub async fn find_by_value(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
    (name, value): (&str, &str),
    preferred: &str,
) -> sqlx::Result<Option<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections
           WHERE environment_id = $1 AND integration_id = $2 AND deleted_at IS NULL
             AND connection_config ->> $3::text = $4::text
           ORDER BY connection_id <> $5, id LIMIT 1"#,
        environment as EnvironmentId,
        integration as IntegrationId,
        name,
        value,
        preferred
    )
    .fetch_optional(db)
    .await
}

/// Live connections of an environment that wait for a webhook of their provider and whose config has this text under this
/// name, oldest first.
pub async fn list_pending(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    (name, value): (&str, &str),
) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections
           WHERE environment_id = $1 AND deleted_at IS NULL AND connection_config -> 'pending' = 'true'::jsonb
             AND connection_config ->> $2::text = $3::text
           ORDER BY id LIMIT 100"#,
        environment as EnvironmentId,
        name,
        value
    )
    .fetch_all(db)
    .await
}

/// Merges top-level keys into the connection config and removes others, in one statement.
pub async fn change(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
    patch: &Value,
    removed: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET connection_config = (connection_config || $3::jsonb) - $4::text[]
         WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        id as ConnectionRowId,
        patch,
        removed
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Where a connection holds values by which it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Config,
    Metadata,
}

impl Place {
    /// The name under which `connection_values` keeps them.
    fn as_str(self) -> &'static str {
        match self {
            Place::Config => "config",
            Place::Metadata => "metadata",
        }
    }
}

/// Live connections of an integration that hold this value in this place, oldest first: `wanted` are the objects with it, as a
/// text or a number, alone or in a list. Found through `connection_values`.
pub async fn list_by_value(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integration: IntegrationId,
    place: Place,
    (name, value): (&str, &str),
    wanted: &[Value; 4],
) -> sqlx::Result<Vec<Connection>> {
    sqlx::query_as!(
        Connection,
        r#"SELECT id AS "id: ConnectionRowId", environment_id AS "environment_id: EnvironmentId",
               integration_id AS "integration_id: IntegrationId", connection_id, credentials, connection_config, metadata,
               tags, end_user_id AS "end_user_id: EndUserId", webhook_url_override, credentials_expires_at,
               last_fetched_at, last_refresh_success, last_refresh_failure, refresh_attempts, refresh_exhausted,
               refresh_lease_owner, refresh_lease_until, refresh_ended_at, refresh_error, created_at, updated_at
           FROM connections
           WHERE environment_id = $1 AND integration_id = $2 AND deleted_at IS NULL
             AND id IN (SELECT v.connection_id FROM connection_values v
                        WHERE v.integration_id = $2 AND v.hash = hashtextextended($9 || '.' || $3::text || '=' || $4::text, 0))
             AND CASE $9::text WHEN 'config' THEN connection_config ELSE metadata END @> ANY (ARRAY[$5, $6, $7, $8]::jsonb[])
           ORDER BY id"#,
        environment as EnvironmentId,
        integration as IntegrationId,
        name,
        value,
        wanted[0],
        wanted[1],
        wanted[2],
        wanted[3],
        place.as_str()
    )
    .fetch_all(db)
    .await
}
