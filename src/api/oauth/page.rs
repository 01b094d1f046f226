//! The page that ends a popup: it tells the opening window and closes itself (`spec` auth-flows, section 4.6). Everything is
//! inline; nothing is loaded from anywhere, and the policy of the page says so.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::ApiError;
use crate::oauth::PopupError;
use crate::oauth::callback::provider_errors;

/// A page being put together.
pub struct Page<'a> {
    provider: Option<&'a str>,
    error: Option<&'a PopupError>,
    said: Map<String, Value>,
    status: Option<StatusCode>,
}

#[derive(Template)]
#[template(path = "oauth/success.html")]
struct Success<'a> {
    nonce: &'a str,
    title: &'a str,
    message: &'a str,
}

#[derive(Template)]
#[template(path = "oauth/error.html")]
struct Failure<'a> {
    nonce: &'a str,
    title: &'a str,
    advice: &'a str,
    reason: &'a str,
    code: &'a str,
    said: Vec<(&'a str, &'a str)>,
    message: &'a str,
}

impl<'a> Page<'a> {
    /// The account is connected.
    pub fn success(provider: Option<&'a str>, query: &Value) -> Self {
        Page { provider, error: None, said: provider_errors(query), status: None }
    }

    /// It is not.
    pub fn error(provider: Option<&'a str>, error: &'a PopupError, query: &Value) -> Self {
        Page { provider, error: Some(error), said: provider_errors(query), status: None }
    }

    /// Another status than 200 and 400.
    pub fn with_status(self, status: StatusCode) -> Self {
        Page { status: Some(status), ..self }
    }

    pub fn render(self, app: &App) -> Response {
        let nonce = app.rng.hex(16);
        // Wire: errors that the provider put into the query show, even when nothing failed here.
        let shows_success = self.error.is_none() && self.said.is_empty();
        let html = if shows_success { self.success_html(&nonce) } else { self.error_html(&nonce) };
        let html = match html {
            Ok(html) => html,
            Err(error) => return ApiError::unexpected(error).into_response(),
        };
        let default = if self.error.is_none() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        (self.status.unwrap_or(default), headers(&nonce), Html(html)).into_response()
    }

    fn success_html(&self, nonce: &str) -> askama::Result<String> {
        let title = match self.provider {
            Some(provider) => format!("{provider} is connected"),
            None => "Connected".to_owned(),
        };
        let message = script_text(&json!({"type": "nango_oauth_callback_success"}));
        Success { nonce, title: &title, message: &message }.render()
    }

    /// What the end user can do about it.
    fn advice(&self) -> &'static str {
        if self.said.get("error").is_some_and(|error| error == "access_denied") {
            return "Access was not granted, so nothing was saved. If that was a mistake, close this window and try again.";
        }
        match self.error.map(|error| error.kind) {
            Some("state_err") => {
                "This sign-in took too long or was finished before. Close this window and start again."
            }
            Some("state_cookie_err") => {
                "The sign-in was started in another browser, or this one keeps no cookies. Close this window and start \
                 again."
            }
            Some("url_param_err") => {
                "A value that the provider needs is missing or wrong. Close this window, check what you typed and try \
                 again."
            }
            _ => {
                "Nothing was saved. Close this window and try again; if it keeps failing, send the details below to the \
                 people who asked you to connect."
            }
        }
    }

    fn error_html(&self, nonce: &str) -> askama::Result<String> {
        let title = match self.provider {
            Some(provider) => format!("{provider} was not connected"),
            None => "The connection failed".to_owned(),
        };
        let (reason, code) = match self.error {
            Some(error) => (error.message.as_str(), error.kind),
            None => ("The provider reported an error.", "provider_error"),
        };
        let told = if self.said.is_empty() {
            reason.to_owned()
        } else {
            Value::Object(self.said.clone()).to_string()
        };
        let message = script_text(&json!({
            "type": "nango_oauth_callback_error",
            "payload": {"message": told, "errorType": "connection_validation_failed"},
        }));
        let said = self.said.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
        Failure {
            nonce,
            title: &title,
            advice: self.advice(),
            reason,
            code,
            said: said.collect(),
            message: &message,
        }
        .render()
    }
}

/// JSON that can stand inside a script element.
fn script_text(value: &Value) -> String {
    let mut text = value.to_string();
    for (dangerous, escaped) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        text = text.replace(dangerous, escaped);
    }
    text
}

/// No `Cross-Origin-Opener-Policy` here: it would cut the page off from the window that opened it.
fn headers(nonce: &str) -> [(HeaderName, HeaderValue); 3] {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    [
        // The nonce is hexadecimal, so the policy is always a header value.
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The address holds the authorization code.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_from_a_script() {
        let text = script_text(&json!("</script><!--&\u{2028}\u{2029}\"'\\"));
        assert_eq!(text, r#""\u003c/script\u003e\u003c!--\u0026\u2028\u2029\"'\\""#);
    }
}
