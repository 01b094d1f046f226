//! Which headers reach the provider, and which of its headers reach the client (`spec` proxy, sections 3 and 11.1). Pure.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::body::{Outgoing, is_type};
use super::encoding::Accepted;
use super::entry::{EntryHeaders, set_resolved};
use crate::error::ERROR_HEADER;
use crate::template::Context;

const PREFIX: &str = "nango-proxy-";
/// Some APIs answer XML to anything else.
const ANY_ACCEPT: HeaderValue = HeaderValue::from_static("application/json, text/plain, */*");
const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("Hitchpost/", env!("CARGO_PKG_VERSION")));

/// What the headers of one attempt are made of.
pub(super) struct Ingredients<'a> {
    pub entry: &'a EntryHeaders,
    /// Names for the headers that depend on the request; only there when some do.
    pub context: Option<Context<'a>>,
    pub client: &'a HeaderMap,
    pub body: &'a Outgoing,
    /// The answer will be decoded whatever the client takes.
    pub decodes: bool,
    /// The id under which the provider is told the request, with the caller's trace; `None`: nothing is told.
    pub traced: Option<&'a HeaderValue>,
}

/// The headers for the provider. Later ones win: credentials, the entry's, the caller's `Nango-Proxy-*`.
pub(super) fn for_provider(made_of: &Ingredients<'_>) -> HeaderMap {
    let mut headers = made_of.entry.fixed.clone();
    if let Some(context) = &made_of.context {
        for (name, template) in &made_of.entry.varying {
            set_resolved(&mut headers, name, template, context);
        }
    }
    add_callers(&mut headers, made_of.client);
    add_content(&mut headers, made_of.client, made_of.body);
    if let Some(request_id) = made_of.traced {
        add_trace(&mut headers, made_of.client, request_id);
    }
    headers.entry(ACCEPT).or_insert(ANY_ACCEPT);
    headers.entry(USER_AGENT).or_insert(PRODUCT);
    let offer = || Accepted::of(made_of.client).offer(made_of.decodes);
    headers.entry(ACCEPT_ENCODING).or_insert_with(offer);
    headers
}

/// What lets somebody follow a request through both systems (W3C Trace Context).
fn add_trace(headers: &mut HeaderMap, client: &HeaderMap, request_id: &HeaderValue) {
    for name in ["traceparent", "tracestate"] {
        if let Some(value) = client.get(name) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
    headers.entry("x-request-id").or_insert_with(|| request_id.clone());
}

fn add_callers(headers: &mut HeaderMap, client: &HeaderMap) {
    // Wire: the catalog's user agent is the only header of an entry that callers cannot replace.
    let has_own_agent = headers.contains_key(USER_AGENT);
    for (name, value) in client {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        if is_of_connection(&name) || name == CONTENT_TYPE || (name == USER_AGENT && has_own_agent) {
            continue;
        }
        headers.insert(name, value.clone());
    }
}

/// The headers that describe the body. An entry's own content type wins over the client's, except for multipart bodies,
/// which need their boundary.
fn add_content(headers: &mut HeaderMap, client: &HeaderMap, body: &Outgoing) {
    if let Some(content_type) = &body.content_type {
        let is_asked = client.contains_key("nango-proxy-content-type");
        let is_multipart = is_type(content_type, "multipart/form-data");
        if is_asked || is_multipart || !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
    }
    if let Some(encoding) = &body.content_encoding {
        headers.entry(CONTENT_ENCODING).or_insert_with(|| encoding.clone());
    }
}

/// Headers that belong to one connection or that frame the message (RFC 9110 section 7.6.1).
fn is_of_connection(name: &HeaderName) -> bool {
    match name.as_str() {
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade"
        | "content-length" | "host" => true,
        name => name.starts_with("proxy-"),
    }
}

/// Takes out of a provider's headers what is not for the client.
pub(super) fn clean_answer(headers: &mut HeaderMap, forwards_cookies: bool) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    let unwanted: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, value)| is_unwanted(name, value, forwards_cookies))
        .map(|(name, _)| name.clone())
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}

fn is_unwanted(name: &HeaderName, value: &HeaderValue, forwards_cookies: bool) -> bool {
    let name_text = name.as_str();
    value.is_empty()
        || matches!(
            name_text,
            "connection"
                | "keep-alive"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
        )
        || name_text.starts_with("access-control-")
        || (*name == SET_COOKIE && !forwards_cookies)
        // Only answers of our own carry it.
        || *name == ERROR_HEADER
}

/// `Connection: x` makes `x` a header of that connection.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lose_what_belongs_to_their_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("access-control-allow-origin", "https://a.test"),
            ("set-cookie", "a=b"),
            ("x-empty", ""),
            ("x-hitchpost-error", "fake"),
            ("link", "<a>"),
            ("link", "<b>"),
            ("etag", "\"x\""),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut with_cookies = headers.clone();
        clean_answer(&mut headers, false);
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["etag", "link", "link"]);
        clean_answer(&mut with_cookies, true);
        assert!(with_cookies.contains_key("set-cookie"));
    }
}
