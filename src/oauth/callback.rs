//! The callback from the provider (`spec` auth-flows, section 4.5).
//!
//! Order that must not change: the connection is stored, then the outcome, and only then is anybody told; so a crash at any
//! point loses nothing that somebody was promised.

use serde_json::{Map, Value, json};

use super::exchange::stored_config;
use super::popup::{announce, known_provider, needs_client, require_client};
use super::popup_error::PopupError;
use super::session;
use super::with_operator_defaults;
use crate::app::{App, SharedApp};
use crate::catalog::Provider;
use crate::connections::{NewConnection, establish};
use crate::db::connect_sessions::{self, ConnectSession};
use crate::db::oauth_sessions::{self, OAuthSession};
use crate::db::{environments, integrations};
use crate::integrations::OpenIntegration;
use crate::modes::{self, Arrival};

/// What came back from the provider.
pub struct Callback {
    pub state: String,
    pub query: Value,
    /// Whether the browser that came back is the one that left, as far as the cookie tells.
    pub has_cookie: bool,
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
        let app = app.clone();
        app.lifecycle.tasks.clone().spawn(async move { claim_and_finish(&app, &callback).await })
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
    let provider = provider.map(|provider| provider.display_name.clone());
    let result = match integration {
        Ok(integration) => connect(app, callback, row, &integration).await,
        Err(error) => Err(error),
    };
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
    Finished { provider, result: result.map(|_| ()) }
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
) -> Result<Connected, PopupError> {
    if app.config.state_cookie_required && !callback.has_cookie {
        let message = "This browser did not start the sign-in, or it keeps no cookies. Start again.";
        return Err(PopupError::new("state_cookie_err", message));
    }
    let provider = known_provider(integration)?;
    if needs_client(provider) {
        require_client(integration)?;
    }
    let environment = environments::find(&app.db, row.environment_id).await?.ok_or_else(|| {
        PopupError::new("account_or_environment_retrieval_err", "The environment does not exist any more.")
    })?;
    let connect_session = find_connect_session(app, row).await?;
    let payload = session::open(app, row)?;
    let from_callback = callback_metadata(provider, &callback.query);
    let mut config = with_operator_defaults(integration, &payload.connection_config);
    config.extend(from_callback.clone());
    let arrival =
        Arrival { integration, provider, payload: &payload, config: &config, query: &callback.query };
    let obtained = modes::arrive(app, arrival).await?;
    let stored = stored_config(obtained.connection_config, from_callback, &payload.connection_config);
    let connection_id = obtained.connection_id.unwrap_or_else(|| row.connection_id.clone());
    let session = connect_session.as_ref();
    let new = NewConnection::from_session(&connection_id, &obtained.credentials, stored, session);
    let established = establish(app, &environment, integration, new).await?;
    tracing::info!(connection.id = established.id.0, operation = ?established.operation, "a sign-in succeeded");
    Ok(Connected { connection_id, is_pending: obtained.is_pending })
}

/// By id, not by token: a login may outlive the 30 minutes of its token.
async fn find_connect_session(app: &App, row: &OAuthSession) -> Result<Option<ConnectSession>, PopupError> {
    let Some(id) = row.connect_session_id else { return Ok(None) };
    let found = connect_sessions::find(&app.db, row.environment_id, id).await?;
    let deleted = || PopupError::new("unknown_err", "The connect session was deleted during the sign-in.");
    found.map(Some).ok_or_else(deleted)
}

/// What the provider says about a failure in the callback's query.
pub fn provider_errors(query: &Value) -> Map<String, Value> {
    const NAMES: [&str; 6] =
        ["error", "error_description", "error_reason", "error_uri", "status_code", "error_message"];
    let text =
        |name: &str| query.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    NAMES.into_iter().filter_map(|name| Some((name.to_owned(), text(name)?.into()))).collect()
}

fn callback_metadata(provider: &Provider, query: &Value) -> Map<String, Value> {
    let pick =
        |name: &String| Some((name.clone(), query.get(name).filter(|value| value.is_string())?.clone()));
    provider.redirect_uri_metadata.iter().filter_map(pick).collect()
}
