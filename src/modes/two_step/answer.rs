//! What a login answered: its tree, the token in it, or why there is none. Pure.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{FETCH, INCOMPLETE};
use crate::catalog::{BodyFormat, Provider};
use crate::oauth::xml::read_xml;
use crate::oauth::{Exchange, TokenError, says_no};

/// A successful answer. Deliberately without `Debug`.
pub struct Answered {
    pub body: Value,
    exchange: Exchange,
}

impl Answered {
    /// Reads the body: JSON, XML where the entry speaks it, or a text that is the token.
    ///
    /// # Errors
    /// A web page, or nothing at all.
    pub fn read(exchange: Exchange, format: BodyFormat, provider: &Provider) -> Result<Self, TokenError> {
        let keeps_headers = !provider.token_response_headers.is_empty();
        match read_body(&exchange.answer.body, format, keeps_headers) {
            Some(body) => Ok(Answered { body, exchange }),
            None => Err(exchange.unreadable()),
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.exchange.answer.headers
    }

    /// The text at a dotted path; numbers count as text.
    pub fn text_at(&self, path: &str) -> Option<String> {
        match value_at(&self.body, path)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The error for an answer that lacks something: its own words when it says no, else the names of its members.
    pub fn lacks(&self, what: &str) -> TokenError {
        self.lacking(FETCH, what)
    }

    fn lacking(&self, kind: &'static str, what: &str) -> TokenError {
        if self.body.as_object().is_some_and(says_no) {
            return TokenError { kind, ..self.exchange.refused() };
        }
        let members = match &self.body {
            Value::Object(members) if !members.is_empty() => {
                let names: Vec<&str> = members.keys().take(20).map(String::as_str).collect();
                format!(" Its members: {}.", names.join(", "))
            }
            _ => String::new(),
        };
        let message = format!("The answer of the token endpoint is incomplete: {what}.{members}");
        TokenError::new(kind, message).with_status(self.exchange.answer.status.as_u16())
    }
}

/// The token: at `path`, or the whole answer when the entry names no path.
///
/// # Errors
/// `incomplete_raw_credentials`: nothing is there, or the whole answer says no.
pub fn token_at(answered: &Answered, path: Option<&str>) -> Result<Value, TokenError> {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        let is_refusal = answered.body.as_object().is_some_and(says_no);
        let is_token = !is_refusal && !is_empty(&answered.body);
        return if is_token {
            Ok(answered.body.clone())
        } else {
            Err(answered.lacking(INCOMPLETE, "there is no token in it"))
        };
    };
    match value_at(&answered.body, path).filter(|value| !is_empty(value)) {
        Some(Value::Number(number)) => Ok(Value::String(number.to_string())),
        Some(token) => Ok(token.clone()),
        None => Err(answered.lacking(INCOMPLETE, &format!("there is no token at `{path}`"))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// The value at a dotted path. A member may have dots in its name, a list is entered by position.
pub fn value_at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => member_at(members, path),
        Value::Array(items) => {
            let (index, rest) =
                path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let item = items.get(index.parse::<usize>().ok()?)?;
            rest.map_or(Some(item), |rest| value_at(item, rest))
        }
        _ => None,
    }
}

fn member_at<'v>(members: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    if let Some(value) = members.get(path) {
        return Some(value);
    }
    let mut dots = path.match_indices('.');
    dots.find_map(|(dot, _)| value_at(members.get(&path[..dot])?, &path[dot + 1..]))
}

/// The tree of a body, or its text. A web page is no token, unless the entry only wants the headers beside it.
fn read_body(body: &[u8], format: BodyFormat, keeps_headers: bool) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?.trim().trim_start_matches('\u{feff}');
    if let Some(tree) = Some(format).filter(|format| *format == BodyFormat::Xml).and_then(|_| read_xml(text))
    {
        return Some(Value::Object(tree));
    }
    match serde_json::from_str(text) {
        Ok(tree @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => Some(tree),
        // Digits are a token, and one that is longer than a number can hold.
        _ if keeps_headers || (!text.is_empty() && !text.starts_with('<')) => Some(text.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_read_whatever_their_form() {
        for (body, format, keeps_headers, expected) in [
            (r#" {"a": 1}"#, BodyFormat::Json, false, Some(json!({"a": 1}))),
            (r#""token""#, BodyFormat::Json, false, Some(json!("token"))),
            ("\u{feff}eyJ.x.y\n", BodyFormat::Form, false, Some(json!("eyJ.x.y"))),
            (
                "123456789012345678901234567890",
                BodyFormat::Json,
                false,
                Some(json!("123456789012345678901234567890")),
            ),
            ("<a><b>1</b></a>", BodyFormat::Xml, false, Some(json!({"a": {"b": "1"}}))),
            (r#"{"a": 1}"#, BodyFormat::Xml, false, Some(json!({"a": 1}))),
            ("<html>", BodyFormat::Json, false, None),
            ("<html>", BodyFormat::Xml, false, None),
            ("<html>", BodyFormat::Json, true, Some(json!("<html>"))),
            ("", BodyFormat::Json, false, None),
            ("", BodyFormat::Json, true, Some(json!(""))),
        ] {
            assert_eq!(read_body(body.as_bytes(), format, keeps_headers), expected, "{body}");
        }
        assert_eq!(read_body(&[0xff, 0xfe], BodyFormat::Json, false), None);
    }

    #[test]
    fn paths_lead_through_objects_lists_and_dotted_names() {
        let value = json!({"a": {"b": [{"c": 1}, "x"]}, "d.e": {"f": 2}, "g": null});
        for (path, expected) in [
            ("a.b.0.c", Some(json!(1))),
            ("a.b.1", Some(json!("x"))),
            ("a.b.2", None),
            ("a.b.x", None),
            ("d.e.f", Some(json!(2))),
            ("d.e", Some(json!({"f": 2}))),
            ("g.h", None),
            ("", None),
        ] {
            assert_eq!(value_at(&value, path).cloned(), expected, "{path}");
        }
    }
}
