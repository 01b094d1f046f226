//! Rate limits: fixed windows of 60 seconds per bucket (`spec` http-api, section 1.8), kept in this process and, when Redis
//! is configured, shared with the other replicas.
//!
//! Shared windows are taken in leases: a process claims a small part of what is left and serves requests from it without
//! asking again. What has been claimed counts as used, so that all replicas together never let more through than the
//! limit; near its end, claims are single points. Without Redis, or while it does not answer, a process counts alone.

mod shared;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::db::{AccountId, ConnectSessionId};
use crate::lane;

pub use self::shared::SharedWindows;

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
    /// Wrong passwords for one e-mail address, known or not, by its hash.
    FailedLogin([u8; 32]),
    /// Webhooks of a provider for one integration, named by a digest: environment and integration may not exist.
    Webhook([u8; 16]),
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

/// What this process knows of a window.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Points taken, by other replicas too as far as they are known; this process' lease is among them.
    counted: u64,
    /// Points of `counted` that this process may still give away.
    lease: u64,
    ends_at: DateTime<Utc>,
}

impl Window {
    fn usage(&self, limit: u64) -> Usage {
        let is_blocked = self.counted > limit;
        let remaining =
            limit.saturating_sub(self.counted).saturating_add(if is_blocked { 0 } else { self.lease });
        Usage { limit, remaining, resets_at: self.ends_at, is_blocked }
    }
}

#[derive(Default)]
pub struct Limiter {
    windows: Mutex<HashMap<Bucket, Window>>,
    shared: OnceLock<Arc<SharedWindows>>,
    /// Until when a window counted by this process alone may be used up, in milliseconds since the epoch. Before every
    /// request [`Limiter::is_exhausted`] is asked, and hardly ever is there anything to look for.
    refusing_until: AtomicI64,
}

impl Limiter {
    /// Counts together with the other replicas from now on.
    pub fn share(&self, shared: SharedWindows) {
        // Set once at start; a second call would be a second start.
        let _ = self.shared.set(Arc::new(shared));
    }

    /// Takes `points`; the request is blocked when more than `limit` were taken in the window.
    pub async fn take(&self, bucket: Bucket, points: u64, limit: u64, now: DateTime<Utc>) -> Usage {
        let Some(shared) = self.shared.get() else { return self.take_alone(bucket, points, limit, now) };
        if let Some(usage) = self.take_leased(bucket, points, limit, now) {
            return usage;
        }
        let shared = Arc::clone(shared);
        let claim = async move { shared.claim(bucket, points, limit, now).await };
        match lane::at_home(claim).await {
            Some(claim) => self.keep(bucket, claim, points, limit, now),
            None => self.take_alone(bucket, points, limit, now),
        }
    }

    /// The same, counted in this process only.
    pub fn take_alone(&self, bucket: Bucket, points: u64, limit: u64, now: DateTime<Utc>) -> Usage {
        self.with_window(bucket, now, |window| {
            window.counted = window.counted.saturating_add(points);
            // Points of a lease were counted when they were claimed.
            let from_lease = window.lease.min(points);
            window.lease -= from_lease;
            window.counted -= from_lease;
            if window.counted >= limit {
                self.refusing_until.fetch_max(window.ends_at.timestamp_millis(), Ordering::Relaxed);
            }
            window.usage(limit)
        })
    }

    /// Takes from the lease; none when the other replicas have to be asked. A window that is used up stays so.
    fn take_leased(&self, bucket: Bucket, points: u64, limit: u64, now: DateTime<Utc>) -> Option<Usage> {
        self.with_window(bucket, now, |window| {
            if window.lease >= points {
                window.lease -= points;
                return Some(window.usage(limit));
            }
            (window.counted > limit).then(|| window.usage(limit))
        })
    }

    /// Puts a claim into the window and takes `points` from it.
    fn keep(&self, bucket: Bucket, claim: Claim, points: u64, limit: u64, now: DateTime<Utc>) -> Usage {
        self.with_window(bucket, now, |window| {
            // Answers may come out of order; the greatest count is the latest.
            let is_later = claim.ends_at > window.ends_at || claim.counted > window.counted;
            if is_later {
                (window.counted, window.ends_at) = (claim.counted, claim.ends_at);
            }
            if claim.granted < points {
                // Nothing is left: every further request of the window is answered from here.
                window.counted = window.counted.max(limit.saturating_add(1));
                window.lease = 0;
            } else {
                window.lease += claim.granted - points;
            }
            window.usage(limit)
        })
    }

    fn with_window<T>(&self, bucket: Bucket, now: DateTime<Utc>, change: impl FnOnce(&mut Window) -> T) -> T {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= SWEEP_AT {
            windows.retain(|_, window| window.ends_at > now);
        }
        let fresh = Window { counted: 0, lease: 0, ends_at: now + WINDOW };
        let window = windows.entry(bucket).or_insert(fresh);
        if window.ends_at <= now {
            *window = fresh;
        }
        change(window)
    }

    /// Whether a bucket that is counted in this process alone is used up, without taking anything.
    pub fn is_exhausted(&self, bucket: Bucket, limit: u64, now: DateTime<Utc>) -> Option<Usage> {
        if now.timestamp_millis() >= self.refusing_until.load(Ordering::Relaxed) {
            return None;
        }
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&bucket).filter(|window| window.ends_at > now && window.counted >= limit)?;
        Some(Usage { limit, remaining: 0, resets_at: window.ends_at, is_blocked: true })
    }
}

/// What the shared window gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Points that this process may give away; less than asked for when the window is used up.
    pub granted: u64,
    /// Points that all replicas have claimed.
    pub counted: u64,
    pub ends_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket = Bucket::Secret(AccountId(1));

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    #[test]
    fn a_window_blocks_after_its_limit_and_opens_again() {
        let limiter = Limiter::default();
        let take = |seconds| limiter.take_alone(BUCKET, 1, 2, at(seconds));
        assert_eq!((take(0).remaining, take(1).remaining), (1, 0));
        let blocked = take(2);
        assert!(blocked.is_blocked);
        assert_eq!(blocked.retry_after(at(2)), 58);
        assert!(!take(60).is_blocked);
    }

    #[test]
    fn a_window_that_is_used_up_is_seen_until_it_ends() {
        let limiter = Limiter::default();
        let is_exhausted = |seconds| limiter.is_exhausted(BUCKET, 2, at(seconds)).is_some();
        limiter.take_alone(BUCKET, 1, 2, at(0));
        assert!(!is_exhausted(1));
        limiter.take_alone(BUCKET, 1, 2, at(2));
        assert_eq!([3, 59, 60].map(is_exhausted), [true, true, false]);
    }

    #[test]
    fn a_lease_is_given_away_before_anybody_is_asked_again() {
        let limiter = Limiter::default();
        assert_eq!(limiter.take_leased(BUCKET, 1, 100, at(0)), None);
        let claim = Claim { granted: 3, counted: 40, ends_at: at(30) };
        let usage = limiter.keep(BUCKET, claim, 1, 100, at(0));
        assert_eq!((usage.remaining, usage.resets_at, usage.is_blocked), (62, at(30), false));
        let left = |seconds| limiter.take_leased(BUCKET, 1, 100, at(seconds)).map(|usage| usage.remaining);
        assert_eq!((left(1), left(2), left(3)), (Some(61), Some(60), None));
        assert_eq!(left(30), None, "a lease ends with its window");
    }

    #[test]
    fn a_window_that_is_used_up_is_not_asked_for_again() {
        let limiter = Limiter::default();
        let nothing = Claim { granted: 0, counted: 100, ends_at: at(30) };
        let usage = limiter.keep(BUCKET, nothing, 1, 100, at(0));
        assert_eq!((usage.remaining, usage.is_blocked), (0, true));
        assert!(limiter.take_leased(BUCKET, 1, 100, at(29)).is_some_and(|usage| usage.is_blocked));
    }

    #[test]
    fn without_an_answer_the_process_goes_on_counting_from_what_it_knew() {
        let limiter = Limiter::default();
        limiter.keep(BUCKET, Claim { granted: 2, counted: 98, ends_at: at(30) }, 1, 100, at(0));
        let take = |points| limiter.take_alone(BUCKET, points, 100, at(1));
        assert_eq!((take(1).remaining, take(1).remaining, take(1).remaining), (2, 1, 0));
        assert!(take(1).is_blocked);
    }
}
