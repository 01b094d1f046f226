//! Logging in at the operator's OpenID provider: the way there, and the way back.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde::Deserialize;

use super::cookies;
use super::error::PageError;
use super::flash::Flash;
use super::login::LoginQuery;
use super::outside::{Outside, safe_next};
use crate::app::{App, SharedApp};
use crate::config::OidcConfig;
use crate::crypto::constant_time_eq;
use crate::error::ApiError;
use crate::members::login::note_failed_stranger;
use crate::members::oidc::{self, Kept, OidcError};

/// What a browser holds while it is at the provider.
const KEPT: &str = "hitchpost_oidc";
const LASTS: TimeDelta = TimeDelta::minutes(15);

fn config(app: &App) -> Result<&OidcConfig, PageError> {
    app.config.dashboard.oidc.as_ref().ok_or_else(PageError::not_found)
}

/// Sends the browser to the provider.
pub async fn leave(
    State(app): State<SharedApp>,
    outside: Outside,
    Query(query): Query<LoginQuery>,
) -> Result<Response, PageError> {
    let until = (app.clock.now() + LASTS).timestamp();
    let (address, kept) = match oidc::begin(&app, config(&app)?, safe_next(&query.next), until).await {
        Ok(begun) => begun,
        Err(error) => return refuse(&app, &outside, error),
    };
    let sealed = serde_json::to_vec(&kept).ok().and_then(|text| app.cipher.seal(&text).ok());
    let mut response = Redirect::to(address.as_str()).into_response();
    let value = sealed.map(|sealed| URL_SAFE_NO_PAD.encode(sealed)).unwrap_or_default();
    outside.set_cookie(response.headers_mut(), KEPT, &value, LASTS.num_seconds());
    Ok(response)
}

/// What the provider says when it sends the browser back (OpenID Connect Core, section 3.1.2.5).
#[derive(Deserialize)]
pub struct Answer {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
}

/// Lets in whom the provider vouches for.
pub async fn come_back(
    State(app): State<SharedApp>,
    outside: Outside,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Result<Response, PageError> {
    let config = config(&app)?;
    let kept = find_kept(&app, &headers).filter(|kept| constant_time_eq(&kept.state, &answer.state));
    let Some(kept) = kept else {
        let text = "This login was begun in another browser, or too long ago. Try again.";
        return Ok(outside.redirect_with(&app, "/login", &Flash::refused(text)));
    };
    if answer.code.is_empty() {
        tracing::warn!(error.code = answer.error, "the identity provider refused a login");
        note_failed_stranger(&app).await?;
        let text = "The identity provider did not let you in.";
        return Ok(outside.redirect_with(&app, "/login", &Flash::refused(text)));
    }
    let found = async {
        let identity = oidc::identify(&app, config, &kept, &answer.code).await?;
        oidc::find_or_join(&app, config, &identity).await
    };
    match found.await {
        Ok(member) => {
            let mut response = outside.let_in(&app, &member, safe_next(&kept.next)).await?;
            outside.set_cookie(response.headers_mut(), KEPT, "", 0);
            Ok(response)
        }
        Err(error) => {
            note_failed_stranger(&app).await?;
            refuse(&app, &outside, error)
        }
    }
}

fn find_kept(app: &App, headers: &HeaderMap) -> Option<Kept> {
    let sealed = URL_SAFE_NO_PAD.decode(cookies::find(headers, KEPT)?).ok()?;
    let kept: Kept = serde_json::from_slice(&app.cipher.open(&sealed).ok()?).ok()?;
    (kept.until > app.clock.now().timestamp()).then_some(kept)
}

fn refuse(app: &App, outside: &Outside, error: OidcError) -> Result<Response, PageError> {
    let text = error.to_string();
    match error {
        OidcError::Member(error) => Err(ApiError::from(error).into()),
        OidcError::Provider(reason) => {
            tracing::warn!(error.reason = reason, "logging in at the identity provider failed");
            Ok(outside.redirect_with(app, "/login", &Flash::refused(text)))
        }
        OidcError::NotVerified => Ok(outside.redirect_with(app, "/login", &Flash::refused(text))),
    }
}
