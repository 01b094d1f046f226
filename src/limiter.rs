//! Rate limits: fixed windows of 60 seconds per bucket, kept in this process (`spec` http-api, section 1.8).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::db::{AccountId, ConnectSessionId};

const WINDOW: TimeDelta = TimeDelta::seconds(60);
/// Beyond this many buckets, ended windows are swept out.
const SWEEP_AT: usize = 10_000;

/// Who shares a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Requests with an API key.
    Secret(AccountId),
    /// The same, sent by functions.
    SecretScript(AccountId),
    /// Requests of end users: connect sessions and public keys.
    Global(AccountId),
    Session(ConnectSessionId),
    Address(IpAddr),
    FailedAuthentication(IpAddr),
    FailedPassword(IpAddr),
}

/// The outcome of taking points from a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub limit: u64,
    pub remaining: u64,
    pub resets_at: DateTime<Utc>,
    pub is_blocked: bool,
}

impl Usage {
    /// Whole seconds until the window ends, at least 1.
    pub fn retry_after(&self, now: DateTime<Utc>) -> i64 {
        let millis = (self.resets_at - now).num_milliseconds();
        ((millis + 999) / 1000).max(1)
    }
}

struct Window {
    used: u64,
    ends_at: DateTime<Utc>,
}

#[derive(Default)]
pub struct Limiter {
    windows: Mutex<HashMap<Bucket, Window>>,
}

impl Limiter {
    /// Takes `points`; the request is blocked when more than `limit` were taken in the window.
    pub fn take(&self, bucket: Bucket, points: u64, limit: u64, now: DateTime<Utc>) -> Usage {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= SWEEP_AT {
            windows.retain(|_, window| window.ends_at > now);
        }
        let window = windows.entry(bucket).or_insert(Window { used: 0, ends_at: now + WINDOW });
        if window.ends_at <= now {
            *window = Window { used: 0, ends_at: now + WINDOW };
        }
        window.used = window.used.saturating_add(points);
        Usage {
            limit,
            remaining: limit.saturating_sub(window.used),
            resets_at: window.ends_at,
            is_blocked: window.used > limit,
        }
    }

    /// Whether a bucket is used up, without taking anything.
    pub fn is_exhausted(&self, bucket: Bucket, limit: u64, now: DateTime<Utc>) -> Option<Usage> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&bucket).filter(|window| window.ends_at > now && window.used >= limit)?;
        Some(Usage { limit, remaining: 0, resets_at: window.ends_at, is_blocked: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_blocks_after_its_limit_and_opens_again() {
        let limiter = Limiter::default();
        let start = DateTime::from_timestamp(0, 0).unwrap();
        let bucket = Bucket::Secret(AccountId(1));
        let take = |seconds| limiter.take(bucket, 1, 2, start + TimeDelta::seconds(seconds));
        assert_eq!((take(0).remaining, take(1).remaining), (1, 0));
        let blocked = take(2);
        assert!(blocked.is_blocked);
        assert_eq!(blocked.retry_after(start + TimeDelta::seconds(2)), 58);
        assert!(!take(60).is_blocked);
    }
}
