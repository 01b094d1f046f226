//! Request headers as an object, so that the readers judge them like any other input.

use http::HeaderMap;
use serde_json::{Map, Value};

/// The named headers as texts under their lower-case names; absent ones stay absent, and headers not named are left out,
/// because unknown headers are never a problem. `names` are given in lower case.
// Wire: like Node, bytes are read as Latin-1 and repeated headers are joined with ", ".
pub fn headers_as_object(headers: &HeaderMap, names: &[&str]) -> Value {
    let member = |name: &&str| header_text(headers, name).map(|text| (name.to_string(), Value::String(text)));
    Value::Object(names.iter().filter_map(member).collect::<Map<_, _>>())
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts: Vec<String> = headers.get_all(name).iter().map(|value| latin1(value.as_bytes())).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    type Pairs = [(&'static str, &'static [u8])];

    fn headers(pairs: &Pairs) -> HeaderMap {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        pairs.iter().map(|(name, bytes)| (HeaderName::from_static(name), value(bytes))).collect()
    }

    #[test]
    fn only_the_named_headers_become_members() {
        let cases: [(&Pairs, Value); 4] = [
            (&[], json!({})),
            (&[("connection-id", b"c-1"), ("accept", b"*/*")], json!({"connection-id": "c-1"})),
            (&[("connection-id", b"a"), ("connection-id", b"b")], json!({"connection-id": "a, b"})),
            (&[("connection-id", b"caf\xe9")], json!({"connection-id": "caf\u{e9}"})),
        ];
        for (given, expected) in cases {
            assert_eq!(headers_as_object(&headers(given), &["connection-id", "x-async"]), expected);
        }
    }
}
