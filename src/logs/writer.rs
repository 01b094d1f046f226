//! Takes batches from the queue, puts them into words, stores them and hands them to subscribers. One flush runs at a time, so
//! that what comes first is written first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, NaiveDate, Utc};
use indexmap::IndexMap;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::kind::Kind;
use super::queue::Entry;
use super::record::{MessageRecord, OperationRecord};
use super::tally::Tally;
use super::{Logs, Settings};
use crate::db::EnvironmentId;
use crate::db::log_hours;
use crate::db::log_messages::{self, MessageRow};
use crate::db::log_operations::{self, EarlierState, OperationRow, Owner};
use crate::db::log_partitions::{self, LogTable};

/// A batch that the database refuses this often is given up: something in it cannot be stored. While no database answers, a
/// batch waits, and what comes after it in the bounded queue.
const MOST_REFUSALS: u32 = 5;
/// Owners that are remembered; more environments than that are asked for again.
const MOST_OWNERS: usize = 10_000;

/// What was written together.
#[derive(Debug, Default)]
pub struct Batch {
    pub operations: Vec<OperationRecord>,
    pub messages: Vec<MessageRecord>,
}

/// A batch that was not stored.
struct Unwritten {
    batch: Batch,
    /// The database answered, and would not have it; else it did not answer.
    is_refused: bool,
}

/// What the writer remembers between flushes.
#[derive(Default)]
pub struct Desk {
    /// Not stored yet, and how often the database refused it.
    unfinished: Option<(Batch, u32)>,
    owners: HashMap<EnvironmentId, Owner>,
    /// Partitions that are known to exist.
    days: BTreeSet<(LogTable, NaiveDate)>,
    /// Calls that are counted though they are not logged.
    unlogged: Tally,
}

impl Logs {
    /// Writes everything that waits; `db` is the main database. Called twice a second, at the end of the process, and by tests.
    pub async fn flush(&self, db: &PgPool) {
        let mut desk = self.0.desk.lock().await;
        self.0.unlogged.drain_into(&mut desk.unlogged, self.now());
        // What comes meanwhile is the next flush's.
        let mut left = self.0.queue.len();
        loop {
            let (batch, refusals) = match desk.unfinished.take() {
                Some(unfinished) => unfinished,
                None if left == 0 => break,
                None => {
                    let entries = self.0.queue.take();
                    left = left.saturating_sub(entries.len().max(1));
                    (collect(entries), 0)
                }
            };
            if let Err(Unwritten { batch, is_refused }) = self.write(db, &mut desk, batch).await {
                self.put_back(&mut desk, batch, refusals + u32::from(is_refused));
                return;
            }
        }
        self.write_unlogged(db, &mut desk).await;
    }

    /// Stores the counts of calls that are not logged; what the database does not take is kept.
    async fn write_unlogged(&self, db: &PgPool, desk: &mut Desk) {
        if !self.0.settings.enabled {
            desk.unlogged = Tally::default();
        }
        if desk.unlogged.is_empty() {
            return;
        }
        match log_hours::add(self.database(db), &desk.unlogged.rows()).await {
            Ok(()) => desk.unlogged = Tally::default(),
            Err(error) => {
                tracing::warn!(error = %error, "counts of proxied calls could not be stored; they are kept and tried again");
            }
        }
    }

    fn put_back(&self, desk: &mut Desk, batch: Batch, refusals: u32) {
        if refusals < MOST_REFUSALS || !self.0.settings.enabled {
            desk.unfinished = Some((batch, refusals));
            return;
        }
        let lost = batch.operations.len() + batch.messages.len();
        self.0.counters.unwritable.fetch_add(lost as u64, Ordering::Relaxed);
        tracing::error!(entries = lost, "a batch of operation logs cannot be stored; it is given up");
    }

    /// Stores a batch and shows it to the subscribers; gives it back when the database did not take it.
    async fn write(&self, db: &PgPool, desk: &mut Desk, mut batch: Batch) -> Result<(), Unwritten> {
        let began = tokio::time::Instant::now();
        let outcome = async {
            name_owners(db, desk, &mut batch).await?;
            if self.0.settings.enabled {
                store(self.database(db), desk, &batch, &self.0.settings, self.now()).await
            } else {
                Ok(())
            }
        }
        .await;
        if let Err(error) = outcome {
            if log_partitions::lacks_partition(&error) {
                // Somebody dropped it.
                desk.days.clear();
            }
            tracing::warn!(error = %error, "operation logs could not be stored; they are kept and tried again");
            self.0.counters.failed_writes.fetch_add(1, Ordering::Relaxed);
            return Err(Unwritten { batch, is_refused: matches!(error, sqlx::Error::Database(_)) });
        }
        let counters = &self.0.counters;
        counters.operations.fetch_add(batch.operations.len() as u64, Ordering::Relaxed);
        counters.messages.fetch_add(batch.messages.len() as u64, Ordering::Relaxed);
        counters.batches.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.write_micros.fetch_add(micros, Ordering::Relaxed);
        self.show(Arc::new(batch));
        Ok(())
    }
}

/// Puts entries into words; records of one operation become one.
fn collect(entries: Vec<Entry>) -> Batch {
    let mut operations: IndexMap<String, OperationRecord> = IndexMap::new();
    let mut messages = Vec::new();
    for entry in entries {
        let record = match entry {
            Entry::Message(message) => {
                messages.push(*message);
                continue;
            }
            Entry::Operation(record) => *record,
            Entry::Later(build) => build(),
        };
        match operations.get_mut(&record.id) {
            Some(earlier) => earlier.absorb(record),
            None => {
                operations.insert(record.id.clone(), record);
            }
        }
    }
    Batch { operations: operations.into_values().collect(), messages }
}

/// Fills in account and names, which whoever logs need not know.
async fn name_owners(db: &PgPool, desk: &mut Desk, batch: &mut Batch) -> sqlx::Result<()> {
    let environments = batch.operations.iter().filter_map(|operation| operation.environment_id);
    let unknown: BTreeSet<i64> =
        environments.filter(|id| !desk.owners.contains_key(id)).map(|id| id.0).collect();
    if !unknown.is_empty() {
        if desk.owners.len() > MOST_OWNERS {
            desk.owners.clear();
        }
        let unknown: Vec<i64> = unknown.into_iter().collect();
        let found = log_operations::list_owners(db, &unknown).await?;
        desk.owners.extend(found.into_iter().map(|owner| (owner.environment_id, owner)));
    }
    let mut accounts = HashMap::new();
    for operation in &mut batch.operations {
        let Some(owner) = operation.environment_id.and_then(|id| desk.owners.get(&id)) else { continue };
        operation.account_id = Some(owner.account_id);
        operation.data.insert("accountName".to_owned(), owner.account_name.clone().into());
        operation.data.insert("environmentName".to_owned(), owner.environment_name.clone().into());
        accounts.insert(operation.id.clone(), owner.account_id);
        operation.messages.iter_mut().for_each(|message| message.account_id = Some(owner.account_id));
    }
    for message in &mut batch.messages {
        message.account_id = message.account_id.or_else(|| accounts.get(&message.operation_id).copied());
    }
    Ok(())
}

async fn store(
    db: &PgPool,
    desk: &mut Desk,
    batch: &Batch,
    settings: &Settings,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // Nobody makes partitions for days that retention has taken away, or for ids that somebody invented.
    let is_storable = |created_at: DateTime<Utc>| {
        created_at > now - settings.retention && created_at < now + chrono::TimeDelta::days(2)
    };
    let kept: Vec<&OperationRecord> =
        batch.operations.iter().filter(|record| is_storable(record.created_at)).collect();
    let operations: Vec<OperationRow> = kept.iter().map(|record| operation_row(record)).collect();
    let messages: Vec<MessageRow> =
        batch.messages.iter().filter(|record| is_storable(record.operation_at)).map(message_row).collect();
    let needed: BTreeSet<(LogTable, NaiveDate)> = operations
        .iter()
        .map(|row| {
            let table = if row.is_bulk { LogTable::Bulk } else { LogTable::Operations };
            (table, row.created_at.date_naive())
        })
        .chain(messages.iter().map(|row| (LogTable::Messages, row.operation_at.date_naive())))
        .collect();
    for (table, day) in needed {
        if !desk.days.contains(&(table, day)) {
            log_partitions::ensure(db, table, day).await?;
            desk.days.insert((table, day));
        }
    }
    let mut transaction = db.begin().await?;
    if !operations.is_empty() {
        let tally = tally(&mut transaction, &kept).await?;
        log_operations::upsert(&mut *transaction, &operations).await?;
        if !messages.is_empty() {
            log_messages::insert(&mut *transaction, &messages).await?;
        }
        // Last, because every replica writes the same few rows.
        log_hours::add(&mut *transaction, &tally.rows()).await?;
    } else if !messages.is_empty() {
        log_messages::insert(&mut *transaction, &messages).await?;
    }
    transaction.commit().await
}

/// What the operations change in the counts. Those that may be stored already are looked up, and stay as they are until the
/// transaction ends.
async fn tally(db: &mut PgConnection, operations: &[&OperationRecord]) -> sqlx::Result<Tally> {
    // Proxied calls are stored once, when they have ended.
    let begun: Vec<(&str, DateTime<Utc>)> = operations
        .iter()
        .filter(|record| record.kind != Kind::ProxyCall)
        .map(|record| (record.id.as_str(), record.created_at))
        .collect();
    let earlier = if begun.is_empty() { Vec::new() } else { log_operations::lock_states(db, &begun).await? };
    let earlier: HashMap<&str, &EarlierState> = earlier.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut tally = Tally::default();
    for record in operations {
        tally.count(record, earlier.get(record.id.as_str()).copied());
    }
    Ok(tally)
}

fn operation_row(record: &OperationRecord) -> OperationRow {
    let mut terms = record.all_terms();
    terms.forget_states();
    OperationRow {
        id: record.id.clone(),
        created_at: record.created_at,
        is_bulk: record.is_bulk(),
        account_id: record.account_id.map_or(0, |id| id.0),
        environment_id: record.environment_id.map(|id| id.0),
        kind: record.kind.as_str().to_owned(),
        state: record.state.as_str().to_owned(),
        level: record.level.as_str().to_owned(),
        message: record.message.clone(),
        updated_at: record.updated_at,
        started_at: record.started_at,
        ended_at: record.ended_at,
        expires_at: record.expires_at,
        data: Value::Object(record.data.clone()),
        messages: (!record.messages.is_empty())
            .then(|| record.messages.iter().map(MessageRecord::to_json).collect()),
        terms: terms.to_vector(),
    }
}

fn message_row(record: &MessageRecord) -> MessageRow {
    MessageRow {
        operation_id: record.operation_id.clone(),
        operation_at: record.operation_at,
        created_at: record.created_at,
        level: record.level.as_str().to_owned(),
        body: record.to_json(),
    }
}
