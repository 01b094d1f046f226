//! `integration_config`: fields that the operator fills in once per integration (`spec` http-api, section 7.9).

use serde_json::{Map, Value};
use url::Url;

use super::{FieldFormat, FieldProblem, FieldSchema, Fields};

/// The configuration to store after `submitted` was applied to `stored` (none on create).
///
/// On create, empty values take their default and required visible fields must be filled. On update only
/// submitted fields are looked at; an empty text clears an optional field, and what is absent stays.
///
/// # Errors
/// Every field that was refused.
pub fn apply_integration_config(
    fields: &Fields,
    stored: Option<&Map<String, Value>>,
    submitted: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<FieldProblem>> {
    let mut problems: Vec<FieldProblem> = submitted
        .iter()
        .filter_map(|(name, value)| Some(problem(name, shape_refusal(fields, name, value)?)))
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let config = overlay(fields, stored, submitted);
    let is_create = stored.is_none();
    for (name, schema) in fields {
        let is_checked = is_create || submitted.contains_key(name);
        if is_checked && is_visible(fields, &config, name) {
            problems.extend(refusal(schema, text(&config, name)).map(|message| problem(name, message)));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(config.into_iter().filter(|(_, value)| value.as_str() != Some("")).collect())
}

fn problem(field: &str, message: &str) -> FieldProblem {
    FieldProblem { field: field.to_owned(), message: message.to_owned() }
}

fn shape_refusal(fields: &Fields, name: &str, value: &Value) -> Option<&'static str> {
    if !fields.contains_key(name) {
        return Some("is not a field of this provider");
    }
    (!value.is_string()).then_some("must be a text")
}

/// Stored values, what was submitted over them, and on create the defaults of what is still empty.
fn overlay(
    fields: &Fields,
    stored: Option<&Map<String, Value>>,
    submitted: &Map<String, Value>,
) -> Map<String, Value> {
    let mut config = stored.cloned().unwrap_or_default();
    config.extend(submitted.iter().map(|(name, value)| (name.clone(), value.clone())));
    if stored.is_some() {
        return config;
    }
    for (name, schema) in fields {
        if let Some(default) = schema.default_value.as_ref().filter(|_| text(&config, name).is_empty()) {
            config.insert(name.clone(), Value::String(default.clone()));
        }
    }
    config
}

fn text<'v>(config: &'v Map<String, Value>, name: &str) -> &'v str {
    config.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn refusal(schema: &FieldSchema, value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return (!(schema.optional || schema.hidden || schema.automated)).then_some("is required");
    }
    if schema.format == Some(FieldFormat::Uri) && !is_web_url(value) {
        return Some("is not an http(s) URL");
    }
    schema.refusal(value)
}

fn is_web_url(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A hidden controller hides its dependants; controllers that go in a circle are visible.
fn is_visible(fields: &Fields, config: &Map<String, Value>, name: &str) -> bool {
    let mut seen = vec![name];
    let mut current = name;
    while let Some(condition) = fields.get(current).and_then(|schema| schema.visible_when.as_ref()) {
        if text(config, &condition.field) != condition.equals {
            return false;
        }
        if seen.contains(&condition.field.as_str()) {
            return true;
        }
        current = &condition.field;
        seen.push(current);
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Fields {
        let schema = json!({
            "mode": { "enum": ["builtin", "custom"], "default_value": "builtin" },
            "url": { "format": "uri", "visible_when": { "field": "mode", "equals": "custom" } },
            "key": { "visible_when": { "field": "url", "equals": "https://x.test" }, "pattern": "^k" },
            "note": { "optional": true },
            "token": { "secret": true },
        });
        serde_json::from_value(schema).unwrap_or_default()
    }

    fn apply(stored: Value, submitted: Value) -> Result<Value, Vec<String>> {
        let submitted = submitted.as_object().cloned().unwrap_or_default();
        apply_integration_config(&fields(), stored.as_object(), &submitted)
            .map(Value::Object)
            .map_err(|problems| problems.iter().map(|p| format!("{} {}", p.field, p.message)).collect())
    }

    #[test]
    fn configurations_are_applied() {
        let full = json!({"mode": "custom", "url": "https://x.test", "key": "k1", "token": "t", "note": "n"});
        let cases = [
            (Value::Null, json!({"token": "t"}), json!({"token": "t", "mode": "builtin"})),
            (
                Value::Null,
                json!({"token": "t", "key": "bad", "mode": ""}),
                json!({"token": "t", "key": "bad", "mode": "builtin"}),
            ),
            (Value::Null, full.clone(), full.clone()),
            (
                full.clone(),
                json!({"note": ""}),
                json!({"mode": "custom", "url": "https://x.test", "key": "k1", "token": "t"}),
            ),
            (full.clone(), json!({}), full.clone()),
            (
                json!({"webhookSecret": "w"}),
                json!({"token": "t"}),
                json!({"webhookSecret": "w", "token": "t"}),
            ),
        ];
        for (stored, submitted, expected) in cases {
            assert_eq!(apply(stored.clone(), submitted.clone()), Ok(expected), "{stored} {submitted}");
        }
    }

    #[test]
    fn refusals_name_their_field() {
        let cases = [
            (Value::Null, json!({}), vec!["token is required"]),
            (Value::Null, json!({"token": "t", "mode": "custom"}), vec!["url is required"]),
            (Value::Null, json!({"token": "t", "mode": "x"}), vec!["mode is not one of the allowed values"]),
            (
                Value::Null,
                json!({"nope": "x", "token": 7}),
                vec!["nope is not a field of this provider", "token must be a text"],
            ),
            (json!({"mode": "custom"}), json!({"url": "ftp://x.test"}), vec!["url is not an http(s) URL"]),
            (
                json!({"mode": "custom"}),
                json!({"url": "https://x.test", "key": "x"}),
                vec!["key does not have the required form"],
            ),
            (json!({"token": "t"}), json!({"token": ""}), vec!["token is required"]),
        ];
        for (stored, submitted, expected) in cases {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(apply(stored.clone(), submitted.clone()), Err(expected), "{stored} {submitted}");
        }
    }

    #[test]
    fn controllers_in_a_circle_are_visible() {
        let schema = json!({
            "a": { "visible_when": { "field": "b", "equals": "1" } },
            "b": { "visible_when": { "field": "a", "equals": "1" } },
        });
        let fields: Fields = serde_json::from_value(schema).unwrap_or_default();
        let config = json!({"a": "1", "b": "1"});
        assert!(is_visible(&fields, config.as_object().unwrap_or(&Map::new()), "a"));
    }
}
