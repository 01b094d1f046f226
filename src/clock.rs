//! The time source. Every module asks `App`'s clock, so that tests move time instead of sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Wall-clock time, or a time that only tests move.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    /// Milliseconds since the Unix epoch.
    Mock(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn mock(start: DateTime<Utc>) -> Self {
        Clock::Mock(Arc::new(AtomicI64::new(start.timestamp_millis())))
    }

    /// Now, with millisecond resolution for a mock clock and microseconds (what Postgres stores) otherwise.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system time")]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Clock::System => truncate_to_micros(Utc::now()),
            Clock::Mock(millis) => {
                DateTime::from_timestamp_millis(millis.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }

    /// Moves a mock clock forward; the system clock is left alone.
    pub fn advance(&self, by: TimeDelta) {
        if let Clock::Mock(millis) = self {
            millis.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
        }
    }
}

fn truncate_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
