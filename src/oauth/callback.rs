//! The callback from the provider (`spec` auth-flows, section 4.5).
//!
//! Order that must not change: the connection is stored, then the outcome, and only then is anybody told; so a crash at any
//! point loses nothing that somebody was promised.

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::exchange::stored_config;
use super::failure;
use super::popup::{announce, known_provider, needs_client, require_client};
use super::popup_error::PopupError;
use super::session::{self, Payload};
use super::with_operator_defaults;
use crate::app::{App, SharedApp};
use crate::audit::{self, Actor};
use crate::auth::AuthMode;
use crate::catalog::Provider;
use crate::connections::{NewConnection, establish};
use crate::db::connect_sessions::{self, ConnectSession};
use crate::db::oauth_sessions::{self, OAuthSession};
use crate::db::{environments, integrations};
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, Level, NewOperation, Operation};
use crate::metrics::AuthResult;
use crate::modes::{self, Arrival};

/// How long an owner may take to approve before the operation counts as abandoned.
const PENDING: TimeDelta = TimeDelta::days(7);

/// What came back from the provider.
pub struct Callback {
    pub state: String,
    pub query: Value,
    /// Whether the browser that came back is the one that left, as far as the cookie tells.
    pub has_cookie: bool,
    pub route: CallbackRoute,
}

/// The two addresses that providers send browsers back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackRoute {
    /// `/oauth/callback`
    OAuth,
    /// `/app-auth/connect`, the setup URL of apps.
    Installation,
}

/// How a sign-in ended, for the page.
pub struct Finished {
    /// The provider's name for people.
    pub provider: Option<String>,
    pub result: Result<(), PopupError>,
}

impl Finished {
    fn failed(error: PopupError) -> Self {
        Finished { provider: None, result: Err(error) }
    }
}

/// Ends the sign-in that the state names. It runs to its end even when the browser goes away in between: the code can be
/// used only once, and somebody waits for the outcome.
pub async fn finish(app: &SharedApp, callback: Callback) -> Finished {
    let task = {
        let (app, tasks) = (app.clone(), app.lifecycle.tasks.clone());
        let work = async move { claim_and_finish(&app, &callback).await };
        tasks.spawn(audit::carried(work))
    };
    task.await.unwrap_or_else(|error| {
        tracing::error!(error = %error, "a sign-in ended without a result");
        Finished::failed(PopupError::new("unknown_err", "Something went wrong on our side."))
    })
}

async fn claim_and_finish(app: &App, callback: &Callback) -> Finished {
    match session::claim(app, &callback.state).await {
        Ok(Some(row)) => finish_claimed(app, callback, &row).await,
        Ok(None) => {
            let message =
                "This sign-in is unknown, was used before, or took longer than an hour. Start again.";
            Finished::failed(PopupError::new("state_err", message))
        }
        Err(error) => Finished::failed(error.into()),
    }
}

/// Stores the connection, then the outcome, then wakes the waiting socket.
async fn finish_claimed(app: &App, callback: &Callback, row: &OAuthSession) -> Finished {
    let integration = find_integration(app, row).await;
    let known = integration.as_ref().ok();
    let key = known.map(|integration| integration.row.unique_key.clone());
    let provider = known.and_then(|integration| integration.provider.as_ref());
    let mode = provider.and_then(|provider| provider.mode());
    let provider = provider.map(|provider| provider.display_name.clone());
    let payload = session::open(app, row);
    let operation = resume(app, callback, row, payload.as_ref().ok());
    let work = async {
        let integration = integration.as_ref().map_err(PopupError::clone)?;
        operation.about_integration(integration);
        connect(app, callback, row, integration, &payload?, &operation).await
    };
    let result = operation.attempt(work).await;
    app.metrics.note_authorization(mode, AuthResult::of(&result));
    let outcome = match &result {
        Ok(connected) => json!({"message_type": "success", "provider_config_key": key,
            "connection_id": connected.connection_id, "is_pending": connected.is_pending}),
        Err(error) => {
            tracing::warn!(error.code = error.kind, error.reason = error.message, "a sign-in failed");
            error.outcome(key.as_deref(), Some(&row.connection_id))
        }
    };
    if let Err(error) = oauth_sessions::store_outcome(&app.db, &row.id, &outcome).await {
        tracing::error!(error = %error, "the outcome of a sign-in could not be stored");
    }
    announce(app, row.ws_client_id.as_deref(), outcome).await;
    if let (Ok(integration), Err(error)) = (&integration, &result) {
        failure::tell(app, row, integration, error).await;
    }
    Finished { provider, result: result.map(|_| ()) }
}

/// The operation that the redirect left open.
fn resume(app: &App, callback: &Callback, row: &OAuthSession, payload: Option<&Payload>) -> Operation {
    let id = payload.map(|payload| payload.operation_id.as_str()).unwrap_or_default();
    let new = NewOperation::new(Kind::AuthCreateConnection, row.environment_id);
    let operation = app.logs.resume(id, new);
    operation.hide(&row.id);
    operation.hide_named(&callback.query);
    if let Some(payload) = payload {
        operation.hide(&payload.code_verifier);
        operation.hide(payload.client.client_secret.as_deref().unwrap_or_default());
        operation.hide(payload.refresh_token.as_deref().unwrap_or_default());
        operation.hide_named(&Value::Object(payload.kept.clone()));
    }
    operation.about_connection(None, &row.connection_id);
    operation.tell(
        Level::Info,
        "The browser came back from the provider.",
        json!({ "query": callback.query }),
    );
    operation
}

async fn find_integration(app: &App, row: &OAuthSession) -> Result<OpenIntegration, PopupError> {
    let found = integrations::find_by_id(&app.db, row.environment_id, row.integration_id).await?;
    let gone = || PopupError::new("provider_config_err", "The integration was deleted during the sign-in.");
    Ok(OpenIntegration::open(app, found.ok_or_else(gone)?)?)
}

/// The connection that a sign-in led to.
struct Connected {
    connection_id: String,
    is_pending: bool,
}

async fn connect(
    app: &App,
    callback: &Callback,
    row: &OAuthSession,
    integration: &OpenIntegration,
    payload: &Payload,
    operation: &Operation,
) -> Result<Connected, PopupError> {
    if app.config.state_cookie_required && !callback.has_cookie {
        let message = "This browser did not start the sign-in, or it keeps no cookies. Start again.";
        return Err(PopupError::new("state_cookie_err", message));
    }
    let provider = known_provider(integration)?;
    check_route(callback.route, provider)?;
    if needs_client(provider) {
        require_client(integration)?;
    }
    let environment = environments::find(&app.db, row.environment_id).await?.ok_or_else(|| {
        PopupError::new("account_or_environment_retrieval_err", "The environment does not exist any more.")
    })?;
    let connect_session = find_connect_session(app, row).await?;
    operation.hide_config(integration, &payload.connection_config);
    let from_callback = callback_metadata(provider, &callback.query);
    let mut config = with_operator_defaults(integration, &payload.connection_config);
    config.extend(from_callback.clone());
    let arrival = Arrival {
        integration,
        provider,
        payload,
        connection_id: &row.connection_id,
        config: &config,
        query: &callback.query,
    };
    let obtained = modes::arrive(app, arrival).await?;
    operation.hide_credentials(&obtained.credentials);
    let is_pending = obtained.is_pending;
    let (connection_id, stored, session) = match obtained.connection_id {
        // The sign-in turned out to be about another connection, which the session says nothing about.
        Some(other) if other != row.connection_id => (other, obtained.connection_config, None),
        _ => {
            let submitted = &payload.connection_config;
            let stored = stored_config(obtained.connection_config, from_callback, submitted);
            (row.connection_id.clone(), stored, connect_session.as_ref())
        }
    };
    let mut new = NewConnection::from_session(&connection_id, &obtained.credentials, stored, session);
    // What an earlier installation brought does not belong to the one that is waited for.
    new.keeps_automated_config &= !is_pending;
    new.told_mode = obtained.told_mode;
    let established = establish(app, &environment, integration, new).await?;
    tracing::info!(connection.id = established.id.0, operation = ?established.operation, "a sign-in succeeded");
    operation.about_connection(Some(established.id.0), &connection_id);
    operation.info(established.operation.sentence());
    if is_pending {
        operation.info("It waits for an owner's approval.");
        operation.wait_until(app.clock.now() + PENDING);
    } else {
        operation.succeed();
    }
    Ok(Connected { connection_id, is_pending })
}

fn check_route(route: CallbackRoute, provider: &Provider) -> Result<(), PopupError> {
    let is_app = provider.mode() == Some(AuthMode::App);
    match (route, is_app) {
        (CallbackRoute::Installation, true) | (CallbackRoute::OAuth, false) => Ok(()),
        (CallbackRoute::OAuth, true) => {
            let message =
                "Installations of apps come back to /app-auth/connect. Make that the setup URL of the app.";
            Err(PopupError::new("auth_mode_err", message))
        }
        (CallbackRoute::Installation, false) => {
            let message =
                "Only plain app installations come back here. Make /oauth/callback the callback URL.";
            Err(PopupError::new("auth_mode_err", message))
        }
    }
}

/// By id, not by token: a login may outlive the 30 minutes of its token.
async fn find_connect_session(app: &App, row: &OAuthSession) -> Result<Option<ConnectSession>, PopupError> {
    let Some(id) = row.connect_session_id else { return Ok(None) };
    let found = connect_sessions::find(&app.db, row.environment_id, id).await?;
    audit::note_actor(|| Actor::connect_session(id));
    let deleted = || PopupError::new("unknown_err", "The connect session was deleted during the sign-in.");
    found.map(Some).ok_or_else(deleted)
}

/// What the provider says about a failure in the callback's query.
pub fn provider_errors(query: &Value) -> Map<String, Value> {
    const NAMES: [&str; 8] = [
        "error",
        "error_description",
        "error_reason",
        "error_uri",
        "status_code",
        "error_message",
        // The extension of OAuth 1 that says why.
        "oauth_problem",
        "oauth_problem_advice",
    ];
    let text =
        |name: &str| query.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    NAMES.into_iter().filter_map(|name| Some((name.to_owned(), text(name)?.into()))).collect()
}

/// The same as the end of a sentence; empty when it says nothing.
pub fn provider_reason(query: &Value) -> String {
    let said = provider_errors(query);
    let said: Vec<String> =
        said.iter().map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default())).collect();
    if said.is_empty() { String::new() } else { format!(" Provider error: {}", said.join("; ")) }
}

fn callback_metadata(provider: &Provider, query: &Value) -> Map<String, Value> {
    let pick =
        |name: &String| Some((name.clone(), query.get(name).filter(|value| value.is_string())?.clone()));
    provider.redirect_uri_metadata.iter().filter_map(pick).collect()
}
