//! Points in time as pages show them: how long ago, and exactly on hovering.

use chrono::{DateTime, TimeDelta, Utc};

/// A point in time, in words and exactly.
#[derive(Debug, Clone)]
pub struct Moment {
    /// As machines read it.
    pub iso: String,
    /// As people do, in UTC; a script puts local time in its place.
    pub exact: String,
    pub words: String,
}

impl Moment {
    pub fn new(time: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Moment {
            iso: time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: time.format("%-d %b %Y, %H:%M:%S UTC").to_string(),
            words: words(now - time),
        }
    }
}

/// A time span as words, positive ones in the past.
fn words(span: TimeDelta) -> String {
    let seconds = span.num_seconds();
    let amount = match seconds.abs() {
        0..45 => return if seconds >= 0 { "just now" } else { "in a moment" }.to_owned(),
        45..5400 => count((seconds.abs() + 30) / 60, "minute"),
        5400..129_600 => count((seconds.abs() + 1800) / 3600, "hour"),
        129_600..5_184_000 => count((seconds.abs() + 43_200) / 86_400, "day"),
        5_184_000..63_072_000 => count(seconds.abs() / 2_592_000, "month"),
        _ => count(seconds.abs() / 31_536_000, "year"),
    };
    if seconds > 0 { format!("{amount} ago") } else { format!("in {amount}") }
}

fn count(number: i64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_to_what_people_say() {
        for (seconds, expected) in [
            (0, "just now"),
            (44, "just now"),
            (-10, "in a moment"),
            (50, "1 minute ago"),
            (3600, "60 minutes ago"),
            (7200, "2 hours ago"),
            (-86_400, "in 24 hours"),
            (-7 * 86_400, "in 7 days"),
            (90 * 86_400, "3 months ago"),
            (800 * 86_400, "2 years ago"),
        ] {
            assert_eq!(words(TimeDelta::seconds(seconds)), expected, "{seconds}");
        }
    }
}
