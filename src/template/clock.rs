//! `now`, shifted and formatted with day.js tokens (https://day.js.org/docs/en/display/format). Always UTC.

use chrono::format::SecondsFormat;
use chrono::{DateTime, Datelike, Months, TimeDelta, Timelike, Utc};

/// `now`, `now:<format>` or `now+7:days:<format>`.
#[derive(Clone, PartialEq)]
pub(super) struct Clock {
    shift: Option<(i64, Unit)>,
    /// Empty for ISO 8601 with milliseconds.
    format: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Milliseconds(i64),
    Months(u32),
}

impl Clock {
    /// None when `text` is not a clock at all; an error when it is a broken one.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let rest = text.strip_prefix("now")?;
        match rest.as_bytes().first() {
            None => Some(Ok(Clock { shift: None, format: String::new() })),
            Some(b':') => Some(Ok(Clock { shift: None, format: rest[1..].to_owned() })),
            Some(b'+' | b'-') => Some(Self::parse_shifted(rest)),
            Some(_) => None,
        }
    }

    fn parse_shifted(rest: &str) -> Result<Self, &'static str> {
        let (amount, rest) = rest.split_once(':').ok_or("a shifted clock is `now+<n>:<unit>:<format>`")?;
        let (unit, format) = rest.split_once(':').unwrap_or((rest, ""));
        let amount = amount.parse().map_err(|_| "a clock is shifted by a whole number")?;
        let unit = Unit::named(unit).ok_or("unknown unit of time")?;
        Ok(Clock { shift: Some((amount, unit)), format: format.to_owned() })
    }

    /// Appends the moment; false when the shift leaves the calendar.
    pub fn write(&self, now: DateTime<Utc>, out: &mut String) -> bool {
        let Some(moment) = self.shift.map_or(Some(now), |(amount, unit)| unit.shift(now, amount)) else {
            return false;
        };
        if self.format.is_empty() {
            out.push_str(&moment.to_rfc3339_opts(SecondsFormat::Millis, true));
        } else {
            write_format(moment, &self.format, out);
        }
        true
    }
}

impl Unit {
    fn named(name: &str) -> Option<Self> {
        const SECOND: i64 = 1000;
        const DAY: i64 = 24 * 3600 * SECOND;
        Some(match name {
            "ms" | "millisecond" | "milliseconds" => Unit::Milliseconds(1),
            "s" | "second" | "seconds" => Unit::Milliseconds(SECOND),
            "m" | "minute" | "minutes" => Unit::Milliseconds(60 * SECOND),
            "h" | "hour" | "hours" => Unit::Milliseconds(3600 * SECOND),
            "d" | "day" | "days" => Unit::Milliseconds(DAY),
            "w" | "week" | "weeks" => Unit::Milliseconds(7 * DAY),
            "M" | "month" | "months" => Unit::Months(1),
            "y" | "year" | "years" => Unit::Months(12),
            _ => return None,
        })
    }

    fn shift(self, now: DateTime<Utc>, amount: i64) -> Option<DateTime<Utc>> {
        match self {
            Unit::Milliseconds(each) => {
                now.checked_add_signed(TimeDelta::try_milliseconds(amount.checked_mul(each)?)?)
            }
            Unit::Months(each) => {
                let months = Months::new(u32::try_from(amount.unsigned_abs()).ok()?.checked_mul(each)?);
                if amount < 0 { now.checked_sub_months(months) } else { now.checked_add_months(months) }
            }
        }
    }
}

/// Longest first where one token is the start of another.
const TOKENS: [&str; 25] = [
    "YYYY", "YY", "MMMM", "MMM", "MM", "M", "DD", "D", "dddd", "ddd", "d", "HH", "H", "hh", "h", "mm", "m",
    "SSS", "ss", "s", "A", "a", "ZZ", "Z", "X",
];

fn write_format(moment: DateTime<Utc>, format: &str, out: &mut String) {
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some((literal, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            out.push_str(literal);
            rest = after;
        } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(**token)) {
            write_token(moment, token, out);
            rest = &rest[token.len()..];
        } else if first == 'x' {
            out.push_str(&moment.timestamp_millis().to_string());
            rest = &rest[1..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
}

fn write_token(moment: DateTime<Utc>, token: &str, out: &mut String) {
    let (is_afternoon, hour12) = moment.hour12();
    let text = match token {
        "YYYY" => format!("{:04}", moment.year()),
        "YY" => format!("{:02}", moment.year().rem_euclid(100)),
        "MMMM" => moment.format("%B").to_string(),
        "MMM" => moment.format("%b").to_string(),
        "MM" => format!("{:02}", moment.month()),
        "M" => moment.month().to_string(),
        "DD" => format!("{:02}", moment.day()),
        "D" => moment.day().to_string(),
        "dddd" => moment.format("%A").to_string(),
        "ddd" => moment.format("%a").to_string(),
        "d" => moment.weekday().num_days_from_sunday().to_string(),
        "HH" => format!("{:02}", moment.hour()),
        "H" => moment.hour().to_string(),
        "hh" => format!("{hour12:02}"),
        "h" => hour12.to_string(),
        "mm" => format!("{:02}", moment.minute()),
        "m" => moment.minute().to_string(),
        "ss" => format!("{:02}", moment.second()),
        "s" => moment.second().to_string(),
        "SSS" => format!("{:03}", moment.timestamp_subsec_millis()),
        "A" => if is_afternoon { "PM" } else { "AM" }.to_owned(),
        "a" => if is_afternoon { "pm" } else { "am" }.to_owned(),
        "ZZ" => "+0000".to_owned(),
        "Z" => "+00:00".to_owned(),
        _ => moment.timestamp().to_string(),
    };
    out.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_follow_day_js() {
        let cases = [
            ("now", "2026-01-02T03:04:05.678Z"),
            ("now:YYYY-MM-DDTHH:mm:ss", "2026-01-02T03:04:05"),
            ("now:YYYYMMDDTHHmmss[Z]", "20260102T030405Z"),
            ("now:ddd, DD MMM YYYY HH:mm:ss ZZ", "Fri, 02 Jan 2026 03:04:05 +0000"),
            (
                "now:YY M D H h hh m s SSS A a Z X x d dddd MMMM",
                "26 1 2 3 3 03 4 5 678 AM am +00:00 1767323045 1767323045678 5 Friday January",
            ),
            ("now+7:days:YYYY-MM-DD", "2026-01-09"),
            ("now-1:hours:HH", "02"),
            ("now+1:minutes:X", "1767323105"),
            ("now-1:month:YYYY-MM-DD", "2025-12-02"),
            ("now+2:y:YYYY", "2028"),
            ("now+1:day", "2026-01-03T03:04:05.678Z"),
            ("now:[open é", "[open é"),
        ];
        let now = DateTime::from_timestamp_millis(1_767_323_045_678).unwrap_or_default();
        for (text, expected) in cases {
            let clock = Clock::parse(text).and_then(Result::ok);
            let mut out = String::new();
            assert!(clock.is_some_and(|clock| clock.write(now, &mut out)), "{text}");
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn a_shift_out_of_the_calendar_has_no_value() {
        for text in
            ["now+9223372036854775807:weeks:X", "now+9000000000000:ms:X", "now-9223372036854775808:years:X"]
        {
            let clock = Clock::parse(text).and_then(Result::ok);
            let is_written = clock.is_some_and(|clock| clock.write(DateTime::UNIX_EPOCH, &mut String::new()));
            assert_eq!(is_written, text.contains(":ms:"), "{text}");
        }
    }

    #[test]
    fn other_names_are_no_clocks() {
        assert!(Clock::parse("nowhere").is_none() && Clock::parse("random").is_none());
    }
}
