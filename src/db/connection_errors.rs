//! Unsolved problems of connections: `errors[]` of the API. One row per connection and type.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::ConnectionRowId;

#[derive(Debug, Clone, Serialize, PartialEq, utoipa::ToSchema)]
pub struct ConnectionError {
    /// `auth` or `sync`.
    pub r#type: String,
    pub log_id: String,
}

/// Records an authentication problem, unless one is recorded already.
pub async fn insert_auth(
    db: impl PgExecutor<'_>,
    connection: ConnectionRowId,
    log_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO connection_errors (connection_id, type, log_id, created_at) VALUES ($1, 'auth', $2, $3)
         ON CONFLICT (connection_id, type) DO NOTHING",
        connection as ConnectionRowId,
        log_id,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The connection's authentication works again.
pub async fn delete_auth(db: impl PgExecutor<'_>, connection: ConnectionRowId) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM connection_errors WHERE connection_id = $1 AND type = 'auth'",
        connection as ConnectionRowId
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn list(
    db: impl PgExecutor<'_>,
    connection: ConnectionRowId,
) -> sqlx::Result<Vec<ConnectionError>> {
    sqlx::query_as!(
        ConnectionError,
        r#"SELECT type AS "type!", log_id FROM connection_errors WHERE connection_id = $1 ORDER BY type"#,
        connection as ConnectionRowId
    )
    .fetch_all(db)
    .await
}
