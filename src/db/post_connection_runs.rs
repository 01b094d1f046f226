//! Hooks of connections that were just made or authorized again, until they have ended.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{ConnectionRowId, EnvironmentId};

/// The hooks of one connection, waiting or running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostConnectionRun {
    pub connection: ConnectionRowId,
    pub environment_id: EnvironmentId,
    pub run_id: Uuid,
    /// Names of the connection config that the connect session decided.
    pub decided: Vec<String>,
    /// Attempts that failed.
    pub attempts: i16,
}

/// Inserts a run, or replaces the one of an earlier authorization.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run: &PostConnectionRun,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO post_connection_runs (connection_row_id, environment_id, run_id, decided, attempts, due_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (connection_row_id) DO UPDATE SET run_id = EXCLUDED.run_id, decided = EXCLUDED.decided,
             attempts = EXCLUDED.attempts, due_at = EXCLUDED.due_at",
        run.connection as ConnectionRowId,
        run.environment_id as EnvironmentId,
        run.run_id,
        &run.decided,
        run.attempts,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes runs that are due, and puts them off until `until` for everybody else.
pub async fn take_due(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> sqlx::Result<Vec<PostConnectionRun>> {
    sqlx::query_as!(
        PostConnectionRun,
        r#"UPDATE post_connection_runs SET due_at = $2
           WHERE connection_row_id IN (
               SELECT connection_row_id FROM post_connection_runs WHERE due_at <= $1
               ORDER BY due_at LIMIT 50 FOR UPDATE SKIP LOCKED)
           RETURNING connection_row_id AS "connection: ConnectionRowId",
               environment_id AS "environment_id: EnvironmentId", run_id, decided, attempts"#,
        now,
        until
    )
    .fetch_all(db)
    .await
}

/// Counts a failed attempt; the next one is at `due_at`.
pub async fn put_off(
    db: impl PgExecutor<'_>,
    run: &PostConnectionRun,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE post_connection_runs SET attempts = attempts + 1, due_at = $3
         WHERE connection_row_id = $1 AND run_id = $2",
        run.connection as ConnectionRowId,
        run.run_id,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a run that has ended, unless a later authorization replaced it.
pub async fn delete(db: impl PgExecutor<'_>, run: &PostConnectionRun) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM post_connection_runs WHERE connection_row_id = $1 AND run_id = $2",
        run.connection as ConnectionRowId,
        run.run_id
    )
    .execute(db)
    .await?;
    Ok(())
}
