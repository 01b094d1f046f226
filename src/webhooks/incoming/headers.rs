//! Which of a provider's headers are passed on (`spec` auth-flows, section 11.5). Pure.

use http::HeaderMap;
use serde_json::{Map, Value};

/// Headers that start like this are about the connection to this server, or about who asks.
const KEPT_BACK: [&str; 16] = [
    "host",
    "authorization",
    "connection",
    "keep-alive",
    "content-length",
    "content-type",
    "content-encoding",
    "cookie",
    "set-cookie",
    "referer",
    "user-agent",
    "sec-",
    "proxy-",
    "www-authenticate",
    "server",
    // Of a single hop as well (RFC 9110, section 7.6.1).
    "transfer-encoding",
];

fn is_kept_back(name: &str) -> bool {
    KEPT_BACK.iter().any(|prefix| name.starts_with(prefix))
}

/// The headers that go along with the webhook.
pub fn forwardable(headers: &HeaderMap) -> HeaderMap {
    let passed = headers.iter().filter(|(name, _)| !is_kept_back(name.as_str()));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The same as a payload, for providers that say everything in headers.
pub fn as_object(headers: &HeaderMap) -> Value {
    let passed = forwardable(headers);
    Value::Object(texts(&passed))
}

/// Headers by name; values that are no text are left out, repeated ones joined.
pub fn texts(headers: &HeaderMap) -> Map<String, Value> {
    let join = |name: &http::HeaderName| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (name.as_str().to_owned(), Value::String(join(name)))).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_about_the_request_itself_stays_behind() {
        let mut headers = HeaderMap::new();
        for name in [
            "Host",
            "Authorization",
            "Connection",
            "Keep-Alive",
            "Content-Length",
            "Content-Type",
            "Cookie",
            "User-Agent",
            "Sec-Fetch-Mode",
            "Proxy-Authorization",
            "Server-Timing",
            "X-Event",
            "X-Host",
        ] {
            headers.append(name, HeaderValue::from_static("1"));
        }
        headers.append("x-event", HeaderValue::from_static("2"));
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        let passed = forwardable(&headers);
        assert_eq!(passed.get_all("x-event").iter().count(), 2);
        assert_eq!(as_object(&headers), json!({"x-event": "1, 2", "x-host": "1", "x-bytes": ""}));
    }
}
