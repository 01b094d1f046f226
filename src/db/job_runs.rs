//! How each background job went the last time.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A run that ended; one of `result` and `error` is there.
pub struct NewRun<'a> {
    pub name: &'a str,
    pub replica: Uuid,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i64,
    pub result: Option<&'a Value>,
    pub error: Option<&'a str>,
    pub last_success_at: Option<DateTime<Utc>>,
}

/// The last run of a job.
#[derive(Debug, Clone)]
pub struct JobRun {
    pub name: String,
    pub replica: Uuid,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i64,
    pub result: Option<Value>,
    pub error: Option<String>,
    pub last_success_at: Option<DateTime<Utc>>,
    /// Runs so far, and how many of them failed.
    pub runs: i64,
    pub failures: i64,
}

/// Replaces what is known of the job's last run.
pub async fn upsert(db: impl PgExecutor<'_>, new: NewRun<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO job_runs AS r (name, replica, started_at, duration_ms, result, error, last_success_at, failures)
         VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $7::timestamptz IS NULL THEN 1 ELSE 0 END)
         ON CONFLICT (name) DO UPDATE SET replica = EXCLUDED.replica, started_at = EXCLUDED.started_at,
             duration_ms = EXCLUDED.duration_ms, result = EXCLUDED.result, error = EXCLUDED.error,
             last_success_at = COALESCE(EXCLUDED.last_success_at, r.last_success_at), runs = r.runs + 1,
             failures = r.failures + EXCLUDED.failures",
        new.name,
        new.replica,
        new.started_at,
        new.duration_ms,
        new.result,
        new.error,
        new.last_success_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The last run of every job that ever ran.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<JobRun>> {
    sqlx::query_as!(
        JobRun,
        "SELECT name, replica, started_at, duration_ms, result, error, last_success_at, runs, failures FROM job_runs"
    )
    .fetch_all(db)
    .await
}
