//! What to do about a connection that does not work.

use serde_json::Value;

use crate::db::connections::Connection;

/// Something that is wrong, in the provider's or the server's words, and what helps.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub title: &'static str,
    pub message: String,
    pub advice: &'static str,
}

/// What the refreshes of a connection have left to tell.
pub fn problem(connection: &Connection, has_auth_error: bool, is_refreshable: bool) -> Option<Problem> {
    let text = |name: &str| {
        let error = connection.refresh_error.as_ref();
        error.and_then(|error| error.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let is_failing = has_auth_error || connection.refresh_exhausted || connection.refresh_error.is_some();
    if !is_failing {
        return None;
    }
    let (title, advice) = explain(&text("kind"), connection.refresh_exhausted, is_refreshable);
    Some(Problem { title, message: text("message"), advice })
}

fn explain(kind: &str, is_exhausted: bool, is_refreshable: bool) -> (&'static str, &'static str) {
    if is_exhausted {
        return (
            "Nobody tries to refresh this connection any more",
            "Refreshing failed on four different days. Ask the end user to reconnect, or press Refresh now to try once more.",
        );
    }
    match kind {
        "aws_sigv4_sts_request_failed" => (
            "AWS gives no credentials for the role",
            "Check the role's trust policy and the external id, then press Refresh now.",
        ),
        "server_error" => (
            "The refresh failed inside this server",
            "The server's own log says why. Press Refresh now once it is mended.",
        ),
        kind if kind == "connection_test_failed" || !is_refreshable => (
            "The provider refuses the stored credentials",
            "The key or password was probably revoked or replaced. Ask the end user to reconnect with new ones.",
        ),
        _ => (
            "The provider gives no new token",
            "The end user may have revoked access, or the app's client secret was changed. Check the integration's \
             credentials; when they are right, ask the end user to reconnect.",
        ),
    }
}
