//! The JWT with which an app proves itself to GitHub (`spec` auth-flows, section 5.12). Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{RsaKey, RsaKeyError};

/// GitHub refuses a JWT that was issued in its future.
const CLOCK_DRIFT: TimeDelta = TimeDelta::seconds(60);
/// From the issue on. GitHub takes no JWT that ends more than ten minutes from now, so that counting from the back-dated
/// issue leaves the same room for a clock that is ahead.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// Signs the JWT of the app with this id.
///
/// # Errors
/// The key cannot sign.
pub fn sign_app_jwt(key: &RsaKey, app_id: &str, now: DateTime<Utc>) -> Result<String, RsaKeyError> {
    let issued = now - CLOCK_DRIFT;
    key.sign_jwt(&json!({
        "iat": issued.timestamp(), "exp": (issued + LIFETIME).timestamp(), "iss": app_id,
    }))
}

/// When a JWT was issued and when it ends, as it says itself; the signature is not looked at.
pub fn jwt_times(jwt: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let payload = jwt.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let time = |name: &str| DateTime::from_timestamp(claims.get(name)?.as_i64()?, 0);
    Some((time("iat")?, time("exp")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jwt_is_back_dated_and_lasts_ten_minutes() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let key = RsaKey::read(include_str!("test_rsa_key.pem")).unwrap();
        let jwt = sign_app_jwt(&key, "12345", now).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(claims, json!({"iat": 1_799_999_940, "exp": 1_800_000_540, "iss": "12345"}));
        let ends = now + TimeDelta::minutes(9);
        assert_eq!(jwt_times(&jwt), Some((now - TimeDelta::minutes(1), ends)));
    }

    #[test]
    fn what_is_no_jwt_has_no_times() {
        for text in ["", "a.b.c", "a.e30.c", "a.eyJpYXQiOjEsImV4cCI6IngifQ.c"] {
            assert_eq!(jwt_times(text), None, "{text}");
        }
    }
}
