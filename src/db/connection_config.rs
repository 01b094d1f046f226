//! Connections found by what their config holds: installations, and those that wait for a webhook of their provider.

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
