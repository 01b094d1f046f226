//! Which key makes the loader refuse an entry: each one is tried alone in an entry that is otherwise fine.

use serde_json::{Map, Value, json};

use super::super::Provider;

/// A section by its path, and the keys that it cannot be without.
type Needs = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const NEEDED: [Needs; 4] = [
    (&[], &[("display_name", "x"), ("docs", "x"), ("auth_mode", "NONE")]),
    (&["proxy"], &[("base_url", "https://x")]),
    (&["proxy", "retry", "in_body"], &[("path", "x"), ("strategy", "at")]),
    (&["*", "*", "visible_when"], &[("field", "x"), ("equals", "x")]),
];

/// The path of the key, and what the loader says about it; none when the entry loads.
pub(super) fn blame(name: &str, definition: &Map<String, Value>) -> Option<(Vec<String>, String)> {
    let mut message = Provider::compile(name, definition.clone()).err()?;
    let mut path: Vec<String> = Vec::new();
    let mut members = Some(definition);
    while let Some(current) = members {
        let refused = current.iter().find_map(|(key, value)| {
            let longer: Vec<&str> = path.iter().map(String::as_str).chain([key.as_str()]).collect();
            Some((key, value, Provider::compile("x", alone(&longer, value)).err()?))
        });
        let Some((key, value, reason)) = refused else { break };
        path.push(key.clone());
        message = reason;
        members = value.as_object();
    }
    Some((path, message))
}

/// An entry with nothing but the value at `path` and what the sections around it need.
fn alone(path: &[&str], value: &Value) -> Map<String, Value> {
    let mut inner = value.clone();
    for depth in (0..path.len()).rev() {
        let mut section = needed(&path[..depth]);
        section.insert(path[depth].to_owned(), inner);
        inner = Value::Object(section);
    }
    match inner {
        Value::Object(definition) => definition,
        _ => Map::new(),
    }
}

fn needed(path: &[&str]) -> Map<String, Value> {
    let is_meant = |pattern: &[&str]| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(wanted, key)| *wanted == "*" || wanted == key)
    };
    let found = NEEDED.iter().find(|(pattern, _)| is_meant(pattern));
    let keys = found.map_or(&[][..], |(_, keys)| *keys);
    keys.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_key_is_found_wherever_it_is() {
        let head = json!({"display_name": "A", "docs": "https://d", "auth_mode": "OAUTH2"});
        let cases = [
            (json!({"disable_pkce": "yes"}), "disable_pkce"),
            (json!({"token_url": "https://${"}), "token_url"),
            (json!({"token_params": {"a": "x", "b": {"c": "${}"}}}), "token_params.b.c"),
            (json!({"proxy": {"base_url": "https://a", "headers": {"a": "b", "c": 1}}}), "proxy.headers.c"),
            (json!({"proxy": {"headers": {}}}), "proxy"),
            (
                json!({"proxy": {"base_url": "https://a", "retry": {"in_body": {"path": "a", "strategy": "soon"}}}}),
                "proxy.retry.in_body.strategy",
            ),
            (
                json!({"credentials": {"ok": {"title": "x"}, "bad": {"title": "x", "optional": "true"}}}),
                "credentials.bad.optional",
            ),
            (
                json!({"credentials": {"a": {"visible_when": {"field": "b", "equals": 1}}}}),
                "credentials.a.visible_when.equals",
            ),
        ];
        for (extra, expected) in cases {
            let mut definition = head.as_object().cloned().unwrap_or_default();
            definition.extend(extra.as_object().cloned().unwrap_or_default());
            let found = blame("a", &definition).map(|(path, _)| path.join("."));
            assert_eq!(found.as_deref(), Some(expected), "{extra}");
        }
        let fine = head.as_object().cloned().unwrap_or_default();
        assert_eq!(blame("a", &fine), None);
        assert_eq!(blame("a b", &fine).map(|(path, _)| path), Some(Vec::new()));
    }
}
