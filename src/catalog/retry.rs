//! The `proxy.retry` section: which answers are worth a retry and how long to wait.

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Retry hints (`spec` providers, section 5.4). The default has none.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Retry {
    /// Headers that hold the moment to retry; used before `after`.
    #[serde(default, deserialize_with = "one_or_many")]
    pub at: Vec<String>,
    /// Headers that hold the seconds to wait.
    #[serde(default, deserialize_with = "one_or_many")]
    pub after: Vec<String>,
    /// A response whose header is `0` is worth a retry whatever its status.
    pub remaining: Option<String>,
    /// Replaces the default statuses when it is not empty.
    #[serde(default)]
    pub error_code: Vec<StatusMatch>,
    #[serde(default, deserialize_with = "in_body")]
    pub in_body: Option<InBody>,
}

impl Retry {
    /// Whether the entry says that `status` is worth a retry; none when it says nothing about statuses.
    pub fn matches_status(&self, status: u16) -> Option<bool> {
        if self.error_code.is_empty() {
            return None;
        }
        Some(self.error_code.iter().any(|matcher| matcher.matches(status)))
    }
}

/// Statuses from `first` to `last`, both included: `429`, `5xx` or `500-502`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusMatch {
    pub first: u16,
    pub last: u16,
}

impl StatusMatch {
    pub fn matches(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
            return Some(StatusMatch { first: class * 100, last: class * 100 + 99 });
        }
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(StatusMatch { first, last })
    }
}

impl<'de> Deserialize<'de> for StatusMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let refused =
            || serde::de::Error::custom(format!("`{text}` is no status, class (5xx) or range (500-502)"));
        StatusMatch::parse(&text).ok_or_else(refused)
    }
}

/// A wait that stands in the JSON body of an error.
#[derive(Debug, Clone)]
pub struct InBody {
    /// Dotted path of the text.
    pub path: String,
    /// The first capture group is the value.
    pub value: Regex,
    pub strategy: WaitStrategy,
}

/// How to read a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitStrategy {
    At,
    After,
}

#[derive(Deserialize)]
struct InBodyText {
    path: String,
    #[serde(default)]
    value: String,
    strategy: WaitStrategy,
}

/// A pattern that is no regular expression makes the section absent: better no hint than no provider.
fn in_body<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<InBody>, D::Error> {
    let InBodyText { path, value, strategy } = InBodyText::deserialize(deserializer)?;
    // Wire: published entries write the pattern as `/.../`.
    let pattern = value.strip_prefix('/').unwrap_or(&value);
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    Ok(Regex::new(pattern).ok().map(|value| InBody { path, value, strategy }))
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::String(one) => Value::Array(vec![Value::String(one)]),
        other => other,
    };
    Vec::deserialize(value).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn retry(value: Value) -> Option<Retry> {
        serde_json::from_value(value).ok()
    }

    #[test]
    fn status_forms_match() {
        let cases = [
            (json!(["429"]), 429, Some(true)),
            (json!([429]), 428, Some(false)),
            (json!(["5XX"]), 599, Some(true)),
            (json!(["5xx"]), 600, Some(false)),
            (json!(["500-502", "429"]), 502, Some(true)),
            (json!(["500 - 502"]), 503, Some(false)),
            (json!([]), 500, None),
        ];
        for (codes, status, expected) in cases {
            let found = retry(json!({ "error_code": codes })).map(|retry| retry.matches_status(status));
            assert_eq!(found, Some(expected), "{codes} {status}");
        }
        for refused in ["6xx", "502-500", "many", "xx", "-"] {
            assert!(retry(json!({ "error_code": [refused] })).is_none(), "{refused}");
        }
    }

    #[test]
    fn one_header_may_be_written_without_a_list() {
        let found = retry(json!({ "at": "x-reset", "after": ["a", "b"], "remaining": "x-left" }));
        let found = found.map(|retry| (retry.at, retry.after, retry.remaining));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(found, Some((names(&["x-reset"]), names(&["a", "b"]), Some("x-left".to_owned()))));
    }

    #[test]
    fn slashes_around_a_body_pattern_are_stripped() {
        let cases =
            [("/Retry after (.+)/", Some("Retry after (.+)")), ("a/b", Some("a/b")), ("(?<=x)", None)];
        for (pattern, expected) in cases {
            let section =
                json!({ "in_body": { "path": "error.message", "value": pattern, "strategy": "at" } });
            let found =
                retry(section).and_then(|retry| retry.in_body).map(|hint| hint.value.as_str().to_owned());
            assert_eq!(found.as_deref(), expected, "{pattern}");
        }
    }
}
