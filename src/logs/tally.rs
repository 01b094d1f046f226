//! Counts of operations by the hour in which they began: how many of which kind ended how, and how long they took. The writer
//! keeps them beside the log, so that charts cost the same over a thousand operations and over a billion. Pure, except for
//! the counters of calls that the log leaves out.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::kind::{Kind, State};
use super::record::OperationRecord;
use crate::db::EnvironmentId;
use crate::db::log_hours::HourCount;
use crate::db::log_operations::EarlierState;

/// Milliseconds from which on a duration belongs to the next bucket. The migrations know them too.
pub const BOUNDS: [i64; 20] =
    [1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 30_000];
/// One for each bound, and one for what took longer.
const BUCKETS: usize = BOUNDS.len() + 1;

fn bucket(millis: i64) -> usize {
    BOUNDS.partition_point(|bound| *bound <= millis)
}

/// How many took how long, by bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations([i64; BUCKETS]);

impl Default for Durations {
    fn default() -> Self {
        Durations([0; BUCKETS])
    }
}

impl Durations {
    /// Adds the counts of another histogram; what has other buckets is left out.
    pub fn add(&mut self, counts: &[i64]) {
        if counts.len() == BUCKETS {
            self.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// The duration in milliseconds that this share of all did not exceed, as far as the buckets tell; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: i64 = self.0.iter().map(|count| (*count).max(0)).sum();
        if total == 0 {
            return None;
        }
        let wanted = share * total as f64;
        let mut below = 0.0;
        for (index, count) in self.0.iter().enumerate() {
            let count = (*count).max(0) as f64;
            if count > 0.0 && below + count >= wanted {
                let lower = index.checked_sub(1).map_or(0.0, |index| BOUNDS[index] as f64);
                // Nothing is known above the last bound.
                let Some(upper) = BOUNDS.get(index) else { return Some(lower) };
                return Some(lower + (*upper as f64 - lower) * (wanted - below) / count);
            }
            below += count;
        }
        None
    }
}

/// Changes of counts, in the order in which every process writes them, so that no two wait for each other.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<Place, (i64, Durations)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    environment: EnvironmentId,
    hour: DateTime<Utc>,
    kind: &'static str,
    state: &'static str,
}

impl Place {
    fn new(environment: EnvironmentId, at: DateTime<Utc>, kind: Kind, state: State) -> Self {
        let hour = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
        Place { environment, hour, kind: kind.as_str(), state: state.as_str() }
    }
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts an operation that is about to be stored; `earlier` is how far it was when it was stored the last time.
    pub fn count(&mut self, record: &OperationRecord, earlier: Option<&EarlierState>) {
        let Some(environment) = record.environment_id else { return };
        let place = |state| Place::new(environment, record.created_at, record.kind, state);
        let Some(earlier) = earlier.filter(|earlier| earlier.has_environment) else {
            self.change(place(record.state), 1, took(record.state, record.started_at, record.ended_at));
            return;
        };
        // A state of a newer version is left to the newer version.
        let Some(before) = State::parse(&earlier.state) else { return };
        if record.state.rank() <= before.rank() {
            return;
        }
        self.change(place(before), -1, took(before, earlier.started_at, earlier.ended_at));
        let (began, ended) = (earlier.started_at.or(record.started_at), record.ended_at.or(earlier.ended_at));
        self.change(place(record.state), 1, took(record.state, began, ended));
    }

    fn change(&mut self, place: Place, by: i64, took: Option<i64>) {
        let (count, durations) = self.0.entry(place).or_default();
        *count += by;
        if let Some(millis) = took {
            durations.0[bucket(millis)] += by;
        }
    }

    /// Adds successful proxied calls that the log left out, as calls of this moment.
    fn add_unlogged(&mut self, environment: EnvironmentId, calls: Durations, now: DateTime<Utc>) {
        let place = Place::new(environment, now, Kind::ProxyCall, State::Success);
        let (count, durations) = self.0.entry(place).or_default();
        *count += calls.0.iter().sum::<i64>();
        durations.add(&calls.0);
    }

    /// The changes as the database takes them.
    pub fn rows(&self) -> Vec<HourCount> {
        let row = |(place, (count, durations)): (&Place, &(i64, Durations))| HourCount {
            environment_id: place.environment,
            hour: place.hour,
            kind: place.kind.to_owned(),
            state: place.state.to_owned(),
            count: *count,
            durations: durations.0.to_vec(),
        };
        self.0.iter().map(row).collect()
    }
}

/// Milliseconds of an operation that has ended.
fn took(state: State, began: Option<DateTime<Utc>>, ended: Option<DateTime<Utc>>) -> Option<i64> {
    let (began, ended) = began.zip(ended).filter(|_| state.is_final())?;
    Some((ended - began).num_milliseconds().max(0))
}

/// Successful proxied calls of one environment that the log leaves out, because it takes a sample or has no room: one number
/// of an array is touched for each.
#[derive(Debug, Default)]
pub struct UnloggedCalls([AtomicU64; BUCKETS]);

impl UnloggedCalls {
    pub fn note(&self, took: Duration) {
        let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        self.0[bucket(millis)].fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> Option<Durations> {
        let counts = self.0.each_ref().map(|count| count.swap(0, Ordering::Relaxed));
        let is_any = counts.iter().any(|count| *count > 0);
        is_any.then(|| Durations(counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX))))
    }
}

/// The counters of all environments.
#[derive(Debug, Default)]
pub struct Unlogged(Mutex<HashMap<EnvironmentId, Arc<UnloggedCalls>>>);

impl Unlogged {
    /// The counters of an environment, to be held by whoever counts.
    pub fn of(&self, environment: EnvironmentId) -> Arc<UnloggedCalls> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry(environment).or_default())
    }

    /// Moves what was counted into a tally.
    pub fn drain_into(&self, tally: &mut Tally, now: DateTime<Utc>) {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (environment, calls) in counters.iter() {
            if let Some(calls) = calls.take() {
                tally.add_unlogged(*environment, calls, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{Level, Terms};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn record(state: State, millis: Option<i64>) -> OperationRecord {
        OperationRecord {
            id: "1800000000000_a8Kd03Lz".into(),
            kind: Kind::AuthRefreshToken,
            state,
            level: Level::Info,
            message: String::new(),
            environment_id: Some(EnvironmentId(1)),
            account_id: None,
            created_at: at(0),
            updated_at: at(0),
            started_at: Some(at(0)),
            ended_at: millis.map(|millis| at(0) + TimeDelta::milliseconds(millis)),
            expires_at: None,
            data: Default::default(),
            messages: Vec::new(),
            terms: Terms::default(),
        }
    }

    fn earlier(state: &str, millis: Option<i64>) -> EarlierState {
        EarlierState {
            id: String::new(),
            has_environment: true,
            state: state.into(),
            started_at: Some(at(0)),
            ended_at: millis.map(|millis| at(0) + TimeDelta::milliseconds(millis)),
        }
    }

    /// State, count and the buckets that are not zero.
    type Change = (String, i64, Vec<(usize, i64)>);

    fn changes(tally: &Tally) -> Vec<Change> {
        let buckets = |counts: &[i64]| -> Vec<(usize, i64)> {
            counts.iter().copied().enumerate().filter(|(_, count)| *count != 0).collect()
        };
        tally.rows().into_iter().map(|row| (row.state, row.count, buckets(&row.durations))).collect()
    }

    #[test]
    fn an_operation_counts_once_whatever_it_goes_through() {
        let told = |record: &OperationRecord, earlier: Option<&EarlierState>| {
            let mut tally = Tally::default();
            tally.count(record, earlier);
            changes(&tally)
        };
        let done = record(State::Success, Some(120));
        assert_eq!(told(&record(State::Running, None), None), [("running".into(), 1, vec![])]);
        assert_eq!(told(&done, None), [("success".into(), 1, vec![(9, 1)])]);
        assert_eq!(
            told(&done, Some(&earlier("running", None))),
            [("running".into(), -1, vec![]), ("success".into(), 1, vec![(9, 1)])]
        );
        assert_eq!(
            told(&done, Some(&earlier("timeout", Some(60_000)))),
            [("success".into(), 1, vec![(9, 1)]), ("timeout".into(), -1, vec![(20, -1)])]
        );
        for kept in ["success", "a state of next year"] {
            assert_eq!(told(&done, Some(&earlier(kept, Some(5)))), [], "{kept}");
        }
        let nowhere = OperationRecord { environment_id: None, ..done.clone() };
        assert_eq!(told(&nowhere, None), []);
        let unknown_so_far = EarlierState { has_environment: false, ..earlier("running", None) };
        assert_eq!(told(&done, Some(&unknown_so_far)).len(), 1);
        assert_eq!(Tally::default().rows().len(), 0);
    }

    #[test]
    fn hours_begin_at_full_hours() {
        let mut tally = Tally::default();
        tally.count(&record(State::Success, None), None);
        assert_eq!(tally.rows()[0].hour.to_rfc3339(), "2027-01-15T08:00:00+00:00");
    }

    #[test]
    fn calls_that_are_not_logged_are_counted_all_the_same() {
        let unlogged = Unlogged::default();
        let calls = unlogged.of(EnvironmentId(7));
        for millis in [0, 1, 3, 40_000] {
            calls.note(Duration::from_millis(millis));
        }
        let mut tally = Tally::default();
        unlogged.drain_into(&mut tally, at(0));
        assert_eq!(changes(&tally), [("success".into(), 4, vec![(0, 1), (1, 1), (2, 1), (20, 1)])]);
        let mut nothing = Tally::default();
        unlogged.drain_into(&mut nothing, at(0));
        assert!(nothing.is_empty(), "taken once");
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(0.5), None);
        // Eight between 10 and 20 ms, two between 100 and 150 ms.
        durations.0[bucket(10)] = 8;
        durations.0[bucket(120)] = 2;
        assert_eq!(durations.quantile(0.5), Some(16.25));
        assert_eq!(durations.quantile(0.95), Some(137.5));
        durations.0[bucket(99_000)] = 90;
        assert_eq!(durations.quantile(0.95), Some(30_000.0), "as far as is known");
        durations.add(&[1, 2]);
        assert_eq!(durations.0[0], 0, "other buckets are left out");
    }
}
