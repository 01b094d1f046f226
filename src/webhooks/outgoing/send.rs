//! One attempt: the request, its redirects, and what the answer means (`spec` auth-flows, section 10.7).

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::content::ShownContent;
use super::signature::{SigningKeys, sign};
use crate::app::App;
use crate::egress::{Answer, EgressError, OutgoingRequest};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("hitchpost/", env!("CARGO_PKG_VERSION")));
/// Tells a receiver that it has seen this one before.
const DELIVERY: HeaderName = HeaderName::from_static("x-hitchpost-delivery");
/// How much of an answer is kept, in bytes.
const EXCERPT: usize = 1024;

/// Headers that belong to one connection (RFC 9110, section 7.6.1) or that change the answer; never passed on.
const NOT_FORWARDED: [&str; 9] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Nobody but this server signs in its name.
const OWN_PREFIXES: [&str; 2] = ["x-nango-", "x-hitchpost-"];

/// What an attempt means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// The receiver, or the network, may do better another time.
    Retry {
        after: Option<TimeDelta>,
    },
    /// Sending it again would not help.
    Failed,
    /// The outbound policy does not allow the address.
    Refused,
}

/// What came of an attempt.
pub struct Sent {
    pub verdict: Verdict,
    pub status: Option<StatusCode>,
    pub error: Option<String>,
    /// How the answer begins.
    pub excerpt: Option<Vec<u8>>,
    pub duration: Duration,
}

impl Sent {
    /// Nothing was sent: the settings do not name the address any more.
    pub fn without_address() -> Self {
        Sent {
            verdict: Verdict::Failed,
            status: None,
            error: Some("the address was taken out of the settings".to_owned()),
            excerpt: None,
            duration: Duration::ZERO,
        }
    }
}

/// The request's headers: those of the provider, under the server's own.
pub fn request_headers(content: &ShownContent, keys: &SigningKeys, delivery: Uuid) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &content.headers {
        let bytes: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        let name = HeaderName::try_from(name.as_str()).ok().filter(is_forwarded);
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(USER_AGENT, PRODUCT);
    if let Ok(value) = HeaderValue::from_str(&delivery.to_string()) {
        headers.insert(DELIVERY, value);
    }
    sign(&mut headers, keys, &content.body);
    headers
}

fn is_forwarded(name: &HeaderName) -> bool {
    let name = name.as_str();
    !NOT_FORWARDED.contains(&name) && !OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Sends a webhook once.
pub async fn send(app: &App, url: &str, headers: HeaderMap, body: String) -> Sent {
    let started = Instant::now();
    let limit = app.config.webhooks.timeout;
    let answered = tokio::time::timeout(limit, follow(app, url, headers, body.into())).await;
    let answered = answered.unwrap_or(Err(EgressError::Timeout));
    let duration = started.elapsed();
    match answered {
        Ok(answer) => Sent {
            verdict: judge(answer.status, &answer.headers, app.clock.now()),
            status: Some(answer.status),
            error: None,
            excerpt: Some(answer.body[..answer.body.len().min(EXCERPT)].to_vec()),
            duration,
        },
        Err(error) => Sent {
            verdict: judge_error(&error),
            status: None,
            error: Some(error.to_string()),
            excerpt: None,
            duration,
        },
    }
}

/// Posts, and posts again where a redirect says so. The client judges every hop.
async fn follow(app: &App, url: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, EgressError> {
    let limit = app.egress.proxy_policy.max_redirects();
    let mut url = Url::parse(url).map_err(|_| EgressError::Other("the address is not a URL".to_owned()))?;
    for _ in 0..=limit {
        let request = OutgoingRequest {
            method: Method::POST,
            url: url.clone(),
            headers: headers.clone(),
            body: body.clone(),
            follow: false,
        };
        let answer = app.egress.webhooks.send_within(request, app.config.webhooks.timeout).await?;
        match next_hop(&url, &answer)? {
            Some(next) if limit > 0 => url = next,
            _ => return Ok(answer),
        }
    }
    Err(EgressError::TooManyRedirects { limit })
}

/// Where a redirect leads. A client would turn the POST of a 301 or 302 into a GET (RFC 9110, section 15.4), and the event
/// would be lost in what looks like a success: it is posted again, signatures included, but never to another origin. Only the
/// step from http to https on one host is no other origin here.
fn next_hop(from: &Url, answer: &Answer) -> Result<Option<Url>, EgressError> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.headers.get(LOCATION) else { return Ok(None) };
    let target = location.to_str().ok().and_then(|location| from.join(location).ok());
    let target = target.ok_or(EgressError::RefusedRedirect("its Location is not a URL"))?;
    let is_upgrade = from.scheme() == "http" && target.scheme() == "https" && from.host() == target.host();
    if from.origin() != target.origin() && !is_upgrade {
        return Err(EgressError::RefusedRedirect(
            "it leads to another origin; make its target the webhook URL",
        ));
    }
    Ok(Some(target))
}

fn judge(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Delivered,
        408 | 425 | 429 | 500..=599 => Verdict::Retry { after: retry_after(headers, now) },
        _ => Verdict::Failed,
    }
}

fn judge_error(error: &EgressError) -> Verdict {
    match error {
        EgressError::Denied(_) => Verdict::Refused,
        EgressError::RefusedRedirect(_)
        | EgressError::TooManyRedirects { .. }
        | EgressError::TooLarge { .. } => Verdict::Failed,
        EgressError::Dns { .. }
        | EgressError::Connect(_)
        | EgressError::Tunnel(_)
        | EgressError::Tls(_)
        | EgressError::Timeout
        | EgressError::Aborted
        | EgressError::Other(_) => Verdict::Retry { after: None },
    }
}

/// `Retry-After` in either of its forms (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(TimeDelta::seconds(seconds.into()));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.with_timezone(&Utc) - now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    #[test]
    fn statuses_say_whether_to_send_again() {
        let now = DateTime::from_timestamp(1_445_412_470, 0).unwrap();
        let headers =
            |value: &'static str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let later = |seconds| Verdict::Retry { after: Some(TimeDelta::seconds(seconds)) };
        let none = HeaderMap::new();
        for (status, headers, expected) in [
            (200, &none, Verdict::Delivered),
            (204, &none, Verdict::Delivered),
            (302, &none, Verdict::Failed),
            (400, &none, Verdict::Failed),
            (404, &none, Verdict::Failed),
            (410, &none, Verdict::Failed),
            (408, &none, Verdict::Retry { after: None }),
            (425, &none, Verdict::Retry { after: None }),
            (429, &headers("7"), later(7)),
            (503, &headers("Wed, 21 Oct 2015 07:28:00 GMT"), later(10)),
            (500, &headers("soon"), Verdict::Retry { after: None }),
        ] {
            assert_eq!(judge(StatusCode::from_u16(status).unwrap(), headers, now), expected, "{status}");
        }
    }

    #[test]
    fn the_servers_own_headers_win_and_nobody_signs_in_its_name() {
        let given = [
            ("x-github-event", "push"),
            ("x-note", "caf\u{e9}"),
            ("content-type", "text/plain"),
            ("user-agent", "GitHub-Hookshot"),
            ("transfer-encoding", "chunked"),
            ("x-nango-hmac-sha256-previous", "forged"),
            ("x-hitchpost-delivery", "forged"),
            ("bad name", "x"),
            ("x-bad", "\u{1f600}"),
        ];
        let headers = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let content = ShownContent { body: "{}".to_owned(), headers };
        let keys = SigningKeys { current: Secret::new("key"), previous: None };
        let headers = request_headers(&content, &keys, Uuid::nil());
        assert_eq!(headers["x-github-event"], "push");
        assert_eq!(headers["x-note"].as_bytes(), b"caf\xe9");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["x-hitchpost-delivery"], Uuid::nil().to_string());
        assert!(headers["user-agent"].to_str().unwrap().starts_with("hitchpost/"));
        assert_eq!(headers.len(), 7, "{headers:?}");
    }
}
