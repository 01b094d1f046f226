//! Whether a request comes from where it says: signatures, tokens and their times, as the catalog describes them. Pure.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ring::{digest, hmac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::jwt;
use crate::catalog::{Algorithm, Check, Encoding, KeyEncoding, TimeUnit, Timestamp};
use crate::crypto::{PublicKeyKind, Secret, has_signed};
use crate::template::{Context, Template};

/// Why nothing is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// There is nothing to compare with.
    NoKey,
    MissingSignature,
    MissingToken,
    /// The signature is of somebody else, or of something else.
    WrongSignature,
    WrongTime,
}

impl Unproven {
    /// Whether somebody who accepts unproven requests accepts this one. A wrong signature is worse than none.
    pub fn is_forgivable(self) -> bool {
        matches!(self, Unproven::NoKey | Unproven::MissingSignature | Unproven::MissingToken)
    }
}

/// What a request proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The provider is one that proves something, and it did.
    pub is_given: bool,
    /// A signature that covers its time belongs to one delivery only.
    pub once: Option<String>,
}

impl Proof {
    /// Nothing was asked for.
    pub const NONE: Proof = Proof { is_given: false, once: None };
}

/// The check that a request is judged by: the first whose signature it has.
pub fn choose<'c>(checks: &'c [Check], context: &Context<'_>) -> Option<&'c Check> {
    let applies = |check: &Check| check.when.as_ref().is_none_or(|when| when.holds(context));
    checks.iter().find(|check| applies(check) && value(&check.signature, context).is_some())
}

/// What a check needs that is neither in the request nor in the integration.
#[derive(Clone, Copy, Default)]
pub struct Elsewhere<'a> {
    /// What the JWT's issuer published.
    pub document: Option<&'a serde_json::Value>,
    /// The secrets that handshakes agreed on.
    pub agreed: &'a [Secret],
}

/// Judges a request.
///
/// # Errors
/// What is missing or wrong.
pub fn judge(
    checks: &[Check],
    context: &Context<'_>,
    body: &[u8],
    now: DateTime<Utc>,
    elsewhere: Elsewhere<'_>,
) -> Result<Proof, Unproven> {
    let Some(first) = checks.first() else { return Ok(Proof::NONE) };
    let check = choose(checks, context).unwrap_or(first);
    let keys = keys(check, context, elsewhere.agreed);
    let signature = value(&check.signature, context);
    if keys.is_empty() && check.optional {
        return Ok(Proof::NONE);
    }
    // A key of the integration's own is asked for first: without it, a signature would help nobody.
    if keys.is_empty() && (signature.is_some() || is_kept_with_integration(check)) {
        return Err(Unproven::NoKey);
    }
    let signature = signature.ok_or(missing(check))?;
    if check.algorithm == Algorithm::Jwt {
        let token = candidates(check, &signature).next().ok_or(Unproven::MissingToken)?;
        jwt::judge(check, token, context, now, elsewhere.document)?;
        return Ok(Proof { is_given: true, once: None });
    }
    let time = time(check, &signature, context, now)?;
    let signed = signed(check, time.as_deref(), context, body).ok_or(Unproven::WrongSignature)?;
    if check.body_digest.as_ref().is_some_and(|digest| !is_digest_of(body, value(digest, context))) {
        return Err(Unproven::WrongSignature);
    }
    let is_right = |candidate: &str| keys.iter().any(|key| fits(check, key, &signed, candidate));
    if !candidates(check, &signature).any(is_right) {
        return Err(Unproven::WrongSignature);
    }
    Ok(Proof { is_given: true, once: time.map(|_| signature) })
}

/// Whether the text is the SHA-256 of the body in hex.
fn is_digest_of(body: &[u8], text: Option<String>) -> bool {
    let Some(told) = text.and_then(|text| hex::decode(text).ok()) else { return false };
    Sha256::digest(body).ct_eq(&told).into()
}

fn is_kept_with_integration(check: &Check) -> bool {
    check.key_document.is_none() && !check.agreed && !check.is_of_connection()
}

fn missing(check: &Check) -> Unproven {
    match check.algorithm {
        Algorithm::Token | Algorithm::Jwt => Unproven::MissingToken,
        _ => Unproven::MissingSignature,
    }
}

/// A template's value, when there is one.
pub fn value(template: &Template, context: &Context<'_>) -> Option<String> {
    let text = template.resolve(context).ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// The texts that may be the key; for a JWT its issuer, whose keys are published.
fn keys(check: &Check, context: &Context<'_>, agreed: &[Secret]) -> Vec<String> {
    if check.agreed {
        return agreed.iter().map(|secret| secret.expose().to_owned()).collect();
    }
    if let Some(jwt) = &check.jwt {
        return vec![jwt.issuer.clone()];
    }
    check.key.iter().filter_map(|key| value(key, context)).collect()
}

/// The signatures in a header, without what stands before them.
fn candidates<'s>(check: &'s Check, signature: &'s str) -> impl Iterator<Item = &'s str> {
    let parts = parts(check, signature);
    parts.filter_map(|part| {
        if check.prefix.is_empty() {
            return Some(part);
        }
        check.prefix.iter().find_map(|prefix| part.strip_prefix(prefix.as_str()))
    })
}

fn parts<'s>(check: &'s Check, signature: &'s str) -> Box<dyn Iterator<Item = &'s str> + 's> {
    match check.separator.as_deref() {
        Some(separator) => Box::new(signature.split(separator).map(str::trim)),
        None => Box::new(std::iter::once(signature.trim())),
    }
}

/// The text of the time that was signed, when the check asks for one.
fn time(
    check: &Check,
    signature: &str,
    context: &Context<'_>,
    now: DateTime<Utc>,
) -> Result<Option<String>, Unproven> {
    let Some(rule) = &check.timestamp else { return Ok(None) };
    let found = if rule.prefix.is_empty() {
        value(&rule.value, context)
    } else {
        parts(check, signature).find_map(|part| part.strip_prefix(rule.prefix.as_str())).map(str::to_owned)
    };
    match found {
        Some(text) if is_recent(rule, &text, now) => Ok(Some(text)),
        None if rule.optional => Ok(None),
        _ => Err(Unproven::WrongTime),
    }
}

fn is_recent(rule: &Timestamp, text: &str, now: DateTime<Utc>) -> bool {
    let number = text.trim().parse::<i64>().ok();
    let time = number.and_then(|number| match rule.unit {
        TimeUnit::Seconds => DateTime::from_timestamp(number, 0),
        TimeUnit::Milliseconds => DateTime::from_timestamp_millis(number),
    });
    let tolerance = TimeDelta::seconds(rule.tolerance.into());
    time.is_some_and(|time| (now - time).abs() <= tolerance)
}

fn signed(check: &Check, time: Option<&str>, context: &Context<'_>, body: &[u8]) -> Option<Vec<u8>> {
    let extras = [("timestamp", time.unwrap_or_default())];
    let extras = if time.is_some() { &extras[..] } else { &[] };
    check.signed.bytes(body, &context.extras(extras)).ok()
}

/// Whether the key makes this signature for these bytes. Compares in a time that does not depend on what differs.
fn fits(check: &Check, key: &str, signed: &[u8], candidate: &str) -> bool {
    if check.algorithm == Algorithm::Token {
        return candidate.as_bytes().ct_eq(key.as_bytes()).into();
    }
    let Some(signature) = decode(check.encoding, candidate) else { return false };
    let hmac = |algorithm| {
        key_bytes(check, key)
            .is_some_and(|key| hmac::verify(&hmac::Key::new(algorithm, &key), signed, &signature).is_ok())
    };
    let digest = |algorithm| digest::digest(algorithm, signed).as_ref().ct_eq(&signature).into();
    match check.algorithm {
        Algorithm::HmacSha1 => hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::HmacSha256 => hmac(hmac::HMAC_SHA256),
        Algorithm::HmacSha512 => hmac(hmac::HMAC_SHA512),
        Algorithm::Sha1 => digest(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::Sha256 => digest(&digest::SHA256),
        Algorithm::RsaSha256 => has_signed(PublicKeyKind::Rsa, key, signed, &signature),
        Algorithm::EcdsaSha256 => has_signed(PublicKeyKind::EcP256, key, signed, &signature),
        Algorithm::Ed25519 => has_signed(PublicKeyKind::Ed25519, key, signed, &signature),
        Algorithm::Token | Algorithm::Jwt => false,
    }
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => decode_base64(text),
    }
}

/// With or without the padding.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

fn key_bytes(check: &Check, key: &str) -> Option<Vec<u8>> {
    let bare = check.key_prefix.as_deref().and_then(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
    match check.key_encoding {
        KeyEncoding::Utf8 => Some(bare.as_bytes().to_vec()),
        KeyEncoding::Hex => hex::decode(bare.trim()).ok(),
        KeyEncoding::Base64 => decode_base64(bare.trim()),
        KeyEncoding::Sha256 => Some(Sha256::digest(bare).to_vec()),
    }
}

#[cfg(test)]
mod tests;
