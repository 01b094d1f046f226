//! How receivers know that a webhook is ours (`spec` auth-flows, section 10.2). Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::crypto::{Secret, hmac_sha256, sha256};

const SIGNATURE: HeaderName = HeaderName::from_static("x-nango-signature");
const HMAC: HeaderName = HeaderName::from_static("x-nango-hmac-sha256");
const PREVIOUS_HMAC: HeaderName = HeaderName::from_static("x-nango-hmac-sha256-previous");

/// What an environment signs with.
pub struct SigningKeys {
    pub current: Secret,
    /// The key that was replaced in the last 24 hours.
    pub previous: Option<Secret>,
}

/// Adds the signatures of `body`.
pub fn sign(headers: &mut HeaderMap, keys: &SigningKeys, body: &str) {
    let key = keys.current.expose();
    insert(headers, SIGNATURE, &hex::encode(sha256(format!("{key}{body}").as_bytes())));
    insert(headers, HMAC, &hmac_text(&keys.current, body));
    if let Some(previous) = &keys.previous {
        insert(headers, PREVIOUS_HMAC, &hmac_text(previous, body));
    }
}

fn hmac_text(key: &Secret, body: &str) -> String {
    hex::encode(hmac_sha256(key.expose().as_bytes(), body.as_bytes()))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, hex: &str) {
    // Hexadecimal text is always a header value.
    if let Ok(value) = HeaderValue::from_str(hex) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_specification_hold() {
        let body = r#"{"from":"nango","success":true,"type":"auth"}"#;
        let key = || Secret::new("11111111-1111-4111-8111-111111111111");
        let hmac = "02683fcd1508ab2b2066975771fe3a68903f3245bea39a70384e158f482e0c00";
        let mut headers = HeaderMap::new();
        sign(&mut headers, &SigningKeys { current: key(), previous: None }, body);
        assert_eq!(headers[SIGNATURE], "0c3e111a3b555c60a57cc847d0e55614f897ab64350cb9b80b78a5915292d032");
        assert_eq!(headers[HMAC], hmac);
        assert!(!headers.contains_key(PREVIOUS_HMAC));
        sign(&mut headers, &SigningKeys { current: Secret::new("new"), previous: Some(key()) }, body);
        assert_eq!(headers[PREVIOUS_HMAC], hmac);
        assert_ne!(headers[HMAC], hmac);
    }
}
