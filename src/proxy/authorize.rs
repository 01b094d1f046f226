//! The default `Authorization` of each kind of credentials (`spec` proxy, section 7.1). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

use super::target::Unbuildable;
use crate::auth::Credentials;
use crate::template::Template;

/// The header that the stored credentials ask for, whatever the entry adds.
///
/// # Errors
/// Values that no header can carry.
pub(super) fn default_authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Unbuildable> {
    let text = match credentials {
        // The connection waits for its provider.
        Credentials::OAuth2 { access_token, .. } if access_token.is_empty() => return Ok(None),
        Credentials::OAuth2 { access_token, .. } | Credentials::App { access_token, .. } => {
            bearer(access_token)
        }
        Credentials::OAuth2Cc { token, .. }
        | Credentials::Jwt { token, .. }
        | Credentials::Signature { token, .. } => bearer(token),
        Credentials::TwoStep { token: Value::String(token), .. } => bearer(token),
        Credentials::Basic { username, password } => basic(username, password),
        // The last three are signed with, see `sign`.
        Credentials::ApiKey { .. }
        | Credentials::Bill { .. }
        | Credentials::TwoStep { .. }
        | Credentials::None
        | Credentials::OAuth1 { .. }
        | Credentials::Tba { .. }
        | Credentials::AwsSigV4 { .. } => return Ok(None),
    };
    sensitive(&text).ok_or(Unbuildable::UnsendableCredentials).map(Some)
}

/// Headers besides `Authorization` that the stored credentials ask for. Callers may bring their own.
///
/// # Errors
/// Values that no header can carry.
pub(super) fn default_headers(
    credentials: &Credentials,
) -> Result<Vec<(HeaderName, HeaderValue)>, Unbuildable> {
    let Credentials::Bill { session_id, dev_key, .. } = credentials else { return Ok(Vec::new()) };
    let value = |text: &str| sensitive(text).ok_or(Unbuildable::UnsendableCredentials);
    Ok(vec![
        (HeaderName::from_static("sessionid"), value(session_id)?),
        (HeaderName::from_static("devkey"), value(dev_key)?),
    ])
}

/// Whether an entry's own header carries the token of TWO_STEP credentials, so that there is no default one (`spec` proxy,
/// section 7.1).
pub(super) fn carries_token<'t>(
    credentials: &Credentials,
    mut headers: impl Iterator<Item = (&'t str, &'t Template)>,
) -> bool {
    matches!(credentials, Credentials::TwoStep { .. })
        && headers.any(|(name, template)| {
            let is_cookie = name.eq_ignore_ascii_case("cookie");
            template.mentions("accessToken") || (is_cookie && template.mentions("credentials._cookies"))
        })
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
            (json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s"}), Ok(None)),
            (json!({"type": "TBA", "token_id": "i", "token_secret": "s"}), Ok(None)),
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
