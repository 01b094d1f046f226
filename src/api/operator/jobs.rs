//! `GET /api/v1/jobs`: background jobs, when they ran last, and how it went.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Operator;
use crate::api::extract::{IntoApiError, QueryTree};
use crate::api::input::read_nothing;
use crate::api::scope::AccountEverything;
use crate::app::SharedApp;
use crate::db::job_runs::JobRun;
use crate::error::ApiError;
use crate::jobs::{JobStatus, list_jobs};
use crate::time_format::format_millis_z;

/// The jobs that one replica does for all.
pub async fn get_jobs(
    State(app): State<SharedApp>,
    _operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let data: Vec<Value> = list_jobs(&app).await?.iter().map(show).collect();
    Ok(Json(json!({ "data": data })))
}

fn show(job: &JobStatus) -> Value {
    let minutes = job.every.as_secs() / 60;
    let last = job.last.as_ref();
    json!({
        "name": job.name,
        "every_minutes": Some(minutes).filter(|minutes| *minutes > 0),
        "running_since": job.running_since.map(format_millis_z),
        "last_run": last.map(show_run),
        "last_success_at": last.and_then(|run| run.last_success_at).map(format_millis_z),
        "runs": last.map_or(0, |run| run.runs),
        "failures": last.map_or(0, |run| run.failures),
    })
}

fn show_run(run: &JobRun) -> Value {
    json!({
        "started_at": format_millis_z(run.started_at),
        "duration_ms": run.duration_ms,
        "result": run.result,
        "error": run.error,
        "replica": run.replica,
    })
}
