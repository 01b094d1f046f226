//! Which failures are worth another attempt, and how long to wait for it (`spec` proxy, section 9). Pure.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::catalog::{InBody, Retry, WaitStrategy};
use crate::egress::EgressError;
use crate::time_format::parse_date_text;

const FIRST_WAIT: Duration = Duration::from_secs(3);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const NETWORK_CODES: [&str; 7] = [
    "ECONNRESET",
    "ETIMEDOUT",
    "ECONNABORTED",
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "EAI_AGAIN",
    "UND_ERR_SOCKET",
];

/// What decides about a retry besides the failure itself.
pub(super) struct Rules<'a> {
    /// The entry's hints.
    pub entry: Option<&'a Retry>,
    /// `Retry-On`.
    pub retry_on: &'a [u16],
    /// Codes that the operator adds to the retryable ones.
    pub network_codes: &'a [String],
}

/// A failed answer.
pub(super) struct Failed<'a> {
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    /// Only there when the entry looks for a wait in it.
    pub body: Option<&'a [u8]>,
}

/// Another attempt, after a while.
#[derive(Debug, PartialEq)]
pub(super) struct Wait {
    /// For the log.
    pub reason: Cow<'static, str>,
    pub time: Duration,
}

impl Rules<'_> {
    /// Whether to try again after no answer came. `attempt` counts from 0.
    pub fn after_error(&self, error: &EgressError, attempt: u32) -> Option<Wait> {
        let code = error.transport_code();
        let is_known = NETWORK_CODES.contains(&code) || self.network_codes.iter().any(|known| known == code);
        is_known.then(|| Wait { reason: "network_error".into(), time: default_wait(attempt) })
    }

    /// Whether to try again after an answer outside 200 to 299.
    pub fn after_answer(&self, failed: &Failed<'_>, attempt: u32, now: DateTime<Utc>) -> Option<Wait> {
        let reason = self.reason(failed)?;
        let (reason, time) = match self.told_wait(failed, now) {
            Some((reason, time)) => (Cow::Borrowed(reason), time),
            None => (reason, default_wait(attempt)),
        };
        Some(Wait { reason, time: time.min(LONGEST_WAIT) })
    }

    /// Whether the wait may stand in the body.
    pub fn reads_body(&self) -> bool {
        self.entry.is_some_and(|entry| entry.in_body.is_some())
    }

    fn reason(&self, failed: &Failed<'_>) -> Option<Cow<'static, str>> {
        let status = failed.status.as_u16();
        match self.entry.and_then(|entry| entry.matches_status(status)) {
            Some(true) => return Some(format!("provider_error_code_{status}").into()),
            None if status >= 500 || status == 429 || status == 401 => {
                return Some(format!("status_code_{status}").into());
            }
            Some(false) | None => {}
        }
        if self.retry_on.contains(&status) {
            return Some(format!("retry_on_{status}").into());
        }
        let remaining = self.entry.and_then(|entry| entry.remaining.as_deref())?;
        let is_used_up = failed.headers.get(remaining).is_some_and(|value| value == "0");
        is_used_up.then_some("provider_remaining".into())
    }

    /// A wait that the provider names.
    fn told_wait(&self, failed: &Failed<'_>, now: DateTime<Utc>) -> Option<(&'static str, Duration)> {
        let preconfigured = self.entry.and_then(|entry| {
            longest(&entry.at, failed.headers, |text| until(text, now))
                .map(|time| ("preconfigured_at", time))
                .or_else(|| {
                    longest(&entry.after, failed.headers, seconds).map(|time| ("preconfigured_after", time))
                })
                .or_else(|| from_body(entry.in_body.as_ref()?, failed.body?, now))
        });
        preconfigured.or_else(|| standard_wait(failed, now))
    }
}

/// `min(3 s * 2^attempt, 10 min)`.
fn default_wait(attempt: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2u32.saturating_pow(attempt)).min(LONGEST_WAIT)
}

/// Spreads waits by up to 10 %, so that calls refused together do not come back together. `random` is any byte.
pub(super) fn jitter(time: Duration, random: u8) -> Duration {
    (time + time.mul_f64(f64::from(random) / 2550.0)).min(LONGEST_WAIT)
}

fn longest(
    names: &[String],
    headers: &HeaderMap,
    read: impl Fn(&str) -> Option<Duration>,
) -> Option<Duration> {
    let texts = names.iter().filter_map(|name| headers.get(name)?.to_str().ok());
    texts.filter_map(|text| read(text.trim())).max()
}

/// Seconds, with or without a fraction; a date is no number of seconds.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT))
}

/// The time until a moment: epoch milliseconds, epoch seconds, or a date. None when it is not in the future.
fn until(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    const YEAR_1972_MS: f64 = 63_072_000_000.0;
    let moment = match text.parse::<f64>() {
        Ok(number) if number >= YEAR_1972_MS => DateTime::from_timestamp_millis(number as i64)?,
        Ok(number) => DateTime::from_timestamp_millis((number * 1000.0) as i64)?,
        Err(_) => date(text)?,
    };
    (moment - now).to_std().ok().filter(|time| !time.is_zero())
}

/// An ISO or an HTTP date.
fn date(text: &str) -> Option<DateTime<Utc>> {
    parse_date_text(text)
        .or_else(|| DateTime::parse_from_rfc2822(text).ok().map(|date| date.with_timezone(&Utc)))
}

fn from_body(hint: &InBody, body: &[u8], now: DateTime<Utc>) -> Option<(&'static str, Duration)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut value = &body;
    for key in hint.path.split('.') {
        value = match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            value => value.get(key)?,
        };
    }
    let text = hint.value.captures(value.as_str()?)?.get(1)?.as_str().trim();
    match hint.strategy {
        WaitStrategy::At => Some(("preconfigured_in_body:at", until(text, now)?)),
        WaitStrategy::After => Some(("preconfigured_in_body:after", seconds(text)?)),
    }
}

/// `Retry-After` where the standard defines it, even when the entry does not name it (RFC 9110 section 10.2.3).
fn standard_wait(failed: &Failed<'_>, now: DateTime<Utc>) -> Option<(&'static str, Duration)> {
    if !matches!(failed.status.as_u16(), 429 | 503) {
        return None;
    }
    let text = failed.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let time = seconds(text).or_else(|| {
        let wait = date(text)? - now;
        wait.max(TimeDelta::zero()).to_std().ok()
    })?;
    Some(("retry_after", time))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000;

    /// Entry, `Retry-On`, status, headers, body, outcome.
    type Row<'a> = (Value, &'a [u16], u16, Vec<(&'a str, &'a str)>, &'a str, &'a str);

    fn decide(entry: Value, retry_on: &[u16], status: u16, headers: &[(&str, &str)], body: &str) -> String {
        let entry: Retry = serde_json::from_value(entry).unwrap();
        let rules = Rules { entry: Some(&entry), retry_on, network_codes: &[] };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let failed = Failed { status, headers: &map, body: Some(body.as_bytes()) };
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        match rules.after_answer(&failed, 0, now) {
            Some(wait) => format!("{} {}", wait.reason, wait.time.as_secs_f64()),
            None => "no".to_owned(),
        }
    }

    #[test]
    fn answers_are_judged_in_order() {
        let at = json!({"at": "x-reset"});
        let after = json!({"after": ["a", "b"]});
        let rules = json!({"error_code": ["409", "5xx"]});
        let in_body =
            json!({"in_body": {"path": "error.message", "value": "/after ([0-9.]+)/", "strategy": "after"}});
        let message = r#"{"error":{"message":"Retry after 1.5 please"}}"#;
        let http_date = "Mon, 21 Sep 2026 14:13:30 GMT";
        let cases: Vec<Row<'_>> = vec![
            (json!({}), &[], 500, vec![], "", "status_code_500 3"),
            (json!({}), &[], 401, vec![], "", "status_code_401 3"),
            (json!({}), &[], 404, vec![], "", "no"),
            (json!({}), &[404], 404, vec![], "", "retry_on_404 3"),
            (json!({}), &[], 304, vec![], "", "no"),
            (rules.clone(), &[], 409, vec![], "", "provider_error_code_409 3"),
            (rules.clone(), &[], 429, vec![], "", "no"),
            (rules, &[429], 429, vec![], "", "retry_on_429 3"),
            (json!({"remaining": "x-left"}), &[], 403, vec![("x-left", "0")], "", "provider_remaining 3"),
            (json!({"remaining": "x-left"}), &[], 403, vec![("x-left", "1")], "", "no"),
            (at.clone(), &[], 429, vec![("x-reset", "1790000005")], "", "preconfigured_at 5"),
            (at.clone(), &[], 429, vec![("x-reset", "1790000005500")], "", "preconfigured_at 5.5"),
            (at.clone(), &[], 429, vec![("x-reset", "1789999999")], "", "status_code_429 3"),
            (at.clone(), &[], 429, vec![("x-reset", "1790009999")], "", "preconfigured_at 600"),
            (at.clone(), &[], 429, vec![("x-reset", http_date)], "", "preconfigured_at 10"),
            (at, &[], 429, vec![("retry-after", "7")], "", "retry_after 7"),
            (after.clone(), &[], 500, vec![("a", "1"), ("b", "2.5")], "", "preconfigured_after 2.5"),
            (after.clone(), &[], 500, vec![("a", http_date)], "", "status_code_500 3"),
            (after, &[], 500, vec![("a", "-1")], "", "status_code_500 3"),
            (json!({}), &[], 503, vec![("retry-after", "0")], "", "retry_after 0"),
            (json!({}), &[], 503, vec![("retry-after", http_date)], "", "retry_after 10"),
            (json!({}), &[], 500, vec![("retry-after", "7")], "", "status_code_500 3"),
            (in_body.clone(), &[], 429, vec![], message, "preconfigured_in_body:after 1.5"),
            (in_body, &[], 429, vec![], "not json", "status_code_429 3"),
        ];
        for (entry, retry_on, status, headers, body, expected) in cases {
            let found = decide(entry.clone(), retry_on, status, &headers, body);
            assert_eq!(found, expected, "{entry} {retry_on:?} {status} {headers:?}");
        }
    }

    #[test]
    fn waits_double_up_to_ten_minutes() {
        for (attempt, expected) in [(0, 3), (1, 6), (3, 24), (7, 384), (8, 600), (100, 600)] {
            assert_eq!(default_wait(attempt).as_secs(), expected);
        }
        assert_eq!(jitter(Duration::from_secs(10), 255), Duration::from_secs(11));
        assert_eq!(jitter(Duration::ZERO, 255), Duration::ZERO);
        assert_eq!(jitter(LONGEST_WAIT, 9), LONGEST_WAIT);
    }

    #[test]
    fn network_failures_are_retried_by_their_code() {
        let rules = Rules { entry: None, retry_on: &[], network_codes: &["ENOTFOUND".to_owned()] };
        let unknown = |is_temporary| EgressError::Dns { host: "h".into(), is_temporary };
        for (error, expected) in [
            (EgressError::Aborted, true),
            (EgressError::Timeout, true),
            (EgressError::Connect(std::io::ErrorKind::ConnectionRefused), true),
            (unknown(true), true),
            (unknown(false), true),
            (EgressError::TooManyRedirects { limit: 5 }, false),
            (EgressError::Other("x".into()), false),
        ] {
            assert_eq!(rules.after_error(&error, 0).is_some(), expected, "{error}");
        }
    }
}
