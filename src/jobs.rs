//! Background work: writing what the hot path only noted, reading the change feed, waking sockets whose sign-in
//! ended on another replica, sending webhooks, keeping idle refresh tokens alive, hooks of new and of deleted
//! connections, and removing old rows.

mod cleanup;
mod count_connections;
mod heartbeat;
mod refresh_idle;
mod run;

use std::future::Future;
use std::time::Duration;

use chrono::TimeDelta;

use crate::app::{App, SharedApp};
use crate::custom_providers;
use crate::db::changes::{self, Change, ChangeKind};
use crate::db::{ConnectionRowId, IntegrationId, api_keys, connections, oauth_sessions, replicas};
use crate::fanout::Wake;
use crate::hooks::{follow_hooks, follow_partings};
use crate::logs;
use crate::shipping;
use crate::start::watch_catalog;
use crate::webhooks::outgoing;

const FLUSH_EVERY: Duration = Duration::from_secs(2);
const FEED_EVERY: Duration = Duration::from_secs(2);
/// Each read of the feed overlaps the last one, because transactions commit out of order.
const FEED_OVERLAP: TimeDelta = TimeDelta::seconds(20);
const SOCKETS_EVERY: Duration = Duration::from_secs(1);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);
const COUNT_EVERY: Duration = Duration::from_secs(3600);
const PROVIDERS_EVERY: Duration = Duration::from_secs(60);
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);

pub use cleanup::clean_up;
pub use count_connections::{count_and_forget, count_connections};
pub use heartbeat::{REMEMBERED, SILENCE, beat, this_replica};
pub use refresh_idle::{refresh_connections, refresh_idle};
pub use run::{JobStatus, Run, list_jobs};

/// Starts every job; they end when the application stops.
pub fn spawn(app: &SharedApp) {
    every(app, FLUSH_EVERY, |app| async move { flush(&app).await });
    every(app, app.config.jobs.cleanup_every, |app| async move { report("cleanup", clean_up(&app).await) });
    every(
        app,
        app.config.jobs.refresh_every,
        |app| async move { report("refresh", refresh_idle(&app).await) },
    );
    every(app, app.config.jobs.timeout_operations_every, |app| async move {
        report("operation time-outs", logs::time_out_abandoned(&app).await);
    });
    every(app, PARTITIONS_EVERY, |app| async move {
        report("log partitions", logs::keep_partitions(&app).await);
    });
    every(app, COUNT_EVERY, |app| async move { report("connection counts", count_connections(&app).await) });
    app.lifecycle.tasks.spawn(keep_beating(app.clone()));
    // The feed has told of every change, unless it could not be read for long.
    every(app, PROVIDERS_EVERY, |app| async move {
        report("providers of this server", custom_providers::reload(&app).await);
    });
    app.lifecycle.tasks.spawn(logs::write_continuously(app.clone()));
    shipping::spawn(app);
    app.lifecycle.tasks.spawn(follow_outcomes(app.clone()));
    app.lifecycle.tasks.spawn(follow_feed(app.clone()));
    app.lifecycle.tasks.spawn(app.fanout.clone().listen(app.lifecycle.stopping.clone()));
    app.lifecycle.tasks.spawn(watch_catalog(app.clone()));
    app.lifecycle.tasks.spawn(outgoing::run(app.clone()));
    app.lifecycle.tasks.spawn(follow_hooks(app.clone()));
    app.lifecycle.tasks.spawn(follow_partings(app.clone()));
}

/// Runs `job` again and again; never when the interval is zero.
fn every<F, J>(app: &SharedApp, interval: Duration, job: J)
where
    J: Fn(SharedApp) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    if interval.is_zero() {
        return;
    }
    let app = app.clone();
    app.lifecycle.tasks.clone().spawn(async move {
        loop {
            tokio::select! {
                () = app.lifecycle.stopping.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            job(app.clone()).await;
        }
    });
}

fn report<T>(job: &str, result: sqlx::Result<T>) {
    if let Err(error) = result {
        tracing::warn!(job, error = %error, "a background job failed; it will run again");
    }
}

/// Writes what the hot path noted: used keys and read connections.
pub async fn flush(app: &App) {
    let now = app.clock.now();
    let used = app.keys.drain_used();
    if !used.is_empty() {
        report("last used", api_keys::touch(&app.db, &used, now).await);
    }
    let (connections, times) = app.fetched.drain();
    if !connections.is_empty() {
        report("last fetched", connections::touch_fetched(&app.db, &connections, &times).await);
    }
    app.logs.flush(&app.db).await;
}

/// What is done once, before anybody calls: operations that a stopped process left behind are ended, and connections counted.
pub async fn tidy_logs(app: &App) {
    report("log partitions", logs::keep_partitions(app).await);
    report("operation time-outs", logs::time_out_abandoned(app).await);
    report("connection counts", count_connections(app).await);
}

/// Delivers the outcomes of sign-ins that ended on another replica, or before the socket came.
pub async fn deliver_outcomes(app: &App) -> sqlx::Result<()> {
    let waiting = app.hub.waiting(app.clock.now());
    if waiting.is_empty() {
        return Ok(());
    }
    for (socket, outcome) in oauth_sessions::list_outcomes(&app.db, &waiting).await? {
        app.hub.deliver(&socket, outcome);
    }
    Ok(())
}

/// Tells the others of this process until it stops, and that it is gone.
async fn keep_beating(app: SharedApp) {
    loop {
        report("heartbeat", beat(&app).await);
        tokio::select! {
            () = app.lifecycle.stopping.cancelled() => break,
            () = tokio::time::sleep(HEARTBEAT_EVERY) => {}
        }
    }
    report("heartbeat", replicas::delete(&app.db, app.replica).await);
}

async fn follow_outcomes(app: SharedApp) {
    loop {
        tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            () = app.fanout.called(Wake::Sockets) => {}
            () = tokio::time::sleep(SOCKETS_EVERY) => {}
        }
        report("sockets", deliver_outcomes(&app).await);
    }
}

async fn follow_feed(app: SharedApp) {
    let mut seen = SeenChanges::default();
    loop {
        tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            () = app.fanout.called(Wake::Feed) => {}
            () = tokio::time::sleep(FEED_EVERY) => {}
        }
        match changes::list_since(&app.db, app.clock.now() - FEED_OVERLAP).await {
            Ok(recent) => {
                let news = seen.news(recent);
                if news.iter().any(|change| change.kind == ChangeKind::CustomProvider) {
                    report("providers of this server", custom_providers::reload(&app).await);
                }
                news.into_iter().for_each(|change| forget(&app, change));
            }
            Err(error) => report::<()>("change feed", Err(error)),
        }
    }
}

/// Ids of the changes handled in the last reads.
#[derive(Default)]
struct SeenChanges(Vec<i64>);

impl SeenChanges {
    fn news(&mut self, recent: Vec<Change>) -> Vec<Change> {
        let news = recent.iter().copied().filter(|change| !self.0.contains(&change.id)).collect();
        self.0 = recent.iter().map(|change| change.id).collect();
        news
    }
}

/// Drops what a change made stale.
fn forget(app: &App, change: Change) {
    match change.kind {
        ChangeKind::ApiKey | ChangeKind::Environment => app.keys.forget_environment(change.environment_id),
        ChangeKind::Integration => app.forget_integration(IntegrationId(change.subject_id)),
        ChangeKind::Connection => app.forget_connection(ConnectionRowId(change.subject_id)),
        // Read again, as a whole.
        ChangeKind::CustomProvider => {}
    }
}
