//! Times on the wire: the three styles dates are printed in, and the forms they are read from. Called by the edge and by
//! whatever reads token responses. Pure: the present moment comes in as a value.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, SecondsFormat, Timelike, Utc};
use serde_json::Value;

/// 1972-01-01T00:00:00Z in milliseconds: a number from here on is milliseconds, a smaller one seconds.
const FIRST_MILLISECOND_READING: f64 = 63_072_000_000.0;

// Forms of `has_form`.
const ISO_MINUTES: &str = "0000-00-00T00:00";
const ISO_SECONDS: &str = "0000-00-00T00:00:00";
const ISO_DAY: &str = "0000-00-00";

/// Style A, `2026-08-01T10:15:30.123Z`: most of the API.
pub fn format_millis_z(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Style B, `2026-08-01T10:15:30.123+00:00`: `GET /connections/:id`.
pub fn format_millis_offset(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// Style C, `2026-08-01T10:15:30.123456+00:00` with trailing zeros of the fraction removed: the connection list and record
/// metadata, whose cursors need the precision.
pub fn format_micros_offset(time: DateTime<Utc>) -> String {
    let seconds = time.format("%Y-%m-%dT%H:%M:%S");
    let micros = format!("{:06}", (time.nanosecond() / 1_000).min(999_999));
    match micros.trim_end_matches('0') {
        "" => format!("{seconds}+00:00"),
        fraction => format!("{seconds}.{fraction}+00:00"),
    }
}

/// Reads when a credential expires (`auth-flows` section 5.1.3): a number is epoch milliseconds or seconds, told apart by
/// size; a text is a date or a `D:HH:MM` duration from `now`. Anything else means "no expiry".
pub fn parse_expiry(value: &Value, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match value {
        Value::Number(number) => parse_epoch(number.as_f64()?),
        Value::String(text) => parse_date_text(text).or_else(|| parse_duration_from(text, now)),
        _ => None,
    }
}

/// Reads a number of epoch milliseconds (when that lies after the year 1971) or else seconds.
pub fn parse_epoch(number: f64) -> Option<DateTime<Utc>> {
    let millis = if number >= FIRST_MILLISECOND_READING { number } else { number * 1_000.0 };
    // 8.64e15 is the end of JavaScript's time; every value below it is exact in an i64.
    if millis.abs() > 8.64e15 {
        return None;
    }
    DateTime::from_timestamp_millis(millis.trunc() as i64)
}

/// Reads a date in any usual form: ISO 8601 whole or shortened, with a zone or without (then UTC), or RFC 2822.
pub fn parse_date_text(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let with_zone = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %#z"))
        .or_else(|_| DateTime::parse_from_rfc2822(text));
    with_zone.map(|time| time.to_utc()).ok().or_else(|| parse_without_zone(text))
}

/// Reads an "ISO date-time" of the query strings: date, `T`, time with optional seconds and fraction, and `Z`.
pub fn parse_utc_date_time(text: &str) -> Option<DateTime<Utc>> {
    let local = text.strip_suffix('Z')?;
    // chrono is generous about widths and leap seconds: the form is checked here, the calendar there.
    let (time, fraction) = local.split_once('.').unwrap_or((local, "0"));
    let is_iso_seconds = has_form(time, ISO_SECONDS) && !time.ends_with(":60");
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_iso = has_form(local, ISO_MINUTES) || (is_iso_seconds && is_fraction);
    if is_iso { parse_local_time(local).map(|time| time.and_utc()) } else { None }
}

/// Whether `text` is `form` with any digits in the places of the zeros.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(byte, place): (u8, u8)| if place == b'0' { byte.is_ascii_digit() } else { byte == place };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

fn parse_without_zone(text: &str) -> Option<DateTime<Utc>> {
    parse_local_time(&text.replacen(' ', "T", 1))
        .or_else(|| parse_day(text).and_then(|day| day.and_hms_opt(0, 0, 0)))
        .map(|time| time.and_utc())
}

fn parse_local_time(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"))
        .ok()
}

/// `2026-08-01`, `2026-08` or `2026`.
fn parse_day(text: &str) -> Option<NaiveDate> {
    let is_day = [4, 7, 10].iter().any(|length| has_form(text, &ISO_DAY[..*length]));
    if !is_day {
        return None;
    }
    let whole = format!("{text}{}", &"-01-01"[..10 - text.len()]);
    NaiveDate::parse_from_str(&whole, "%Y-%m-%d").ok()
}

/// `D:HH:MM` from `now`, as Tableau says when a session ends.
fn parse_duration_from(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let numbers: Vec<i64> = text.trim().split(':').map(parse_digits).collect::<Option<_>>()?;
    let [days, hours, minutes] = numbers[..] else { return None };
    let duration = Duration::try_days(days)?
        .checked_add(&Duration::try_hours(hours)?)?
        .checked_add(&Duration::try_minutes(minutes)?)?;
    now.checked_add_signed(duration)
}

fn parse_digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn the_three_styles_differ_in_precision_and_zone() {
        let cases = [
            (
                "2026-08-01T10:15:30.123456Z",
                [
                    "2026-08-01T10:15:30.123Z",
                    "2026-08-01T10:15:30.123+00:00",
                    "2026-08-01T10:15:30.123456+00:00",
                ],
            ),
            (
                "2026-08-01T10:15:30Z",
                ["2026-08-01T10:15:30.000Z", "2026-08-01T10:15:30.000+00:00", "2026-08-01T10:15:30+00:00"],
            ),
            (
                "2026-08-01T10:15:30.500Z",
                ["2026-08-01T10:15:30.500Z", "2026-08-01T10:15:30.500+00:00", "2026-08-01T10:15:30.5+00:00"],
            ),
            (
                "2026-08-01T10:15:30.000100Z",
                [
                    "2026-08-01T10:15:30.000Z",
                    "2026-08-01T10:15:30.000+00:00",
                    "2026-08-01T10:15:30.0001+00:00",
                ],
            ),
            (
                "2026-08-01T12:15:30.999999999+02:00",
                [
                    "2026-08-01T10:15:30.999Z",
                    "2026-08-01T10:15:30.999+00:00",
                    "2026-08-01T10:15:30.999999+00:00",
                ],
            ),
        ];
        for (time, [a, b, c]) in cases {
            let time = at(time);
            assert_eq!(
                [format_millis_z(time), format_millis_offset(time), format_micros_offset(time)],
                [a, b, c]
            );
        }
    }

    #[test]
    fn expiry_is_read_from_numbers_dates_and_durations() {
        let now = at("2026-08-01T00:00:00Z");
        let cases = [
            ("milliseconds", json!(1_785_579_330_123_i64), Some("2026-08-01T10:15:30.123Z")),
            ("seconds", json!(1_785_579_330), Some("2026-08-01T10:15:30Z")),
            ("fractional seconds", json!(1_785_579_330.5), Some("2026-08-01T10:15:30.5Z")),
            ("the last number read as seconds", json!(63_071_999_999_i64), Some("3968-09-02T23:59:59Z")),
            (
                "the first number read as milliseconds",
                json!(63_072_000_000_i64),
                Some("1972-01-01T00:00:00Z"),
            ),
            ("zero", json!(0), Some("1970-01-01T00:00:00Z")),
            ("a negative number", json!(-1), Some("1969-12-31T23:59:59Z")),
            ("a number past the end of time", json!(1e300), None),
            ("ISO with Z", json!("2026-08-01T10:15:30.123Z"), Some("2026-08-01T10:15:30.123Z")),
            ("ISO with offset", json!("2026-08-01T12:15:30+02:00"), Some("2026-08-01T10:15:30Z")),
            ("ISO with a short offset", json!("2026-08-01T12:15:30+0200"), Some("2026-08-01T10:15:30Z")),
            ("ISO without seconds", json!("2026-08-01T10:15Z"), Some("2026-08-01T10:15:00Z")),
            ("ISO without zone", json!("2026-08-01T10:15:30"), Some("2026-08-01T10:15:30Z")),
            ("a space for T", json!("2026-08-01 10:15:30"), Some("2026-08-01T10:15:30Z")),
            ("a date alone", json!("2026-08-01"), Some("2026-08-01T00:00:00Z")),
            ("a month alone", json!("2026-08"), Some("2026-08-01T00:00:00Z")),
            ("RFC 2822", json!("Sat, 01 Aug 2026 10:15:30 GMT"), Some("2026-08-01T10:15:30Z")),
            ("days, hours, minutes", json!("2:03:04"), Some("2026-08-03T03:04:00Z")),
            ("a long duration", json!("177:05:38"), Some("2027-01-25T05:38:00Z")),
            ("an endless duration", json!("9223372036854775807:00:00"), None),
            ("a signed duration", json!("-1:00:00"), None),
            ("two parts", json!("10:15"), None),
            ("an impossible day", json!("2026-02-30"), None),
            ("words", json!("tomorrow"), None),
            ("a number as text", json!("1785579330"), None),
            ("a negative year", json!("-999"), None),
            ("the empty text", json!(""), None),
            ("a multi-byte text", json!("\u{1F600}"), None),
            ("null", json!(null), None),
            ("true", json!(true), None),
            ("a list", json!([1]), None),
        ];
        for (name, value, expected) in cases {
            assert_eq!(parse_expiry(&value, now), expected.map(at), "{name}");
        }
    }

    #[test]
    fn utc_date_times_end_in_z_and_nothing_else_is_accepted() {
        let cases = [
            ("2026-08-01T10:15:30Z", Some("2026-08-01T10:15:30Z")),
            ("2026-08-01T10:15Z", Some("2026-08-01T10:15:00Z")),
            ("2026-08-01T10:15:30.1Z", Some("2026-08-01T10:15:30.1Z")),
            ("2026-08-01T10:15:30.123456789Z", Some("2026-08-01T10:15:30.123456789Z")),
            ("2026-08-01T10:15:30.1234567891234Z", Some("2026-08-01T10:15:30.123456789Z")),
            ("2026-08-01T10:15:30z", None),
            ("2026-08-01T10:15:30", None),
            ("2026-08-01T10:15:30+00:00", None),
            ("2026-08-01T10:15:30.Z", None),
            ("2026-08-01T10:15:Z", None),
            ("2026-08-01T10Z", None),
            ("2026-8-1T10:15:30Z", None),
            ("2026-08-01T1:5:30Z", None),
            ("2026-08-01T10:15.5Z", None),
            ("2026-08-01T10:15:60Z", None),
            ("2026-08-01T10:15:30.1.2Z", None),
            ("2026-08-01Z", None),
            ("2026-13-01T10:15:30Z", None),
            ("2026-08-01T24:00:00Z", None),
            ("Z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_utc_date_time(text), expected.map(at), "{text:?}");
        }
    }
}
