//! The `webhook` section: names that stand for nothing, and checks that cannot tell anything.

use serde_json::Value;

use super::note::{Entry, Notes, suggestion};
use crate::template::Template;

/// What the names of the section begin with.
const ROOTS: [&str; 16] = [
    "header",
    "query",
    "body",
    "event",
    "timestamp",
    "webhookSecret",
    "clientId",
    "clientSecret",
    "custom",
    "connectionConfig",
    "metadata",
    "webhookUrl",
    "webhookUrlOfProvider",
    "appId",
    "appLink",
    "fetchedKey",
];
/// The key of an installed app, decoded and as it is stored.
const KEYS: [&str; 2] = ["privateKey", "storedPrivateKey"];

pub(super) fn check(entry: &Entry<'_>, notes: &mut Notes) {
    let Some(section) = entry.at(&["webhook"]) else { return };
    check_names(section, &mut vec!["webhook"], notes);
    let checks = entry.at(&["webhook", "verify"]).and_then(Value::as_array);
    checks.into_iter().flatten().for_each(|check| check_proof(check, notes));
}

fn check_names<'v>(value: &'v Value, path: &mut Vec<&'v str>, notes: &mut Notes) {
    match value {
        Value::String(text) => {
            for name in Template::parse_lenient(text).names() {
                let root = name.split('.').next().unwrap_or_default();
                if !ROOTS.contains(&root) && !KEYS.contains(&root) {
                    let known = format!("Known here: {}.", ROOTS.join(", "));
                    let message = format!("`${{{name}}}` stands for nothing here");
                    notes.warn("placeholder", path, message, suggestion(root, ROOTS, known));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_names(item, path, notes)),
        Value::Object(members) => {
            for (key, member) in members {
                path.push(key);
                check_names(member, path, notes);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn check_proof(check: &Value, notes: &mut Notes) {
    let path = ["webhook", "verify"];
    let algorithm = check["algorithm"].as_str().unwrap_or_default();
    let needed = if algorithm == "jwt" { "jwt" } else { "key" };
    if check[needed].is_null() {
        let message = format!("a check with the algorithm {algorithm} needs `{needed}`");
        notes.error(
            "missing-key",
            &path,
            message,
            format!("Add `{needed}`; nothing can be verified without."),
        );
    }
    let signed = check["signed"].as_str().unwrap_or("${body}");
    if !signed.contains("${body}") {
        let message = "what is signed has no `${body}`, so any body passes";
        notes.warn("verification", &path, message, "Write the body where the provider has it.");
    }
}
