//! The processes that serve this database.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A process, as it told of itself the last time.
#[derive(Debug, Clone)]
pub struct Replica {
    pub id: Uuid,
    pub hostname: String,
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    /// Bytes; none where the system does not tell.
    pub memory: Option<i64>,
    /// Entries of the operation log that wait to be written.
    pub log_queue: i64,
    /// Entries of the operation log that were lost since the start.
    pub log_lost: i64,
}

/// Renews the row of a process.
pub async fn upsert(db: impl PgExecutor<'_>, replica: &Replica) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO replicas (id, hostname, version, started_at, seen_at, memory, log_queue, log_lost)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at, memory = EXCLUDED.memory,
             log_queue = EXCLUDED.log_queue, log_lost = EXCLUDED.log_lost",
        replica.id,
        replica.hostname,
        replica.version,
        replica.started_at,
        replica.seen_at,
        replica.memory,
        replica.log_queue,
        replica.log_lost
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The processes that are known, the oldest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Replica>> {
    sqlx::query_as!(
        Replica,
        "SELECT id, hostname, version, started_at, seen_at, memory, log_queue, log_lost FROM replicas
         ORDER BY started_at, id LIMIT 200"
    )
    .fetch_all(db)
    .await
}

/// Removes a process that ends.
pub async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM replicas WHERE id = $1", id).execute(db).await?;
    Ok(())
}

/// Removes processes that were not seen since `before`.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!("DELETE FROM replicas WHERE seen_at < $1", before).execute(db).await?;
    Ok(result.rows_affected())
}
