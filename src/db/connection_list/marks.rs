//! Where the rows of deep pages stand, so that walking through a long list does not count from its beginning for every
//! page: `OFFSET` reads what it skips, and 900,000 rows take a seventh of a second.
//!
//! A mark may be as old as [`KEPT_FOR`]. A connection that another replica made since then shifts the pages behind it by one
//! row, which this replica then notices late: a walk goes on where it was, and sees no row twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::{EnvironmentId, Summary};

const KEPT_FOR: TimeDelta = TimeDelta::seconds(30);
/// Nearer pages are counted: that is cheap, and always right.
const NEAR: i64 = 5_000;
/// Lists that are walked at the same time, and marks in each.
const LISTS: usize = 1_000;
const MARKS: usize = 100;

/// A row and how many come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub offset: i64,
    pub created_at: DateTime<Utc>,
    pub id: i64,
}

struct List {
    /// By offset.
    marks: BTreeMap<i64, Mark>,
    ends_at: DateTime<Utc>,
}

/// Names a list: the environment, and its filters as text.
type Key = (EnvironmentId, String);

#[derive(Default)]
struct State {
    lists: HashMap<Key, List>,
    /// Counts what was forgotten, so that nothing is kept that was read before.
    generation: u64,
}

/// The marks of this process.
#[derive(Default)]
pub struct PageMarks(Mutex<State>);

impl PageMarks {
    /// The last known row at or before `offset`, and the proof of when it was asked for.
    pub(super) fn before(&self, key: &Key, offset: i64, now: DateTime<Utc>) -> (Option<Mark>, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = state.lists.get(key).filter(|list| list.ends_at > now && offset >= NEAR);
        let mark = list.and_then(|list| list.marks.range(..=offset).next_back()).map(|(_, mark)| *mark);
        (mark, state.generation)
    }

    /// Remembers the first and the last row of a page, unless something was forgotten since `generation`.
    pub(super) fn note(&self, key: Key, generation: u64, offset: i64, rows: &[Summary], now: DateTime<Utc>) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let end = offset.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if end < NEAR {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation != generation {
            return;
        }
        if state.lists.len() >= LISTS {
            state.lists.retain(|_, list| list.ends_at > now);
        }
        if state.lists.len() >= LISTS {
            return;
        }
        let fresh = || List { marks: BTreeMap::new(), ends_at: now + KEPT_FOR };
        let list = state.lists.entry(key).or_insert_with(fresh);
        if list.ends_at <= now {
            *list = fresh();
        }
        for (offset, row) in [(offset, first), (end - 1, last)] {
            list.marks.insert(offset, Mark { offset, created_at: row.created_at, id: row.id });
        }
        // Walks go on from the far end.
        while list.marks.len() > MARKS {
            list.marks.pop_first();
        }
    }

    /// A connection was made or deleted here.
    pub fn forget(&self, environment: EnvironmentId) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.generation += 1;
        state.lists.retain(|(owner, _), _| *owner != environment);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const ENVIRONMENT: EnvironmentId = EnvironmentId(1);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    fn rows(ids: &[i64]) -> Vec<Summary> {
        let row = |id: &i64| Summary {
            id: *id,
            connection_id: String::new(),
            provider_config_key: String::new(),
            provider: String::new(),
            tags: Value::Null,
            metadata: None,
            created_at: at(*id),
            errors: Value::Null,
            end_user_id: None,
            end_user_email: None,
            end_user_display_name: None,
            end_user_tags: None,
            organization_id: None,
            organization_display_name: None,
        };
        ids.iter().map(row).collect()
    }

    fn key() -> Key {
        (ENVIRONMENT, "all".to_owned())
    }

    #[test]
    fn the_nearest_row_before_a_deep_page_is_known_for_a_while() {
        let marks = PageMarks::default();
        let note = |offset, ids: &[i64]| marks.note(key(), 0, offset, &rows(ids), at(0));
        note(9_000, &[50, 49, 48]);
        note(10, &[99, 98]);
        let before =
            |offset, second| marks.before(&key(), offset, at(second)).0.map(|mark| (mark.offset, mark.id));
        for (offset, second, expected) in [
            (8_999, 0, None),
            (9_000, 0, Some((9_000, 50))),
            (9_001, 0, Some((9_000, 50))),
            (9_003, 29, Some((9_002, 48))),
            (20_000, 29, Some((9_002, 48))),
            (9_003, 30, None),
            (11, 0, None),
        ] {
            assert_eq!(before(offset, second), expected, "{offset} after {second} s");
        }
        assert_eq!(marks.before(&(ENVIRONMENT, "other".to_owned()), 9_003, at(0)).0, None);
    }

    #[test]
    fn a_new_connection_makes_them_forgotten() {
        let marks = PageMarks::default();
        let (_, generation) = marks.before(&key(), 9_000, at(0));
        marks.note(key(), generation, 9_000, &rows(&[1]), at(0));
        marks.forget(EnvironmentId(2));
        assert!(marks.before(&key(), 9_000, at(0)).0.is_some());
        marks.forget(ENVIRONMENT);
        assert_eq!(marks.before(&key(), 9_000, at(0)).0, None);
        marks.note(key(), generation, 9_000, &rows(&[1]), at(0));
        assert_eq!(marks.before(&key(), 9_000, at(0)).0, None, "read before something was forgotten");
    }
}
