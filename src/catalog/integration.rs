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
