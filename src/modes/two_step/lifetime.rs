//! When a TWO_STEP token ends (`spec` auth-flows, section 5.9, step 7). Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::answer::value_at;
use crate::catalog::{ExpirationStrategy, Provider};
use crate::modes::signed_jwt::expiry_in;
use crate::oauth::number;
use crate::time_format::{parse_epoch, parse_expiry};

/// Of tokens about which nothing is known.
const ENDLESS: TimeDelta = TimeDelta::days(99 * 365);
/// How long before its own end a JWT counts as ended, or a third of what is left when that is less: a token of ten minutes
/// would never be good otherwise.
const BUFFER: TimeDelta = TimeDelta::minutes(15);

/// The moment from which on the token is not to be used; none when the entry says that this is not known.
pub fn ends_at(
    provider: &Provider,
    answer: &Value,
    token: &Value,
    refresh_token: Option<&str>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let rule = &provider.token_response;
    let path = rule.token_expiration.as_deref().filter(|path| !path.is_empty());
    let given = path.and_then(|path| read(value_at(answer, path)?, rule.token_expiration_strategy, now));
    let known = given.or_else(|| by_default(provider.token_expires_in_ms, now));
    let own = token.as_str().filter(|_| given.is_none()).and_then(expiry_in);
    let refresh = refresh_token.and_then(expiry_in);
    let buffered =
        own.into_iter().chain(refresh).map(|end| end - BUFFER.min((end - now).max(TimeDelta::zero()) / 3));
    known.into_iter().chain(buffered).min()
}

fn by_default(lifetime_ms: Option<f64>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match lifetime_ms {
        None => Some(now + ENDLESS),
        Some(millis) if millis > 0.0 => after(now, millis),
        Some(_) => None,
    }
}

fn read(value: &Value, strategy: ExpirationStrategy, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match strategy {
        ExpirationStrategy::ExpireAt => match number(value) {
            Some(number) if number > 0.0 => parse_epoch(number),
            Some(_) => None,
            None => parse_expiry(value, now),
        },
        ExpirationStrategy::ExpireIn => {
            let millis = number(value).map(|seconds| seconds * 1_000.0).or_else(|| duration(value.as_str()?));
            after(now, millis.filter(|millis| *millis > 0.0)?)
        }
    }
}

fn after(now: DateTime<Utc>, millis: f64) -> Option<DateTime<Utc>> {
    // The end of JavaScript's time.
    let millis = Some(millis).filter(|millis| *millis < 8.64e15)? as i64;
    now.checked_add_signed(TimeDelta::try_milliseconds(millis)?)
}

/// Milliseconds of `1h`, `30 min`, `1.5 days`.
fn duration(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (amount, unit) = text.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
        "m" | "min" | "mins" | "minute" | "minutes" => 60e3,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600e3,
        "d" | "day" | "days" => 86_400e3,
        "w" | "week" | "weeks" => 604_800e3,
        "y" | "yr" | "yrs" | "year" | "years" => 31_557_600e3,
        _ => return None,
    };
    amount.parse::<f64>().ok().map(|amount| amount * unit)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_785_542_400_000_000_000);

    fn jwt(minutes: i64) -> String {
        let claims = json!({"exp": NOW.timestamp() + minutes * 60}).to_string();
        format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims))
    }

    fn seconds(extra: Value, answer: Value, token: &str, refresh_token: Option<&str>) -> Option<i64> {
        let mut raw = json!({"display_name": "A", "docs": "https://d", "auth_mode": "TWO_STEP"});
        raw.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let provider = Provider::compile("a", raw.as_object().unwrap().clone()).unwrap();
        let end = ends_at(&provider, &answer, &json!(token), refresh_token, NOW);
        end.map(|end| (end - NOW).num_seconds())
    }

    #[test]
    fn the_answer_says_when_a_token_ends() {
        let at = json!({"token_response": {"token_expiration": "x.end"}});
        let within =
            json!({"token_response": {"token_expiration": "x.end", "token_expiration_strategy": "expireIn"}});
        let forever = Some(ENDLESS.num_seconds());
        let hour = NOW.timestamp() + 3600;
        for (extra, end, expected) in [
            (&at, json!(hour), Some(3600)),
            (&at, json!(hour * 1000), Some(3600)),
            (&at, json!(hour.to_string()), Some(3600)),
            (&at, json!("2026-08-01T01:00:00Z"), Some(3600)),
            (&at, json!("0:01:00"), Some(3600)),
            (&at, json!("soon"), forever),
            (&at, json!(0), forever),
            (&within, json!(3600), Some(3600)),
            (&within, json!("3600"), Some(3600)),
            (&within, json!("1h"), Some(3600)),
            (&within, json!("1.5 days"), Some(129_600)),
            (&within, json!("90 Minutes"), Some(5400)),
            (&within, json!("1 fortnight"), forever),
            (&within, json!(-5), forever),
            (&within, json!(0), forever),
            (&within, json!(1e300), forever),
            (&within, json!(null), forever),
            (&within, json!({}), forever),
        ] {
            assert_eq!(
                seconds(extra.clone(), json!({"x": {"end": end}}), "t", None),
                expected,
                "{extra} {end}"
            );
        }
    }

    #[test]
    fn without_word_of_the_answer_the_entry_or_the_token_itself_decides() {
        let lasts = |millis: i64| json!({"token_expires_in_ms": millis});
        let said =
            json!({"token_response": {"token_expiration": "in", "token_expiration_strategy": "expireIn"}});
        for (extra, token, refresh_token, expected) in [
            (lasts(60_000), "t".to_owned(), None, Some(60)),
            (lasts(0), "t".to_owned(), None, None),
            (lasts(0), jwt(60), None, Some(2700)),
            (lasts(60_000), jwt(60), None, Some(60)),
            (json!({}), jwt(60), None, Some(2700)),
            (json!({}), jwt(9), None, Some(360)),
            (json!({}), jwt(-60), None, Some(-3600)),
            (json!({}), jwt(120), Some(jwt(60)), Some(2700)),
            (said.clone(), jwt(60), None, Some(7200)),
            (said, "t".to_owned(), Some(jwt(60)), Some(2700)),
        ] {
            let found = seconds(extra.clone(), json!({"in": 7200}), &token, refresh_token.as_deref());
            assert_eq!(found, expected, "{extra} {token}");
        }
    }
}
