//! The headers of every page: what it may load and run, and that nobody keeps it.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// What pages may ask for by scripts.
const ASKED: &str = "connect-src 'self'";
/// No inline script or style, no string that becomes script, nothing from elsewhere, and no page of others around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; \
     frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The policy of a page whose script asks these origins, too.
pub fn connecting_to(origins: &[String]) -> Option<HeaderValue> {
    let asked =
        std::iter::once(ASKED).chain(origins.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    HeaderValue::from_str(&POLICY.replace(ASKED, &asked)).ok()
}

/// Adds what an answer does not say itself; files say how long they may be kept.
pub fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    // A form must tell where it comes from, other sites learn nothing.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(PERMISSIONS, HeaderValue::from_static("camera=(), microphone=(), geolocation=()"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
