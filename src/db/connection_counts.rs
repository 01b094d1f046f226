//! How many live connections environments had, counted once an hour.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::EnvironmentId;

/// Rows that one statement of retention deletes.
const PURGE_BATCH: i64 = 1_000;

/// Counts the connections of every environment.
pub async fn insert_all(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "INSERT INTO connection_counts (environment_id, counted_at, live)
         SELECT e.id, $1, COALESCE(c.live, 0) FROM environments e
         LEFT JOIN (SELECT environment_id, count(*) AS live FROM connections
                    WHERE deleted_at IS NULL AND created_at <= $1 GROUP BY 1) c ON c.environment_id = e.id
         WHERE e.deleted_at IS NULL
         ON CONFLICT DO NOTHING",
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}

/// Removes counts from before `before`, a batch at a time.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM connection_counts WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM connection_counts WHERE counted_at < $1 LIMIT $2))",
        before,
        PURGE_BATCH
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}

/// A count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub counted_at: DateTime<Utc>,
    pub live: i64,
}

/// The counts since `from` and the last one before it, the oldest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        "SELECT counted_at, live FROM connection_counts
         WHERE environment_id = $1 AND counted_at >= COALESCE(
             (SELECT max(counted_at) FROM connection_counts WHERE environment_id = $1 AND counted_at < $2), $2)
         ORDER BY counted_at",
        environment as EnvironmentId,
        from
    )
    .fetch_all(db)
    .await
}

/// How many more connections are live than at an earlier time; with no time, how many there are.
pub async fn count_since(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    since: Option<DateTime<Utc>>,
) -> sqlx::Result<i64> {
    let since = since.unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let change = sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM connections WHERE environment_id = $1 AND created_at > $2 AND deleted_at IS NULL)
             - (SELECT count(*) FROM connections WHERE environment_id = $1 AND created_at <= $2 AND deleted_at > $2)
             AS "change!""#,
        environment as EnvironmentId,
        since
    )
    .fetch_one(db)
    .await?;
    Ok(change)
}
