//! Leases of background jobs: one replica runs each job at a time.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Takes the job's lease until `until`, if no other replica holds it.
pub async fn take(
    db: impl PgExecutor<'_>,
    name: &str,
    owner: Uuid,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "INSERT INTO job_leases AS j (name, owner, until, last_started_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until,
             last_started_at = EXCLUDED.last_started_at
         WHERE j.until <= $4 OR j.owner = EXCLUDED.owner",
        name,
        owner,
        until,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// A lease that has not run out.
pub struct Lease {
    pub name: String,
    pub last_started_at: DateTime<Utc>,
}

/// The leases that are held now.
pub async fn list(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<Vec<Lease>> {
    sqlx::query_as!(Lease, "SELECT name, last_started_at FROM job_leases WHERE until > $1", now)
        .fetch_all(db)
        .await
}
