//! The provider's answer on its way to the client: one streaming path, status and headers kept (`spec` proxy, section 11.2).

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::call_log::CallLog;
use super::encoding::{Accepted, Coding};
use super::headers::clean_answer;
use super::paced::Paced;

/// Silence inside a body.
const GAP: Duration = Duration::from_secs(120);
/// Silence between server-sent events.
const EVENT_GAP: Duration = Duration::from_secs(900);
/// Of an answer that may name a wait in its body.
const PEEKED_AT_MOST: usize = 64 << 10;

/// A provider's answer, of whose body a part may have been read.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    read: Vec<Bytes>,
}

/// How the client wants its answer.
pub(super) struct Delivery<'a> {
    pub method: &'a Method,
    pub accepted: Accepted,
    /// The client asked for a decoded body whatever it accepts.
    pub decodes: bool,
    pub forwards_cookies: bool,
    /// Successes that upstream held in memory are all status 200.
    pub legacy_status: bool,
}

impl Answer {
    pub fn new(response: http::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body, read: Vec::new() }
    }

    /// The first bytes of the body, when they are text as it is; what was read is delivered all the same.
    pub async fn peek(&mut self) -> Vec<u8> {
        let mut size = 0;
        while size < PEEKED_AT_MOST {
            let Some(Ok(frame)) = self.body.frame().await else { break };
            if let Ok(chunk) = frame.into_data() {
                size += chunk.len();
                self.read.push(chunk);
            }
        }
        self.read.concat()
    }

    /// The answer for the client.
    pub fn deliver(mut self, delivery: &Delivery<'_>, log: CallLog) -> Response {
        let has_body = self.has_body(delivery.method);
        let coding = self.coding_to_remove(delivery);
        let status = self.status_for(delivery);
        clean_answer(&mut self.headers, delivery.forwards_cookies);
        if coding.is_some() {
            self.headers.remove(CONTENT_ENCODING);
            self.headers.remove(CONTENT_LENGTH);
        }
        let mut headers = std::mem::take(&mut self.headers);
        if status == StatusCode::NO_CONTENT {
            // RFC 9110 section 8.6: there is none with a 204, whatever the provider says.
            headers.remove(CONTENT_LENGTH);
        }
        let body = self.into_body(has_body, &headers, log);
        let body = match coding {
            Some(coding) if has_body => coding.decode(body),
            _ => body,
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn has_body(&self, method: &Method) -> bool {
        let is_bodiless = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        *method != Method::HEAD && !is_bodiless
    }

    /// A part of a coded body cannot be decoded, and an empty one need not be.
    fn coding_to_remove(&self, delivery: &Delivery<'_>) -> Option<Coding> {
        let is_empty = self.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        if is_empty || self.status == StatusCode::PARTIAL_CONTENT {
            return None;
        }
        let coding = Coding::of(&self.headers)?;
        (delivery.decodes || !delivery.accepted.contains(coding)).then_some(coding)
    }

    fn status_for(&self, delivery: &Delivery<'_>) -> StatusCode {
        let is_buffered = self.status.is_success()
            && self.status != StatusCode::NO_CONTENT
            && !self.headers.contains_key(TRANSFER_ENCODING)
            && !self.headers.contains_key(CONTENT_DISPOSITION);
        if delivery.legacy_status && is_buffered { StatusCode::OK } else { self.status }
    }

    fn into_body(self, has_body: bool, headers: &HeaderMap, log: CallLog) -> Body {
        let gap = if is_event_stream(headers) { EVENT_GAP } else { GAP };
        if self.read.is_empty() {
            return Body::new(Paced::new(self.body, gap, !has_body).logged(log));
        }
        let mut log = log;
        log.note_bytes(self.read.iter().map(Bytes::len).sum());
        let read = stream::iter(self.read.into_iter().map(Ok::<_, axum::Error>));
        let rest = Body::new(Paced::new(self.body, gap, false).logged(log));
        Body::from_stream(read.chain(rest.into_data_stream()))
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let is_events = |value: &HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
    headers.get(CONTENT_TYPE).is_some_and(is_events)
}
