//! From what a provider said to what is kept. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::catalog::{ExpiryUnit, HookHash, HookKind, HookValue, value_at};
use crate::crypto::sha256;
use crate::oauth::expiry;
use crate::template::Context;
use crate::time_format::format_millis_z;

/// A longer value is not one that a connection is told apart by.
const LONGEST: usize = 64 * 1024;

/// The value that a rule keeps of a source; none when there is none.
pub(super) fn read(
    rule: &HookValue,
    source: &Value,
    succeeded: bool,
    context: &Context<'_>,
    now: DateTime<Utc>,
) -> Option<Value> {
    if rule.succeeded {
        return Some(Value::Bool(succeeded));
    }
    let value = match &rule.value {
        Some(template) => Value::String(template.resolve(context).ok()?.into_owned()),
        None if rule.path.is_empty() => source.clone(),
        None => rule
            .path
            .iter()
            .find_map(|path| value_at(source, path).filter(|value| has_content(value)))?
            .clone(),
    };
    let value = change(rule, value, now)?;
    Some(value).filter(|value| has_content(value) && value.to_string().len() <= LONGEST)
}

fn has_content(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
}

fn change(rule: &HookValue, value: Value, now: DateTime<Utc>) -> Option<Value> {
    let mut value = value;
    if rule.last_path_segment {
        let text = value.as_str()?.trim_end_matches('/');
        value = text.rsplit('/').next().unwrap_or_default().into();
    }
    if let Some(before) = &rule.after {
        value = value.as_str()?.split_once(before.as_str())?.1.into();
    }
    if rule.hash == Some(HookHash::EmailV1) {
        value = email_hash(value.as_str()?).into();
    }
    match rule.kind {
        None => Some(value),
        Some(HookKind::String) => scalar(&value).map(Value::String),
        Some(HookKind::Number) => match value {
            Value::Number(_) => Some(value),
            other => serde_json::from_str(scalar(&other)?.trim()).ok().filter(Value::is_number),
        },
        Some(HookKind::Boolean) => match value {
            Value::Bool(_) => Some(value),
            Value::String(text) => Some(Value::Bool(text.eq_ignore_ascii_case("true"))),
            other => Some(Value::Bool(other.as_f64().is_some_and(|number| number != 0.0))),
        },
        Some(HookKind::Token) => token(value, now),
    }
}

/// The answer of a token endpoint with the moment at which its token ends.
fn token(answer: Value, now: DateTime<Utc>) -> Option<Value> {
    let Value::Object(mut members) = answer else { return None };
    members.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty())?;
    if let Some(expires_at) = expiry(&members, ExpiryUnit::Seconds, now) {
        members.insert("expires_at".to_owned(), json!(format_millis_z(expires_at)));
    }
    Some(Value::Object(members))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

// Wire: the text in front is upstream's, so that webhooks find the same connections.
fn email_hash(email: &str) -> String {
    let text = format!("nango.emailAddressHash.v1:{}", email.trim().to_lowercase());
    hex::encode(sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_the_rule_says() {
        let source = json!({"id": 7, "text": "42", "flag": "True", "name": " Jane@Example.com ", "empty": "",
            "org": "https://api.test/organizations/abc/", "api_domain": "https://www.zohoapis.com.au", "list": ["a"],
            "access_token": "t", "expires_in": 60});
        let now = DateTime::UNIX_EPOCH;
        let cases = [
            (json!({"path": "id"}), json!(7)),
            (json!({"path": "id", "as": "string"}), json!("7")),
            (json!({"path": "text", "as": "number"}), json!(42)),
            (json!({"path": "org", "as": "number"}), json!(null)),
            (json!({"path": "flag", "as": "boolean"}), json!(true)),
            (json!({"path": "id", "as": "boolean"}), json!(true)),
            (json!({"path": "list", "as": "string"}), json!(null)),
            (json!({"path": "list.0"}), json!("a")),
            (json!({"path": ["empty", "nowhere", "text"]}), json!("42")),
            (json!({"path": "empty"}), json!(null)),
            (json!({"path": "org", "last_path_segment": true}), json!("abc")),
            (json!({"path": "api_domain", "after": "zohoapis."}), json!("com.au")),
            (json!({"path": "org", "after": "zohoapis."}), json!(null)),
            (json!({"value": "${connectionConfig.x}"}), json!(null)),
            (json!({"value": "constant"}), json!("constant")),
            (json!({"succeeded": true}), json!(true)),
            (
                json!({"path": "name", "hash": "email_v1"}),
                json!("5add75e13c8e3e64453b46dad8578739075c2ee7cc5e9c8fbc805a0909c39864"),
            ),
        ];
        for (rule, expected) in cases {
            let parsed: HookValue = serde_json::from_value(rule.clone()).expect("a rule");
            let found = read(&parsed, &source, true, &Context::new(now, ""), now).unwrap_or_default();
            assert_eq!(found, expected, "{rule}");
        }
        let token: HookValue = serde_json::from_value(json!({"as": "token"})).expect("a rule");
        let context = Context::new(now, "");
        let found = read(&token, &source, true, &context, now).expect("a token");
        assert_eq!(found["expires_at"], "1970-01-01T00:01:00.000Z");
        assert_eq!(read(&token, &json!({"error": "no"}), true, &context, now), None);
        assert_eq!(read(&parsed_whole(), &json!("x".repeat(LONGEST)), true, &context, now), None);
    }

    fn parsed_whole() -> HookValue {
        HookValue::default()
    }
}
