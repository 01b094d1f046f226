//! What this process tells the others of itself, so that a page can show them all.

use chrono::TimeDelta;

use crate::app::App;
use crate::db::replicas::{self, Replica};
use crate::metrics::resident_memory;

/// A process that was silent for longer than this is not there any more, or cannot reach the database.
pub const SILENCE: TimeDelta = TimeDelta::seconds(95);
/// How long silent processes are remembered.
pub const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// Renews the row of this process.
pub async fn beat(app: &App) -> sqlx::Result<()> {
    replicas::upsert(&app.db, &this_replica(app)).await
}

/// This process, as it is now.
pub fn this_replica(app: &App) -> Replica {
    let logs = app.logs.stats();
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Replica {
        id: app.replica,
        hostname: hostname(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: app.started_at,
        seen_at: app.clock.now(),
        memory: resident_memory(),
        log_queue: count(logs.queued),
        log_lost: count(logs.unwritable + logs.dropped_other + logs.dropped_failures),
    }
}

/// The name of the machine, or of the container.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
