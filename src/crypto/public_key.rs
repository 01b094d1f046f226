//! Signatures that others made with their private keys, checked with the public ones. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// What kind of key a text is to be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// Signs with PKCS #1 v1.5 and SHA-256.
    Rsa,
    /// Signs with ECDSA and SHA-256, in ASN.1.
    EcP256,
    Ed25519,
}

impl PublicKeyKind {
    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            PublicKeyKind::Rsa => &RSA_PKCS1_2048_8192_SHA256,
            PublicKeyKind::EcP256 => &ECDSA_P256_SHA256_ASN1,
            PublicKeyKind::Ed25519 => &ED25519,
        }
    }
}

/// Whether the owner of the key signed the message. The key is a PEM, the base64 text of one's inside, or the hexadecimal text
/// of a bare key; one that cannot be read has signed nothing.
pub fn has_signed(kind: PublicKeyKind, key: &str, message: &[u8], signature: &[u8]) -> bool {
    let Some(bytes) = read_key(key) else { return false };
    let bare = subject_key(&bytes).unwrap_or(&bytes);
    UnparsedPublicKey::new(kind.algorithm(), bare).verify(message, signature).is_ok()
}

/// RS256 (RFC 7518, section 3.3) with a key's modulus and exponent, big-endian.
pub fn has_signed_rs256(modulus: &[u8], exponent: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = RsaPublicKeyComponents { n: modulus, e: exponent };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
}

fn read_key(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().replace("\\n", "\n").replace("\\r", "");
    if let Some((_, rest)) = text.split_once("-----BEGIN ") {
        let (_, rest) = rest.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        return decode(body);
    }
    hex::decode(&text).ok().or_else(|| decode(&text))
}

fn decode(base64: &str) -> Option<Vec<u8>> {
    let packed: String = base64.split_whitespace().collect();
    STANDARD.decode(packed).ok()
}

/// The key inside a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
fn subject_key(der: &[u8]) -> Option<&[u8]> {
    let (outer, rest) = element(der, SEQUENCE)?;
    let (_, after_algorithm) = element(outer, SEQUENCE)?;
    let (bits, trailing) = element(after_algorithm, BIT_STRING)?;
    let (unused_bits, key) = bits.split_first()?;
    (*unused_bits == 0 && rest.is_empty() && trailing.is_empty()).then_some(key)
}

/// The content of the element at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    const ED25519_KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const ED25519_SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    #[test]
    fn the_vector_of_rfc_8032_holds_in_every_spelling_of_the_key() {
        let signature = hex::decode(ED25519_SIGNATURE).unwrap();
        // The fixed head of an Ed25519 SubjectPublicKeyInfo (RFC 8410, section 4).
        let der = hex::decode(format!("302a300506032b6570032100{ED25519_KEY}")).unwrap();
        let base64 = STANDARD.encode(&der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        for key in [ED25519_KEY, &base64, &pem, &pem.replace('\n', "\\n")] {
            assert!(has_signed(PublicKeyKind::Ed25519, key, b"\x72", &signature), "{key}");
            assert!(!has_signed(PublicKeyKind::Ed25519, key, b"\x73", &signature));
            assert!(!has_signed(PublicKeyKind::Rsa, key, b"\x72", &signature));
        }
    }

    #[test]
    fn keys_that_are_none_have_signed_nothing() {
        for key in ["", "zz", "-----BEGIN PUBLIC KEY-----", "MIIB", "3082ffff", "3084ffffffff00"] {
            for kind in [PublicKeyKind::Rsa, PublicKeyKind::EcP256, PublicKeyKind::Ed25519] {
                assert!(!has_signed(kind, key, b"", b""), "{key}");
            }
        }
        assert!(!has_signed_rs256(b"", b"", b"", b""));
    }
}
