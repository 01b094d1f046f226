//! Canonical JSON (`spec` auth-flows, section 10.2). Receivers may check a signature over what they get by parsing the body
//! and writing it again with JavaScript, so the text must be what that gives. Pure.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// Beyond this a JavaScript object key is not an array index any more (ECMA-262, section 6.1.7).
const LARGEST_INDEX: u64 = 4_294_967_294;

/// The text of a value: members sorted, no white space, numbers and texts as JavaScript writes them.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number_text(number)),
        // What JavaScript escapes in a text is what serde_json escapes.
        Value::String(_) => text.push_str(&value.to_string()),
        Value::Array(items) => {
            write_all(text, ('[', ']'), items, write);
        }
        Value::Object(members) => {
            write_all(text, ('{', '}'), sorted(members), |(name, value), text| {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
            });
        }
    }
}

fn write_all<T>(
    text: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut write_one: impl FnMut(T, &mut String),
) {
    text.push(open);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write_one(item, text);
    }
    text.push(close);
}

fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|(left, _), (right, _)| compare(left, right));
    members
}

/// Indexes first, by value: JavaScript objects keep them there whatever the order of insertion.
fn compare(left: &str, right: &str) -> Ordering {
    match (index(left), index(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.encode_utf16().cmp(right.encode_utf16()),
    }
}

fn index(key: &str) -> Option<u64> {
    let is_plain = key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
    key.parse().ok().filter(|index| is_plain && *index <= LARGEST_INDEX)
}

// Whole numbers keep all their digits: JavaScript would round those beyond 2^53, and they are ids.
fn number_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => float_text(float),
        None => number.to_string(),
    }
}

/// `Number::toString` of ECMA-262, section 6.1.6.1.20. Both languages write the fewest digits that mean the number.
fn float_text(float: f64) -> String {
    match float.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e21 => format!("{float:e}").replace('e', "e+"),
        size if size < 1e-6 => format!("{float:e}"),
        _ => float.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_holds() {
        let value = r#"{"b":1,"a":{"z":1,"10":1,"9":2,"B":3,"b":4},"c":[{"d":1,"a":2}],"t":"1970-01-01T00:00:00.000Z","n":null}"#;
        let expected = r#"{"a":{"9":2,"10":1,"B":3,"b":4,"z":1},"b":1,"c":[{"a":2,"d":1}],"n":null,"t":"1970-01-01T00:00:00.000Z"}"#;
        assert_eq!(canonical_json(&serde_json::from_str(value).unwrap()), expected);
    }

    #[test]
    fn numbers_texts_and_keys_are_as_javascript_writes_them() {
        for (value, expected) in [
            ("1.0", "1"),
            ("-0.0", "0"),
            ("0.1", "0.1"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e300", "1.5e+300"),
            ("0.000001", "0.000001"),
            ("1.5e-7", "1.5e-7"),
            ("-2.5", "-2.5"),
            ("9007199254740993", "9007199254740993"),
            (r#""a\u0001\u007f\u2028\/é\n""#, "\"a\\u0001\u{7f}\u{2028}/é\\n\""),
            (
                r#"{"01":1,"1":2,"0":3,"-1":4,"":5,"4294967295":6,"4294967294":7}"#,
                r#"{"0":3,"1":2,"4294967294":7,"":5,"-1":4,"01":1,"4294967295":6}"#,
            ),
            // U+FF5E sorts after the surrogates of U+1F600, unlike in code points.
            (r#"{"～":1,"😀":2}"#, r#"{"😀":2,"～":1}"#),
            ("[]", "[]"),
            ("{}", "{}"),
        ] {
            assert_eq!(canonical_json(&serde_json::from_str(value).unwrap()), expected, "{value}");
        }
    }
}
