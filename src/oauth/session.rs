//! The OAuth session: what is remembered between the redirect to the provider and its callback. The row's payload is
//! sealed, because it holds the PKCE verifier and perhaps a client secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use oauth2::CsrfToken;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::ClientOverride;
use crate::crypto::CryptoError;
use crate::db::oauth_sessions::{self, OAuthSession};
use crate::error::ApiError;
use crate::rng::Rng;

/// A login that takes longer has to be started again.
pub const LIFETIME: TimeDelta = TimeDelta::hours(1);

const LONGEST_STATE: usize = 64;

/// The sealed part of the row. Deliberately without `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Payload {
    /// Sent again, byte for byte, with the code (RFC 6749, section 4.1.3).
    pub callback_url: String,
    /// Empty when the redirect carried no challenge.
    pub code_verifier: String,
    pub connection_config: Map<String, Value>,
    #[serde(default)]
    pub client: ClientOverride,
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// What else the mode has to remember until the popup is back.
    #[serde(default)]
    pub kept: Map<String, Value>,
    /// The operation that the sign-in belongs to.
    #[serde(default)]
    pub operation_id: String,
}

/// A new `state`: 128 random bits as URL-safe text.
pub fn new_state(rng: &Rng) -> CsrfToken {
    CsrfToken::new(URL_SAFE_NO_PAD.encode(rng.bytes::<16>()))
}

/// A new PKCE verifier: 48 hexadecimal characters.
pub fn new_verifier(rng: &Rng) -> String {
    rng.hex(24)
}

/// Stores the session of a sign-in that begins.
pub async fn store(app: &App, mut row: OAuthSession, payload: &Payload) -> Result<(), ApiError> {
    let text = serde_json::to_string(payload).map_err(|_| CryptoError::NotSealed)?;
    row.payload = Some(app.cipher.seal_text(&text)?);
    Ok(oauth_sessions::insert(&app.db, &row).await?)
}

/// Takes the session of a callback: once, and within its lifetime. Its secrets are wiped from the row.
pub async fn claim(app: &App, state: &str) -> sqlx::Result<Option<OAuthSession>> {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if state.len() > LONGEST_STATE || !state.bytes().all(is_ours) {
        return Ok(None);
    }
    let now: DateTime<Utc> = app.clock.now();
    oauth_sessions::claim(&app.db, state, now - LIFETIME, now).await
}

/// Opens the payload of a claimed session.
pub fn open(app: &App, row: &OAuthSession) -> Result<Payload, CryptoError> {
    let plain = app.cipher.open(row.payload.as_deref().ok_or(CryptoError::Malformed)?)?;
    serde_json::from_slice(&plain).map_err(|_| CryptoError::Malformed)
}
