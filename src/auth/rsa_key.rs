//! RSA private keys as people paste them, and what is signed with them: RS256 (RFC 7518, section 3.3) and the RSA-SHA1 of OAuth 1
//! (RFC 5849, section 3.4.3). Pure, apart from the blinding that a signature itself needs.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// Why a text is of no use as a key. Never repeats it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    #[error("it is neither PEM nor the base64 text of one")]
    NotPem,
    #[error("it is encrypted with a passphrase")]
    Encrypted,
    #[error("it is no RSA private key of 2048 bits or more ({0})")]
    Rejected(String),
    #[error("it is no RSA private key")]
    NotRsa,
    #[error("it cannot sign")]
    CannotSign,
}

/// A private RSA key. Deliberately without `Debug`.
pub struct RsaKey(KeyPair);

impl RsaKey {
    /// Reads a PEM of PKCS#1 or PKCS#8, with real, lost or written-out (`\n`) line breaks, or the base64 text of one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(text: &str) -> Result<Self, RsaKeyError> {
        let der = der(text)?;
        let pair = KeyPair::from_pkcs8(&der).or_else(|_| KeyPair::from_der(&der));
        pair.map(RsaKey).map_err(|error| RsaKeyError::Rejected(error.to_string()))
    }

    /// The compact JWT with these claims, signed with RS256.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn sign_jwt(&self, claims: &Value) -> Result<String, RsaKeyError> {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({"alg": "RS256", "typ": "JWT"})), encode(claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| RsaKeyError::CannotSign)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The RSASSA-PKCS1-v1_5 signature of a message with SHA-1, which ring does not make. Keys of fewer than 2048 bits are taken
/// too: servers that still want SHA-1 are as old as these.
///
/// # Errors
/// What is wrong with the text of the key.
pub fn sign_sha1(key: &str, message: &[u8]) -> Result<Vec<u8>, RsaKeyError> {
    let der = der(key)?;
    let key = RsaPrivateKey::from_pkcs8_der(&der).or_else(|_| RsaPrivateKey::from_pkcs1_der(&der));
    let key = key.map_err(|_| RsaKeyError::NotRsa)?;
    let signed = key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(message));
    signed.map_err(|_| RsaKeyError::CannotSign)
}

/// The bytes of a key, however it was pasted.
fn der(text: &str) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
    if is_pem(text) { pem_body(text) } else { unwrap_base64(text) }
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// The DER between the first BEGIN and END.
fn pem_body(text: &str) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
    if text.contains("ENCRYPTED") {
        return Err(RsaKeyError::Encrypted);
    }
    let body = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----"));
    let (_, rest) = body.ok_or(RsaKeyError::NotPem)?;
    let (body, _) = rest.split_once("-----END ").ok_or(RsaKeyError::NotPem)?;
    decode(body).ok_or(RsaKeyError::NotPem)
}

/// Base64 text: of a PEM, or of the DER itself.
fn unwrap_base64(text: &str) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
    let inner = decode(text).ok_or(RsaKeyError::NotPem)?;
    match std::str::from_utf8(&inner) {
        Ok(inner) if is_pem(inner) => pem_body(inner),
        _ => Ok(inner),
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(text.replace("\\r", "").replace("\\n", ""));
    let packed: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    STANDARD.decode(packed.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const PKCS1: &str = include_str!("test_rsa_key.pem");
    const PKCS8: &str = include_str!("test_rsa_key.pkcs8.pem");

    #[test]
    fn keys_are_read_however_they_were_pasted() {
        let in_one_line = |pem: &str| pem.trim_end().replace('\n', "\\n");
        let bare: String = PKCS1.lines().filter(|line| !line.contains("-----")).collect();
        for (name, text) in [
            ("PKCS#1", PKCS1.to_owned()),
            ("PKCS#8", PKCS8.to_owned()),
            ("Windows line breaks", PKCS1.replace('\n', "\r\n")),
            ("written-out line breaks", in_one_line(PKCS1)),
            ("written-out Windows line breaks", PKCS8.trim_end().replace('\n', "\\r\\n")),
            ("lost line breaks", PKCS1.replace('\n', " ")),
            ("text around it", format!("  my key:\n{PKCS8}\n\n")),
            ("base64 of PKCS#1", STANDARD.encode(PKCS1)),
            ("base64 of PKCS#8 in one line", STANDARD.encode(in_one_line(PKCS8))),
            ("base64 in lines", STANDARD.encode(PKCS1).replace("Q", "Q\n")),
            ("without its frame", bare),
        ] {
            let jwt = RsaKey::read(&text).and_then(|key| key.sign_jwt(&json!({"iss": "7"})));
            let jwt = jwt.unwrap_or_else(|error| panic!("{name}: {error}"));
            let (signed, signature) = jwt.rsplit_once('.').unwrap();
            let public = KeyPair::from_pkcs8(&pem_body(PKCS8).unwrap()).unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.public().as_ref());
            public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        }
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        let cut = STANDARD.encode(&PKCS1[..400]);
        for (text, expected) in [
            ("", "it is no RSA private key of 2048 bits or more (InvalidEncoding)"),
            ("hunter2!", "it is neither PEM nor the base64 text of one"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2!\n", "it is neither PEM nor the base64 text of one"),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
                "it is no RSA private key of 2048 bits or more (InvalidEncoding)",
            ),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n", "it is encrypted with a passphrase"),
            (&cut, "it is neither PEM nor the base64 text of one"),
        ] {
            let error = RsaKey::read(text).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(expected), "{text}");
        }
    }
}
