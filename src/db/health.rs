//! What the database tells of itself, and how much waits in it. Read by the page about the state of the server.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

use super::{AccountId, ConnectionRowId};

/// More waiting rows than this are not counted.
pub const COUNTED: i64 = 10_000;

/// Asks the database for nothing, to see how long that takes.
pub async fn ping(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(db).await?;
    Ok(())
}

/// What the database is.
#[derive(Debug)]
pub struct DatabaseFacts {
    pub version: String,
    pub now: DateTime<Utc>,
    /// Migrations that were applied.
    pub migrations: i64,
}

pub async fn find_facts(db: impl PgExecutor<'_>) -> sqlx::Result<DatabaseFacts> {
    let (version, now, migrations) = sqlx::query_as(
        "SELECT current_setting('server_version'), clock_timestamp(),
             (SELECT count(*) FROM _sqlx_migrations WHERE success)",
    )
    .fetch_one(db)
    .await?;
    Ok(DatabaseFacts { version, now, migrations })
}

/// Bytes of the database on its disk.
///
/// # Errors
/// Among others: the role may not know.
pub async fn find_size(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(db).await
}

/// How much waits, counted up to [`COUNTED`], and since when the first of it is due.
#[derive(Debug, Default)]
pub struct Waiting {
    pub count: i64,
    pub due_at: Option<DateTime<Utc>>,
}

/// Deliveries of webhooks that wait.
pub async fn find_waiting_webhooks(db: impl PgExecutor<'_>) -> sqlx::Result<Waiting> {
    sqlx::query_as!(
        Waiting,
        r#"SELECT COALESCE(sum(waiting), 0)::bigint AS "count!", min(due_at) AS due_at
           FROM (SELECT waiting, due_at FROM webhook_queues LIMIT $1) AS counted"#,
        COUNTED
    )
    .fetch_one(db)
    .await
}

/// Hooks of connections that wait, or run.
pub async fn find_waiting_hooks(db: impl PgExecutor<'_>) -> sqlx::Result<Waiting> {
    sqlx::query_as!(
        Waiting,
        r#"SELECT count(*) AS "count!", min(due_at) AS due_at
           FROM (SELECT due_at FROM post_connection_runs ORDER BY due_at LIMIT $1) AS counted"#,
        COUNTED
    )
    .fetch_one(db)
    .await
}

/// Addresses to which no webhooks are sent for now, because too many failed.
pub async fn count_paused_addresses(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!("SELECT count(*) FROM webhook_endpoints WHERE paused_until > $1", now)
        .fetch_one(db)
        .await?;
    Ok(count.unwrap_or_default())
}

/// A connection whose last refresh failed.
#[derive(Debug)]
pub struct FailingConnection {
    pub id: ConnectionRowId,
    pub connection_id: String,
    pub integration: String,
    pub environment: String,
    pub failed_at: DateTime<Utc>,
    /// Whether nobody tries any more until somebody asks.
    pub is_given_up: bool,
}

/// Connections of an account whose last refresh failed, the newest failure first.
pub async fn list_failing(
    db: impl PgExecutor<'_>,
    account: AccountId,
    limit: i64,
) -> sqlx::Result<Vec<FailingConnection>> {
    sqlx::query_as!(
        FailingConnection,
        r#"SELECT c.id AS "id: ConnectionRowId", c.connection_id, i.unique_key AS integration, e.name AS environment,
               c.last_refresh_failure AS "failed_at!", c.refresh_exhausted AS is_given_up
           FROM connections c JOIN integrations i ON i.id = c.integration_id JOIN environments e ON e.id = c.environment_id
           WHERE c.deleted_at IS NULL AND c.last_refresh_failure IS NOT NULL AND e.account_id = $1
               AND e.deleted_at IS NULL
           ORDER BY c.last_refresh_failure DESC LIMIT $2"#,
        account as AccountId,
        limit
    )
    .fetch_all(db)
    .await
}

/// Connections of all accounts whose last refresh failed, counted up to [`COUNTED`].
pub async fn count_failing(db: &PgPool) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        "SELECT count(*) FROM (SELECT FROM connections
             WHERE deleted_at IS NULL AND last_refresh_failure IS NOT NULL LIMIT $1) AS counted",
        COUNTED
    )
    .fetch_one(db)
    .await?;
    Ok(count.unwrap_or_default())
}
