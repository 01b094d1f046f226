//! The message that a form leaves for the page that the browser is sent to. It travels in a sealed cookie, so that nobody
//! can put words into the dashboard's mouth, and so that a new secret can be shown exactly once.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::cookies;
use crate::app::App;

/// Long enough for a slow redirect.
pub const SECONDS: i64 = 60;

/// A message shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flash {
    pub is_good: bool,
    pub text: String,
    /// Something to copy now or never.
    pub secret: Option<String>,
}

impl Flash {
    /// What was asked for is done.
    pub fn done(text: impl Into<String>) -> Self {
        Flash { is_good: true, text: text.into(), secret: None }
    }

    /// What was asked for is not done.
    pub fn refused(text: impl Into<String>) -> Self {
        Flash { is_good: false, text: text.into(), secret: None }
    }

    /// Shows a secret this one time.
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// The value of the cookie.
    pub fn seal(&self, app: &App) -> Option<String> {
        let text = serde_json::to_vec(self).ok()?;
        app.cipher.seal(&text).ok().map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The message that the last answer left.
    pub fn find(app: &App, headers: &HeaderMap) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookies::find(headers, cookies::FLASH)?).ok()?;
        serde_json::from_slice(&app.cipher.open(&sealed).ok()?).ok()
    }
}
