//! Bodies that are not sent as they came: JSON sent as a form or as multipart because the caller asked for it, and the
//! entry's `proxy.body` merged in (`spec` proxy, section 4.2; providers, section 5.3). Pure.
//! JSON values are passed on as their text, so that large numbers survive.

use bytes::Bytes;
use http::HeaderValue;
use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::body::{is_type, media_type};
use super::{json_form, multipart};
use crate::error::ApiError;

type Members = IndexMap<String, Box<RawValue>>;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// The form in which a JSON body is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    AsSent,
    Form,
    Multipart,
}

impl Wanted {
    /// Only JSON bodies are converted, and only when `Nango-Proxy-Content-Type` asks.
    pub fn of(given: Option<&HeaderValue>, asked: Option<&HeaderValue>) -> Self {
        let (Some(given), Some(asked)) = (given, asked) else { return Wanted::AsSent };
        match media_type(asked).to_ascii_lowercase().as_str() {
            _ if !is_type(given, "application/json") => Wanted::AsSent,
            "application/x-www-form-urlencoded" => Wanted::Form,
            "multipart/form-data" => Wanted::Multipart,
            _ => Wanted::AsSent,
        }
    }
}

/// A body made from the client's.
pub(super) struct Converted {
    pub bytes: Bytes,
    /// `None`: that of the original.
    pub content_type: Option<HeaderValue>,
}

impl From<InvalidJson> for super::ProxyError {
    fn from(_: InvalidJson) -> Self {
        ApiError::bad_request("invalid_json", "The request body is not a JSON object.").into()
    }
}

/// The body had to be read as a JSON object and is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidJson;

/// The body to send instead of `bytes`; none when they can stay as they are.
///
/// # Errors
/// A JSON body that must be read is malformed.
pub(super) fn convert(
    bytes: &[u8],
    given: Option<&HeaderValue>,
    wanted: &Wanted,
    merge: Option<&Map<String, Value>>,
) -> Result<Option<Converted>, InvalidJson> {
    let is_given = |media: &str| given.is_some_and(|given| is_type(given, media));
    if is_given("application/json") {
        return convert_json(bytes, wanted, merge);
    }
    let Some(merge) = merge else { return Ok(None) };
    if is_given("application/x-www-form-urlencoded") {
        return Ok(Some(Converted { bytes: append_form(bytes, merge), content_type: None }));
    }
    if is_given("multipart/form-data") {
        let appended = given.and_then(|given| multipart::append(bytes, given, &json_form::flatten(merge)));
        return Ok(appended.map(|bytes| Converted { bytes: bytes.into(), content_type: None }));
    }
    Ok(None)
}

fn convert_json(
    bytes: &[u8],
    wanted: &Wanted,
    merge: Option<&Map<String, Value>>,
) -> Result<Option<Converted>, InvalidJson> {
    if *wanted == Wanted::AsSent && (merge.is_none() || !starts_object(bytes)) {
        // Wire: JSON that is no object is left alone.
        return Ok(None);
    }
    let mut members: Members = serde_json::from_slice(bytes).map_err(|_| InvalidJson)?;
    for (name, value) in merge.into_iter().flatten() {
        members.insert(name.clone(), to_raw_value(value).map_err(|_| InvalidJson)?);
    }
    Ok(Some(match wanted {
        Wanted::AsSent => {
            let bytes = serde_json::to_vec(&members).map_err(|_| InvalidJson)?;
            Converted { bytes: bytes.into(), content_type: None }
        }
        Wanted::Form => Converted {
            bytes: json_form::encode(&json_form::flatten_raw(&members)).into(),
            content_type: Some(FORM),
        },
        Wanted::Multipart => {
            let (bytes, content_type) = multipart::build(&json_form::flatten_raw(&members));
            Converted { bytes: bytes.into(), content_type: Some(content_type) }
        }
    }))
}

fn starts_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn append_form(bytes: &[u8], merge: &Map<String, Value>) -> Bytes {
    let mut form = bytes.to_vec();
    let added = json_form::encode(&json_form::flatten(merge));
    if !form.is_empty() && !added.is_empty() {
        form.push(b'&');
    }
    form.extend_from_slice(added.as_bytes());
    form.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(
        media: &'static str,
        body: &str,
        wanted: Wanted,
        merge: Value,
    ) -> Result<Option<String>, InvalidJson> {
        let given = HeaderValue::from_static(media);
        let converted = convert(body.as_bytes(), Some(&given), &wanted, merge.as_object())?;
        Ok(converted.map(|converted| String::from_utf8(converted.bytes.to_vec()).unwrap()))
    }

    #[test]
    fn bodies_are_converted_and_merged() {
        let auth = json!({"auth": {"id": "7"}, "n": "x"});
        let (json, form) = ("application/json; charset=utf-8", "application/x-www-form-urlencoded");
        let cases = [
            (
                json,
                r#"{"big":12345678901234567890123,"a":{"b":[1,{"c":"x y"}]},"t":null}"#,
                Wanted::Form,
                json!(null),
                Some("big=12345678901234567890123&a%5Bb%5D%5B%5D=1&a%5Bb%5D%5B%5D%5Bc%5D=x%20y&t="),
            ),
            (
                json,
                r#"{"big":1.00000000000000000001,"n":1}"#,
                Wanted::AsSent,
                auth.clone(),
                Some(r#"{"big":1.00000000000000000001,"n":"x","auth":{"id":"7"}}"#),
            ),
            (json, "[1]", Wanted::AsSent, auth.clone(), None),
            (json, "{broken", Wanted::AsSent, json!(null), None),
            (form, "a=1", Wanted::AsSent, auth.clone(), Some("a=1&auth%5Bid%5D=7&n=x")),
            ("text/plain", "a=1", Wanted::AsSent, auth, None),
        ];
        for (media, body, wanted, merge, expected) in cases {
            assert_eq!(run(media, body, wanted, merge).unwrap().as_deref(), expected, "{body}");
        }
        assert_eq!(run(json, "{broken", Wanted::Form, json!(null)), Err(InvalidJson));
    }
}
