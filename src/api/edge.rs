//! What every answer has: a request id, CORS and security headers, rate-limit headers, and a 500 instead of a torn
//! connection when a handler panics. One middleware, because the proxy's hot path passes it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::cli_version::check_maximum;
use super::cors::Cors;
use crate::app::{App, SharedApp};
use crate::error::{ApiError, REQUEST_ID};
use crate::limiter::Usage;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OWN_REQUEST_ID: HeaderName = HeaderName::from_static("x-hitchpost-request-id");

// Wire: JSON always names its charset.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// Headers of every answer. A page may have set its own value, which then stays.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
    (header::X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (HeaderName::from_static("x-download-options"), HeaderValue::from_static("noopen")),
    (header::X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=5184000; includeSubDomains")),
];

/// Where an extractor leaves the state of the caller's rate limit for the answer's headers.
#[derive(Clone, Default)]
pub struct RateLimitSlot(Arc<Limits>);

#[derive(Default)]
struct Limits {
    first: OnceLock<Usage>,
    blocking: OnceLock<Usage>,
}

impl RateLimitSlot {
    pub fn set(&self, usage: Usage) {
        let limit = if usage.is_blocked { &self.0.blocking } else { &self.0.first };
        let _ = limit.set(usage);
    }

    /// The limit that the headers tell: the one that blocked the request, else its first.
    fn told(&self) -> Option<&Usage> {
        self.0.blocking.get().or_else(|| self.0.first.get())
    }
}

/// Marks an answer that came from a provider through the proxy: its headers win over ours, those about security apart.
#[derive(Clone, Copy)]
pub struct FromProvider;

/// The middleware around every route.
pub async fn edge(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    around(&app, request, |request| next.run(request)).await
}

/// What the middleware does, for a handler that is reached without the router.
pub async fn around<F, H>(app: &SharedApp, mut request: Request, handle: H) -> Response
where
    H: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let id = request_id(app, request.headers());
    let cors = Cors::of(request.uri().path());
    if let Some(answer) = answer_early(app, cors, &request) {
        return finish(app, cors, answer, &id, &RateLimitSlot::default());
    }
    let slot = RateLimitSlot::default();
    request.extensions_mut().insert(slot.clone());
    let logged = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().path().to_owned()));
    let handled = REQUEST_ID.scope(id.clone(), AssertUnwindSafe(handle(request)).catch_unwind()).await;
    let response = match handled {
        Ok(response) => response,
        Err(_) => REQUEST_ID.sync_scope(id.clone(), answer_panic),
    };
    if let Some((method, path)) = logged {
        let status = response.status().as_u16();
        tracing::debug!(
            request.id = id, http.method = %method, http.path = path, http.status = status, "request"
        );
    }
    finish(app, cors, response, &id, &slot)
}

fn answer_panic() -> Response {
    ApiError::unexpected("a handler panicked").into_response()
}

/// Preflights, and a command line tool that is too new, end before anything is read.
fn answer_early(app: &App, cors: Cors, request: &Request) -> Option<Response> {
    if request.method() == Method::OPTIONS {
        return Some(cors.preflight());
    }
    let refusal = app.config.http.enforces_cli_version.then(|| check_maximum(request.headers()));
    refusal?.err().map(IntoResponse::into_response)
}

/// The caller's id when it is harmless, else a new one.
fn request_id(app: &SharedApp, headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_harmless = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    given.filter(is_harmless).map_or_else(|| app.rng.uuid().to_string(), str::to_owned)
}

fn finish(app: &App, cors: Cors, mut response: Response, id: &str, slot: &RateLimitSlot) -> Response {
    let from_provider = response.extensions().get::<FromProvider>().is_some();
    let headers = response.headers_mut();
    // One growth instead of several.
    headers.reserve(16);
    if let Ok(value) = HeaderValue::from_str(id) {
        let name = if headers.contains_key(X_REQUEST_ID) { OWN_REQUEST_ID } else { X_REQUEST_ID };
        headers.insert(name, value);
    }
    cors.add_to(headers, app);
    for (name, value) in SECURITY_HEADERS {
        if from_provider {
            // They are about this origin, of which a provider knows nothing.
            headers.insert(name, value);
        } else {
            headers.entry(name).or_insert(value);
        }
    }
    if !from_provider && headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json") {
        headers.insert(header::CONTENT_TYPE, JSON);
    }
    if let Some(usage) = slot.told().filter(|_| !from_provider) {
        add_rate_limit(headers, usage, app);
    }
    response
}

fn add_rate_limit(headers: &mut HeaderMap, usage: &Usage, app: &App) {
    headers.insert("x-ratelimit-limit", HeaderValue::from(usage.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(usage.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(usage.resets_at.timestamp()));
    if usage.is_blocked {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(usage.retry_after(app.clock.now())));
    }
}

/// The answer of a blocked request.
pub fn too_many_requests(method: &Method, path: &str) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_request", String::new())
        .without_message()
        .with_member("method", method.as_str())
        .with_member("path", path)
}
