//! Placeholders: names that stand for nothing where they are used, connection config that nothing sets, fields that
//! nothing uses, and braces that were probably meant as placeholders.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::SECTIONS;
use super::namespace::{Meaning, Namespace, Place};
use super::note::{Entry, Notes};
use crate::auth::AuthMode;
use crate::template::Template;

/// Where templates stand, apart from steps.
const PLACES: [(&[&str], Place); 24] = [
    (&["authorization_url"], Place::Address),
    (&["token_url"], Place::Address),
    (&["refresh_url"], Place::Address),
    (&["request_url"], Place::Address),
    (&["registration_url"], Place::Address),
    (&["access_token_url"], Place::Address),
    (&["authorization_params"], Place::Parameters),
    (&["request_params"], Place::Parameters),
    (&["token_params"], Place::Parameters),
    (&["refresh_params"], Place::Parameters),
    (&["refresh_token_params"], Place::Parameters),
    (&["token_headers"], Place::Parameters),
    (&["refresh_token_headers"], Place::Parameters),
    (&["assertion"], Place::Assertion),
    (&["token"], Place::Parameters),
    (&["proxy", "base_url"], Place::Base),
    (&["proxy", "headers"], Place::Proxy),
    (&["proxy", "query"], Place::Proxy),
    (&["proxy", "body"], Place::Proxy),
    (&["proxy", "verification", "endpoints"], Place::Proxy),
    (&["proxy", "verification", "headers"], Place::Proxy),
    (&["proxy", "verification", "json"], Place::Hook),
    (&["proxy", "verification", "form"], Place::Hook),
    (&["proxy", "verification", "xml"], Place::Hook),
];

const HOOKS: [&str; 2] = ["post_connection", "pre_deletion"];

pub(super) fn check(entry: &Entry<'_>, notes: &mut Notes) {
    let namespace = Namespace::new(entry);
    for (path, place) in PLACES {
        if let Some(value) = entry.at(path) {
            check_tree(value, &mut path.to_vec(), place, &namespace, notes);
        }
    }
    for (number, step) in
        entry.at(&["additional_steps"]).and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        for key in ["token_url", "token_params", "token_headers"] {
            if let Some(value) = step.get(key) {
                check_tree(value, &mut vec!["additional_steps"], Place::Step(number + 1), &namespace, notes);
            }
        }
    }
    for hook in HOOKS {
        for step in entry.at(&[hook]).and_then(Value::as_array).into_iter().flatten() {
            for key in ["request", "select", "set", "set_metadata"] {
                if let Some(value) = step.get(key) {
                    check_tree(value, &mut vec![hook, key], Place::Hook, &namespace, notes);
                }
            }
        }
    }
    check_unused(entry, notes);
}

fn check_tree<'v>(
    value: &'v Value,
    path: &mut Vec<&'v str>,
    place: Place,
    namespace: &Namespace<'_>,
    notes: &mut Notes,
) {
    match value {
        Value::String(text) => check_text(text, path, place, namespace, notes),
        Value::Array(items) => items.iter().for_each(|item| check_tree(item, path, place, namespace, notes)),
        Value::Object(members) => {
            for (key, member) in members {
                path.push(key);
                check_tree(member, path, place, namespace, notes);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn check_text(text: &str, path: &[&str], place: Place, namespace: &Namespace<'_>, notes: &mut Notes) {
    // Where the fallback is unknown its bars are text, which changes nothing about the names.
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(problem) => {
            let message = format!("`{text}` is no template: {} (byte {})", problem.reason, problem.at);
            let advice = "A placeholder is `${name}` or `${function(...)}`, and every brace is closed.";
            notes.error("template", path, message, advice);
            return;
        }
    };
    // Queries of GraphQL are full of braces.
    if place != Place::Hook {
        check_braces(&template, path, notes);
    }
    let names: BTreeSet<&str> = template.names().collect();
    for name in names {
        report(name, namespace.meaning(name, place), path, place, notes);
    }
}

fn report(name: &str, meaning: Meaning, path: &[&str], place: Place, notes: &mut Notes) {
    match meaning {
        Meaning::Known => {}
        Meaning::Undeclared => {
            let field = name.strip_prefix("connectionConfig.").unwrap_or(name);
            let message = format!("`${{{name}}}` is used, but nothing sets `{field}`");
            let advice = format!(
                "Add `{field}` to `connection_config` (with `automated: true` when the server finds it out), or to \
                 `token_response_metadata` or `redirect_uri_metadata`."
            );
            notes.warn("undeclared-field", path, message, advice);
        }
        Meaning::Nothing(advice) => {
            let message = format!("`${{{name}}}` stands for nothing here");
            if matches!(place, Place::Address | Place::Base) {
                notes.error("placeholder", path, message, advice);
            } else {
                notes.warn("placeholder", path, message, advice);
            }
        }
    }
}

fn check_braces(template: &Template, path: &[&str], notes: &mut Notes) {
    if template.literals().any(|text| text.contains(['{', '}'])) {
        let message = format!(
            "`{}` has a brace that belongs to no placeholder and is sent as it is",
            template.source()
        );
        notes.warn("stray-brace", path, message, "Placeholders are written `${name}`.");
    }
}

/// Fields that users fill in for nothing. Hooks may read any field, so entries with one are left alone.
fn check_unused(entry: &Entry<'_>, notes: &mut Notes) {
    let has_hook =
        ["post_connection_script", "credentials_verification_script", "pre_connection_deletion_script"]
            .iter()
            .any(|key| entry.text(&[key]).is_some_and(|name| !name.is_empty()))
            || HOOKS.iter().any(|key| entry.at(&[key]).is_some());
    // These modes read fields by name.
    let reads_by_name = matches!(
        entry.mode,
        None | Some(AuthMode::Tba | AuthMode::AwsSigV4 | AuthMode::McpOAuth2Generic | AuthMode::Bill)
    );
    if has_hook || reads_by_name {
        return;
    }
    let mut used = BTreeSet::new();
    for (key, value) in entry.definition.iter().filter(|(key, _)| !SECTIONS.contains(&key.as_str())) {
        collect_names(value, &mut used);
        // Parts of the entry that name fields without a placeholder.
        if key == "connection_configuration" {
            used.extend(entry.texts(&[key]).map(str::to_owned));
        }
    }
    for (field, schema) in entry.members(&["connection_config"]) {
        let is_automated = schema.get("automated").and_then(Value::as_bool).unwrap_or_default();
        let controls = entry.members(&["connection_config"]).any(|(_, other)| {
            other.get("visible_when").and_then(|condition| condition.get("field")?.as_str()) == Some(field)
        });
        if !is_automated && !controls && !is_used(field, &used) {
            let message = format!("nobody reads `{field}`, which users have to fill in");
            let advice = format!("Use `${{connectionConfig.{field}}}` somewhere, or leave the field out.");
            notes.warn("unused-field", &["connection_config", field], message, advice);
        }
    }
}

fn is_used(field: &str, used: &BTreeSet<String>) -> bool {
    let is_named =
        |name: &str| name == field || name.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
    used.iter().any(|name| is_named(name) || name.strip_prefix("connectionConfig.").is_some_and(is_named))
}

fn collect_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => names.extend(Template::parse_lenient(text).names().map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        Value::Object(members) => members.values().for_each(|member| collect_names(member, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
