//! When a webhook that failed is sent again (`spec` auth-flows, section 10.7). Pure.

use chrono::{DateTime, TimeDelta, Utc};

const FIRST_QUICK: TimeDelta = TimeDelta::seconds(3);
const SLOWEST_QUICK: TimeDelta = TimeDelta::minutes(10);
const FIRST_SLOW: TimeDelta = TimeDelta::seconds(30);
/// The longest wait that this server chooses or lets a receiver choose.
pub const SLOWEST: TimeDelta = TimeDelta::hours(1);

/// How often and how long webhooks are tried.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub quick_retries: i32,
    pub max_age: TimeDelta,
}

/// A delivery that was just tried in vain.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Attempts since it was queued, this one included.
    pub tries: i32,
    pub queued_at: DateTime<Utc>,
    /// What the receiver asked for.
    pub retry_after: Option<TimeDelta>,
    /// From 0 to 1: keeps those that failed together from coming back together.
    pub jitter: f64,
}

impl Schedule {
    /// The time of the next attempt; `None` when the delivery is to be given up.
    pub fn next(&self, tried: Tried, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let is_quick = tried.tries <= self.quick_retries;
        if !is_quick && now - tried.queued_at >= self.max_age {
            return None;
        }
        let asked = tried.retry_after.unwrap_or_default().min(SLOWEST);
        Some(now + self.wait(tried).max(asked))
    }

    /// Quick waits are exact, as receivers know them; slow ones vary by a fifth.
    fn wait(&self, tried: Tried) -> TimeDelta {
        if tried.tries <= self.quick_retries {
            return doubled(FIRST_QUICK, tried.tries - 1).min(SLOWEST_QUICK);
        }
        let slow = doubled(FIRST_SLOW, tried.tries - self.quick_retries - 1).min(SLOWEST);
        let factor = 0.8 + 0.4 * tried.jitter.clamp(0.0, 1.0);
        TimeDelta::milliseconds((slow.num_milliseconds() as f64 * factor) as i64)
    }
}

fn doubled(first: TimeDelta, times: i32) -> TimeDelta {
    // Far beyond every bound, and far from overflow.
    first * (1 << times.clamp(0, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Schedule = Schedule { quick_retries: 2, max_age: TimeDelta::hours(24) };

    fn waits(schedule: Schedule, jitter: f64) -> Vec<i64> {
        let queued_at = DateTime::UNIX_EPOCH;
        let mut now = queued_at;
        let mut waits = Vec::new();
        while let Some(next) =
            schedule.next(Tried { tries: waits.len() as i32 + 1, queued_at, retry_after: None, jitter }, now)
        {
            waits.push((next - now).num_seconds());
            now = next;
        }
        waits
    }

    #[test]
    fn quick_attempts_are_at_0_3_and_9_seconds_and_slow_ones_go_on_for_a_day() {
        let waits = waits(DEFAULT, 0.5);
        assert_eq!(waits[..9], [3, 6, 30, 60, 120, 240, 480, 960, 1920]);
        assert!(waits[9..].iter().all(|wait| *wait == 3600), "{waits:?}");
        assert!((86_400..90_000).contains(&waits.iter().sum::<i64>()), "{waits:?}");
    }

    #[test]
    fn slow_waits_vary_and_quick_ones_are_capped() {
        assert_eq!(waits(DEFAULT, 0.0)[2], 24);
        assert_eq!(waits(DEFAULT, 1.0)[2], 36);
        let many = Schedule { quick_retries: 12, ..DEFAULT };
        assert_eq!(waits(many, 0.5)[7..12], [384, 600, 600, 600, 600]);
    }

    #[test]
    fn a_short_age_leaves_the_quick_retries() {
        assert_eq!(waits(Schedule { max_age: TimeDelta::zero(), ..DEFAULT }, 0.5), [3, 6]);
        let none = Schedule { quick_retries: 0, max_age: TimeDelta::zero() };
        assert!(waits(none, 0.5).is_empty());
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        let now = DateTime::UNIX_EPOCH;
        for (asked, expected) in [(0, 3), (2, 3), (50, 50), (100_000, 3600)] {
            let tried =
                Tried { tries: 1, queued_at: now, retry_after: Some(TimeDelta::seconds(asked)), jitter: 0.5 };
            assert_eq!(DEFAULT.next(tried, now), Some(now + TimeDelta::seconds(expected)), "{asked}");
        }
    }
}
