//! The default `Authorization` of each kind of credentials (`spec` proxy, section 7.1). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::Value;
use zeroize::Zeroizing;

use super::target::Unbuildable;
use crate::auth::Credentials;

/// The header that the stored credentials ask for, whatever the entry adds.
///
/// # Errors
/// Credentials that are signed with rather than sent, and values that no header can carry.
pub(super) fn default_authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Unbuildable> {
    let text = match credentials {
        Credentials::OAuth2 { access_token, .. } | Credentials::App { access_token, .. } => {
            bearer(access_token)
        }
        Credentials::OAuth2Cc { token, .. }
        | Credentials::Jwt { token, .. }
        | Credentials::Signature { token, .. } => bearer(token),
        Credentials::TwoStep { token: Value::String(token), .. } => bearer(token),
        Credentials::Basic { username, password } => basic(username, password),
        Credentials::ApiKey { .. }
        | Credentials::Bill { .. }
        | Credentials::TwoStep { .. }
        | Credentials::None => return Ok(None),
        Credentials::OAuth1 { .. } | Credentials::Tba { .. } | Credentials::AwsSigV4 { .. } => {
            return Err(Unbuildable::UnsupportedAuth(credentials.mode()));
        }
    };
    sensitive(&text).ok_or(Unbuildable::UnsendableCredentials).map(Some)
}

fn bearer(token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("Bearer {token}"))
}

fn basic(username: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// A header value that no debug output shows, and that HTTP/2 does not put into its compression table.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_has_its_default() {
        let cases = [
            (json!({"type": "OAUTH2", "access_token": "a"}), Ok(Some("Bearer a"))),
            (
                json!({"type": "OAUTH2_CC", "token": "t", "client_id": "i", "client_secret": "s"}),
                Ok(Some("Bearer t")),
            ),
            (json!({"type": "BASIC", "username": "Aladdin", "password": ""}), Ok(Some("Basic QWxhZGRpbjo="))),
            (json!({"type": "API_KEY", "apiKey": "k"}), Ok(None)),
            (json!({}), Ok(None)),
            (
                json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s"}),
                Err("unsupported_auth"),
            ),
            (json!({"type": "TBA", "token_id": "i", "token_secret": "s"}), Err("unsupported_auth")),
            (json!({"type": "OAUTH2", "access_token": "a\nb"}), Err("unsupported_auth")),
        ];
        for (stored, expected) in cases {
            let credentials = Credentials::from_json(stored.clone()).unwrap();
            let found = default_authorization(&credentials);
            let found = found.as_ref().map(|value| value.as_ref().map(|value| value.to_str().unwrap()));
            assert_eq!(found.map_err(Unbuildable::code), expected, "{stored}");
        }
    }
}
