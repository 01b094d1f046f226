//! Counts the connections of every environment once an hour, so that a chart of them need not count.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::run::Run;
use crate::app::App;
use crate::db::connection_counts;

pub const NAME: &str = "count connections";
/// As long as what else is counted.
const KEPT: TimeDelta = TimeDelta::days(90);

/// Counts the connections and forgets old counts; one replica at a time.
pub async fn count_connections(app: &App) -> sqlx::Result<()> {
    let Some(run) = Run::start(app, NAME).await? else { return Ok(()) };
    let result = count_and_forget(app).await;
    run.finish(app, result).await
}

/// The job's work: how many environments were counted, and how many counts forgotten.
pub async fn count_and_forget(app: &App) -> sqlx::Result<Value> {
    let now = app.clock.now();
    let environments = connection_counts::insert_all(&app.db, now).await?;
    let mut forgotten = 0;
    loop {
        match connection_counts::purge(&app.db, now - KEPT).await? {
            0 => return Ok(json!({ "environments": environments, "forgotten": forgotten })),
            more => forgotten += more,
        }
    }
}
