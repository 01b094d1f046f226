//! The demo provider's token endpoint and its API.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use super::grant::{ACCESS_LASTS, Consent, Grant, Kind, open, seal, verifies};
use super::{CLIENT_ID, client_secret};
use crate::app::SharedApp;
use crate::crypto::constant_time_eq;

/// Answers until it is told to stop.
pub(super) async fn serve(app: SharedApp, listener: TcpListener, stop: CancellationToken) {
    let router = Router::new()
        .route("/token", post(answer_token))
        .route("/api/me", get(show_me))
        .route("/api/notes", get(list_notes).post(create_note))
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "not_found", "The demo has /me and /notes.") })
        .with_state(app);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(error = %error, "the demo provider ended");
    }
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": description}))).into_response()
}

async fn answer_token(State(app): State<SharedApp>, body: String) -> Response {
    let fields: HashMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let is_client =
        field("client_id") == CLIENT_ID && constant_time_eq(field("client_secret"), &client_secret(&app));
    if !is_client {
        return refusal(StatusCode::UNAUTHORIZED, "invalid_client", "Client id or secret is wrong.");
    }
    let grant = match field("grant_type") {
        "authorization_code" => redeem_code(&app, &field),
        "refresh_token" => open(&app, Kind::Refresh, field("refresh_token")),
        _ => {
            return refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "Use a code or a refresh token.",
            );
        }
    };
    match grant.and_then(|grant| tokens(&app, grant.consent)) {
        Some(tokens) => ([(header::CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        None => {
            refusal(StatusCode::BAD_REQUEST, "invalid_grant", "The code or token is wrong, used or too old.")
        }
    }
}

/// The grant of a code that is redeemed by who asked for it, for the first time.
fn redeem_code<'f>(app: &SharedApp, field: &impl Fn(&str) -> &'f str) -> Option<Grant> {
    let grant = open(app, Kind::Code, field("code"))?;
    let is_asker = grant.consent.redirect_uri == field("redirect_uri")
        && verifies(&grant.consent.code_challenge, field("code_verifier"));
    (is_asker && app.demo.redeem(field("code"))).then_some(grant)
}

fn tokens(app: &SharedApp, consent: Consent) -> Option<Value> {
    Some(json!({
        "access_token": seal(app, Kind::Access, consent.clone()).ok()?,
        "refresh_token": seal(app, Kind::Refresh, consent.clone()).ok()?,
        "token_type": "Bearer",
        "expires_in": ACCESS_LASTS.num_seconds(),
        "scope": consent.scope,
    }))
}

/// Refuses who brings no access token.
fn check(app: &SharedApp, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token.and_then(|token| open(app, Kind::Access, token)) {
        Some(_) => Ok(()),
        None => {
            let message = "Bring an access token.";
            Err(Box::new(refusal(StatusCode::UNAUTHORIZED, "invalid_token", message)))
        }
    }
}

async fn show_me(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    if let Err(refused) = check(&app, &headers) {
        return *refused;
    }
    let me = json!({"id": "u_1", "name": "Ada Lovelace", "email": "ada@demo.invalid"});
    Json(me).into_response()
}

async fn list_notes(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    if let Err(refused) = check(&app, &headers) {
        return *refused;
    }
    let notes = json!([
        {"id": "n_1", "text": "The engine weaves algebraic patterns."},
        {"id": "n_2", "text": "This answer came through the proxy, with a token that your code never saw."},
    ]);
    Json(json!({ "notes": notes })).into_response()
}

async fn create_note(State(app): State<SharedApp>, headers: HeaderMap, body: String) -> Response {
    if let Err(refused) = check(&app, &headers) {
        return *refused;
    }
    let sent = serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body));
    let note = json!({"id": "n_3", "created": true, "received": sent});
    (StatusCode::CREATED, Json(note)).into_response()
}
