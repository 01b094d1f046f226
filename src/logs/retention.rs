//! Days come and go: partitions are made ahead, dropped when their time is over or space is short, and operations that nobody
//! ended are ended. One replica at a time does it.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use serde_json::json;
use sqlx::PgPool;

use super::{Kind, LogError, NewOperation, Settings, State};
use crate::app::App;
use crate::db::log_hours;
use crate::db::log_operations::{self, Abandoned};
use crate::db::log_partitions::{self, LogTable, Partition};
use crate::jobs::Run;

/// The names of the jobs.
pub const PARTITIONS: &str = "log partitions";
pub const TIME_OUTS: &str = "operation time-outs";
/// Counts are small, and worth more than what they count.
const COUNTS_KEPT: TimeDelta = TimeDelta::days(90);
/// Abandoned operations that are ended in one step.
const PAGE: i64 = 500;

/// Makes partitions ahead and drops those that are over; one replica at a time.
pub async fn keep_partitions(app: &App) -> sqlx::Result<()> {
    let Some(run) = Run::start(app, PARTITIONS).await? else { return Ok(()) };
    let result = if app.logs.is_stored() { roll_partitions(app).await } else { Ok(()) };
    run.finish(app, result.map(|()| json!({}))).await
}

/// Makes the partitions of today and tomorrow, drops those of days that are over, and forgets old counts.
pub async fn roll_partitions(app: &App) -> sqlx::Result<()> {
    let now = app.clock.now();
    let today = now.date_naive();
    let database = app.logs.database(&app.db);
    for table in LogTable::ALL {
        for day in [Some(today), today.checked_add_days(Days::new(1))].into_iter().flatten() {
            log_partitions::ensure(database, table, day).await?;
        }
    }
    let counts_end = now - app.config.logs.retention.max(COUNTS_KEPT);
    while log_hours::purge(database, counts_end).await? > 0 {}
    drop_old(database, &app.config.logs, now).await?;
    if !std::ptr::eq(database, &app.db) {
        // What was logged before the logs had a database of their own.
        drop_old(&app.db, &app.config.logs, now).await?;
    }
    Ok(())
}

async fn drop_old(database: &PgPool, settings: &Settings, now: DateTime<Utc>) -> sqlx::Result<()> {
    let partitions = log_partitions::list(database).await?;
    for partition in superfluous(&partitions, settings, now) {
        log_partitions::drop_day(database, partition.table, partition.day).await?;
        tracing::info!(table = ?partition.table, day = %partition.day, "a day of operation logs was dropped");
    }
    Ok(())
}

/// The partitions to drop: those whose days are over, then the oldest ones until the rest fits. Successful proxied calls go
/// first; today's stay.
fn superfluous(partitions: &[Partition], settings: &Settings, now: DateTime<Utc>) -> Vec<Partition> {
    let is_over = |partition: &Partition| {
        let kept = match partition.table {
            LogTable::Bulk => settings.proxy_success_retention,
            LogTable::Operations | LogTable::Messages => settings.retention,
        };
        ends(partition.day).is_some_and(|end| end <= now - kept)
    };
    let (mut dropped, kept): (Vec<Partition>, Vec<Partition>) =
        partitions.iter().copied().partition(|partition| is_over(partition));
    let mut size: u64 = kept.iter().map(bytes).sum();
    let mut candidates: Vec<Partition> =
        kept.into_iter().filter(|partition| partition.day < now.date_naive()).collect();
    candidates.sort_by_key(|partition| (partition.table != LogTable::Bulk, partition.day));
    for partition in candidates {
        if size <= settings.max_size {
            break;
        }
        size -= bytes(&partition);
        dropped.push(partition);
    }
    if size > settings.max_size {
        tracing::warn!(
            size,
            max = settings.max_size,
            "today's operation logs alone are larger than HITCHPOST_LOGS_MAX_SIZE"
        );
    }
    dropped
}

fn bytes(partition: &Partition) -> u64 {
    u64::try_from(partition.size).unwrap_or(0)
}

fn ends(day: NaiveDate) -> Option<DateTime<Utc>> {
    Some(day.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?.and_utc())
}

/// Ends operations that nobody ended; one replica at a time.
pub async fn time_out_abandoned(app: &App) -> sqlx::Result<()> {
    let Some(run) = Run::start(app, TIME_OUTS).await? else { return Ok(()) };
    let result = if app.logs.is_stored() { end_abandoned(app).await } else { Ok(()) };
    run.finish(app, result.map(|()| json!({}))).await
}

/// Ends operations whose time is over: sign-ins count as cancelled, everything else as timed out.
pub async fn end_abandoned(app: &App) -> sqlx::Result<()> {
    loop {
        let page = log_operations::list_abandoned(app.logs.database(&app.db), app.clock.now(), PAGE).await?;
        let is_last = i64::try_from(page.len()).unwrap_or(PAGE) < PAGE;
        page.iter().for_each(|row| end(app, row));
        app.logs.flush(&app.db).await;
        // What could not be ended, because a newer version made it or the database is away, is still there the next time.
        if is_last || page.iter().any(|row| Kind::parse(&row.kind).is_none()) || app.logs.stats().queued > 0 {
            return Ok(());
        }
    }
}

fn end(app: &App, row: &Abandoned) {
    let (Some(kind), Some(environment)) = (Kind::parse(&row.kind), row.environment_id) else { return };
    let operation = app.logs.resume(&row.id, NewOperation::new(kind, environment));
    let is_sign_in = kind == Kind::AuthCreateConnection;
    let (state, message) = if is_sign_in {
        (State::Cancelled, "Nobody finished this sign-in.")
    } else {
        (State::Timeout, "It did not end in time; the process that did it may have been stopped.")
    };
    operation.expire(state, &LogError::new(state.as_str(), message));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(table: LogTable, day: u32, size: i64) -> Partition {
        Partition { table, day: NaiveDate::from_ymd_opt(2026, 8, day).unwrap(), size }
    }

    fn dropped(partitions: &[Partition], max_size: u64) -> Vec<(LogTable, u32)> {
        use chrono::Datelike;
        let settings = Settings {
            enabled: true,
            retention: TimeDelta::days(2),
            proxy_success_pct: 100,
            proxy_success_retention: TimeDelta::days(1),
            max_size,
        };
        let now = NaiveDate::from_ymd_opt(2026, 8, 10).unwrap().and_hms_opt(1, 0, 0).unwrap().and_utc();
        superfluous(partitions, &settings, now)
            .into_iter()
            .map(|partition| (partition.table, partition.day.day()))
            .collect()
    }

    #[test]
    fn days_that_are_over_go_and_then_the_oldest() {
        let partitions = [
            partition(LogTable::Operations, 7, 10),
            partition(LogTable::Bulk, 8, 10),
            partition(LogTable::Operations, 8, 10),
            partition(LogTable::Messages, 8, 10),
            partition(LogTable::Bulk, 9, 10),
            partition(LogTable::Operations, 10, 10),
            partition(LogTable::Bulk, 10, 10),
        ];
        let over = vec![(LogTable::Operations, 7), (LogTable::Bulk, 8)];
        assert_eq!(dropped(&partitions, 100), over);
        let more = |tables: &[(LogTable, u32)]| [over.clone(), tables.to_vec()].concat();
        assert_eq!(dropped(&partitions, 49), more(&[(LogTable::Bulk, 9)]));
        assert_eq!(
            dropped(&partitions, 5),
            more(&[(LogTable::Bulk, 9), (LogTable::Operations, 8), (LogTable::Messages, 8)])
        );
    }
}
