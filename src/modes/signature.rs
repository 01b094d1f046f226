//! SIGNATURE: a `UsernameToken` of OASIS web services security, made here (`spec` auth-flows, section 5.10). Renewing it is
//! making another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::Map;
use sha1::{Digest, Sha1};

use super::{Renewed, provider_of};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::SignatureProtocol;
use crate::integrations::OpenIntegration;
use crate::oauth::TokenError;
use crate::time_format::format_millis_z;

const KIND: &str = "signature_token_generation_error";
/// 99 years in milliseconds: no token lives longer.
const LONGEST: f64 = 99.0 * 365.0 * 24.0 * 3_600_000.0;

/// Makes a token of a username and a password.
///
/// # Errors
/// `signature_token_generation_error`: the catalog entry does not say how.
pub fn sign_username(
    app: &App,
    integration: &OpenIntegration,
    username: &str,
    password: &str,
) -> Result<Credentials, TokenError> {
    let provider = provider_of(integration, KIND)?;
    if provider.signature.as_ref().map(|signature| signature.protocol) != Some(SignatureProtocol::Wsse) {
        return Err(TokenError::new(KIND, "The provider's `signature.protocol` is not WSSE."));
    }
    let lifetime = provider.token.as_ref().map_or(0.0, |token| token.expires_in_ms);
    if !(lifetime > 0.0 && lifetime < LONGEST) {
        return Err(TokenError::new(
            KIND,
            "The provider has no usable `token.expires_in_ms` in the catalog.",
        ));
    }
    if username.chars().any(|c| c == '"' || c.is_control()) {
        return Err(TokenError::new(KIND, "The username has characters that the token cannot carry."));
    }
    let now = app.clock.now();
    Ok(Credentials::Signature {
        username: username.to_owned(),
        password: password.to_owned(),
        token: username_token(username, password, &app.rng.hex(16), &format_millis_z(now)),
        expires_at: Some(now + TimeDelta::milliseconds(lifetime as i64)),
    })
}

/// Makes another token.
///
/// # Errors
/// As [`sign_username`].
pub fn renew(
    app: &App,
    integration: &OpenIntegration,
    username: &str,
    password: &str,
) -> Result<Renewed, TokenError> {
    let credentials = sign_username(app, integration, username, password)?;
    Ok(Renewed { credentials, connection_config: Map::new() })
}

fn username_token(username: &str, password: &str, nonce: &str, created: &str) -> String {
    let digest = digest(nonce, created, password);
    format!(
        "UsernameToken Username=\"{username}\", PasswordDigest=\"{digest}\", Nonce=\"{nonce}\", Created=\"{created}\""
    )
}

/// Wire: base64 of the hexadecimal text of the hash, not of its bytes.
fn digest(nonce: &str, created: &str, password: &str) -> String {
    STANDARD.encode(hex::encode(Sha1::digest(format!("{nonce}{created}{password}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_published_one() {
        let token =
            username_token("bob", "secret", "00112233445566778899aabbccddeeff", "2026-01-01T00:00:00.000Z");
        assert_eq!(
            token,
            "UsernameToken Username=\"bob\", PasswordDigest=\"YWRkMDMwODQ5ZTZmZDE1NjYxMGEzNTY3OTY3YmE0NTZiMmI2NDQ2NA==\", \
             Nonce=\"00112233445566778899aabbccddeeff\", Created=\"2026-01-01T00:00:00.000Z\""
        );
    }
}
