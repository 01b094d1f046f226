//! BILL: a session of Bill.com, opened with a user's password and the developer's key (`spec` auth-flows, section 5.8).
//! Renewing it is another login.

use chrono::TimeDelta;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Renewed, provider_of};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::BodyFormat;
use crate::integrations::OpenIntegration;
use crate::oauth::{Kinds, TokenCall, TokenError, token_endpoint, with_operator_defaults};
use crate::template::{Context, Escape};

const KINDS: Kinds = Kinds { refused: "bill_tokens_fetch_error", unreadable: "invalid_bill_credentials" };
/// Of a session, counted from the login; every call lengthens it at the provider.
const LIFETIME: TimeDelta = TimeDelta::minutes(35);

/// What an end user submitted. Deliberately without `Debug`.
#[derive(Clone)]
pub struct BillLogin {
    pub username: String,
    pub password: Zeroizing<String>,
    pub organization_id: String,
    pub dev_key: Zeroizing<String>,
}

impl BillLogin {
    pub fn new(username: &str, password: &str, organization_id: &str, dev_key: &str) -> Self {
        BillLogin {
            username: username.to_owned(),
            password: password.to_owned().into(),
            organization_id: organization_id.to_owned(),
            dev_key: dev_key.to_owned().into(),
        }
    }
}

/// Opens a session.
///
/// # Errors
/// `bill_tokens_fetch_error` with the provider's words, `invalid_bill_credentials` when its answer holds no session.
pub async fn open_session(
    app: &App,
    integration: &OpenIntegration,
    login: &BillLogin,
    config: &Map<String, Value>,
) -> Result<Credentials, TokenError> {
    let provider = provider_of(integration, KINDS.refused)?;
    let missing = || TokenError::new("missing_token_url", "The provider has no token URL in the catalog.");
    let template = provider.token_url().ok_or_else(missing)?;
    let config = with_operator_defaults(integration, config);
    let (now, random) = (app.clock.now(), app.rng.uuid().to_string());
    let context = Context::new(now, &random).flat_connection_config(&config);
    let mut call =
        TokenCall::post(token_endpoint(template, &context, Escape::Component)?, BodyFormat::Json, KINDS);
    call.hide(&login.password);
    call.hide(&login.dev_key);
    call.set("username", login.username.as_str());
    call.set("password", login.password.as_str());
    call.set("organizationId", login.organization_id.as_str());
    call.set("devKey", login.dev_key.as_str());
    let exchange = call.exchange(app).await?;
    if !exchange.answer.status.is_success() {
        return Err(exchange.refused());
    }
    let answer: Value = serde_json::from_slice(&exchange.answer.body).map_err(|_| exchange.unreadable())?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let session_id = text("sessionId").ok_or_else(|| without_session(exchange.refused()))?;
    Ok(Credentials::Bill {
        username: login.username.clone(),
        password: login.password.to_string(),
        organization_id: text("organizationId").unwrap_or(&login.organization_id).to_owned(),
        dev_key: login.dev_key.to_string(),
        session_id: session_id.to_owned(),
        user_id: text("userId").unwrap_or_default().to_owned(),
        expires_at: Some(now + LIFETIME),
        raw: answer,
    })
}

/// Opens another session.
///
/// # Errors
/// As [`open_session`].
pub async fn renew(
    app: &App,
    integration: &OpenIntegration,
    login: &BillLogin,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let credentials = open_session(app, integration, login, config).await?;
    Ok(Renewed { credentials, connection_config: Map::new() })
}

/// An answer of status 200 that holds no session says why.
fn without_session(error: TokenError) -> TokenError {
    TokenError { kind: KINDS.unreadable, ..error }
}
