//! Connections that were deleted with their integration or environment, until their provider was told.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{ConnectionRowId, EnvironmentId, IntegrationId};

/// What is left of a deleted connection for its provider to be told. Deliberately without `Debug`.
pub struct PreDeletionRun {
    pub connection: ConnectionRowId,
    pub environment_id: EnvironmentId,
    /// Sealed JSON.
    pub credentials: Option<Vec<u8>>,
    /// Its secrets are sealed.
    pub connection_config: Value,
    /// Attempts that began, this one included.
    pub attempts: i16,
}

/// Keeps what is needed of the live connections of these integrations; called before they are deleted, in the transaction
/// that deletes them. Gives how many there are.
pub async fn insert_of_integrations(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integrations: &[IntegrationId],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "INSERT INTO pre_deletion_runs (connection_row_id, environment_id, credentials, connection_config, due_at)
         SELECT id, environment_id, credentials, connection_config, $3 FROM connections
         WHERE environment_id = $1 AND integration_id = ANY($2) AND deleted_at IS NULL
         ON CONFLICT DO NOTHING",
        environment as EnvironmentId,
        integrations as &[IntegrationId],
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}

/// Takes runs that are due, of one environment or of all, and puts them off until `until` for everybody else.
pub async fn take_due(
    db: impl PgExecutor<'_>,
    environment: Option<EnvironmentId>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<PreDeletionRun>> {
    sqlx::query_as!(
        PreDeletionRun,
        r#"UPDATE pre_deletion_runs SET due_at = $3, attempts = attempts + 1
           WHERE connection_row_id IN (
               SELECT connection_row_id FROM pre_deletion_runs
               WHERE due_at <= $2 AND ($1::bigint IS NULL OR environment_id = $1)
               ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
           RETURNING connection_row_id AS "connection: ConnectionRowId",
               environment_id AS "environment_id: EnvironmentId", credentials, connection_config, attempts"#,
        environment as Option<EnvironmentId>,
        now,
        until,
        limit
    )
    .fetch_all(db)
    .await
}

/// Replaces the credentials: the provider gave others for them.
pub async fn set_credentials(
    db: impl PgExecutor<'_>,
    connection: ConnectionRowId,
    sealed: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE pre_deletion_runs SET credentials = $2 WHERE connection_row_id = $1",
        connection as ConnectionRowId,
        sealed
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The next attempt is at `due_at`.
pub async fn put_off(
    db: impl PgExecutor<'_>,
    connection: ConnectionRowId,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE pre_deletion_runs SET due_at = $2 WHERE connection_row_id = $1",
        connection as ConnectionRowId,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes what was kept.
pub async fn delete(db: impl PgExecutor<'_>, connection: ConnectionRowId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM pre_deletion_runs WHERE connection_row_id = $1", connection as ConnectionRowId)
        .execute(db)
        .await?;
    Ok(())
}
