//! JSON objects as form fields: `a[b]` for members of objects, `a[]` for items of lists. Pure.

use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Deeper values are written as their JSON text: the walk must end whatever the client sent.
const DEEPEST: usize = 32;
const FIELD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Name and value of one form field.
pub(super) type Field = (String, String);

/// The fields of an object whose values are kept as text.
pub(super) fn flatten_raw(members: &IndexMap<String, Box<RawValue>>) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, value) in members {
        walk(name.clone(), value, 0, &mut fields);
    }
    fields
}

/// The fields of an object.
pub(super) fn flatten(members: &Map<String, Value>) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, value) in members {
        if let Ok(raw) = serde_json::value::to_raw_value(value) {
            walk(name.clone(), &raw, 0, &mut fields);
        }
    }
    fields
}

fn walk(name: String, value: &RawValue, depth: usize, fields: &mut Vec<Field>) {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') if depth < DEEPEST => {
            let members: IndexMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
            for (member, value) in members {
                walk(format!("{name}[{member}]"), value, depth + 1, fields);
            }
        }
        Some(b'[') if depth < DEEPEST => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            for item in items {
                walk(format!("{name}[]"), item, depth + 1, fields);
            }
        }
        Some(b'"') => {
            fields.push((name, serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())));
        }
        _ if text == "null" => fields.push((name, String::new())),
        _ => fields.push((name, text.to_owned())),
    }
}

/// The fields as `application/x-www-form-urlencoded` text.
pub(super) fn encode(fields: &[Field]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend(utf8_percent_encode(name, FIELD));
        form.push('=');
        form.extend(utf8_percent_encode(value, FIELD));
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_without_end_ends() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        let members: IndexMap<String, Box<RawValue>> = serde_json::from_str(&deep).unwrap();
        let fields = flatten_raw(&members);
        assert_eq!(fields.len(), 1);
        assert!(fields[0].1.starts_with("[[["));
    }
}
