//! One exchange with the provider: send, follow redirects, and bound the wait for an answer's head.

use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;

use super::ProxyError;
use super::body::Outgoing;
use super::redirect::{Guarded, Hop, becomes_get, is_redirect, is_same_origin, next_hop};
use super::replay::BodyFailure;
use super::resolve::check_policy;
use super::sign::{Finished, Moment, Signer};
use super::trace::{self, Attempt};
use crate::app::App;
use crate::auth::AwsPayload;
use crate::egress::{EgressError, ProxyClient};

/// What proves the connection without being a header of the entry.
pub(super) struct Means<'a> {
    pub signer: Option<Signer<'a>>,
    /// Presents a client certificate.
    pub client: Option<&'a ProxyClient>,
}

/// Sends the request and follows its redirects; each hop is judged by the outbound policy.
pub(super) async fn send(
    app: &App,
    mut hop: Hop,
    body: &Outgoing,
    guarded: &Guarded<'_>,
    mut means: Means<'_>,
) -> Result<http::Response<Incoming>, ProxyError> {
    let limit = app.egress.proxy_policy.max_redirects();
    let (method, legacy) = (hop.method.clone(), app.config.proxy.legacy_errors);
    let no_answer = |error| ProxyError::no_answer(error, &method, legacy);
    let mut followed = 0;
    loop {
        if let Some(signer) = &means.signer {
            sign(app, signer, &mut hop, body)?;
        }
        let client = means.client.unwrap_or(&app.egress.proxy);
        let began = Instant::now();
        let outcome = send_once(app, client, &hop, body).await;
        trace::note(|| Attempt {
            method: hop.method.clone(),
            uri: hop.uri.clone(),
            headers: hop.headers.clone(),
            outcome: outcome.as_ref().map(http::Response::status).map_err(ToString::to_string),
            duration: began.elapsed(),
            waited: None,
        });
        let response = outcome.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers());
        if limit == 0 || !is_redirect(status, headers) || !can_follow(&hop, status, body) {
            return Ok(response);
        }
        if followed == limit {
            return Err(no_answer(EgressError::TooManyRedirects { limit }));
        }
        let from = hop.uri.clone();
        let (next, url) = next_hop(hop, status, headers, guarded).map_err(no_answer)?;
        check_policy(app, &url)?;
        if !is_same_origin(&from, &next.uri) {
            // A certificate never leaves its origin; a signature does when the caller wants all headers to.
            means.client = None;
            means.signer = means.signer.filter(|_| guarded.forwards_all);
        }
        hop = next;
        followed += 1;
    }
}

/// A redirect that repeats a body which is too large to be repeated is the answer itself.
fn can_follow(hop: &Hop, status: StatusCode, body: &Outgoing) -> bool {
    let repeats_body = hop.sends_body && !becomes_get(status, &hop.method);
    !repeats_body || body.can_restart()
}

/// The signature covers method, URL and body of this hop.
fn sign(app: &App, signer: &Signer<'_>, hop: &mut Hop, body: &Outgoing) -> Result<(), ProxyError> {
    let payload = match hop.sends_body {
        true if body.is_stream() => AwsPayload::Unsigned,
        true => AwsPayload::Bytes(body.bytes()),
        false => AwsPayload::Bytes(b""),
    };
    let moment = Moment { now: app.clock.now(), nonce: app.rng.alphanumeric(32) };
    let request = Finished { method: &hop.method, uri: &hop.uri, headers: &mut hop.headers, payload };
    Ok(signer.sign(request, &moment)?)
}

async fn send_once(
    app: &App,
    client: &ProxyClient,
    hop: &Hop,
    body: &Outgoing,
) -> Result<http::Response<Incoming>, EgressError> {
    let mut request = Request::new(if hop.sends_body {
        body.start().map_err(|reason| EgressError::Other(reason.to_owned()))?
    } else {
        axum::body::Body::from(Bytes::new())
    });
    *request.method_mut() = hop.method.clone();
    *request.uri_mut() = hop.uri.clone();
    *request.headers_mut() = hop.headers.clone();
    if !hop.sends_body && states_length(&hop.method) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let answer = client.send(request);
    tokio::time::timeout(app.config.proxy.timeout, answer).await.unwrap_or(Err(EgressError::Timeout))
}

/// Some servers answer 411 to these without a length (RFC 9110 section 8.6).
fn states_length(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// What a failed exchange means when the client's own body was the reason.
pub(super) fn blame_body(error: ProxyError, body: &Outgoing, limit: u64) -> ProxyError {
    match body.failure() {
        Some(BodyFailure::TooLarge) => ProxyError::too_large(limit),
        Some(BodyFailure::ClientGone) => ProxyError::body_unread(),
        Some(BodyFailure::TakenOver) | None => error,
    }
}
