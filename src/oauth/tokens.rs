//! Reading tokens, their lifetime and the connection's metadata out of an answer (`spec` auth-flows, section 5.1.3). Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::catalog::ExpiryUnit;
use crate::time_format::{format_millis_z, parse_epoch, parse_expiry};

/// The tokens of an answer. Deliberately without `Debug`.
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// The whole answer, with `expires_at` when that was computed.
    pub raw: Map<String, Value>,
}

/// The tokens of an answer: at its top level, else at the dotted path `alternate`, where the value is the token or an
/// object that holds it. `None` when there is no access token.
pub fn read_tokens(
    answer: Map<String, Value>,
    alternate: Option<&str>,
    now: DateTime<Utc>,
) -> Option<Tokens> {
    if text(&answer, "access_token").is_some() {
        return tokens_in(&answer, now).map(|tokens| tokens.with_raw(answer, now));
    }
    let tokens = match lookup(&answer, alternate?)? {
        Value::Object(inner) => tokens_in(inner, now),
        Value::String(token) => {
            let access_token = Some(token.clone()).filter(|token| !token.is_empty());
            access_token.map(|access_token| Tokens::bare(access_token, None, None))
        }
        _ => None,
    };
    tokens.map(|tokens| tokens.with_raw(answer, now))
}

/// The tokens of an object that has the usual member names.
pub fn tokens_in(holder: &Map<String, Value>, now: DateTime<Utc>) -> Option<Tokens> {
    let access_token = text(holder, "access_token")?.to_owned();
    let refresh_token = text(holder, "refresh_token").map(str::to_owned);
    Some(Tokens::bare(access_token, refresh_token, expiry(holder, ExpiryUnit::Seconds, now)))
}

impl Tokens {
    fn bare(access_token: String, refresh_token: Option<String>, expires_at: Option<DateTime<Utc>>) -> Self {
        Tokens { access_token, refresh_token, expires_at, raw: Map::new() }
    }

    /// Adds the whole answer.
    pub fn with_raw(self, mut raw: Map<String, Value>, now: DateTime<Utc>) -> Self {
        // Wire: users read `raw.expires_at` even where the provider sends `expires_in` only.
        if !raw.contains_key("expires_at")
            && let Some(computed) = expiry(&raw, ExpiryUnit::Seconds, now)
        {
            raw.insert("expires_at".to_owned(), format_millis_z(computed).into());
        }
        Tokens { raw, ..self }
    }
}

/// When the tokens of this object end: `expires_at`, else `expires_in` from now on, else unknown.
pub fn expiry(holder: &Map<String, Value>, unit: ExpiryUnit, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let given = holder.get("expires_at").and_then(|value| match number(value) {
        Some(number) => parse_epoch(number),
        None => parse_expiry(value, now),
    });
    given.or_else(|| lifetime(holder.get("expires_in")?, unit).and_then(|life| now.checked_add_signed(life)))
}

/// A lifetime of 0 is how some providers say "does not expire".
fn lifetime(value: &Value, unit: ExpiryUnit) -> Option<TimeDelta> {
    let number = number(value).filter(|number| *number > 0.0)?;
    let millis = if unit == ExpiryUnit::Seconds { number * 1_000.0 } else { number };
    if millis > 8.64e15 {
        return None;
    }
    TimeDelta::try_milliseconds(millis as i64)
}

/// A number, or a text that is one.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    }
}

/// The values at `paths` that are texts or booleans, under their literal dotted names.
pub fn pick_metadata(answer: &Map<String, Value>, paths: &[String]) -> Map<String, Value> {
    let pick = |path: &String| {
        let value = lookup(answer, path).filter(|value| value.is_string() || value.is_boolean())?;
        Some((path.clone(), value.clone()))
    };
    paths.iter().filter_map(pick).collect()
}

/// The value at a dotted path.
pub fn lookup<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    lookup(object.get(first)?.as_object()?, rest)
}

/// A member that is a text with something in it.
pub fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_785_542_400_000_000_000);

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn tokens_are_found_at_the_top_or_at_the_alternate_path() {
        let cases = [
            (
                json!({"access_token": "a", "refresh_token": "r", "expires_in": 60}),
                None,
                Some(("a", Some("r"), Some(60))),
            ),
            (
                json!({"access_token": "a", "expires_in": "60", "refresh_token": ""}),
                None,
                Some(("a", None, Some(60))),
            ),
            (json!({"access_token": "a", "u": {"access_token": "b"}}), Some("u"), Some(("a", None, None))),
            (
                json!({"u": {"v": {"access_token": "b", "refresh_token": "r", "expires_in": 5}}}),
                Some("u.v"),
                Some(("b", Some("r"), Some(5))),
            ),
            (json!({"u": "b"}), Some("u"), Some(("b", None, None))),
            (json!({"u": {"access_token": "b"}}), None, None),
            (json!({"access_token": ""}), Some("u"), None),
            (json!({"access_token": 5}), None, None),
        ];
        for (answer, alternate, expected) in cases {
            let found = read_tokens(object(answer.clone()), alternate, NOW);
            let found = found.map(|tokens| {
                let seconds = tokens.expires_at.map(|at| (at - NOW).num_seconds());
                (tokens.access_token, tokens.refresh_token, seconds)
            });
            let expected = expected
                .map(|(access, refresh, seconds)| (access.to_owned(), refresh.map(str::to_owned), seconds));
            assert_eq!(found, expected, "{answer}");
        }
    }

    #[test]
    fn lifetimes_are_read_in_every_form() {
        let end = NOW.timestamp() + 60;
        for (holder, seconds) in [
            (json!({"expires_at": end}), Some(60)),
            (json!({"expires_at": end.to_string()}), Some(60)),
            (json!({"expires_at": end * 1000}), Some(60)),
            (json!({"expires_at": format_millis_z(NOW + TimeDelta::seconds(60))}), Some(60)),
            (json!({"expires_at": "0:00:01"}), Some(60)),
            (json!({"expires_at": end, "expires_in": 5}), Some(60)),
            (json!({"expires_at": "soon", "expires_in": 60}), Some(60)),
            (json!({"expires_in": 60.9}), Some(60)),
            (json!({"expires_in": 0}), None),
            (json!({"expires_in": -1}), None),
            (json!({"expires_in": "never"}), None),
            (json!({"expires_in": 1e300}), None),
            (json!({"expires_in": "inf"}), None),
            (json!({"expires_in": null}), None),
            (json!({}), None),
        ] {
            let found = expiry(&object(holder.clone()), ExpiryUnit::Seconds, NOW);
            assert_eq!(found.map(|at| (at - NOW).num_seconds()), seconds, "{holder}");
        }
        let millis = expiry(&object(json!({"expires_in": 60_000})), ExpiryUnit::Milliseconds, NOW);
        assert_eq!(millis, Some(NOW + TimeDelta::seconds(60)));
    }

    #[test]
    fn raw_keeps_the_whole_answer_and_gains_the_computed_expiry() {
        let raw = |answer| read_tokens(object(answer), None, NOW).map(|tokens| Value::Object(tokens.raw));
        assert_eq!(
            raw(json!({"access_token": "a", "x": 1, "expires_in": 60})),
            Some(
                json!({"access_token": "a", "x": 1, "expires_in": 60, "expires_at": "2026-08-01T00:01:00.000Z"})
            )
        );
        let given = json!({"access_token": "a", "expires_at": 5, "expires_in": 60});
        assert_eq!(raw(given.clone()), Some(given));
    }

    #[test]
    fn metadata_is_kept_under_its_dotted_name() {
        let answer = object(json!({"team": {"id": "T1", "n": 5}, "ok": true, "a.b": "c", "list": []}));
        let paths = ["team.id", "team.n", "ok", "a.b", "list", "nope.x"].map(str::to_owned);
        assert_eq!(
            Value::Object(pick_metadata(&answer, &paths)),
            json!({"team.id": "T1", "ok": true, "a.b": "c"})
        );
    }
}
