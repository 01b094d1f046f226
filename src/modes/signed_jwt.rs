//! Tokens that this server signs itself, as an entry's `signature` and `token` say (`spec` providers, section 8.5). Called by
//! the modes JWT and TWO_STEP. No I/O: the time comes in with the context.

mod key;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub use self::key::{Algorithm, KeyError, SigningKey};
use crate::catalog::{
    HmacSecretEncoding, Parameter, Parameters, Provider, Signature, SignatureProtocol, SignedToken,
};
use crate::oauth::TokenError;
use crate::template::Context;

/// A signed token and when it ends.
pub struct SignedJwt {
    pub token: String,
    pub expires_at: DateTime<Utc>,
}

/// Signs the token of an entry.
///
/// # Errors
/// `missing_signature_type` or `missing_token_body` when the entry lacks them, `failed_to_generate` when a value is missing, and
/// `failed_to_sign` when the key is not one.
pub fn sign_token(
    provider: &Provider,
    context: &Context<'_>,
    now: DateTime<Utc>,
) -> Result<SignedJwt, TokenError> {
    let lacks =
        |kind, name| move || TokenError::new(kind, format!("The provider has no `{name}` in the catalog."));
    let signature = provider.signature.as_ref().ok_or_else(lacks("missing_signature_type", "signature"))?;
    let token = provider.token.as_ref().ok_or_else(lacks("missing_token_body", "token"))?;
    let mut header = claims(&token.header, context);
    let algorithm = algorithm_of(&header, default_algorithm(signature.protocol)?)?;
    header.insert("alg".to_owned(), algorithm.name().into());
    let key = signing_key(signature, token, algorithm, context)?;
    let lifetime = lifetime_of(token)?;
    let mut payload = claims(&token.payload, context);
    stamp(&mut payload, now, lifetime);
    let token = encode(&header, &payload, &key).map_err(|error| not_signed(&error))?;
    Ok(SignedJwt { token, expires_at: now + lifetime })
}

/// Adds when a token was made and when it ends, in seconds.
pub fn stamp(payload: &mut Map<String, Value>, now: DateTime<Utc>, lifetime: TimeDelta) {
    payload.insert("iat".to_owned(), now.timestamp().into());
    payload.insert("exp".to_owned(), (now + lifetime).timestamp().into());
}

/// Claims or header members: what has no value is left out, a list of texts is split on commas and left out when empty.
pub fn claims(parameters: &Parameters, context: &Context<'_>) -> Map<String, Value> {
    let pair = |(name, parameter): (&String, &Parameter)| Some((name.clone(), claim(parameter, context)?));
    parameters.iter().filter_map(pair).collect()
}

fn claim(parameter: &Parameter, context: &Context<'_>) -> Option<Value> {
    let Parameter::List(items) = parameter else {
        // A field that was left empty has no value either.
        return parameter.resolve_or_drop(context).filter(|value| value.as_str() != Some(""));
    };
    let mut values = Vec::new();
    for item in items {
        match item.resolve_or_drop(context) {
            Some(Value::String(text)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                values.extend(parts.map(Value::from));
            }
            other => values.extend(other),
        }
    }
    (!values.is_empty()).then_some(Value::Array(values))
}

/// The algorithm that a header names.
///
/// # Errors
/// One that this server does not know.
pub fn algorithm_of(header: &Map<String, Value>, default: Algorithm) -> Result<Algorithm, TokenError> {
    let Some(name) = header.get("alg").and_then(Value::as_str) else { return Ok(default) };
    let unknown =
        || TokenError::new("failed_to_generate", "The catalog names an unknown algorithm for the token.");
    Algorithm::named(name).ok_or_else(unknown)
}

/// The compact form (RFC 7515, section 7.1).
///
/// # Errors
/// The key cannot sign.
pub fn encode(
    header: &Map<String, Value>,
    payload: &Map<String, Value>,
    key: &SigningKey,
) -> Result<String, KeyError> {
    let part = |members: &Map<String, Value>| {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(members).unwrap_or_default())
    };
    let signed = format!("{}.{}", part(header), part(payload));
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// When a JWT ends, by its own words. The signature is not looked at.
pub fn expiry_in(token: &str) -> Option<DateTime<Utc>> {
    let mut parts = token.split('.');
    let (_, payload) = (parts.next()?, parts.next()?);
    parts.next()?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let seconds = crate::oauth::number(claims.get("exp")?)?;
    DateTime::from_timestamp_millis((seconds * 1_000.0) as i64)
}

fn default_algorithm(protocol: SignatureProtocol) -> Result<Algorithm, TokenError> {
    match protocol {
        SignatureProtocol::Rsa => Ok(Algorithm::Rs256),
        SignatureProtocol::Ec => Ok(Algorithm::Es256),
        SignatureProtocol::Hmac => Ok(Algorithm::Hs256),
        SignatureProtocol::Wsse | SignatureProtocol::Unknown => Err(TokenError::new(
            "missing_signature_type",
            "The provider's `signature.protocol` is not one that signs a JWT.",
        )),
    }
}

fn signing_key(
    signature: &Signature,
    token: &SignedToken,
    algorithm: Algorithm,
    context: &Context<'_>,
) -> Result<SigningKey, TokenError> {
    let template = token.signing_key.as_ref().ok_or_else(|| {
        TokenError::new("missing_token_body", "The provider has no `token.signing_key` in the catalog.")
    })?;
    let text = template.resolve(context).map_err(|missing| {
        TokenError::new("failed_to_generate", format!("The token cannot be signed: {missing}."))
    })?;
    let text = Zeroizing::new(Cow::into_owned(text));
    let key = match (signature.protocol, signature.hmac_secret_encoding) {
        (SignatureProtocol::Hmac, HmacSecretEncoding::Utf8) => SigningKey::shared(text.as_bytes(), algorithm),
        (SignatureProtocol::Hmac, HmacSecretEncoding::Hex) => match hex::decode(text.trim()) {
            Ok(secret) => SigningKey::shared(&Zeroizing::new(secret), algorithm),
            Err(_) => Err(KeyError::NotHex),
        },
        _ => SigningKey::private(&text, algorithm),
    };
    key.map_err(|error| not_signed(&error))
}

fn lifetime_of(token: &SignedToken) -> Result<TimeDelta, TokenError> {
    const LONGEST: f64 = 100.0 * 366.0 * 24.0 * 3_600_000.0;
    let millis = token.expires_in_ms;
    if millis > 0.0 && millis < LONGEST {
        return Ok(TimeDelta::milliseconds(millis as i64));
    }
    Err(TokenError::new(
        "missing_token_body",
        "The provider has no usable `token.expires_in_ms` in the catalog.",
    ))
}

/// Wire: errata, section 5.7 of auth-flows.
pub const FAILED_TO_SIGN: &str = "failed_to_sign";

fn not_signed(error: &KeyError) -> TokenError {
    TokenError::new(FAILED_TO_SIGN, format!("The token cannot be signed: {error}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_767_323_045_678_000_000);

    fn provider(extra: Value) -> Provider {
        let mut raw = json!({"display_name": "Acme", "docs": "https://d", "auth_mode": "JWT"});
        raw.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Provider::compile("acme", raw.as_object().unwrap().clone()).unwrap()
    }

    fn sign(extra: Value, credentials: Value) -> Result<SignedJwt, TokenError> {
        let credentials = credentials.as_object().unwrap().clone();
        sign_token(&provider(extra), &Context::new(NOW, "r").credentials(&credentials), NOW)
    }

    fn part(jwt: &str, index: usize) -> Value {
        let text = jwt.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_what_the_entry_says_and_leaves_out_what_has_no_value() {
        let extra = json!({
            "signature": {"protocol": "HMAC"},
            "token": {
                "signing_key": "${credentials.privateKey.secret}", "expires_in_ms": 300_000,
                "header": {"alg": "HS256", "typ": "JWT", "kid": "${privateKey.id}", "x": "${credentials.none}"},
                "payload": {"iss": "${credentials.issuer}", "aud": "/admin/", "gone": "${credentials.none}", "sub": "${credentials.blank}",
                    "scope": ["${credentials.scopes}", "${credentials.none}", "own"], "empty": ["${credentials.none}"],
                    "flag": true, "exp": 1},
            },
        });
        let credentials = json!({"privateKey": {"id": "k1", "secret": "00ff"}, "issuer": "me", "scopes": "a, b,,", "blank": ""});
        let signed = sign(extra, credentials).unwrap();
        assert_eq!(part(&signed.token, 0), json!({"alg": "HS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(
            part(&signed.token, 1),
            json!({"iss": "me", "aud": "/admin/", "scope": ["a", "b", "own"], "flag": true,
                   "exp": 1_767_323_345, "iat": 1_767_323_045})
        );
        assert_eq!(signed.expires_at, NOW + TimeDelta::minutes(5));
        assert_eq!(expiry_in(&signed.token).map(|at| at.timestamp()), Some(1_767_323_345));
        let (body, signature) = signed.token.rsplit_once('.').unwrap();
        let key = SigningKey::shared(&[0, 0xff], Algorithm::Hs256).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(key.sign(body.as_bytes()).unwrap()), signature);
    }

    #[test]
    fn bars_join_the_two_halves_of_a_key() {
        let token = json!({"signing_key": "${credentials.a}||${credentials.b}", "expires_in_ms": 1000});
        let signature = json!({"protocol": "HMAC", "hmac_secret_encoding": "utf8"});
        let signed =
            sign(json!({"signature": signature, "token": token}), json!({"a": "x", "b": "y"})).unwrap().token;
        let (body, signature) = signed.rsplit_once('.').unwrap();
        let key = SigningKey::shared(b"x||y", Algorithm::Hs256).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(key.sign(body.as_bytes()).unwrap()), signature);
    }

    #[test]
    fn what_is_missing_has_its_own_code() {
        let token =
            |key: &str| json!({"signing_key": key, "expires_in_ms": 1000, "header": {"alg": "RS256"}});
        let rsa = json!({"protocol": "RSA"});
        for (extra, kind, text) in [
            (json!({"token": token("x")}), "missing_signature_type", "signature"),
            (json!({"signature": rsa}), "missing_token_body", "token"),
            (json!({"signature": rsa, "token": {"expires_in_ms": 5}}), "missing_token_body", "signing_key"),
            (
                json!({"signature": rsa, "token": {"signing_key": include_str!("signed_jwt/testdata/rsa_pkcs8.pem")}}),
                "missing_token_body",
                "expires_in_ms",
            ),
            (
                json!({"signature": {"protocol": "WSSE"}, "token": token("x")}),
                "missing_signature_type",
                "JWT",
            ),
            (
                json!({"signature": rsa, "token": token("${credentials.key}")}),
                "failed_to_generate",
                "credentials.key",
            ),
            (
                json!({"signature": rsa, "token": token("s3cret-key")}),
                FAILED_TO_SIGN,
                "neither PEM nor base64",
            ),
            (
                json!({"signature": {"protocol": "HMAC"}, "token": {"signing_key": "s3cret", "expires_in_ms": 5}}),
                FAILED_TO_SIGN,
                "hexadecimal",
            ),
            (
                json!({"signature": rsa, "token": {"signing_key": "x", "expires_in_ms": 5, "header": {"alg": "none"}}}),
                "failed_to_generate",
                "unknown algorithm",
            ),
        ] {
            let error = sign(extra.clone(), json!({})).err().expect("refused");
            assert_eq!(error.kind, kind, "{extra}");
            assert!(error.message.contains(text) && !error.message.contains("s3cret"), "{}", error.message);
        }
    }

    #[test]
    fn only_a_jwt_has_an_end_of_its_own() {
        let jwt = |payload: Value| format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload.to_string()));
        for (token, seconds) in [
            (jwt(json!({"exp": 5})), Some(5)),
            (jwt(json!({"exp": "5"})), Some(5)),
            (jwt(json!({"exp": "x"})), None),
            (jwt(json!({})), None),
            ("a.b".to_owned(), None),
            ("a.!.c".to_owned(), None),
            ("opaque".to_owned(), None),
        ] {
            assert_eq!(expiry_in(&token).map(|at| at.timestamp()), seconds, "{token}");
        }
    }
}
