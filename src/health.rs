//! How the server is: what it stands on, what waits, who runs, and what an operator should look at. Put together when
//! somebody asks; called by the dashboard. Never holds an address with a password, a key, or anything else that is secret.

mod advice;

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

pub use self::advice::{Remark, Weight};
use crate::app::App;
use crate::db::health::{self as rows, FailingConnection, Waiting};
use crate::db::replicas::{self, Replica};
use crate::db::{AccountId, MIGRATOR, encryption_keys, environments, log_hours};
use crate::jobs::{self, JobStatus};
use crate::logs::{Durations, Kind, LogStats, State};

/// How long what is beside the database may take to answer before it counts as gone.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the database is asked for nothing; the fastest answer counts.
const PINGS: usize = 3;
/// Connections with failing refreshes that are named.
const MOST_FAILING: i64 = 10;
/// How far back refreshes are counted.
const REFRESHES_SINCE: TimeDelta = TimeDelta::days(1);

/// Everything that an operator looks at.
pub struct Health {
    pub database: Database,
    /// `None`: no Redis is configured.
    pub redis: Option<Result<Duration, String>>,
    /// `None`: the operation log has no database of its own.
    pub log_database: Option<Result<Duration, String>>,
    pub queues: Queues,
    /// Processes that were seen within a day, this one first.
    pub replicas: Vec<Process>,
    pub jobs: Vec<JobStatus>,
    /// Connections whose last refresh failed, counted up to [`rows::COUNTED`], and the newest of them.
    pub failing: (i64, Vec<FailingConnection>),
    pub refreshes: Refreshes,
    pub keys: Vec<EncryptionKey>,
    /// The most serious first.
    pub remarks: Vec<Remark>,
}

pub struct Database {
    pub is_embedded: bool,
    pub version: String,
    /// Of the fastest of a few empty questions.
    pub latency: Duration,
    /// Bytes; none where the role may not know.
    pub size: Option<i64>,
    /// Applied migrations, and those that this version knows.
    pub migrations: (i64, usize),
    /// Connections of this process: in use, open, at most.
    pub connections: (u32, u32, u32),
    /// How far the database's clock is ahead of this process's.
    pub skew: TimeDelta,
}

/// What waits, and what was lost since this process started.
pub struct Queues {
    pub logs: LogStats,
    pub webhooks: Waiting,
    /// Addresses to which nothing is sent for now.
    pub paused_addresses: i64,
    pub hooks: Waiting,
    /// Log entries that went elsewhere, and those that were lost on the way.
    pub shipped: (u64, u64),
    pub ships: bool,
}

/// Token refreshes of a day, of all environments.
#[derive(Default)]
pub struct Refreshes {
    pub done: i64,
    pub failed: i64,
    pub durations: Durations,
}

/// A process on this database.
pub struct Process {
    pub replica: Replica,
    pub is_this: bool,
    /// Whether it told of itself lately.
    pub is_there: bool,
}

/// A key that values in the database may be sealed with.
pub struct EncryptionKey {
    /// Names the key, and tells nothing of it.
    pub fingerprint: String,
    /// Whether new values are sealed with it.
    pub is_current: bool,
    /// Whether this process has it.
    pub is_here: bool,
}

/// Looks at everything. The failing connections are those of `account`.
///
/// # Errors
/// The database does not answer.
pub async fn look(app: &App, account: AccountId) -> sqlx::Result<Health> {
    let now = app.clock.now();
    let mut health = Health {
        database: look_at_database(app).await?,
        redis: app.fanout.ping(PATIENCE).await,
        log_database: look_at_log_database(app).await,
        queues: look_at_queues(app, now).await?,
        replicas: processes(app, now).await?,
        jobs: jobs::list_jobs(app).await?,
        failing: (
            rows::count_failing(&app.db).await?,
            rows::list_failing(&app.db, account, MOST_FAILING).await?,
        ),
        refreshes: refreshes(app, now).await?,
        keys: keys(app).await?,
        remarks: Vec::new(),
    };
    let has_production = environments::list_of_account(&app.db, account)
        .await?
        .iter()
        .any(|environment| environment.is_production);
    health.remarks = advice::remarks(&app.config, &health, has_production, now);
    Ok(health)
}

async fn look_at_database(app: &App) -> sqlx::Result<Database> {
    let mut latency = Duration::MAX;
    for _ in 0..PINGS {
        let began = Instant::now();
        rows::ping(&app.db).await?;
        latency = latency.min(began.elapsed());
    }
    let facts = rows::find_facts(&app.db).await?;
    let skew = facts.now - app.clock.now();
    let open = app.db.size();
    let idle = u32::try_from(app.db.num_idle()).unwrap_or(open);
    Ok(Database {
        is_embedded: app.config.database.url.is_none(),
        version: facts.version,
        latency,
        size: rows::find_size(&app.db).await.ok(),
        migrations: (facts.migrations, MIGRATOR.iter().count()),
        connections: (open.saturating_sub(idle), open, app.db.options().get_max_connections()),
        skew,
    })
}

async fn look_at_log_database(app: &App) -> Option<Result<Duration, String>> {
    let database = app.logs.database(&app.db);
    if std::ptr::eq(database, &app.db) {
        return None;
    }
    let began = Instant::now();
    Some(match tokio::time::timeout(PATIENCE, rows::ping(database)).await {
        Ok(Ok(())) => Ok(began.elapsed()),
        // An error may name the address, with its password.
        Ok(Err(_)) => Err("it cannot be reached".to_owned()),
        Err(_) => Err(format!("no answer within {} ms", PATIENCE.as_millis())),
    })
}

async fn look_at_queues(app: &App, now: DateTime<Utc>) -> sqlx::Result<Queues> {
    let shipping = &app.config.shipping;
    let counter = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Queues {
        logs: app.logs.stats(),
        webhooks: rows::find_waiting_webhooks(&app.db).await?,
        paused_addresses: rows::count_paused_addresses(&app.db, now).await?,
        hooks: rows::find_waiting_hooks(&app.db).await?,
        shipped: (counter(&app.shipping.shipped), counter(&app.shipping.lost)),
        ships: shipping.elastic.is_some() || shipping.otlp.is_some(),
    })
}

/// The processes of the table, this one as it is now.
async fn processes(app: &App, now: DateTime<Utc>) -> sqlx::Result<Vec<Process>> {
    let others = replicas::list(&app.db).await?;
    let others =
        others.into_iter().filter(|one| one.id != app.replica && now - one.seen_at < jobs::REMEMBERED);
    let this = Process { replica: jobs::this_replica(app), is_this: true, is_there: true };
    let others = others.map(|replica| {
        let is_there = now - replica.seen_at <= jobs::SILENCE;
        Process { replica, is_this: false, is_there }
    });
    Ok(std::iter::once(this).chain(others).collect())
}

async fn refreshes(app: &App, now: DateTime<Utc>) -> sqlx::Result<Refreshes> {
    let mut refreshes = Refreshes::default();
    let kind = Kind::AuthRefreshToken.as_str();
    for count in log_hours::list_of_kind(app.logs.database(&app.db), kind, now - REFRESHES_SINCE).await? {
        match State::parse(&count.state) {
            Some(State::Success) => refreshes.done += count.count,
            Some(State::Failed | State::Timeout) => refreshes.failed += count.count,
            _ => continue,
        }
        refreshes.durations.add(&count.durations);
    }
    Ok(refreshes)
}

async fn keys(app: &App) -> sqlx::Result<Vec<EncryptionKey>> {
    let ring: Vec<&str> = app.cipher.fingerprints().collect();
    let known = encryption_keys::list(&app.db).await?;
    let key = |fingerprint: String| EncryptionKey {
        is_current: ring.first() == Some(&fingerprint.as_str()),
        is_here: ring.contains(&fingerprint.as_str()),
        fingerprint,
    };
    Ok(known.into_iter().map(key).collect())
}
