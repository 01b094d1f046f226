//! What differs between two descriptions of one thing, fit to be stored for a year: without secrets. Pure.

use serde_json::{Map, Value, json};
use url::Url;

use crate::crypto::sha256;

/// The member that marks a value as secret until [`difference`] replaces it.
const MARK: &str = "\u{0}secret";
const REDACTED: &str = "[redacted]";

/// A secret of a description, given in any form that differs when the secret may differ, such as its ciphertext. It can be
/// compared, and is never shown.
pub fn secret(form: Option<&[u8]>) -> Value {
    form.map_or(Value::Null, |form| json!({ MARK: hex::encode(sha256(form)) }))
}

/// The members that differ, once as they were and once as they are. Addresses lose user, query and fragment.
pub fn difference(before: &Value, after: &Value) -> [Value; 2] {
    let empty = Map::new();
    let (old, new) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let mut shown = [Map::new(), Map::new()];
    for name in names {
        let values = [old, new].map(|side| side.get(name).unwrap_or(&Value::Null));
        if values[0] == values[1] {
            continue;
        }
        for (members, value) in shown.iter_mut().zip(values) {
            members.insert(name.clone(), redacted(value));
        }
    }
    shown.map(Value::Object)
}

fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.contains_key(MARK) => REDACTED.into(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), redacted(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::String(text) => Value::String(without_hidden_parts(text)),
        other => other.clone(),
    }
}

/// An address without what may hold a credential; any other text as it is.
fn without_hidden_parts(text: &str) -> String {
    let Some(mut url) = Url::parse(text).ok().filter(Url::has_host) else { return text.to_owned() };
    let has_more = url.query().is_some() || url.fragment().is_some();
    // Both fail only for addresses without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    if has_more { format!("{url}?{REDACTED}") } else { url.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_and_secrets_never_are() {
        let before = json!({"same": 1, "url": "https://u:p@a.test/x?key=1", "key": secret(Some(b"one")), "gone": [true],
            "kept": secret(Some(b"k"))});
        let after = json!({"same": 1, "url": "https://a.test/y", "key": secret(Some(b"two")), "made": {"deep": secret(Some(b"d"))},
            "kept": secret(Some(b"k"))});
        let expected = [
            json!({"url": "https://a.test/x?[redacted]", "key": "[redacted]", "gone": [true], "made": null}),
            json!({"url": "https://a.test/y", "key": "[redacted]", "gone": null, "made": {"deep": "[redacted]"}}),
        ];
        assert_eq!(difference(&before, &after), expected);
        assert_eq!(difference(&before, &before), [json!({}), json!({})]);
        let [_, made] = difference(&Value::Null, &json!({"key": secret(None), "name": "mailto:a@b.test"}));
        assert_eq!(made, json!({"name": "mailto:a@b.test"}), "nothing is not shown as something");
    }
}
