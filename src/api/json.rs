//! JSON routes: the content-type guard, the parsed body, and ETags of answers (`spec` http-api, section 1.3).

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::SharedApp;
use crate::crypto::sha256;
use crate::error::ApiError;

/// Answers above this size get no ETag: hashing them costs more than sending them.
const ETAG_LIMIT: usize = 1 << 20;
const LARGEST_NUMBER: f64 = 1.7e308;

/// The body of the request being answered: `None` when there is none.
#[derive(Clone, Default)]
pub struct ParsedBody(pub Option<Value>);

/// Tags the answers of routes without the guard.
pub async fn tagged(request: Request, next: Next) -> Response {
    let conditional = Conditional::of(&request);
    let response = next.run(request).await;
    conditional.apply(response).await
}

/// Guards JSON routes and hands the parsed body to the extractors.
pub async fn json_routes(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    match parse_body(request, app.config.http.body_limit).await {
        Ok(request) => {
            let conditional = Conditional::of(&request);
            let response = next.run(request).await;
            conditional.apply(response).await
        }
        Err(error) => error.into_response(),
    }
}

async fn parse_body(request: Request, limit: u64) -> Result<Request, ApiError> {
    check_announced(request.headers(), limit)?;
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_json = match content_type {
        None | Some(b"") => false,
        Some(value) if value.starts_with(b"application/json") => true,
        Some(_) => return Err(wrong_content_type()),
    };
    if !is_json || !has_body(request.headers()) {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let bytes = read_limited(&parts.headers, body, limit).await?;
    parts.extensions.insert(ParsedBody(Some(parse_json(&bytes)?)));
    Ok(Request::from_parts(parts, Body::empty()))
}

fn wrong_content_type() -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "invalid_content_type",
        "Send JSON with Content-Type: application/json.",
    )
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH)
}

/// The whole body.
///
/// # Errors
/// 413 when it is larger than `limit` bytes, 400 when the client goes away.
pub async fn read_limited(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, ApiError> {
    check_announced(headers, limit)?;
    let max = usize::try_from(limit).unwrap_or(usize::MAX);
    to_bytes(body, max).await.map_err(|error| {
        let is_limit = std::error::Error::source(&error)
            .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
        if is_limit {
            too_large(limit)
        } else {
            ApiError::bad_request("invalid_json", "The body ended too early.")
        }
    })
}

fn check_announced(headers: &HeaderMap, limit: u64) -> Result<(), ApiError> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) { Err(too_large(limit)) } else { Ok(()) }
}

pub fn too_large(limit: u64) -> ApiError {
    let text = format!("The body is larger than {limit} bytes.");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
}

/// Objects and arrays only; an empty body is an empty object.
pub fn parse_json(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    let invalid = |reason: String| ApiError::bad_request("invalid_json", reason);
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| invalid(format!("The body is not JSON: {error}.")))?;
    if !has_storable_numbers(&value) {
        return Err(invalid("The body is not JSON: number out of range.".to_owned()));
    }
    match value {
        Value::Object(_) | Value::Array(_) => Ok(value),
        _ => Err(invalid("The body must be a JSON object or array.".into())),
    }
}

/// PostgreSQL writes the digits of large numbers out, and those close to the end of the range are not read back.
pub fn has_storable_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.abs() <= LARGEST_NUMBER),
        Value::Array(items) => items.iter().all(has_storable_numbers),
        Value::Object(members) => members.values().all(has_storable_numbers),
        _ => true,
    }
}

/// Whether the caller wants only what changed.
struct Conditional {
    is_read: bool,
    known: Option<HeaderValue>,
}

impl Conditional {
    fn of(request: &Request) -> Self {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        Conditional { is_read, known: request.headers().get(header::IF_NONE_MATCH).cloned() }
    }

    /// Adds a weak ETag to JSON answers and turns a match into 304.
    async fn apply(self, response: Response) -> Response {
        if !self.is_read || response.status() != StatusCode::OK || !is_json(response.headers()) {
            return response;
        }
        // A prepared answer brings its tag.
        if let Some(tag) = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()) {
            let is_known = self.known.is_some_and(|known| lists(&known, tag));
            return if is_known { not_modified(response) } else { response };
        }
        let (mut parts, body) = response.into_parts();
        // Handlers of JSON routes answer with whole bodies, so nothing is waited for here.
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            return ApiError::unexpected("a JSON answer could not be read back").into_response();
        };
        if bytes.len() > ETAG_LIMIT {
            return Response::from_parts(parts, bytes.into());
        }
        let tag = format!("W/\"{:x}-{}\"", bytes.len(), STANDARD_NO_PAD.encode(&sha256(&bytes)[..18]));
        let Ok(value) = HeaderValue::from_str(&tag) else {
            return Response::from_parts(parts, bytes.into());
        };
        let is_known = self.known.is_some_and(|known| lists(&known, &tag));
        parts.headers.insert(header::ETAG, value);
        if is_known {
            return not_modified(Response::from_parts(parts, Body::empty()));
        }
        Response::from_parts(parts, bytes.into())
    }
}

/// The headers without the body and what only describes it.
fn not_modified(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, Body::empty())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// Weak comparison (RFC 9110, section 8.8.3.2) with a list of tags or `*`.
fn lists(known: &HeaderValue, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known
        .to_str()
        .is_ok_and(|list| list.trim() == "*" || list.split(',').any(|one| opaque(one) == opaque(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_and_arrays_are_json_bodies() {
        for (text, ok) in
            [("{}", true), ("[1]", true), ("", true), ("1", false), ("null", false), ("{", false)]
        {
            assert_eq!(parse_json(text.as_bytes()).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn entity_tags_compare_weakly() {
        for (known, matches) in
            [("W/\"a\"", true), ("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"b\"", false)]
        {
            assert_eq!(lists(&HeaderValue::from_static(known), "W/\"a\""), matches, "{known}");
        }
    }
}
