//! `last_fetched_at`: noted in memory on every read and proxied call, written in batches.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::db::ConnectionRowId;

/// Beyond this many connections between two writes, new ones are not noted: the time is only a hint for the
/// periodic refresh.
const CAPACITY: usize = 100_000;

#[derive(Default)]
pub struct FetchedQueue(Mutex<HashMap<ConnectionRowId, DateTime<Utc>>>);

impl FetchedQueue {
    pub fn note(&self, id: ConnectionRowId, now: DateTime<Utc>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < CAPACITY || noted.contains_key(&id) {
            noted.insert(id, now);
        }
    }

    /// Takes everything noted so far, as parallel lists.
    pub fn drain(&self) -> (Vec<ConnectionRowId>, Vec<DateTime<Utc>>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *noted).into_iter().unzip()
    }
}
