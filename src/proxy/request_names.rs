//! The names by which templates refer to the request being sent: `method`, `host`, `params` ... (`spec` providers, section
//! 6.3). Pure.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::body::{Outgoing, is_type};
use super::json_form;

/// RFC 3986 rules: `! ' ( ) *` are encoded too.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The values for one request.
pub(super) struct RequestNames<'a> {
    method: &'a str,
    endpoint: Cow<'a, str>,
    host: &'a str,
    path: &'a str,
    params: String,
    url_params: String,
    body: Cow<'a, str>,
    content_type: &'a str,
}

impl<'a> RequestNames<'a> {
    pub fn of(
        method: &'a Method,
        endpoint: &'a str,
        uri: &'a Uri,
        client: &'a HeaderMap,
        body: &'a Outgoing,
    ) -> Self {
        let url_params = canonical(uri.query().unwrap_or_default());
        let sends_params = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        let content_type =
            client.get("nango-proxy-content-type").or(client.get(CONTENT_TYPE)).and_then(|v| v.to_str().ok());
        let is_multipart =
            body.content_type.as_ref().is_some_and(|value| is_type(value, "multipart/form-data"));
        let bytes = if sends_params && !is_multipart { body.bytes() } else { &[] };
        RequestNames {
            method: method.as_str(),
            endpoint: with_slash(endpoint),
            host: uri.host().unwrap_or_default(),
            path: uri.path(),
            params: if sends_params { body_params(bytes, body) } else { url_params.clone() },
            url_params,
            body: String::from_utf8_lossy(bytes),
            content_type: content_type.unwrap_or_default(),
        }
    }

    pub fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("method", self.method),
            ("endpoint", &self.endpoint),
            ("host", self.host),
            ("path", self.path),
            ("params", &self.params),
            ("urlCanonicalParams", &self.url_params),
            ("bodyCanonicalParams", &self.body),
            ("contentType", self.content_type),
        ]
    }
}

fn with_slash(endpoint: &str) -> Cow<'_, str> {
    if endpoint.starts_with('/') { Cow::Borrowed(endpoint) } else { Cow::Owned(format!("/{endpoint}")) }
}

fn body_params(bytes: &[u8], body: &Outgoing) -> String {
    let text = String::from_utf8_lossy(bytes);
    let is_json = body.content_type.as_ref().is_some_and(|value| is_type(value, "application/json"));
    match serde_json::from_slice(bytes) {
        Ok(members) if is_json => canonical(&json_form::encode(&json_form::flatten(&members))),
        _ => canonical(&text),
    }
}

/// Pairs decoded (`+` is a space), sorted by name, encoded strictly, joined with `&`.
fn canonical(query: &str) -> String {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect();
    // Stable: pairs of one name keep their order.
    pairs.sort_by(|left, right| left.0.cmp(&right.0));
    let encoded = pairs.iter().map(|(name, value)| {
        format!("{}={}", utf8_percent_encode(name, STRICT), utf8_percent_encode(value, STRICT))
    });
    encoded.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_sorted_and_encoded_strictly() {
        for (query, expected) in [
            ("", ""),
            ("b=2&a=1&b=1", "a=1&b=2&b=1"),
            ("q=a+b%2fc!*'()", "q=a%20b%2Fc%21%2A%27%28%29"),
            ("flag&x=%", "flag=&x=%25"),
        ] {
            assert_eq!(canonical(query), expected, "{query}");
        }
    }
}
