//! What a delivery carries: its body, and headers of the provider. Stored sealed, because both may hold anything.

use serde::{Deserialize, Serialize};

use crate::crypto::{Cipher, CryptoError};

/// Name and value of a header; the value's bytes as characters, so that any value survives.
pub type Header = (String, String);

#[derive(Serialize)]
pub(super) struct Content<'a> {
    pub body: &'a str,
    pub headers: &'a [Header],
}

impl Content<'_> {
    pub fn seal(&self, cipher: &Cipher) -> Result<Vec<u8>, CryptoError> {
        let text = serde_json::to_vec(self).map_err(|_| CryptoError::NotSealed)?;
        cipher.seal(&text)
    }
}

/// The content of a stored delivery.
#[derive(Deserialize)]
pub struct ShownContent {
    pub body: String,
    pub headers: Vec<Header>,
}

/// Opens the content of a stored delivery.
pub fn open_content(cipher: &Cipher, sealed: &[u8]) -> Result<ShownContent, CryptoError> {
    let plain = cipher.open(sealed)?;
    serde_json::from_slice(&plain).map_err(|_| CryptoError::Malformed)
}
