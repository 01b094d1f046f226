//! What the Connect UI's page may load, run and talk to.

use axum::http::HeaderValue;
use url::Url;

use crate::config::Config;

/// The `Content-Security-Policy` of the document. No inline script or style, no string that becomes script.
pub fn content_security_policy(config: &Config) -> HeaderValue {
    let api = origins(&config.http.server_url);
    let trusted = config.connect_ui.api_origins.iter().flat_map(|url| origins(url));
    let connect: Vec<String> = api.into_iter().chain(trusted).collect();
    let policy = [
        "default-src 'none'".to_owned(),
        "script-src 'self'".to_owned(),
        "style-src 'self'".to_owned(),
        // An environment may show the logo of its product, from wherever that is.
        "img-src 'self' data: https:".to_owned(),
        format!("connect-src 'self' {}", connect.join(" ")),
        "base-uri 'none'".to_owned(),
        "form-action 'none'".to_owned(),
        format!("frame-ancestors {}", config.connect_ui.frame_ancestors.join(" ")),
        "require-trusted-types-for 'script'".to_owned(),
        "trusted-types 'none'".to_owned(),
    ];
    // Settings are checked when they are read, so that the fallback is never used.
    HeaderValue::from_str(&policy.join("; "))
        .unwrap_or(HeaderValue::from_static("default-src 'none'; script-src 'self'; style-src 'self'"))
}

/// The origin of a URL, for requests and for websockets.
fn origins(url: &str) -> Vec<String> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    let origin = url.origin().ascii_serialization();
    let socket = origin.replacen("http", "ws", 1);
    vec![origin, socket]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_named_for_requests_and_sockets() {
        for (url, expected) in [
            ("https://api.acme.test/hitch", vec!["https://api.acme.test", "wss://api.acme.test"]),
            ("http://127.0.0.1:3003", vec!["http://127.0.0.1:3003", "ws://127.0.0.1:3003"]),
            ("nonsense", vec![]),
        ] {
            assert_eq!(origins(url), expected, "{url}");
        }
    }
}
