//! The redirect to the provider, and telling the browser how a sign-in ended (`spec` auth-flows, sections 4.2 to 4.4).

use serde_json::{Map, Value, json};
use url::Url;

use super::authorize::{Authorize, authorize_url};
use super::popup_error::PopupError;
use super::session::{self, Payload};
use super::with_operator_defaults;
use crate::app::App;
use crate::auth::{AuthMode, ClientOverride};
use crate::catalog::Provider;
use crate::db::ConnectSessionId;
use crate::db::environments::Environment;
use crate::db::oauth_sessions::{self, OAuthSession};
use crate::fanout::Wake;
use crate::integrations::OpenIntegration;
use crate::logs::{Level, Operation};
use crate::modes::{self, Departure};
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
    /// Goes on when the browser comes back.
    pub operation: &'a Operation,
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
    let provider = known_provider(sign_in.integration)?;
    if needs_client(provider) {
        require_client(sign_in.integration)?;
    }
    refuse_bad_config(provider, sign_in.integration, &sign_in.connection_config)?;
    let state = session::new_state(&app.rng).into_secret();
    let mut payload = payload(app, &sign_in);
    let departure = Departure { sign_in: &sign_in, provider, state: &state };
    let url = modes::depart(app, departure, &mut payload).await?;
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
    log_departure(app, &sign_in, &url, &payload);
    Ok(Started { url, state })
}

/// Says where the browser was sent, and how long it may stay away.
fn log_departure(app: &App, sign_in: &SignIn<'_>, url: &Url, payload: &Payload) {
    let operation = sign_in.operation;
    operation.hide(&payload.code_verifier);
    operation.hide_config(sign_in.integration, &payload.connection_config);
    let details = json!({
        "authorizationUrl": operation.clean_url(url.as_str()),
        "callbackUrl": payload.callback_url,
        "scopes": scopes_of(sign_in),
    });
    operation.tell(Level::Info, "The browser was sent to the provider.", details);
    operation.wait_until(app.clock.now() + session::LIFETIME);
}

/// The provider of an integration.
///
/// # Errors
/// It left the catalog.
pub(super) fn known_provider(integration: &OpenIntegration) -> Result<&Provider, PopupError> {
    integration.provider.as_deref().ok_or_else(|| {
        PopupError::new(
            "unknown_config_key",
            "The provider of this integration is not in the catalog any more.",
        )
    })
}

/// Whether a sign-in presents a client id that the operator has to give.
pub(super) fn needs_client(provider: &Provider) -> bool {
    match provider.mode() {
        // These have keys or names of another kind in the integration's settings, or get a client by themselves.
        Some(AuthMode::App | AuthMode::InstallPlugin | AuthMode::McpOAuth2 | AuthMode::McpOAuth2Generic) => {
            false
        }
        _ => true,
    }
}

/// # Errors
/// The integration has no client. Empty text counts as present: some providers give no secret.
pub(super) fn require_client(integration: &OpenIntegration) -> Result<(), PopupError> {
    if integration.row.oauth_client_id.is_some() && integration.client_secret.is_some() {
        return Ok(());
    }
    let message = "The integration has no client id and client secret. Add them to the integration first.";
    Err(PopupError::new("provider_config_err", message))
}

fn refuse_bad_config(
    provider: &Provider,
    integration: &OpenIntegration,
    config: &Map<String, Value>,
) -> Result<(), PopupError> {
    let config = with_operator_defaults(integration, config);
    let problems = provider.validate_connection_config(&config).into_iter();
    let mut problems: Vec<String> =
        problems.map(|problem| format!("`{}` {}", problem.field, problem.message)).collect();
    let unstorable = config.values().filter_map(Value::as_str).chain(config.keys().map(String::as_str));
    if unstorable.into_iter().any(|text| text.contains('\0')) {
        problems.push("it holds the character U+0000".to_owned());
    }
    if problems.is_empty() {
        return Ok(());
    }
    let message = problems.join(", ");
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
        kept: Map::new(),
        operation_id: sign_in.operation.id().to_owned(),
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

/// The authorization URL of OAuth 2.
///
/// # Errors
/// What the URL lacks.
pub fn depart(app: &App, departure: Departure<'_>, payload: &Payload) -> Result<Url, PopupError> {
    let integration = departure.sign_in.integration;
    let client_id = payload.client.client_id.as_deref().unwrap_or(integration.client_id());
    authorize(app, departure, payload, client_id, &scopes_of(departure.sign_in))
}

/// What a sign-in asks for: the caller's scopes, else the integration's.
pub fn scopes_of(sign_in: &SignIn<'_>) -> Vec<String> {
    match &sign_in.scopes {
        Some(scopes) => {
            let scopes = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty());
            scopes.map(str::to_owned).collect()
        }
        None => sign_in.integration.scopes().map(str::to_owned).collect(),
    }
}

/// The authorization URL of OAuth 2 for a client and its scopes.
///
/// # Errors
/// What the URL lacks.
pub fn authorize(
    app: &App,
    departure: Departure<'_>,
    payload: &Payload,
    client_id: &str,
    scopes: &[String],
) -> Result<Url, PopupError> {
    let Departure { sign_in, provider, state } = departure;
    let config = with_operator_defaults(sign_in.integration, &payload.connection_config);
    let random = app.rng.uuid().to_string();
    let context = Context::new(app.clock.now(), &random).flat_connection_config(&config);
    let request = Authorize {
        provider,
        client_id,
        redirect_uri: &payload.callback_url,
        scopes,
        state,
        code_verifier: &payload.code_verifier,
        user_scope: sign_in.user_scope.as_deref(),
        params: &sign_in.authorization_params,
    };
    Ok(authorize_url(&request, &context)?)
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
pub(super) async fn announce(app: &App, socket: Option<&str>, outcome: Value) {
    let Some(socket) = socket else { return };
    if !app.hub.deliver(socket, outcome) {
        app.fanout.call(Wake::Sockets).await;
    }
}
