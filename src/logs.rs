//! Operation logs: what happened (operations), and how (messages), searchable afterwards.
//!
//! Whoever does something that people ask about later starts an [`Operation`] and tells it what happens; proxied calls, which
//! are many, are handed over whole when they end. Both only push into a bounded queue; a task writes batches to PostgreSQL
//! and shows them to subscribers. Logging never fails and never waits. Nothing is queued that was not redacted, or that
//! cannot be redacted by the writer.

mod advice;
mod kind;
mod operation;
mod queue;
mod reading;
mod record;
mod redaction;
mod retention;
mod tally;
mod terms;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::Mutex;

use self::operation::Outlet;
use self::queue::{Queue, Weight};
use self::tally::Unlogged;
use self::writer::Desk;
use crate::app::{App, SharedApp};
use crate::clock::Clock;
use crate::config::OperationLogConfig;
use crate::db::EnvironmentId;
use crate::rng::Rng;

pub use advice::advice;
pub use kind::{Context, Kind, Level, State};
pub use operation::{HttpExchange, NewOperation, Operation, http_message};
pub use queue::Entry;
pub use reading::{
    MessageList, MessageQuery, NameCategory, OperationCursor, OperationPage, OperationQuery, Period,
    TypeFilter, count_by_day, count_names, find_operation, list_failed, list_messages, list_newest,
    list_operations, list_recent_names, show_day,
};
pub use record::{LogError, MessageRecord, OperationRecord, Retry};
pub use redaction::Redactor;
pub use retention::{
    PARTITIONS, TIME_OUTS, end_abandoned, keep_partitions, roll_partitions, time_out_abandoned,
};
pub use tally::{Durations, UnloggedCalls};
pub use terms::{Facet, TermQuery, Terms};
pub use writer::Batch;

/// How long something waits to be written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// What the settings say.
type Settings = OperationLogConfig;

/// Sees every batch after it was stored; it must hand it on at once.
pub type Subscriber = Box<dyn Fn(&Arc<Batch>) + Send + Sync>;

/// The log of this process. Cloning gives another handle of the same.
#[derive(Clone)]
pub struct Logs(Arc<Shared>);

struct Shared {
    settings: Settings,
    clock: Clock,
    rng: Rng,
    queue: Queue,
    counters: Counters,
    subscribers: RwLock<Vec<Subscriber>>,
    has_subscribers: AtomicBool,
    desk: Mutex<Desk>,
    unlogged: Unlogged,
    /// Where operations are stored, when that is not the main database.
    database: OnceLock<PgPool>,
}

#[derive(Default)]
struct Counters {
    operations: AtomicU64,
    messages: AtomicU64,
    batches: AtomicU64,
    write_micros: AtomicU64,
    failed_writes: AtomicU64,
    unwritable: AtomicU64,
    not_sampled: AtomicU64,
}

/// Numbers about the log, since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Entries that wait to be written.
    pub queued: u64,
    /// Operations written; one that was written in steps counts once per step.
    pub operations: u64,
    pub messages: u64,
    pub batches: u64,
    /// All batches together.
    pub write_micros: u64,
    /// Batches that the database did not take at first.
    pub failed_writes: u64,
    /// Entries given up because the database refuses them.
    pub unwritable: u64,
    /// Successful proxied calls left out by `HITCHPOST_LOG_PROXY_SUCCESS_PCT`.
    pub not_sampled: u64,
    /// Dropped because the queue was full.
    pub dropped_debug: u64,
    pub dropped_proxy_success: u64,
    pub dropped_other: u64,
    pub dropped_failures: u64,
}

impl Logs {
    pub fn new(settings: OperationLogConfig, clock: Clock, rng: Rng) -> Self {
        Logs(Arc::new(Shared {
            settings,
            clock,
            rng,
            queue: Queue::default(),
            counters: Counters::default(),
            subscribers: RwLock::default(),
            has_subscribers: AtomicBool::new(false),
            desk: Mutex::default(),
            unlogged: Unlogged::default(),
            database: OnceLock::new(),
        }))
    }

    /// Stores operations there from now on. Only the first call counts, and only before anything is read or written.
    pub fn keep_in(&self, database: PgPool) {
        let _ = self.0.database.set(database);
    }

    /// The database with the operations, given the main one.
    pub fn database<'a>(&'a self, main: &'a PgPool) -> &'a PgPool {
        self.0.database.get().unwrap_or(main)
    }

    /// Starts an operation.
    pub fn start(&self, new: NewOperation) -> Operation {
        let now = self.now();
        Operation::start(self, self.operation_id(now), now, new, Outlet::Queue)
    }

    /// Starts an operation that nobody sees before it is released. Whether it is worth keeping is known later.
    pub fn start_held(&self, new: NewOperation) -> Operation {
        let now = self.now();
        Operation::start(self, self.operation_id(now), now, new, Outlet::Held(Vec::new()))
    }

    /// Starts an operation whose id is known already, because it was stored with something else.
    pub fn start_known(&self, id: &str, new: NewOperation) -> Operation {
        let created_at = operation_time(id).unwrap_or_else(|| self.now());
        Operation::start(self, id.to_owned(), created_at, new, Outlet::Queue)
    }

    /// A handle for an operation that another request or process started; `new` says what was learnt since. An id that is
    /// none starts an operation.
    pub fn resume(&self, id: &str, new: NewOperation) -> Operation {
        match operation_time(id) {
            Some(created_at) => Operation::resume(self, id, created_at, new),
            None => self.start(new),
        }
    }

    /// Milliseconds since the epoch, `_`, eight random characters.
    pub fn operation_id(&self, now: DateTime<Utc>) -> String {
        format!("{}_{}", now.timestamp_millis(), self.0.rng.alphanumeric(8))
    }

    /// Shows every batch to somebody.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.0.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
        self.0.has_subscribers.store(true, Ordering::Relaxed);
    }

    fn show(&self, batch: Arc<Batch>) {
        let subscribers = self.0.subscribers.read().unwrap_or_else(PoisonError::into_inner);
        subscribers.iter().for_each(|subscriber| subscriber(&batch));
    }

    /// Whether anybody keeps what is logged.
    pub fn is_recording(&self) -> bool {
        self.0.settings.enabled || self.0.has_subscribers.load(Ordering::Relaxed)
    }

    /// Whether operations are stored, and can be read.
    pub fn is_stored(&self) -> bool {
        self.0.settings.enabled
    }

    /// Whether this successful proxied call is one of those that are logged; asked before it is put together.
    pub fn wants_proxy_success(&self) -> bool {
        if !self.is_sampled() {
            self.0.counters.not_sampled.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.0.queue.has_room_for_bulk()
    }

    /// Counts successful proxied calls of an environment that [`Logs::wants_proxy_success`] turned away.
    pub fn unlogged_calls(&self, environment: EnvironmentId) -> Arc<UnloggedCalls> {
        self.0.unlogged.of(environment)
    }

    fn is_sampled(&self) -> bool {
        let percentage = u16::from(self.0.settings.proxy_success_pct);
        // A sixty-five thousandth more or less does not matter.
        percentage >= 100 || u16::from_le_bytes(self.0.rng.bytes()) % 100 < percentage
    }

    /// Hands over an operation that has ended, to be put into words by the writer.
    pub fn note_later(&self, weight: LaterWeight, build: impl FnOnce() -> OperationRecord + Send + 'static) {
        let weight = match weight {
            LaterWeight::ProxySuccess => Weight::Bulk,
            LaterWeight::Failure => Weight::Failure,
        };
        self.push(weight, Entry::Later(Box::new(build)));
    }

    fn push(&self, weight: Weight, entry: Entry) {
        self.0.queue.push(weight, entry);
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// A random id.
    pub fn message_id(&self) -> String {
        self.0.rng.alphanumeric(21)
    }

    pub fn stats(&self) -> LogStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (counters, dropped) = (&self.0.counters, &self.0.queue.dropped);
        LogStats {
            queued: self.0.queue.len() as u64,
            operations: get(&counters.operations),
            messages: get(&counters.messages),
            batches: get(&counters.batches),
            write_micros: get(&counters.write_micros),
            failed_writes: get(&counters.failed_writes),
            unwritable: get(&counters.unwritable),
            not_sampled: get(&counters.not_sampled),
            dropped_debug: get(&dropped.debug),
            dropped_proxy_success: get(&dropped.bulk),
            dropped_other: get(&dropped.other),
            dropped_failures: get(&dropped.failures),
        }
    }
}

/// How much an operation that is handed over whole matters when there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaterWeight {
    ProxySuccess,
    Failure,
}

/// When the operation of this id began; `None` when it is no id.
pub fn operation_time(id: &str) -> Option<DateTime<Utc>> {
    let (millis, random) = id.split_once('_')?;
    let is_id = (20..=25).contains(&id.len())
        && millis.bytes().all(|byte| byte.is_ascii_digit())
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_id {
        return None;
    }
    DateTime::from_timestamp_millis(millis.parse().ok()?)
}

/// A new operation id, for what is not logged as an operation itself.
pub fn operation_id(app: &App) -> String {
    app.logs.operation_id(app.clock.now())
}

/// Writes what was logged, twice a second or when there is much, until the application stops.
pub async fn write_continuously(app: SharedApp) {
    loop {
        tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            () = app.logs.0.queue.filled.notified() => {}
            () = tokio::time::sleep(FLUSH_EVERY) => {}
        }
        app.logs.flush(&app.db).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_when_an_operation_began() {
        for (id, expected) in [
            ("1785578400123_a8Kd03Lz", Some(1_785_578_400_123)),
            ("1785578400123a8Kd03Lzxx", None),
            ("178557840012x_a8Kd03Lz", None),
            ("1785578400123_a8Kd03L-", None),
            ("1_a8Kd03Lz", None),
            ("99999999999999999_a8Kd03", None),
        ] {
            assert_eq!(operation_time(id).map(|time| time.timestamp_millis()), expected, "{id}");
        }
    }
}
