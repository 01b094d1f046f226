//! What the auth modes do differently, one file per mode: how a connection gets its first credentials, and how they are
//! renewed. The functions here match on the mode or on the stored kind, so a new mode is one new file and the places that
//! the compiler lists.
//!
//! Called by the JSON auth routes, by the popup's routes and by `refresh`. Nothing here stores anything.

mod app;
pub mod aws_sigv4;
pub mod bill;
mod custom;
mod install_plugin;
pub mod jwt;
pub mod mcp;
mod mcp_generic;
mod oauth1;
mod outbound;
pub mod signature;
pub mod signed_jwt;
pub mod two_step;

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::app::App;
use crate::auth::{AuthMode, Credentials};
use crate::catalog::Provider;
use crate::integrations::OpenIntegration;
use crate::oauth::{self, Payload, PopupError, SignIn, TokenError};

pub use app::{Installation, import_installation};
pub use custom::complete as complete_installation;
pub use outbound::{is_outbound, waiting};

/// New credentials, and what of the answer belongs into the connection config.
pub struct Renewed {
    pub credentials: Credentials,
    pub connection_config: Map<String, Value>,
}

/// A sign-in whose popup has to be sent somewhere.
#[derive(Clone, Copy)]
pub struct Departure<'a> {
    pub sign_in: &'a SignIn<'a>,
    pub provider: &'a Provider,
    /// Names the sign-in; the provider hands it back with the callback.
    pub state: &'a str,
}

/// A popup that came back from the provider.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    pub integration: &'a OpenIntegration,
    pub provider: &'a Provider,
    /// What was remembered at the departure.
    pub payload: &'a Payload,
    /// The connection that was asked for.
    pub connection_id: &'a str,
    /// The connection config with the operator's defaults and what the callback brought.
    pub config: &'a Map<String, Value>,
    /// The callback's query.
    pub query: &'a Value,
}

/// What an arrival gave.
pub struct Obtained {
    pub credentials: Credentials,
    /// What the connection config gains.
    pub connection_config: Map<String, Value>,
    /// Whether somebody at the provider has to approve first; until then the connection cannot be used.
    pub is_pending: bool,
    /// The connection that this sign-in turned out to be about, when it is not the one that was asked for.
    pub connection_id: Option<String>,
    /// The auth mode that this sign-in really used, when it is not the provider's.
    pub told_mode: Option<AuthMode>,
}

impl Obtained {
    /// Credentials that are good now, for the connection that was asked for.
    pub fn ready(credentials: Credentials, connection_config: Map<String, Value>) -> Self {
        Obtained { credentials, connection_config, is_pending: false, connection_id: None, told_mode: None }
    }
}

/// Where the popup goes. What has to be remembered until it comes back is put into `payload`.
///
/// # Errors
/// The integration lacks something, the provider refused, or connections of this mode are not made in a popup.
pub async fn depart(app: &App, departure: Departure<'_>, payload: &mut Payload) -> Result<Url, PopupError> {
    match departure.provider.mode() {
        Some(AuthMode::OAuth1) => oauth1::depart(app, departure, payload).await,
        Some(AuthMode::OAuth2) if !is_outbound(departure.provider) => oauth::depart(app, departure, payload),
        Some(AuthMode::McpOAuth2) => mcp::depart(app, departure, payload).await,
        Some(AuthMode::McpOAuth2Generic) => mcp_generic::depart(app, departure, payload).await,
        Some(AuthMode::App | AuthMode::Custom) => app::depart(app, departure, payload),
        Some(AuthMode::InstallPlugin) => install_plugin::depart(departure, payload),
        _ => not_in_a_popup(app, departure, payload),
    }
}

/// Wire: what the URL lacks is told before the mode is.
fn not_in_a_popup(app: &App, departure: Departure<'_>, payload: &Payload) -> Result<Url, PopupError> {
    oauth::depart(app, departure, payload)?;
    Err(PopupError::new("auth_mode_err", "Connections of this provider are not made in a popup."))
}

/// The credentials that a callback leads to.
///
/// # Errors
/// The provider's refusal in its own words, or what the callback lacks.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    match arrival.provider.mode() {
        Some(AuthMode::OAuth2) => oauth::arrive(app, arrival).await,
        Some(AuthMode::McpOAuth2) => mcp::arrive(app, arrival).await,
        Some(AuthMode::McpOAuth2Generic) => mcp_generic::arrive(app, arrival).await,
        Some(AuthMode::App) => app::arrive(app, arrival).await,
        Some(AuthMode::Custom) => custom::arrive(app, arrival).await,
        Some(AuthMode::InstallPlugin) => install_plugin::arrive(app, arrival).await,
        Some(AuthMode::OAuth1) => oauth1::arrive(app, arrival).await,
        _ => {
            let message = "The provider of this integration has another auth mode now. Start again.";
            Err(PopupError::new("auth_mode_err", message))
        }
    }
}

/// Successors of stored credentials. Called by `crate::refresh` only, which holds the lease.
///
/// # Errors
/// The provider's refusal, or what the connection lacks.
pub async fn renew(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let mode = provider_mode(integration);
    match credentials {
        Credentials::OAuth2 { .. } if mode == Some(AuthMode::McpOAuth2) => {
            mcp::renew(app, integration, credentials, config).await
        }
        Credentials::OAuth2 { .. } if mode == Some(AuthMode::McpOAuth2Generic) => {
            mcp_generic::renew(app, credentials, config).await
        }
        Credentials::OAuth2 { .. } if mode == Some(AuthMode::Custom) => {
            custom::renew_pending(app, integration, credentials, config).await
        }
        Credentials::App { .. } if mode == Some(AuthMode::Custom) => {
            custom::renew(app, integration, config).await
        }
        Credentials::App { .. } => app::fetch_token(app, integration, config).await,
        Credentials::OAuth2 { .. } => oauth::refresh_token(app, integration, credentials, config).await,
        Credentials::OAuth2Cc { .. } => {
            oauth::renew_client_credentials(app, integration, credentials, config).await
        }
        Credentials::TwoStep { .. } => two_step::renew(app, integration, credentials, config).await,
        Credentials::Jwt { fields, .. } => jwt::renew(app, integration, fields, config),
        Credentials::Signature { username, password, .. } => {
            signature::renew(app, integration, username, password)
        }
        Credentials::Bill { username, password, organization_id, dev_key, .. } => {
            let login = bill::BillLogin::new(username, password, organization_id, dev_key);
            bill::renew(app, integration, &login, config).await
        }
        Credentials::AwsSigV4 { .. } => aws_sigv4::renew(app, integration, credentials).await,
        Credentials::OAuth1 { .. }
        | Credentials::Basic { .. }
        | Credentials::ApiKey { .. }
        | Credentials::Tba { .. }
        | Credentials::None => {
            Err(TokenError::new("refresh_token_external_error", "These credentials are never refreshed."))
        }
    }
}

fn provider_mode(integration: &OpenIntegration) -> Option<AuthMode> {
    integration.provider.as_ref().and_then(|provider| provider.mode())
}

/// The entry of an integration.
///
/// # Errors
/// `kind`: the provider left the catalog.
pub fn provider_of<'i>(
    integration: &'i OpenIntegration,
    kind: &'static str,
) -> Result<&'i Arc<Provider>, TokenError> {
    integration.provider.as_ref().ok_or_else(|| {
        let name = &integration.row.provider;
        TokenError::new(kind, format!("The provider `{name}` is not in the catalog any more."))
    })
}
