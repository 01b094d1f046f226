//! Why a call has no provider's answer (`spec` proxy, section 12).

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::egress::EgressError;
use crate::error::{ApiError, ERROR_HEADER};
use crate::refresh::RefreshError;

/// A call that ends without the provider's answer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Refused before anything was sent, or by a rule of ours.
    #[error("{0}")]
    Refused(ApiError),
    /// The provider gave no answer.
    #[error("{error}")]
    NoAnswer { error: EgressError, method: Method, legacy: bool },
}

impl ProxyError {
    /// A URL that the outbound policy, or a rule about redirects, does not let through.
    pub(super) fn not_allowed(message: impl Into<String>) -> Self {
        ApiError::bad_request("base_url_override_not_allowed", message).into()
    }

    pub(super) fn too_large(limit: u64) -> Self {
        let message = format!("The request body is larger than {limit} bytes.");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message).into()
    }

    pub(super) fn body_unread() -> Self {
        ApiError::bad_request("invalid_body", "The request body ended early.").into()
    }

    /// The wire's code.
    pub fn code(&self) -> &str {
        match self {
            ProxyError::Refused(error) => error.code(),
            ProxyError::NoAnswer { error, .. } => code_of(error),
        }
    }

    /// Sorts a failure of the outgoing client. `legacy` answers status 500, as upstream does.
    pub(super) fn no_answer(error: EgressError, method: &Method, legacy: bool) -> Self {
        match error {
            EgressError::Denied(denied) => Self::not_allowed(denied.to_string()),
            EgressError::RefusedRedirect(_) => Self::not_allowed(error.to_string()),
            error => ProxyError::NoAnswer { error, method: method.clone(), legacy },
        }
    }
}

impl From<ApiError> for ProxyError {
    fn from(error: ApiError) -> Self {
        ProxyError::Refused(error)
    }
}

impl From<RefreshError> for ProxyError {
    fn from(error: RefreshError) -> Self {
        // Wire: only the back-off has a code of its own here.
        let code = if error.kind == "connection_refresh_backoff" {
            "connection_refresh_backoff"
        } else {
            "server_error"
        };
        ApiError::new(error.status(), code, error.message).into()
    }
}

fn code_of(error: &EgressError) -> &'static str {
    match error {
        EgressError::Dns { .. } => "proxy_dns_failed",
        EgressError::Connect(_) | EgressError::Tunnel(_) => "proxy_connect_failed",
        EgressError::Tls(_) => "proxy_tls_failed",
        EgressError::Timeout => "proxy_timeout",
        EgressError::TooManyRedirects { .. } => "proxy_too_many_redirects",
        EgressError::Denied(_)
        | EgressError::RefusedRedirect(_)
        | EgressError::TooLarge { .. }
        | EgressError::Aborted
        | EgressError::Other(_) => "proxy_upstream_aborted",
    }
}

fn status_of(error: &EgressError, legacy: bool) -> StatusCode {
    match error {
        _ if legacy => StatusCode::INTERNAL_SERVER_ERROR,
        EgressError::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

impl IntoResponse for ProxyError {
    fn into_response(self) -> Response {
        let (error, method, legacy) = match self {
            ProxyError::Refused(error) => return error.into_response(),
            ProxyError::NoAnswer { error, method, legacy } => (error, method, legacy),
        };
        let (status, code, message) = (status_of(&error, legacy), code_of(&error), error.to_string());
        tracing::debug!(error.code = code, error.reason = message, "the provider gave no answer");
        // Wire: clients of the reference server read the four flat members.
        let body = json!({
            "error": {"code": code, "message": message},
            "message": message,
            "code": error.transport_code(),
            "status": status.as_u16(),
            "method": method.as_str().to_ascii_lowercase(),
        });
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static(code));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status_and_code() {
        let dns = EgressError::Dns { host: "h".into(), is_temporary: false };
        let cases = [
            (dns, false, 502, "proxy_dns_failed"),
            (EgressError::Connect(std::io::ErrorKind::ConnectionRefused), false, 502, "proxy_connect_failed"),
            (EgressError::Timeout, false, 504, "proxy_timeout"),
            (EgressError::Timeout, true, 500, "proxy_timeout"),
            (EgressError::Aborted, false, 502, "proxy_upstream_aborted"),
            (EgressError::TooManyRedirects { limit: 5 }, false, 502, "proxy_too_many_redirects"),
            (EgressError::RefusedRedirect("x"), false, 400, "base_url_override_not_allowed"),
        ];
        for (error, legacy, status, code) in cases {
            let response = ProxyError::no_answer(error, &Method::GET, legacy).into_response();
            let found = response.headers().get(ERROR_HEADER).and_then(|value| value.to_str().ok());
            assert_eq!((response.status().as_u16(), found), (status, Some(code)));
        }
    }
}
