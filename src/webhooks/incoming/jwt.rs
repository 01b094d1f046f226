//! Requests that prove themselves with a token of an issuer that publishes its keys (RFC 7515, RFC 7517, RFC 7519). Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::proof::{Unproven, value};
use crate::catalog::Check;
use crate::crypto::has_signed_rs256;
use crate::template::Context;

/// Clocks of others may be off by this many seconds.
const LEEWAY: i64 = 60;

/// Judges a token: signed by the issuer with RS256, for this server, and not past its end. `keys` is the issuer's key set.
///
/// # Errors
/// What is wrong.
pub fn judge(
    check: &Check,
    token: &str,
    context: &Context<'_>,
    now: DateTime<Utc>,
    keys: Option<&Value>,
) -> Result<(), Unproven> {
    let (Some(rule), Some(keys)) = (&check.jwt, keys) else { return Err(Unproven::NoKey) };
    let claims = read_signed(token, keys).ok_or(Unproven::WrongSignature)?;
    let audiences: Vec<String> = rule.audience.iter().filter_map(|text| value(text, context)).collect();
    let is_meant = |claim: &Value| claim.as_str().is_some_and(|text| audiences.iter().any(|one| one == text));
    let is_for_us = match &claims["aud"] {
        Value::Array(claimed) => claimed.iter().any(is_meant),
        claimed => is_meant(claimed),
    };
    // Without the scheme is how one large issuer wrote itself before there was a standard.
    let issuer = claims["iss"].as_str().unwrap_or_default();
    let is_issuer = issuer == rule.issuer || rule.issuer.strip_prefix("https://") == Some(issuer);
    if !is_for_us || !is_issuer {
        return Err(Unproven::WrongSignature);
    }
    let ends = claims["exp"].as_i64().ok_or(Unproven::WrongTime)?;
    let begins = claims["nbf"].as_i64().unwrap_or(i64::MIN);
    let now = now.timestamp();
    if ends.saturating_add(LEEWAY) <= now || begins.saturating_sub(LEEWAY) > now {
        return Err(Unproven::WrongTime);
    }
    Ok(())
}

/// The id of the key that a token says it was signed with.
pub fn key_id(token: &str) -> Option<String> {
    let header: Value = serde_json::from_slice(&decode(token.split('.').next()?)?).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

/// Whether a key set has the key.
pub fn has_key(keys: &Value, id: &str) -> bool {
    key_set(keys).any(|key| key["kid"] == id)
}

fn key_set(keys: &Value) -> impl Iterator<Item = &Value> {
    keys["keys"].as_array().into_iter().flatten()
}

/// The claims of a token that one of the keys signed.
fn read_signed(token: &str, keys: &Value) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    // No other algorithm, whatever the token wants.
    if header["alg"] != "RS256" {
        return None;
    }
    let signature = decode(signature)?;
    let is_named = |key: &&Value| header["kid"].is_null() || key["kid"] == header["kid"];
    let has_signed = |key: &Value| {
        let part = |name: &str| key[name].as_str().and_then(decode);
        let (Some(modulus), Some(exponent)) = (part("n"), part("e")) else { return false };
        has_signed_rs256(&modulus, &exponent, signed.as_bytes(), &signature)
    };
    if !key_set(keys).filter(is_named).any(has_signed) {
        return None;
    }
    serde_json::from_slice(&decode(claims)?).ok()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()
}
