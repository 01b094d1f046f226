//! Deletes what nobody needs any more (`spec` logs-and-observability, section 8): sessions that ended, and what was deleted
//! so long ago that nobody will want it back.

use std::future::Future;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::heartbeat::REMEMBERED;
use super::run::Run;
use crate::app::App;
use crate::db::{
    audit_events, changes, connect_sessions, connections, environments, integrations, member_links,
    member_sessions, oauth_sessions, replicas, seen_webhooks,
};
use crate::webhooks::outgoing;

pub const NAME: &str = "delete old data";
const FEED_KEPT: TimeDelta = TimeDelta::minutes(10);
/// Statements that one step may take in one run, each of a thousand rows at most: the next run does the rest.
const MAX_BATCHES: usize = 100;

/// Removes rows that nobody needs any more; one replica at a time.
///
/// # Errors
/// That of the first step that failed. The other steps were tried all the same.
pub async fn clean_up(app: &App) -> sqlx::Result<()> {
    let Some(run) = Run::start(app, NAME).await? else { return Ok(()) };
    let result = delete_old(app).await;
    run.finish(app, result).await
}

/// The steps, in an order in which no row goes before those that refer to it.
async fn delete_old(app: &App) -> sqlx::Result<Value> {
    let (db, jobs, now) = (&app.db, &app.config.jobs, app.clock.now());
    let before = |days: i32| -> DateTime<Utc> {
        TimeDelta::try_days(days.into())
            .and_then(|age| now.checked_sub_signed(age))
            .unwrap_or(DateTime::<Utc>::MIN_UTC)
    };
    let mut removed = Removed::default();
    let old = before(jobs.keep_oauth_sessions_days);
    removed.step("oauth_sessions", || oauth_sessions::purge(db, old)).await;
    let old = before(jobs.keep_connect_sessions_days);
    removed.step("connect_sessions", || connect_sessions::purge(db, old)).await;
    let old = before(jobs.keep_deleted_connections_days);
    removed.step("connections", || connections::purge(db, old)).await;
    let old = before(jobs.keep_deleted_integrations_days);
    removed.step("integrations", || integrations::purge(db, old)).await;
    let old = before(jobs.keep_deleted_environments_days);
    removed.step("environments", || environments::purge(db, old)).await;
    if let Some(kept) = app.config.audit.kept {
        removed.step("audit_events", || audit_events::purge(db, now - kept)).await;
    }
    removed.step("seen_webhooks", || seen_webhooks::purge(db, now)).await;
    removed.step("member_sessions", || member_sessions::delete_expired(db, now)).await;
    removed.step("member_links", || member_links::delete_expired(db, now)).await;
    removed.step("webhook_deliveries", || outgoing::clean_up(app)).await;
    removed.step("replicas", || replicas::purge(db, now - REMEMBERED)).await;
    removed.step("changes", || changes::purge(db, now - FEED_KEPT)).await;
    removed.into_result()
}

/// How many rows went, by table.
#[derive(Default)]
struct Removed {
    counts: Map<String, Value>,
    failure: Option<sqlx::Error>,
}

impl Removed {
    /// Repeats a statement until it finds nothing more to remove.
    async fn step<F>(&mut self, name: &str, purge: impl Fn() -> F)
    where
        F: Future<Output = sqlx::Result<u64>>,
    {
        let mut total = 0;
        for _ in 0..MAX_BATCHES {
            match purge().await {
                Ok(0) => break,
                Ok(removed) => total += removed,
                Err(error) => {
                    tracing::warn!(step = name, error = %error, "old data could not be deleted");
                    self.failure.get_or_insert(error);
                    break;
                }
            }
        }
        self.counts.insert(name.to_owned(), total.into());
    }

    fn into_result(self) -> sqlx::Result<Value> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(Value::Object(self.counts)),
        }
    }
}
