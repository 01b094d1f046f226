//! What every answer has: a request id, CORS and security headers, rate-limit headers, and a 500 instead of a torn
//! connection when a handler panics. One middleware, because the proxy's hot path passes it.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::cli_version::check_maximum;
use super::client_address::address_of;
use super::cors::Cors;
use crate::app::{App, SharedApp};
use crate::audit::{self, Call};
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

/// What a handler answered.
pub struct Handled {
    pub response: Response,
    /// It came from a provider through the proxy: its headers win over ours, those about security apart.
    pub is_providers: bool,
}

impl From<Response> for Handled {
    fn from(response: Response) -> Self {
        Handled { response, is_providers: false }
    }
}

/// The middleware around every route.
pub async fn edge(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let call = call_of(&app, &request);
    around(&app, route_of(&request), request, |request| audit::within(call, next.run(request))).await
}

/// The pattern of the request's route, as the metrics call it.
fn route_of(request: &Request) -> &'static str {
    static PATTERNS: LazyLock<HashSet<&'static str>> =
        LazyLock::new(|| super::patterns().into_iter().collect());
    let matched = request.extensions().get::<MatchedPath>();
    matched.and_then(|matched| PATTERNS.get(matched.as_str())).copied().unwrap_or("elsewhere")
}

/// Who the audit trail says changed something; proxied calls, which change nothing here, go without.
fn call_of(app: &App, request: &Request) -> Call {
    let hops = app.config.http.trusted_proxy_hops;
    let address = address_of(request.headers(), request.extensions(), hops);
    Call::of_api(address, user_agent(request.headers()))
}

fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok())
}

/// What the middleware does, for a handler that is reached without the router.
pub async fn around<F, H>(app: &SharedApp, route: &'static str, request: Request, handle: H) -> Response
where
    H: FnOnce(Request) -> F,
    F: Future<Output: Into<Handled>>,
{
    let cors = Cors::of(request.uri().path());
    around_with(app, route, cors, request, handle).await
}

/// The same for pages that no other origin may read.
pub async fn around_pages<F, H>(app: &SharedApp, request: Request, handle: H) -> Response
where
    H: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let hops = app.config.http.trusted_proxy_hops;
    let address = address_of(request.headers(), request.extensions(), hops);
    let call = Call::of_browser(address, user_agent(request.headers()));
    let handle = |request| audit::within(call, handle(request));
    around_with(app, "dashboard", Cors::OwnOrigin, request, handle).await
}

async fn around_with<F, H>(
    app: &SharedApp,
    route: &'static str,
    cors: Cors,
    mut request: Request,
    handle: H,
) -> Response
where
    H: FnOnce(Request) -> F,
    F: Future<Output: Into<Handled>>,
{
    let started = Instant::now();
    let id = request_id(app, request.headers());
    if let Some(answer) = answer_early(app, cors, &request) {
        return finish(app, cors, answer.into(), id, &RateLimitSlot::default());
    }
    let slot = RateLimitSlot::default();
    request.extensions_mut().insert(slot.clone());
    let logged = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), logged_path(request.uri().path())));
    let handled = REQUEST_ID.scope(id.clone(), AssertUnwindSafe(handle(request)).catch_unwind()).await;
    let handled = match handled {
        Ok(handled) => handled.into(),
        Err(_) => REQUEST_ID.sync_scope(id.clone(), answer_panic),
    };
    if let Some((method, path)) = logged {
        let status = handled.response.status().as_u16();
        tracing::debug!(
            request.id = id.to_str().unwrap_or_default(), http.method = %method, http.path = path, http.status = status, "request"
        );
    }
    app.metrics.note_request(route, handled.response.status(), started.elapsed());
    finish(app, cors, handled, id, &slot)
}

/// A path as the log may have it: links that work once are secrets.
fn logged_path(path: &str) -> String {
    let mut segments = path.split('/').skip(1);
    match segments.next() {
        Some(area @ ("setup" | "invitation" | "reset")) => format!("/{area}/..."),
        _ => path.to_owned(),
    }
}

fn answer_panic() -> Handled {
    ApiError::unexpected("a handler panicked").into_response().into()
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
fn request_id(app: &SharedApp, headers: &HeaderMap) -> HeaderValue {
    let is_harmless = |id: &&HeaderValue| {
        let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(is_harmless)
    };
    headers.get(X_REQUEST_ID).filter(is_harmless).cloned().unwrap_or_else(|| new_request_id(app))
}

fn new_request_id(app: &App) -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    let text = app.rng.uuid().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn finish(app: &App, cors: Cors, handled: Handled, id: HeaderValue, slot: &RateLimitSlot) -> Response {
    let Handled { mut response, is_providers } = handled;
    let headers = response.headers_mut();
    // One growth instead of several.
    headers.reserve(16);
    let name = if headers.contains_key(X_REQUEST_ID) { OWN_REQUEST_ID } else { X_REQUEST_ID };
    headers.insert(name, id);
    cors.add_to(headers, app);
    for (name, value) in SECURITY_HEADERS {
        if is_providers {
            // They are about this origin, of which a provider knows nothing.
            headers.insert(name, value);
        } else {
            headers.entry(name).or_insert(value);
        }
    }
    if !is_providers && headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json") {
        headers.insert(header::CONTENT_TYPE, JSON);
    }
    if let Some(usage) = slot.told().filter(|_| !is_providers) {
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
