//! The client assertion of `private_key_jwt` (RFC 7523): a JWT signed with RS256. Pure, apart from the blinding that the
//! signature itself needs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde::Deserialize;
use serde_json::json;
use zeroize::{ZeroizeOnDrop, Zeroizing};

const LIFETIME_SECONDS: i64 = 300;

/// Why no assertion could be made. Never repeats the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    #[error(
        "client_private_key is not the JSON text of a private RSA JWK with kid, n, e, d, p, q, dp, dq and qi"
    )]
    NotAKey,
    #[error("client_private_key was refused: {0}")]
    Rejected(String),
}

/// What the assertion says.
pub struct Claims<'a> {
    pub client_id: &'a str,
    pub audience: &'a str,
    pub jti: &'a str,
    pub now: DateTime<Utc>,
}

/// RFC 7517 with the members of RFC 7518, section 6.3. Deliberately without `Debug`.
#[derive(Deserialize, ZeroizeOnDrop)]
struct Jwk {
    kid: String,
    n: String,
    e: String,
    d: String,
    p: String,
    q: String,
    dp: String,
    dq: String,
    qi: String,
}

/// Signs an assertion with the key in `jwk` (JSON text).
pub fn sign_assertion(jwk: &str, claims: &Claims<'_>) -> Result<String, AssertionError> {
    let jwk: Jwk = serde_json::from_str(jwk).map_err(|_| AssertionError::NotAKey)?;
    let key = key_pair(&jwk)?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": jwk.kid});
    let issued = claims.now.timestamp();
    let payload = json!({
        "iss": claims.client_id, "sub": claims.client_id, "aud": claims.audience,
        "iat": issued, "exp": issued + LIFETIME_SECONDS, "jti": claims.jti,
    });
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| AssertionError::Rejected("it cannot sign".to_owned()))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn key_pair(jwk: &Jwk) -> Result<KeyPair, AssertionError> {
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: number(&jwk.n)?, e: number(&jwk.e)? },
        d: number(&jwk.d)?,
        p: number(&jwk.p)?,
        q: number(&jwk.q)?,
        dP: number(&jwk.dp)?,
        dQ: number(&jwk.dq)?,
        qInv: number(&jwk.qi)?,
    };
    KeyPair::from_components(&components).map_err(|error| AssertionError::Rejected(error.to_string()))
}

fn number(text: &str) -> Result<Zeroizing<Vec<u8>>, AssertionError> {
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| AssertionError::NotAKey)
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use serde_json::Value;

    use super::*;

    const JWK: &str = include_str!("test_rsa_jwk.json");
    const CLAIMS: Claims<'_> =
        Claims { client_id: "c", audience: "https://a.test/t", jti: "j", now: DateTime::UNIX_EPOCH };

    #[test]
    fn an_assertion_verifies_with_the_public_half_of_its_key() {
        let jwt = sign_assertion(JWK, &CLAIMS).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        assert_eq!(json(header), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
        assert_eq!(
            json(payload),
            json!({"iss": "c", "sub": "c", "aud": "https://a.test/t", "iat": 0, "exp": 300, "jti": "j"})
        );
        let jwk: Jwk = serde_json::from_str(JWK).unwrap();
        let public = RsaPublicKeyComponents { n: decode(&jwk.n), e: decode(&jwk.e) };
        public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)).unwrap();
    }

    #[test]
    fn unusable_keys_are_refused_without_repeating_them() {
        let damaged = JWK.replace("\"d\":\"", "\"d\":\"!");
        let wrong = JWK.replace("\"p\":\"", "\"p\":\"AAAA");
        for jwk in ["", "{}", "-----BEGIN", damaged.as_str(), wrong.as_str()] {
            let error = sign_assertion(jwk, &CLAIMS).unwrap_err().to_string();
            assert!(error.starts_with("client_private_key"), "{error}");
            assert!(error.len() < 200);
        }
    }
}
