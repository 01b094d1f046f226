//! What every answer has: a request id, CORS and security headers, rate-limit headers, and a 500 instead of a torn
//! connection when a handler panics. One middleware, because the proxy's hot path passes it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::app::SharedApp;
use crate::error::{ApiError, REQUEST_ID};
use crate::limiter::Usage;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OWN_REQUEST_ID: HeaderName = HeaderName::from_static("x-hitchpost-request-id");

// Wire: JSON always names its charset.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, Origin, X-Requested-With, Nango-Activity-Log-Id, Nango-Is-Dry-Run, \
     Nango-Is-Sync, Provider-Config-Key, Connection-Id, Sentry-Trace, Baggage",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Etag, Content-Type, Content-Length, X-Nango-Signature, X-RateLimit-Limit, X-RateLimit-Remaining, \
     X-RateLimit-Reset, Retry-After, X-Request-Id",
);

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
pub struct RateLimitSlot(Arc<OnceLock<Usage>>);

impl RateLimitSlot {
    pub fn set(&self, usage: Usage) {
        // The first limit of a request is the one that its headers tell.
        let _ = self.0.set(usage);
    }
}

/// The id of the request, for handlers that log it.
#[derive(Clone)]
pub struct RequestId(pub Arc<str>);

/// Marks an answer that came from a provider through the proxy: its headers win over ours, those about security apart.
#[derive(Clone, Copy)]
pub struct FromProvider;

/// The middleware around every route.
pub async fn edge(State(app): State<SharedApp>, mut request: Request, next: Next) -> Response {
    let id: Arc<str> = request_id(&app, request.headers()).into();
    if request.method() == Method::OPTIONS {
        return finish(&app, preflight(), &id, &RateLimitSlot::default());
    }
    let slot = RateLimitSlot::default();
    request.extensions_mut().insert(slot.clone());
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = REQUEST_ID
        .scope(id.to_string(), async {
            handled.await.unwrap_or_else(|_| ApiError::unexpected("a handler panicked").into_response())
        })
        .await;
    tracing::debug!(
        request.id = %id, http.method = %method, http.path = path, http.status = response.status().as_u16(), "request"
    );
    finish(&app, response, &id, &slot)
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

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
        (header::CONTENT_LENGTH, HeaderValue::from_static("0")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn finish(app: &SharedApp, mut response: Response, id: &str, slot: &RateLimitSlot) -> Response {
    let from_provider = response.extensions().get::<FromProvider>().is_some();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        let name = if headers.contains_key(X_REQUEST_ID) { OWN_REQUEST_ID } else { X_REQUEST_ID };
        headers.insert(name, value);
    }
    headers.entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(HeaderValue::from_static("*"));
    headers.entry(header::ACCESS_CONTROL_EXPOSE_HEADERS).or_insert(EXPOSED_HEADERS);
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
    if let Some(usage) = slot.0.get().filter(|_| !from_provider) {
        add_rate_limit(headers, usage, app);
    }
    response
}

fn add_rate_limit(headers: &mut HeaderMap, usage: &Usage, app: &SharedApp) {
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
