//! The `webhook` section: names that stand for nothing, and checks that cannot tell anything.

use serde_json::Value;

use super::note::{Entry, Notes, suggestion};
use crate::template::Template;

/// What the names of the section begin with.
const ROOTS: [&str; 18] = [
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
    "requestUrl",
    "sortedForm",
];
/// The key of an installed app, decoded and as it is stored.
const KEYS: [&str; 2] = ["privateKey", "storedPrivateKey"];

pub(super) fn check(entry: &Entry<'_>, notes: &mut Notes) {
    let Some(section) = entry.at(&["webhook"]) else { return };
    check_names(section, &mut vec!["webhook"], notes);
    let checks = entry.at(&["webhook", "verify"]).and_then(Value::as_array);
    checks.into_iter().flatten().for_each(|check| check_proof(check, notes));
    let answers = entry.at(&["webhook", "answers"]).and_then(Value::as_array);
    answers.into_iter().flatten().for_each(|answer| check_answer(answer, notes));
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
    if check[needed].is_null() && check["agreed"] != true {
        let message = format!("a check with the algorithm {algorithm} needs `{needed}`");
        notes.error(
            "missing-key",
            &path,
            message,
            format!("Add `{needed}`; nothing can be verified without."),
        );
    }
    let signed = check["signed"].as_str().unwrap_or("${body}");
    let covers_body = ["${body}", "${sortedForm}"].iter().any(|name| signed.contains(name));
    if !covers_body && check["body_digest"].is_null() {
        let message = "what is signed has no `${body}`, so any body passes";
        notes.warn("verification", &path, message, "Write the body where the provider has it.");
    }
}

fn check_answer(answer: &Value, notes: &mut Notes) {
    if !answer["agrees"].is_null() && answer["token"].is_null() {
        let message = "anybody can say here with which secret he is going to sign";
        let advice = "Ask for a token that the provider is given with the address: `token: ${query.token}`.";
        notes.warn("verification", &["webhook", "answers"], message, advice);
    }
}
