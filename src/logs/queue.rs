//! The bounded queue between those who log and the writer. Pushing never waits. When the writer does not keep up, what matters
//! least goes first: debug messages, then successful proxied calls, then the rest; operations of failed calls displace others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::{MessageRecord, OperationRecord};

/// Entries that wait at most.
const CAPACITY: usize = 20_000;
/// Debug messages and successful proxied calls are refused earlier, so that they never displace anything.
const CAPACITY_OF_DEBUG: usize = CAPACITY / 2;
const CAPACITY_WITH_BULK: usize = CAPACITY / 4 * 3;
/// Successful proxied calls between two flushes, per processor: a call takes less time than its entry, so that without a bound
/// the log would cost a busy proxy more than its work.
const BULK_PER_PROCESSOR: usize = 500;
/// Failed operations are dropped only where the process would otherwise run out of memory: the database has taken nothing for
/// a long time.
const CAPACITY_OF_FAILURES: usize = CAPACITY * 10;
/// The writer is woken before its time.
pub const BATCH: usize = 1000;

/// Something to be written.
pub enum Entry {
    Operation(Box<OperationRecord>),
    Message(Box<MessageRecord>),
    /// An operation that is put into words by the writer, off the hot path.
    Later(Box<dyn FnOnce() -> OperationRecord + Send>),
}

/// How much an entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Debug,
    /// A successful proxied call.
    Bulk,
    Normal,
    /// An operation that failed.
    Failure,
}

#[derive(Default)]
struct Lanes {
    debug: VecDeque<Entry>,
    bulk: VecDeque<Entry>,
    normal: VecDeque<Entry>,
}

impl Lanes {
    fn len(&self) -> usize {
        self.debug.len() + self.bulk.len() + self.normal.len()
    }
}

pub struct Queue {
    lanes: Mutex<Lanes>,
    most_bulk: usize,
    /// There is enough for a batch.
    pub filled: Notify,
    pub dropped: Dropped,
}

/// What was dropped because the queue was full.
#[derive(Default)]
pub struct Dropped {
    pub debug: AtomicU64,
    pub bulk: AtomicU64,
    pub other: AtomicU64,
    pub failures: AtomicU64,
}

impl Dropped {
    fn count(&self, weight: Weight) {
        let counter = match weight {
            Weight::Debug => &self.debug,
            Weight::Bulk => &self.bulk,
            Weight::Normal => &self.other,
            Weight::Failure => &self.failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Queue {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Queue::new(BULK_PER_PROCESSOR * processors)
    }
}

impl Queue {
    fn new(most_bulk: usize) -> Self {
        Queue { lanes: Mutex::default(), most_bulk, filled: Notify::new(), dropped: Dropped::default() }
    }

    fn takes_bulk(&self, lanes: &Lanes) -> bool {
        lanes.bulk.len() < self.most_bulk && lanes.len() < CAPACITY_WITH_BULK
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a successful proxied call would be taken now; asked before one is put together.
    pub fn has_room_for_bulk(&self) -> bool {
        let has_room = self.takes_bulk(&self.lock());
        if !has_room {
            self.dropped.count(Weight::Bulk);
        }
        has_room
    }

    /// Queues the entry, or drops it or a lesser one.
    pub fn push(&self, weight: Weight, entry: Entry) {
        let mut lanes = self.lock();
        let len = lanes.len();
        match weight {
            Weight::Debug if len < CAPACITY_OF_DEBUG => lanes.debug.push_back(entry),
            Weight::Bulk if self.takes_bulk(&lanes) => lanes.bulk.push_back(entry),
            Weight::Normal | Weight::Failure if len < CAPACITY || self.displace(&mut lanes) => {
                lanes.normal.push_back(entry);
            }
            Weight::Failure if len < CAPACITY_OF_FAILURES => lanes.normal.push_back(entry),
            _ => {
                drop(lanes);
                self.dropped.count(weight);
                return;
            }
        }
        let is_batch = weight != Weight::Bulk && lanes.normal.len() + lanes.debug.len() == BATCH;
        drop(lanes);
        if is_batch {
            self.filled.notify_one();
        }
    }

    /// Drops something that matters less; false when there is nothing.
    fn displace(&self, lanes: &mut Lanes) -> bool {
        if lanes.debug.pop_front().is_some() {
            self.dropped.count(Weight::Debug);
            return true;
        }
        if lanes.bulk.pop_front().is_some() {
            self.dropped.count(Weight::Bulk);
            return true;
        }
        false
    }

    /// Up to a batch, what matters most first.
    pub fn take(&self) -> Vec<Entry> {
        let mut lanes = self.lock();
        let mut taken = Vec::with_capacity(lanes.len().min(BATCH));
        let Lanes { debug, bulk, normal } = &mut *lanes;
        for lane in [normal, debug, bulk] {
            let room = BATCH - taken.len();
            let end = lane.len().min(room);
            taken.extend(lane.drain(..end));
        }
        taken
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::Later(Box::new(|| unreachable!("nobody writes these")))
    }

    fn dropped(queue: &Queue) -> [u64; 4] {
        let Dropped { debug, bulk, other, failures } = &queue.dropped;
        [debug, bulk, other, failures].map(|counter| counter.load(Ordering::Relaxed))
    }

    #[test]
    fn what_matters_least_is_dropped_first() {
        let queue = Queue::new(CAPACITY);
        for _ in 0..CAPACITY {
            queue.push(Weight::Debug, entry());
        }
        assert_eq!((queue.len(), dropped(&queue)), (10_000, [10_000, 0, 0, 0]));
        for _ in 0..CAPACITY {
            queue.push(Weight::Bulk, entry());
        }
        assert_eq!((queue.len(), dropped(&queue)), (15_000, [10_000, 15_000, 0, 0]));
        assert!(!queue.has_room_for_bulk());
        for _ in 0..CAPACITY {
            queue.push(Weight::Normal, entry());
        }
        assert_eq!((queue.len(), dropped(&queue)), (20_000, [20_000, 20_001, 0, 0]));
        queue.push(Weight::Normal, entry());
        queue.push(Weight::Failure, entry());
        assert_eq!((queue.len(), dropped(&queue)), (20_001, [20_000, 20_001, 1, 0]));
    }

    #[test]
    fn successful_calls_are_bounded_between_two_flushes() {
        let queue = Queue::new(10);
        for _ in 0..11 {
            queue.push(Weight::Bulk, entry());
        }
        assert!(!queue.has_room_for_bulk());
        assert_eq!((queue.take().len(), dropped(&queue)), (10, [0, 2, 0, 0]));
    }

    #[test]
    fn a_batch_has_the_important_ones_first() {
        let queue = Queue::new(CAPACITY);
        for _ in 0..BATCH {
            queue.push(Weight::Bulk, entry());
        }
        queue.push(Weight::Failure, Entry::Later(Box::new(|| unreachable!())));
        assert_eq!((queue.take().len(), queue.len()), (BATCH, 1));
        assert_eq!(queue.take().len(), 1);
    }
}
