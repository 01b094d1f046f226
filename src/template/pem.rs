//! Private keys pasted by people: signing with them and fingerprinting their public half.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

// AlgorithmIdentifier, DER (RFC 3279 2.3.1, RFC 5480 2.1.1, RFC 8410 3).
const RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
const P256: &[u8] =
    &[0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x30, 16, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 34];
const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

/// Base64 of the Ed25519 signature over `message` with a PKCS#8 key; none when the key is not one.
pub(super) fn ed25519_sign(message: &str, pem: &str) -> Option<String> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(pem)?).ok()?;
    Some(STANDARD.encode(pair.sign(message.as_bytes())))
}

/// `SHA256:` and base64 of SHA-256 over the DER SubjectPublicKeyInfo of a private key (RSA, P-256, P-384, Ed25519).
pub(super) fn fingerprint(pem: &str) -> Option<String> {
    let info = public_key_info(&der(pem)?)?;
    Some(format!("SHA256:{}", STANDARD.encode(Sha256::digest(info))))
}

fn public_key_info(private: &[u8]) -> Option<Vec<u8>> {
    if let Ok(pair) = RsaKeyPair::from_pkcs8(private).or_else(|_| RsaKeyPair::from_der(private)) {
        return Some(wrap(RSA, pair.public_key().as_ref()));
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private) {
        return Some(wrap(ED25519, pair.public_key().as_ref()));
    }
    elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING, P256, private)
        .or_else(|| elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING, P384, private))
}

fn elliptic(curve: &'static EcdsaSigningAlgorithm, identifier: &[u8], private: &[u8]) -> Option<Vec<u8>> {
    let pair = EcdsaKeyPair::from_pkcs8(curve, private, &SystemRandom::new()).ok()?;
    Some(wrap(identifier, pair.public_key().as_ref()))
}

/// SubjectPublicKeyInfo: SEQUENCE { algorithm, BIT STRING { key } }.
fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend_from_slice(key);
    let body = [algorithm, &element(0x03, &bits)].concat();
    element(0x30, &body)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The DER inside a PEM block, however the line breaks were mangled (`spec` auth-flows, section 6.3).
fn der(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(pem.replace("\\n", "\n"));
    let body = text.split("-----").find(|piece| !piece.trim().is_empty() && !is_label(piece))?;
    let packed: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    STANDARD.decode(packed.as_bytes()).ok().map(Zeroizing::new)
}

fn is_label(piece: &str) -> bool {
    piece.starts_with("BEGIN ") || piece.starts_with("END ")
}
