//! What the demo provider hands out: codes, access tokens and refresh tokens, each the sealed text of what it means.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::crypto::{CryptoError, constant_time_eq, sha256};

const CODE_LASTS: TimeDelta = TimeDelta::minutes(1);
pub(super) const ACCESS_LASTS: TimeDelta = TimeDelta::hours(1);
const REFRESH_LASTS: TimeDelta = TimeDelta::days(90);

/// What somebody allowed on the consent page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Consent {
    pub redirect_uri: String,
    /// Of PKCE, made by S256.
    pub code_challenge: String,
    pub scope: String,
}

/// The content of anything that is handed out.
#[derive(Serialize, Deserialize)]
pub(super) struct Grant {
    /// Keeps a sealed text of another kind from being taken for this one.
    demo: Kind,
    ends_at: DateTime<Utc>,
    pub(super) consent: Consent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Code,
    Access,
    Refresh,
}

impl Kind {
    fn lasts(self) -> TimeDelta {
        match self {
            Kind::Code => CODE_LASTS,
            Kind::Access => ACCESS_LASTS,
            Kind::Refresh => REFRESH_LASTS,
        }
    }
}

/// The code that the browser brings back.
pub fn grant_code(app: &App, consent: Consent) -> Result<String, CryptoError> {
    seal(app, Kind::Code, consent)
}

pub(super) fn seal(app: &App, kind: Kind, consent: Consent) -> Result<String, CryptoError> {
    let grant = Grant { demo: kind, ends_at: app.clock.now() + kind.lasts(), consent };
    let text = serde_json::to_vec(&grant).map_err(|_| CryptoError::NotSealed)?;
    app.cipher.seal(&text).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
}

/// What a text of this kind means, while it does.
pub(super) fn open(app: &App, kind: Kind, text: &str) -> Option<Grant> {
    let plain = app.cipher.open(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let grant: Grant = serde_json::from_slice(&plain).ok()?;
    (grant.demo == kind && grant.ends_at > app.clock.now()).then_some(grant)
}

/// Whether a verifier is the one of a challenge (RFC 7636 section 4.6).
pub(super) fn verifies(challenge: &str, verifier: &str) -> bool {
    constant_time_eq(&URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())), challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_verifies() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(!verifies(challenge, "something else"));
        assert!(verifies(challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    }
}
