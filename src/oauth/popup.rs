//! The two ends of a popup sign-in: the redirect to the provider and the callback from it (`spec` auth-flows, section 4).
//!
//! Called by the popup's routes. Order that must not change: the connection is stored, then the outcome, and only then is
//! anybody told; so a crash at any point loses nothing that somebody was promised.

use serde_json::{Map, Value, json};
use url::Url;

use super::authorize::{Authorize, authorize_url};
use super::exchange::{Code, exchange_code, stored_config};
use super::popup_error::PopupError;
use super::session::{self, Payload};
use super::token_call::Client;
use super::token_refresh::integration_client;
use super::with_operator_defaults;
use crate::app::App;
use crate::auth::{AuthMode, ClientOverride};
use crate::catalog::Provider;
use crate::connections::{NewConnection, establish};
use crate::db::environments::Environment;
use crate::db::oauth_sessions::{self, OAuthSession};
use crate::db::{ConnectSessionId, connect_sessions, environments, integrations};
use crate::fanout::Wake;
use crate::integrations::OpenIntegration;
use crate::template::Context;

/// A sign-in to be started.
pub struct SignIn<'a> {
    pub environment: &'a Environment,
    pub integration: &'a OpenIntegration,
    pub connection_id: &'a str,
    pub connect_session: Option<ConnectSessionId>,
    pub socket: Option<&'a str>,
    pub connection_config: Map<String, Value>,
    pub user_scope: Option<String>,
    /// Comma separated; replaces the scopes of the integration.
    pub scopes: Option<String>,
    pub authorization_params: Map<String, Value>,
    pub client: ClientOverride,
    /// Only looked at together with a client of the caller's own.
    pub refresh_token: Option<String>,
}

/// Where the popup goes, and the state that its cookie is named after.
pub struct Started {
    pub url: Url,
    pub state: String,
}

/// Stores the OAuth session and gives the provider's URL.
///
/// # Errors
/// The integration cannot be used with a popup, or lacks a value.
pub async fn begin(app: &App, sign_in: SignIn<'_>) -> Result<Started, PopupError> {
    let provider = usable_provider(sign_in.integration)?;
    refuse_bad_config(provider, sign_in.integration, &sign_in.connection_config)?;
    let state = session::new_state(&app.rng).into_secret();
    let payload = payload(app, &sign_in);
    let url = build_url(app, provider, &sign_in, &payload, &state)?;
    if provider.mode() != Some(AuthMode::OAuth2) || provider.installation.as_deref() == Some("outbound") {
        return Err(PopupError::new(
            "auth_mode_err",
            "Connections of this provider are not made in a popup.",
        ));
    }
    let row = OAuthSession {
        id: state.clone(),
        environment_id: sign_in.environment.id,
        integration_id: sign_in.integration.row.id,
        connection_id: sign_in.connection_id.to_owned(),
        connect_session_id: sign_in.connect_session,
        ws_client_id: sign_in.socket.map(str::to_owned),
        payload: None,
        created_at: app.clock.now(),
    };
    session::store(app, row, &payload).await?;
    Ok(Started { url, state })
}

fn usable_provider(integration: &OpenIntegration) -> Result<&Provider, PopupError> {
    let provider = integration.provider.as_deref().ok_or_else(|| {
        PopupError::new(
            "unknown_config_key",
            "The provider of this integration is not in the catalog any more.",
        )
    })?;
    // Empty text counts as present: some providers give no secret.
    if integration.row.oauth_client_id.is_none() || integration.client_secret.is_none() {
        let message =
            "The integration has no client id and client secret. Add them to the integration first.";
        return Err(PopupError::new("provider_config_err", message));
    }
    Ok(provider)
}

fn refuse_bad_config(
    provider: &Provider,
    integration: &OpenIntegration,
    config: &Map<String, Value>,
) -> Result<(), PopupError> {
    let config = with_operator_defaults(integration, config);
    let problems = provider.validate_connection_config(&config);
    if problems.is_empty() {
        return Ok(());
    }
    let problems = problems.iter().map(|problem| format!("`{}` {}", problem.field, problem.message));
    let message = problems.collect::<Vec<_>>().join(", ");
    Err(PopupError::new("url_param_err", format!("The connection configuration is refused: {message}.")))
}

fn payload(app: &App, sign_in: &SignIn<'_>) -> Payload {
    let callback_url = sign_in.environment.callback_url.clone();
    let mut connection_config = sign_in.connection_config.clone();
    if let Some(scope) = &sign_in.user_scope {
        connection_config.insert("user_scope".to_owned(), scope.clone().into());
    }
    let has_client = sign_in.client != ClientOverride::default();
    let refresh_token = sign_in.refresh_token.clone().filter(|_| has_client);
    if refresh_token.is_some() {
        connection_config.insert("overrideTokenRefresh".to_owned(), true.into());
    }
    Payload {
        callback_url: callback_url.unwrap_or_else(|| app.config.http.default_callback_url()),
        code_verifier: session::new_verifier(&app.rng),
        connection_config: with_scopes_as_list(connection_config),
        client: sign_in.client.clone(),
        refresh_token,
    }
}

/// `oauth_scopes_override` is stored as a list.
fn with_scopes_as_list(mut config: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(scopes)) = config.get("oauth_scopes_override") {
        let list: Vec<String> = scopes.split(',').map(str::to_owned).collect();
        config.insert("oauth_scopes_override".to_owned(), list.into());
    }
    config
}

fn build_url(
    app: &App,
    provider: &Provider,
    sign_in: &SignIn<'_>,
    payload: &Payload,
    state: &str,
) -> Result<Url, PopupError> {
    let integration = sign_in.integration;
    let config = with_operator_defaults(integration, &payload.connection_config);
    let random = app.rng.uuid().to_string();
    let context = Context::new(app.clock.now(), &random).flat_connection_config(&config);
    let split =
        |text: &str| text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let scopes: Vec<String> = match &sign_in.scopes {
        Some(scopes) => split(scopes),
        None => integration.scopes().map(str::to_owned).collect(),
    };
    let request = Authorize {
        provider,
        client_id: payload.client.client_id.as_deref().unwrap_or(integration.client_id()),
        redirect_uri: &payload.callback_url,
        scopes: &scopes,
        state,
        code_verifier: &payload.code_verifier,
        user_scope: sign_in.user_scope.as_deref(),
        params: &sign_in.authorization_params,
    };
    Ok(authorize_url(&request, &context)?)
}

/// A callback that found its session.
pub struct Callback<'a> {
    pub row: &'a OAuthSession,
    pub query: &'a Value,
    /// Whether the browser that came back is the one that left, as far as the cookie tells.
    pub has_cookie: bool,
}

/// How a sign-in ended, for the page.
pub struct Finished {
    pub provider: Option<String>,
    pub result: Result<(), PopupError>,
}

/// Ends a sign-in: stores the connection, then the outcome, then wakes the waiting socket.
pub async fn finish(app: &App, callback: Callback<'_>) -> Finished {
    let row = callback.row;
    let integration = find_integration(app, row).await;
    let (key, provider) = match &integration {
        Ok(integration) => (
            Some(integration.row.unique_key.clone()),
            integration.provider.as_ref().map(|provider| provider.display_name.clone()),
        ),
        Err(_) => (None, None),
    };
    let result = match integration {
        Ok(integration) => connect(app, &callback, &integration).await,
        Err(error) => Err(error),
    };
    let outcome = match &result {
        Ok(()) => json!({"message_type": "success", "provider_config_key": key,
            "connection_id": row.connection_id, "is_pending": false}),
        Err(error) => {
            tracing::warn!(error.code = error.kind, error.reason = error.message, "a sign-in failed");
            error.outcome(key.as_deref(), Some(&row.connection_id))
        }
    };
    if let Err(error) = oauth_sessions::store_outcome(&app.db, &row.id, &outcome).await {
        tracing::error!(error = %error, "the outcome of a sign-in could not be stored");
    }
    announce(app, row.ws_client_id.as_deref(), outcome).await;
    Finished { provider, result }
}

/// Delivers the failure of a sign-in that never began. A socket of another replica finds it in a row of its own, which is
/// only possible when the integration is known.
pub async fn announce_refusal(
    app: &App,
    socket: Option<&str>,
    integration: Option<&OpenIntegration>,
    outcome: Value,
) {
    let Some(socket) = socket else { return };
    if app.hub.deliver(socket, outcome.clone()) {
        return;
    }
    let Some(integration) = integration else { return };
    match store_refusal(app, socket, integration, &outcome).await {
        Ok(()) => app.fanout.call(Wake::Sockets).await,
        Err(error) => tracing::error!(error = %error, "the outcome of a sign-in could not be stored"),
    }
}

async fn store_refusal(
    app: &App,
    socket: &str,
    integration: &OpenIntegration,
    outcome: &Value,
) -> sqlx::Result<()> {
    let row = OAuthSession {
        // Never told to anybody, so that no callback can name it.
        id: session::new_state(&app.rng).into_secret(),
        environment_id: integration.row.environment_id,
        integration_id: integration.row.id,
        connection_id: String::new(),
        connect_session_id: None,
        ws_client_id: Some(socket.to_owned()),
        payload: None,
        created_at: app.clock.now(),
    };
    oauth_sessions::insert(&app.db, &row).await?;
    oauth_sessions::store_outcome(&app.db, &row.id, outcome).await
}

/// Delivers an outcome to the socket that waits for it: here at once, elsewhere through its row.
async fn announce(app: &App, socket: Option<&str>, outcome: Value) {
    let Some(socket) = socket else { return };
    if !app.hub.deliver(socket, outcome) {
        app.fanout.call(Wake::Sockets).await;
    }
}

async fn find_integration(app: &App, row: &OAuthSession) -> Result<OpenIntegration, PopupError> {
    let found = integrations::find_by_id(&app.db, row.environment_id, row.integration_id).await?;
    let gone = || PopupError::new("provider_config_err", "The integration was deleted during the sign-in.");
    Ok(OpenIntegration::open(app, found.ok_or_else(gone)?)?)
}

async fn connect(
    app: &App,
    callback: &Callback<'_>,
    integration: &OpenIntegration,
) -> Result<(), PopupError> {
    let row = callback.row;
    if app.config.state_cookie_required && !callback.has_cookie {
        let message = "This browser did not start the sign-in, or it keeps no cookies. Start again.";
        return Err(PopupError::new("state_cookie_err", message));
    }
    let provider = usable_provider(integration)?;
    let environment = environments::find(&app.db, row.environment_id).await?.ok_or_else(|| {
        PopupError::new("account_or_environment_retrieval_err", "The environment does not exist any more.")
    })?;
    let connect_session = find_connect_session(app, row).await?;
    let code = code_of(provider, callback.query)?;
    let payload = session::open(app, row)?;
    let from_callback = callback_metadata(provider, callback.query);
    let mut config = with_operator_defaults(integration, &payload.connection_config);
    config.extend(from_callback.clone());
    let code = Code {
        provider,
        client: own_client(integration, &payload.client),
        code,
        payload: &payload,
        config: &config,
    };
    let (credentials, found) = exchange_code(app, &code).await?;
    let stored = stored_config(found, from_callback, &payload.connection_config);
    let new = NewConnection::from_session(&row.connection_id, &credentials, stored, connect_session.as_ref());
    let established = establish(app, &environment, integration, new).await?;
    tracing::info!(connection.id = established.id.0, operation = ?established.operation, "a sign-in succeeded");
    Ok(())
}

/// By id, not by token: a login may outlive the 30 minutes of its token.
async fn find_connect_session(
    app: &App,
    row: &OAuthSession,
) -> Result<Option<connect_sessions::ConnectSession>, PopupError> {
    let Some(id) = row.connect_session_id else { return Ok(None) };
    let found = connect_sessions::find(&app.db, row.environment_id, id).await?;
    let deleted = || PopupError::new("unknown_err", "The connect session was deleted during the sign-in.");
    found.map(Some).ok_or_else(deleted)
}

fn code_of<'q>(provider: &Provider, query: &'q Value) -> Result<&'q str, PopupError> {
    let code = query.get(&provider.authorization_code_param_in_callback).and_then(Value::as_str);
    code.filter(|code| !code.is_empty()).ok_or_else(|| {
        let said = provider_errors(query);
        let said: Vec<String> = said
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()))
            .collect();
        let reason =
            if said.is_empty() { String::new() } else { format!(" Provider error: {}", said.join("; ")) };
        PopupError::new("callback_err", format!("No authorization code in the callback.{reason}"))
    })
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

/// Each half of the caller's own client replaces that of the integration.
fn own_client<'a>(integration: &'a OpenIntegration, own: &'a ClientOverride) -> Client<'a> {
    let given = integration_client(integration);
    Client {
        id: own.client_id.as_deref().unwrap_or(given.id),
        secret: own.client_secret.as_deref().unwrap_or(given.secret),
    }
}
