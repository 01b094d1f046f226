//! What the auth modes do differently, one file per mode: how a connection gets its first credentials, and how they are
//! renewed. The functions here match on the mode or on the stored kind, so a new mode is one new file and the places that
//! the compiler lists.
//!
//! Called by the JSON auth routes, by the popup's routes and by `refresh`. Nothing here stores anything.

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::app::App;
use crate::auth::{AuthMode, Credentials};
use crate::catalog::Provider;
use crate::integrations::OpenIntegration;
use crate::oauth::{self, Payload, PopupError, SignIn, TokenError};

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
}

impl Obtained {
    /// Credentials that are good now, for the connection that was asked for.
    pub fn ready(credentials: Credentials, connection_config: Map<String, Value>) -> Self {
        Obtained { credentials, connection_config, is_pending: false, connection_id: None }
    }
}

/// Where the popup goes. What has to be remembered until it comes back is put into `payload`.
///
/// # Errors
/// The integration lacks something, the provider refused, or connections of this mode are not made in a popup.
pub async fn depart(app: &App, departure: Departure<'_>, payload: &mut Payload) -> Result<Url, PopupError> {
    match departure.provider.mode() {
        Some(AuthMode::OAuth2) if departure.provider.installation.as_deref() != Some("outbound") => {
            oauth::depart(app, departure, payload)
        }
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
    match credentials {
        Credentials::OAuth2 { .. } => oauth::refresh_token(app, integration, credentials, config).await,
        Credentials::OAuth2Cc { .. } => {
            oauth::renew_client_credentials(app, integration, credentials, config).await
        }
        Credentials::App { .. }
        | Credentials::Jwt { .. }
        | Credentials::Bill { .. }
        | Credentials::TwoStep { .. }
        | Credentials::Signature { .. }
        | Credentials::AwsSigV4 { .. }
        | Credentials::OAuth1 { .. }
        | Credentials::Basic { .. }
        | Credentials::ApiKey { .. }
        | Credentials::Tba { .. }
        | Credentials::None => {
            Err(TokenError::new("refresh_token_external_error", "These credentials are never refreshed."))
        }
    }
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
