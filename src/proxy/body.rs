//! What is sent as the body of a call (`spec` proxy, section 4.2): the client's bytes, streamed, unless the entry or the
//! caller asks for something that has to read them.

use std::borrow::Cow;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::conversion::{Converted, Wanted, convert};
use super::replay::{BodyFailure, Replay};
use super::{Call, ProxyError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ONE_ATTEMPT: &str = "the body was sent and is too large to be sent again";

/// The body of every attempt of a call.
pub(super) struct Outgoing {
    content: Content,
    pub content_type: Option<HeaderValue>,
    /// The client's, when its bytes are passed on.
    pub content_encoding: Option<HeaderValue>,
    /// Whether the entry put values of its own into the body; they must not follow a redirect to another origin.
    pub has_entry_values: bool,
}

enum Content {
    Nothing,
    Whole(Bytes),
    Stream(Replay),
}

/// What has to be known about the call's body before it is sent.
pub(super) struct Demands {
    /// The entry's `proxy.body`, evaluated.
    pub merge: Option<Map<String, Value>>,
    /// A header of the entry depends on the bytes.
    pub needs_bytes: bool,
    /// A signature covers the bytes as they are sent.
    pub is_signed: bool,
    /// Bytes that a client may send.
    pub limit: u64,
}

impl Outgoing {
    /// Bytes that are known already.
    pub fn whole(bytes: Bytes, content_type: Option<HeaderValue>) -> Self {
        let content = Content::Whole(bytes);
        Outgoing { content, content_type, content_encoding: None, has_entry_values: false }
    }

    fn nothing(content_type: Option<HeaderValue>) -> Self {
        Outgoing { content: Content::Nothing, content_type, content_encoding: None, has_entry_values: false }
    }

    /// The body for one attempt.
    ///
    /// # Errors
    /// It was sent before and is too large to be sent again.
    pub fn start(&self) -> Result<Body, &'static str> {
        match &self.content {
            Content::Nothing => Ok(Body::empty()),
            Content::Whole(bytes) => Ok(Body::from(bytes.clone())),
            Content::Stream(replay) => replay.start().ok_or(ONE_ATTEMPT),
        }
    }

    pub fn can_restart(&self) -> bool {
        match &self.content {
            Content::Nothing | Content::Whole(_) => true,
            Content::Stream(replay) => replay.can_restart(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Nothing => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(_) => false,
        }
    }

    /// Whether the bytes are not known before they are sent.
    pub fn is_stream(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }

    /// The bytes, when the demands had them read.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Whole(bytes) => bytes,
            Content::Nothing | Content::Stream(_) => &[],
        }
    }

    /// Why the client's body ended early, if it did.
    pub fn failure(&self) -> Option<BodyFailure> {
        match &self.content {
            Content::Stream(replay) => replay.failure(),
            Content::Nothing | Content::Whole(_) => None,
        }
    }
}

/// Decides what is sent, and reads the client's body when something has to.
pub(super) async fn prepare(call: &Call<'_>, body: Body, demands: Demands) -> Result<Outgoing, ProxyError> {
    let given = call.headers.get(CONTENT_TYPE);
    let asked = call.headers.get("nango-proxy-content-type").filter(|value| !value.is_empty());
    if announced(call.headers).is_some_and(|length| length > demands.limit) {
        return Err(ProxyError::too_large(demands.limit));
    }
    let mut source = Source { body, first: None };
    let is_empty = !carries_body(call) || source.is_empty(is_object_type(given)).await?;
    let wanted = Wanted::of(given, asked);
    let merge = demands.merge.filter(|_| takes_entry_values(&call.method));
    if is_empty {
        let replaces_nothing = takes_empty_object(&call.method) && is_object_type(given);
        return Ok(when_empty(replaces_nothing, &wanted, given, asked, merge.as_ref()));
    }
    let is_encoded = call.headers.contains_key(CONTENT_ENCODING);
    let is_read = merge.is_some() || demands.needs_bytes || wanted != Wanted::AsSent;
    if !is_read || is_encoded {
        if demands.is_signed {
            return Ok(as_sent(source.read(demands.limit).await?, call.headers, given, asked));
        }
        return Ok(stream(source, call.headers, given, asked, demands.limit));
    }
    let bytes = source.read(demands.limit).await?;
    let converted = convert(&bytes, given, &wanted, merge.as_ref()).map_err(ProxyError::from)?;
    Ok(finished(converted, bytes, given, asked, merge.is_some()))
}

fn stream(
    source: Source,
    headers: &HeaderMap,
    given: Option<&HeaderValue>,
    asked: Option<&HeaderValue>,
    limit: u64,
) -> Outgoing {
    Outgoing {
        content: Content::Stream(Replay::new(source.body, source.first, limit)),
        content_type: content_type(given, asked),
        content_encoding: headers.get(CONTENT_ENCODING).cloned(),
        has_entry_values: false,
    }
}

/// The client's bytes, whole.
fn as_sent(
    bytes: Bytes,
    headers: &HeaderMap,
    given: Option<&HeaderValue>,
    asked: Option<&HeaderValue>,
) -> Outgoing {
    Outgoing {
        content: Content::Whole(bytes),
        content_type: content_type(given, asked),
        content_encoding: headers.get(CONTENT_ENCODING).cloned(),
        has_entry_values: false,
    }
}

fn finished(
    converted: Option<Converted>,
    bytes: Bytes,
    given: Option<&HeaderValue>,
    asked: Option<&HeaderValue>,
    has_entry_values: bool,
) -> Outgoing {
    let (content, content_type, has_entry_values) = match converted {
        Some(converted) => {
            let content_type = converted.content_type.or_else(|| content_type(given, asked));
            (converted.bytes, content_type, has_entry_values)
        }
        None => (bytes, content_type(given, asked), false),
    };
    Outgoing { content: Content::Whole(content), content_type, content_encoding: None, has_entry_values }
}

/// A call without a body. The SDK's `post` without `data` arrives with a content type and no bytes.
// Wire: an empty JSON or urlencoded body goes out as `{}`, because many APIs insist on one.
fn when_empty(
    replaces_nothing: bool,
    wanted: &Wanted,
    given: Option<&HeaderValue>,
    asked: Option<&HeaderValue>,
    merge: Option<&Map<String, Value>>,
) -> Outgoing {
    if !replaces_nothing && merge.is_none() {
        return Outgoing::nothing(asked.cloned());
    }
    let wanted = if asked.is_some_and(|asked| is_type(asked, "application/x-www-form-urlencoded")) {
        Cow::Owned(Wanted::Form)
    } else {
        Cow::Borrowed(wanted)
    };
    let converted = convert(b"{}", Some(&JSON), &wanted, merge).ok().flatten();
    let mut outgoing = finished(converted, Bytes::from_static(b"{}"), given, asked, merge.is_some());
    let is_json = matches!(&outgoing.content, Content::Whole(bytes) if bytes.starts_with(b"{"));
    if is_json && asked.is_none() {
        outgoing.content_type = Some(JSON);
    }
    outgoing
}

/// `Nango-Proxy-Content-Type` wins, except over a multipart body, which only its own header with the boundary describes.
fn content_type(given: Option<&HeaderValue>, asked: Option<&HeaderValue>) -> Option<HeaderValue> {
    let is_multipart = given.is_some_and(|given| is_type(given, "multipart/form-data"));
    asked.filter(|_| !is_multipart).or(given).cloned()
}

/// Methods whose bodies the entry's values are merged into.
fn takes_entry_values(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

fn takes_empty_object(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// A GET has a body only when its length was stated (Elasticsearch queries).
fn carries_body(call: &Call<'_>) -> bool {
    let is_bodiless = matches!(call.method, Method::GET | Method::HEAD);
    match announced(call.headers) {
        Some(length) => length > 0,
        None => !is_bodiless && call.headers.contains_key(TRANSFER_ENCODING),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Types whose empty body stands for an empty object.
fn is_object_type(given: Option<&HeaderValue>) -> bool {
    given.is_some_and(|given| {
        is_type(given, "application/json") || is_type(given, "application/x-www-form-urlencoded")
    })
}

/// Whether a header names this media type, whatever its parameters.
pub(super) fn is_type(header: &HeaderValue, media: &str) -> bool {
    media_type(header).eq_ignore_ascii_case(media)
}

/// The media type without parameters; empty when the header is not text.
pub(super) fn media_type(header: &HeaderValue) -> &str {
    let text = header.to_str().unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// The client's body, of which the first chunk may have been read to see whether there is one.
struct Source {
    body: Body,
    first: Option<Bytes>,
}

impl Source {
    /// Whether nothing comes. Only where that makes a difference a chunked body is asked for its first bytes.
    async fn is_empty(&mut self, matters: bool) -> Result<bool, ProxyError> {
        if self.body.is_end_stream() {
            return Ok(true);
        }
        if !matters || self.body.size_hint().exact().is_some() {
            return Ok(false);
        }
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|_| ProxyError::body_unread())?;
            if let Some(chunk) = frame.into_data().ok().filter(|chunk| !chunk.is_empty()) {
                self.first = Some(chunk);
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read(self, limit: u64) -> Result<Bytes, ProxyError> {
        let replay = Replay::new(self.body, self.first, limit);
        let body = replay.start().unwrap_or_default();
        match body.collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(_) if replay.failure() == Some(BodyFailure::TooLarge) => Err(ProxyError::too_large(limit)),
            Err(_) => Err(ProxyError::body_unread()),
        }
    }
}
