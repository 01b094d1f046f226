//! Counts the connections of every environment once an hour, so that a chart of them need not count.

use serde_json::json;

use super::run::Run;
use crate::app::App;
use crate::db::connection_counts;

pub const NAME: &str = "count connections";

/// Counts the connections; one replica at a time.
pub async fn count_connections(app: &App) -> sqlx::Result<()> {
    let Some(run) = Run::start(app, NAME).await? else { return Ok(()) };
    let counted = connection_counts::insert_all(&app.db, app.clock.now()).await;
    run.finish(app, counted.map(|environments| json!({ "environments": environments }))).await
}
