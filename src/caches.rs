//! In-memory caches of the hot path: API keys and proxy targets. Bounded; entries live for a minute at most.
//!
//! Staleness contract: a local write drops entries at once; another replica reads the change feed within 5 s.

use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;

/// A bounded cache whose entries end after a while and that never keeps what was read before an invalidation.
pub struct TimedCache<K, V> {
    entries: Cache<K, Entry<V>>,
    generation: AtomicU64,
    ttl: TimeDelta,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    ends_at: DateTime<Utc>,
}

/// Proof of when a value was read; see [`TimedCache::begin`].
#[derive(Clone, Copy)]
pub struct ReadMark(u64);

impl<K: Eq + Hash + Clone, V: Clone> TimedCache<K, V> {
    pub fn new(capacity: usize, ttl: TimeDelta) -> Self {
        TimedCache { entries: Cache::new(capacity), generation: AtomicU64::new(0), ttl }
    }

    pub fn get<Q>(&self, key: &Q, now: DateTime<Utc>) -> Option<V>
    where
        Q: Hash + quick_cache::Equivalent<K> + ?Sized,
    {
        self.entries.get(key).filter(|entry| entry.ends_at > now).map(|entry| entry.value)
    }

    /// Call before reading the value from the database: [`TimedCache::insert`] drops the value if anything was
    /// invalidated since, because it may be the old one.
    pub fn begin(&self) -> ReadMark {
        ReadMark(self.generation.load(Ordering::SeqCst))
    }

    /// Keeps a value for the cache's usual time.
    pub fn insert(&self, mark: ReadMark, key: K, value: V, now: DateTime<Utc>) {
        self.insert_for(mark, key, value, now, self.ttl);
    }

    /// Keeps a value for another time.
    pub fn insert_for(&self, mark: ReadMark, key: K, value: V, now: DateTime<Utc>, ttl: TimeDelta) {
        self.entries.insert(key.clone(), Entry { value, ends_at: now + ttl });
        if self.generation.load(Ordering::SeqCst) != mark.0 {
            self.entries.remove(&key);
        }
    }

    /// Drops every entry that `is_stale` names.
    pub fn invalidate(&self, is_stale: impl Fn(&K, &V) -> bool) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.entries.retain(|key, entry| !is_stale(key, &entry.value));
    }
}

/// Lets one caller a second through, for notes that are only hints. Most callers only read.
#[derive(Debug, Default)]
pub struct OncePerSecond(AtomicI64);

impl OncePerSecond {
    pub fn is_first(&self, now: DateTime<Utc>) -> bool {
        let second = now.timestamp();
        self.0.load(Ordering::Relaxed) != second && self.0.swap(second, Ordering::Relaxed) != second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn entries_end_after_their_time() {
        let cache = TimedCache::new(10, TimeDelta::seconds(60));
        cache.insert(cache.begin(), 1, "a", time(0));
        assert_eq!(cache.get(&1, time(59)), Some("a"));
        assert_eq!(cache.get(&1, time(60)), None);
    }

    #[test]
    fn a_value_read_before_an_invalidation_is_not_kept() {
        let cache = TimedCache::new(10, TimeDelta::seconds(60));
        let mark = cache.begin();
        cache.invalidate(|_, _| false);
        cache.insert(mark, 1, "old", time(0));
        assert_eq!(cache.get(&1, time(1)), None);
    }

    #[test]
    fn one_caller_a_second_is_the_first() {
        let noted = OncePerSecond::default();
        assert_eq!([7, 7, 8, 8].map(|second| noted.is_first(time(second))), [true, false, true, false]);
    }

    #[test]
    fn invalidation_drops_what_it_names() {
        let cache = TimedCache::new(10, TimeDelta::seconds(60));
        cache.insert(cache.begin(), 1, "a", time(0));
        cache.insert(cache.begin(), 2, "b", time(0));
        cache.invalidate(|_, value| *value == "a");
        assert_eq!((cache.get(&1, time(1)), cache.get(&2, time(1))), (None, Some("b")));
    }
}
