//! CORS (`spec` http-api, section 1.6). Every answer is readable from any page, because credentials travel in headers that
//! a page must hold itself; only the telemetry of Connect UI is tied to its own origin. Operators' routes know credentials
//! that a browser sends by itself (basic auth), so pages of other origins may not call them at all.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::Url;

use crate::app::App;

const TELEMETRY: &str = "/connect/telemetry";
const OPERATORS: &str = "/api/v1/";

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, Origin, X-Requested-With, Nango-Activity-Log-Id, Nango-Is-Dry-Run, \
     Nango-Is-Sync, Provider-Config-Key, Connection-Id, Sentry-Trace, Baggage",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Etag, Content-Type, Content-Length, X-Nango-Signature, X-RateLimit-Limit, X-RateLimit-Remaining, \
     X-RateLimit-Reset, Retry-After, X-Request-Id",
);

/// The rules for one path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cors {
    AnyOrigin,
    ConnectUi,
    OwnOrigin,
}

impl Cors {
    pub fn of(path: &str) -> Self {
        match path {
            TELEMETRY => Cors::ConnectUi,
            path if path.starts_with(OPERATORS) => Cors::OwnOrigin,
            _ => Cors::AnyOrigin,
        }
    }

    /// The answer to `OPTIONS`.
    pub fn preflight(self) -> Response {
        let [methods, allowed, max_age] = match self {
            Cors::AnyOrigin => [ALLOWED_METHODS, ALLOWED_HEADERS, HeaderValue::from_static("600")],
            Cors::ConnectUi => ["POST", "Authorization, Content-type", "36000"].map(HeaderValue::from_static),
            Cors::OwnOrigin => return StatusCode::NO_CONTENT.into_response(),
        };
        // No Content-Length: a 204 must not have one (RFC 9110, section 8.6).
        let headers: [(HeaderName, HeaderValue); 3] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
            (header::ACCESS_CONTROL_MAX_AGE, max_age),
        ];
        (StatusCode::NO_CONTENT, headers).into_response()
    }

    /// Adds what every answer has; values that are there already stay.
    pub fn add_to(self, headers: &mut HeaderMap, app: &App) {
        if self == Cors::OwnOrigin {
            return;
        }
        if self == Cors::ConnectUi {
            if let Some(origin) = connect_ui_origin(app) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            }
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("content-type"));
            return;
        }
        headers.entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(HeaderValue::from_static("*"));
        headers.entry(header::ACCESS_CONTROL_EXPOSE_HEADERS).or_insert(EXPOSED_HEADERS);
    }
}

fn connect_ui_origin(app: &App) -> Option<HeaderValue> {
    let url = Url::parse(&app.config.http.connect_url).ok()?;
    HeaderValue::from_str(&url.origin().ascii_serialization()).ok()
}
