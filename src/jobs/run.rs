//! One run of a job that only one replica does at a time: its lease, and how it went, for people to read.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::time::Instant;

use super::{cleanup, count_connections, refresh_idle};
use crate::app::App;
use crate::db::job_leases;
use crate::db::job_runs::{self, JobRun, NewRun};
use crate::logs;
use crate::metrics::JobResult;

/// Longer than the usual interval, so that the replica that ran a job last does so again while it lives.
const LEASE: TimeDelta = TimeDelta::minutes(15);

/// A run under way.
pub struct Run {
    name: &'static str,
    started_at: DateTime<Utc>,
    timer: Instant,
}

impl Run {
    /// Starts a run; `None` when another replica has the lease.
    pub async fn start(app: &App, name: &'static str) -> sqlx::Result<Option<Run>> {
        let now = app.clock.now();
        let is_ours = job_leases::take(&app.db, name, app.replica, now + LEASE, now).await?;
        Ok(is_ours.then(|| Run { name, started_at: now, timer: Instant::now() }))
    }

    /// Stores how the run went: what it did in numbers, or why it failed.
    ///
    /// # Errors
    /// The job's own, or that of storing.
    pub async fn finish(self, app: &App, result: sqlx::Result<Value>) -> sqlx::Result<()> {
        let took = self.timer.elapsed();
        let now = app.clock.now();
        let outcome = if result.is_ok() { JobResult::Success } else { JobResult::Failure };
        app.metrics.note_job(self.name, outcome, took, now);
        let error = result.as_ref().err().map(ToString::to_string);
        let new = NewRun {
            name: self.name,
            replica: app.replica,
            started_at: self.started_at,
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            result: result.as_ref().ok(),
            error: error.as_deref(),
            last_success_at: result.is_ok().then_some(now),
        };
        let stored = job_runs::upsert(&app.db, new).await;
        result?;
        stored
    }
}

/// A job and how it went the last time, on whichever replica.
pub struct JobStatus {
    pub name: &'static str,
    /// Zero: switched off.
    pub every: Duration,
    /// When the run started that has not ended yet.
    pub running_since: Option<DateTime<Utc>>,
    pub last: Option<JobRun>,
}

/// Every job that one replica does for all, in the order of the documentation.
pub async fn list_jobs(app: &App) -> sqlx::Result<Vec<JobStatus>> {
    let config = &app.config.jobs;
    let jobs = [
        (cleanup::NAME, config.cleanup_every),
        (logs::TIME_OUTS, config.timeout_operations_every),
        (refresh_idle::NAME, config.refresh_every),
        (logs::PARTITIONS, super::PARTITIONS_EVERY),
        (count_connections::NAME, super::COUNT_EVERY),
    ];
    let mut runs = job_runs::list(&app.db).await?;
    let leases = job_leases::list(&app.db, app.clock.now()).await?;
    let status = |(name, every)| {
        let last = runs.iter().position(|run| run.name == name).map(|at| runs.swap_remove(at));
        let leased = leases.iter().find(|lease| lease.name == name).map(|lease| lease.last_started_at);
        let ended = last.as_ref().map(|run| run.started_at);
        let running_since = leased.filter(|started_at| ended.is_none_or(|ended| ended < *started_at));
        JobStatus { name, every, running_since, last }
    };
    Ok(jobs.map(status).into())
}
