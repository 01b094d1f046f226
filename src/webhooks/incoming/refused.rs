//! How many refused webhooks are logged: anybody may post to a webhook's address, and none of it may fill the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::db::IntegrationId;

/// Refused webhooks of one integration that become operations, in a minute of this process: enough to see what is wrong.
pub const LOGGED_PER_MINUTE: u32 = 20;

/// The refusals of this minute.
#[derive(Default)]
pub struct RefusedWebhooks {
    current: Mutex<Minute>,
    unlogged: AtomicU64,
}

#[derive(Default)]
struct Minute {
    number: i64,
    refused: HashMap<IntegrationId, u32>,
}

impl RefusedWebhooks {
    /// Counts a refusal; whether it is to be logged.
    pub fn admits(&self, integration: IntegrationId, now: DateTime<Utc>) -> bool {
        let number = now.timestamp().div_euclid(60);
        let mut minute = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != number {
            *minute = Minute { number, refused: HashMap::new() };
        }
        let count = minute.refused.entry(integration).or_default();
        *count = count.saturating_add(1);
        let is_logged = *count <= LOGGED_PER_MINUTE;
        if !is_logged {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
        is_logged
    }

    /// How many were not logged, since the process started.
    pub fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn each_integration_has_its_own_bound_for_each_minute() {
        let refused = RefusedWebhooks::default();
        let now = DateTime::from_timestamp(1_785_578_405, 0).unwrap();
        let logged = |integration: i64, now| {
            (0..LOGGED_PER_MINUTE + 5).filter(|_| refused.admits(IntegrationId(integration), now)).count()
        };
        assert_eq!([logged(1, now), logged(2, now), logged(1, now)], [20, 20, 0]);
        assert_eq!(refused.unlogged(), 5 + 5 + 25);
        assert_eq!(logged(1, now + TimeDelta::seconds(60)), 20);
    }
}
