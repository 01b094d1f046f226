//! Encryption at rest, keyed lookup hashes and comparisons. Pure: keys and nonces come in as values.
//!
//! Sealed layout (`spec` records, section 9): version (1 byte), key id (4), nonce (12), ciphertext, tag (16).

mod public_key;

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

pub use self::public_key::{PublicKeyKind, has_signed, has_signed_rs256};
use crate::rng::Rng;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 12;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Text that must never be printed: no `Debug` of its content, no `Serialize`, wiped from memory on drop.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself. Whoever calls this is responsible for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a stored value could not be read, or a key not be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CryptoError {
    #[error("{0} of the encryption keys is not the base64 text of exactly 32 bytes")]
    BadKey(usize),
    #[error("the stored value is damaged")]
    Malformed,
    #[error("the stored value was encrypted with a key that is not in the key ring")]
    UnknownKey,
    #[error("the stored value does not open with the key that it names")]
    Refused,
    #[error("the value could not be encrypted")]
    NotSealed,
}

struct RingKey {
    id: [u8; KEY_ID_LEN],
    aead: Aes256Gcm,
    lookup: Zeroizing<[u8; 32]>,
    fingerprint: String,
}

impl RingKey {
    fn new(key: &[u8; 32]) -> Self {
        let fingerprint = derive(key, b"fingerprint");
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&fingerprint[..KEY_ID_LEN]);
        RingKey {
            id,
            aead: Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key)),
            lookup: derive(key, b"lookup"),
            fingerprint: hex::encode(&fingerprint[..16]),
        }
    }
}

/// HKDF-SHA256 (RFC 5869) of `key` for one purpose.
fn derive(key: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    // 32 bytes are always within HKDF's limit of 255 hashes, so the result cannot be an error.
    let _ = Hkdf::<Sha256>::new(None, key).expand(purpose, derived.as_mut());
    derived
}

/// Lookup hash of a secret under one key: 32 bytes, the same for the same secret.
pub type LookupHash = Vec<u8>;

/// The key ring: the first key encrypts, all of them decrypt (AES-256-GCM).
pub struct Cipher {
    keys: Vec<RingKey>,
    rng: Rng,
}

impl Cipher {
    /// Reads a comma-separated list of base64 keys; white space around each is ignored.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] with the position (from 1) of the first element that is not base64 of 32 bytes.
    pub fn from_key_list(list: &str, rng: Rng) -> Result<Self, CryptoError> {
        let keys = list.split(',').enumerate().map(|(index, text)| {
            let bytes =
                Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| CryptoError::BadKey(index + 1))?);
            let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| CryptoError::BadKey(index + 1))?;
            Ok(RingKey::new(key))
        });
        Ok(Cipher { keys: keys.collect::<Result<_, _>>()?, rng })
    }

    /// Fingerprints (32 hex characters) of all keys, the encrypting one first. They do not reveal the keys.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.fingerprint.as_str())
    }

    /// Encrypts `plaintext` under the first key.
    ///
    /// # Errors
    /// [`CryptoError::NotSealed`] when the text is longer than AES-GCM can take.
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let key = self.keys.first().ok_or(CryptoError::UnknownKey)?;
        let nonce = self.rng.bytes::<NONCE_LEN>();
        let body =
            key.aead.encrypt(Nonce::from_slice(&nonce), plaintext).map_err(|_| CryptoError::NotSealed)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Decrypts what [`Cipher::seal`] made, with whichever key it names.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let Some((header, body)) = sealed.split_at_checked(HEADER_LEN) else {
            return Err(CryptoError::Malformed);
        };
        if header[0] != VERSION {
            return Err(CryptoError::Malformed);
        }
        let key_id = &header[1..1 + KEY_ID_LEN];
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or(CryptoError::UnknownKey)?;
        let nonce = Nonce::from_slice(&header[1 + KEY_ID_LEN..]);
        key.aead.decrypt(nonce, body).map(Zeroizing::new).map_err(|_| CryptoError::Refused)
    }

    /// Encrypts text.
    pub fn seal_text(&self, text: &str) -> Result<Vec<u8>, CryptoError> {
        self.seal(text.as_bytes())
    }

    /// Decrypts text.
    pub fn open_text(&self, sealed: &[u8]) -> Result<Secret, CryptoError> {
        let plain = self.open(sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| CryptoError::Malformed)?;
        Ok(Secret::new(text))
    }

    /// The hash under which a new secret is stored: HMAC-SHA256 under a key derived from the first key.
    ///
    /// A fast hash is enough because the secrets hashed here carry at least 122 random bits.
    pub fn lookup_hash(&self, secret: &str) -> LookupHash {
        self.keys.first().map(|key| hmac_sha256(key.lookup.as_ref(), secret.as_bytes())).unwrap_or_default()
    }

    /// The hashes a stored secret may be found under, one for each key of the ring.
    pub fn lookup_hashes(&self, secret: &str) -> Vec<LookupHash> {
        self.keys.iter().map(|key| hmac_sha256(key.lookup.as_ref(), secret.as_bytes())).collect()
    }
}

/// A new key in the syntax of `NANGO_ENCRYPTION_KEY`: base64 of 32 random bytes.
pub fn generate_key(rng: &Rng) -> Secret {
    Secret::new(STANDARD.encode(rng.bytes::<32>()))
}

/// HMAC-SHA256 (RFC 2104).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// SHA-256, for cache keys: the caches never hold a secret as a key.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Equality in a time that does not depend on where the texts differ.
pub fn constant_time_eq(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(list: &str) -> Cipher {
        Cipher::from_key_list(list, Rng::System).unwrap()
    }

    const A: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    const B: &str = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";

    #[test]
    fn a_sealed_text_opens_again_and_never_looks_the_same() {
        let cipher = ring(A);
        let (first, second) = (cipher.seal_text("token").unwrap(), cipher.seal_text("token").unwrap());
        assert_ne!(first, second);
        assert_eq!(cipher.open_text(&first).unwrap().expose(), "token");
    }

    #[test]
    fn an_old_key_of_the_ring_still_opens() {
        let sealed = ring(A).seal_text("old").unwrap();
        assert_eq!(ring(&format!("{B}, {A}")).open_text(&sealed).unwrap().expose(), "old");
        assert_eq!(ring(B).open_text(&sealed).unwrap_err(), CryptoError::UnknownKey);
    }

    #[test]
    fn damaged_values_are_refused_without_a_panic() {
        let cipher = ring(A);
        let mut sealed = cipher.seal_text("x").unwrap();
        for length in 0..sealed.len() {
            assert!(cipher.open(&sealed[..length]).is_err(), "{length} bytes");
        }
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(cipher.open(&sealed).unwrap_err(), CryptoError::Refused);
    }

    #[test]
    fn keys_that_are_not_32_bytes_are_refused_with_their_position() {
        for (list, position) in [("", 1), ("abc", 1), (&format!("{A},"), 2), (&format!("{A},BwcH"), 2)] {
            let error = Cipher::from_key_list(list, Rng::System).err();
            assert_eq!(error, Some(CryptoError::BadKey(position)), "{list}");
        }
    }

    #[test]
    fn lookup_hashes_depend_on_the_key_and_find_secrets_of_each_key() {
        let both = ring(&format!("{B},{A}"));
        assert_ne!(ring(A).lookup_hash("k"), ring(B).lookup_hash("k"));
        assert!(both.lookup_hashes("k").contains(&ring(A).lookup_hash("k")));
        assert_eq!(both.lookup_hash("k"), ring(B).lookup_hash("k"));
    }

    #[test]
    fn the_hmac_vector_of_the_specification_holds() {
        let digest = hmac_sha256(b"my-hmac-key", b"github:user-1");
        assert_eq!(hex::encode(digest), "6f58a4c6df3bdafefb258097734a2637b10ccab965d97a7e6b691ad4d678d83f");
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
