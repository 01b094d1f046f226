//! `MCP_OAUTH2`: OAuth 2 for MCP servers of the catalog (`spec` auth-flows, section 5.14). The generic flow, with PKCE always
//! on, a `resource` in every request, and a client that this server may get by itself.
//!
//! What it shares with `mcp_generic` is below: discovery, registration, and the rules for addresses.

mod discovery;
mod endpoint;
mod registration;

use std::sync::Arc;

use indexmap::IndexMap;
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};
use url::Url;

use super::{Arrival, Departure, Obtained, Renewed, provider_of};
use crate::app::App;
use crate::auth::{AuthMode, Credentials};
use crate::catalog::{AuthorizationMethod, ClientRegistration, Provider, SkipEncode};
use crate::crypto::CryptoError;
use crate::db::EnvironmentId;
use crate::db::changes::{self, ChangeKind};
use crate::db::environments::{self, Environment};
use crate::db::integrations::{self as rows, Integration, NewClient};
use crate::error::ApiError;
use crate::fanout::Wake;
use crate::integrations::{OpenIntegration, open_object, seal_object};
use crate::oauth::{self, PopupError, TokenError, with_operator_defaults};
use crate::template::{COMPONENT, Context, Escape, Template, build_url};

pub use discovery::{Discovered, MetadataCache, ServerMetadata, discover, lacks};
pub use endpoint::read as read_endpoint;
pub use registration::{
    RegisteredClient, Registration, callback_url, client_metadata_url, client_name, public_client_id,
    register,
};

/// Parameters that the catalog cannot set for this mode.
const RESERVED: [&str; 7] = [
    "response_type",
    "code_challenge",
    "code_challenge_method",
    "state",
    "redirect_uri",
    "scope",
    "client_id",
];
/// The operator-set value that says how a registered client with a secret proves itself.
const AUTH_METHOD: &str = "token_endpoint_auth_method";

/// Where the popup goes; registers this server first where the entry says so.
///
/// # Errors
/// There is no client, or the entry lacks a value.
pub async fn depart(
    app: &App,
    departure: Departure<'_>,
    payload: &oauth::Payload,
) -> Result<Url, PopupError> {
    let (provider, sign_in) = (departure.provider, departure.sign_in);
    refuse_incomplete_token_url(app, departure, payload)?;
    let client_id = match &payload.client.client_id {
        Some(own) => own.clone(),
        None => client_id(app, sign_in.environment, sign_in.integration, provider).await?,
    };
    let is_raw = provider.authorization_url_skip_encode.contains(&SkipEncode::Scopes);
    let encode = |scope: String| {
        // Wire: only the separators are written as they are.
        if is_raw { utf8_percent_encode(&scope, COMPONENT).to_string() } else { scope }
    };
    let scopes: Vec<String> = oauth::scopes_of(sign_in).into_iter().map(encode).collect();
    let entry = as_mcp(provider, &Map::new());
    oauth::authorize(app, Departure { provider: &entry, ..departure }, payload, &client_id, &scopes)
}

/// Wire: unlike `OAUTH2`, where the callback may bring what the token URL lacks.
fn refuse_incomplete_token_url(
    app: &App,
    departure: Departure<'_>,
    payload: &oauth::Payload,
) -> Result<(), PopupError> {
    let config = with_operator_defaults(departure.sign_in.integration, &payload.connection_config);
    let context = Context::new(app.clock.now(), "").flat_connection_config(&config);
    if let Some(template) = departure.provider.token_url_for(AuthMode::OAuth2) {
        oauth::token_endpoint(template, &context, Escape::Component)?;
    }
    Ok(())
}

/// Exchanges the code of a callback.
///
/// # Errors
/// The integration lost its client, or the provider's words.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let integration = with_client(app, arrival.integration).await?;
    if integration.client_id().is_empty() && arrival.payload.client.client_id.is_none() {
        return Err(no_client());
    }
    let entry = as_mcp(arrival.provider, &integration.custom);
    oauth::arrive(app, Arrival { integration: &integration, provider: &entry, ..arrival }).await
}

/// A successor of a token.
///
/// # Errors
/// The provider's words, or what the connection lacks.
pub async fn renew(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    const KIND: &str = "refresh_token_external_error";
    let integration = with_client(app, integration).await;
    let mut integration = integration.map_err(|error| TokenError::new(KIND, error.message))?;
    let entry = as_mcp(provider_of(&integration, KIND)?, &integration.custom);
    integration.provider = Some(Arc::new(entry));
    oauth::refresh_token(app, &integration, credentials, config).await
}

/// The entry with what the protocol adds to it: PKCE whatever the entry says, the resource in every request (RFC 8707),
/// and the client's proof that its registration agreed on.
fn as_mcp(provider: &Provider, custom: &Map<String, Value>) -> Provider {
    let mut entry = provider.clone();
    entry.disable_pkce = false;
    entry.authorization_params.retain(|name, _| !RESERVED.contains(&name.as_str()));
    if let Some(resource) = entry.authorization_params.get("resource").cloned() {
        let parameters: [Option<&mut IndexMap<_, _>>; 2] =
            [Some(&mut entry.token_params), entry.refresh_params.as_mut()];
        for parameters in parameters.into_iter().flatten() {
            parameters.entry("resource".to_owned()).or_insert_with(|| resource.clone());
        }
    }
    if custom.get(AUTH_METHOD).and_then(Value::as_str) == Some("client_secret_basic") {
        entry.authorization_method = AuthorizationMethod::Header;
    }
    entry
}

fn registration_of(provider: &Provider) -> ClientRegistration {
    let by_url = || match provider.registration_url {
        Some(_) => ClientRegistration::Dynamic,
        None => ClientRegistration::Static,
    };
    provider.client_registration.unwrap_or_else(by_url)
}

fn no_client() -> PopupError {
    PopupError::new(
        "provider_config_err",
        "The integration has no client id. Add one to the integration first.",
    )
}

/// The client id of an integration, which may have to be asked for.
async fn client_id(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    provider: &Provider,
) -> Result<String, PopupError> {
    if !integration.client_id().is_empty() {
        return Ok(integration.client_id().to_owned());
    }
    match registration_of(provider) {
        ClientRegistration::Static => Err(no_client()),
        ClientRegistration::Cimd => document_id(app, environment, integration),
        ClientRegistration::Dynamic => {
            let client = register_entry(app, environment, provider).await?;
            keep_client(app, &integration.row, &client).await
        }
    }
}

fn document_id(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
) -> Result<String, PopupError> {
    let id = public_client_id(&app.config.http, environment.uuid, &integration.row.unique_key);
    let message =
        "The provider reads who the client is from this server, which needs NANGO_SERVER_URL to be https.";
    id.ok_or_else(|| PopupError::new("provider_config_err", message))
}

/// The integration with its client id also where that is the address of a document.
async fn with_client(app: &App, integration: &OpenIntegration) -> Result<OpenIntegration, PopupError> {
    let mut integration = integration.clone();
    let mode = integration.provider.as_deref().map(registration_of);
    if integration.client_id().is_empty() && mode == Some(ClientRegistration::Cimd) {
        let environment = environments::find(&app.db, integration.row.environment_id).await?;
        let environment = environment.ok_or_else(no_client)?;
        integration.row.oauth_client_id = Some(document_id(app, &environment, &integration)?);
    }
    Ok(integration)
}

/// Gives a new integration its client where the entry's provider hands clients out. A provider that does not do so now is
/// asked again at the first sign-in.
///
/// # Errors
/// The database did not answer.
pub async fn register_new(
    app: &App,
    environment: EnvironmentId,
    provider: &Provider,
    row: &mut Integration,
) -> sqlx::Result<()> {
    let is_dynamic = provider.mode() == Some(AuthMode::McpOAuth2)
        && registration_of(provider) == ClientRegistration::Dynamic;
    if !is_dynamic || row.oauth_client_id.is_some() {
        return Ok(());
    }
    let Some(environment) = environments::find(&app.db, environment).await? else { return Ok(()) };
    let client = match register_entry(app, &environment, provider).await {
        Ok(client) => client,
        Err(error) => {
            tracing::warn!(
                provider = provider.name,
                error.reason = error.message,
                "no client registered for a new integration; the first sign-in will try again"
            );
            return Ok(());
        }
    };
    match Sealed::new(app, row, &client) {
        Ok(sealed) => {
            row.oauth_client_id = Some(client.client_id);
            row.oauth_client_secret = sealed.secret;
            row.custom = sealed.custom.or(row.custom.take());
        }
        Err(error) => ApiError::from(error).log(),
    }
    Ok(())
}

async fn register_entry(
    app: &App,
    environment: &Environment,
    provider: &Provider,
) -> Result<RegisteredClient, PopupError> {
    let context = Context::new(app.clock.now(), "");
    let url = |template: &Template| build_url(template, &context, Escape::Component).ok();
    let endpoint = provider.registration_url.as_ref().and_then(url).ok_or_else(|| {
        PopupError::new("provider_config_err", "The provider has no usable registration URL in the catalog.")
    })?;
    let registration = Registration {
        endpoint,
        is_foreign: false,
        callback_url: &callback_url(&app.config.http, environment),
        client_name: client_name(app, environment, &provider.name).await?,
        auth_method: "none",
        grant_types: listed(provider, "grant_types", &["authorization_code", "refresh_token"]),
        response_types: listed(provider, "response_types", &["code"]),
    };
    register(app, registration).await
}

fn listed(provider: &Provider, name: &str, usual: &[&str]) -> Vec<String> {
    let own = provider.registration_params.get(name).and_then(Value::as_array);
    let own = own.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    own.unwrap_or_else(|| usual.iter().map(|&text| text.to_owned()).collect())
}

/// A client as the row of an integration holds it.
struct Sealed {
    secret: Option<Vec<u8>>,
    /// `None` leaves the stored values alone.
    custom: Option<Vec<u8>>,
}

impl Sealed {
    fn new(app: &App, row: &Integration, client: &RegisteredClient) -> Result<Self, CryptoError> {
        let Some(secret) = client.client_secret.as_ref().filter(|_| !is_public(client)) else {
            return Ok(Sealed { secret: None, custom: None });
        };
        let mut custom = open_object(&app.cipher, row.custom.as_deref())?;
        if let Some(method) = &client.token_endpoint_auth_method {
            custom.insert(AUTH_METHOD.to_owned(), method.clone().into());
        }
        let custom = seal_object(&app.cipher, &custom)?;
        Ok(Sealed { secret: Some(app.cipher.seal_text(secret)?), custom })
    }
}

/// Whether the client does not prove itself, also when the server gave it a secret.
fn is_public(client: &RegisteredClient) -> bool {
    client.client_secret.is_none() || client.token_endpoint_auth_method.as_deref() == Some("none")
}

/// Stores a client and gives its id; that of another sign-in, when two registered at once.
async fn keep_client(app: &App, row: &Integration, client: &RegisteredClient) -> Result<String, PopupError> {
    let sealed = Sealed::new(app, row, client)?;
    let new = NewClient {
        id: &client.client_id,
        sealed_secret: sealed.secret.as_deref(),
        sealed_custom: sealed.custom.as_deref(),
    };
    let now = app.clock.now();
    let mut transaction = app.db.begin().await?;
    let stored = rows::set_client_if_absent(&mut *transaction, row.environment_id, row.id, new, now).await?;
    if stored.is_some() {
        changes::insert(&mut *transaction, ChangeKind::Integration, row.environment_id, row.id.0, now)
            .await?;
    }
    transaction.commit().await?;
    if stored.is_some() {
        app.forget_integration(row.id);
        app.fanout.call(Wake::Feed).await;
        tracing::info!(integration.id = row.id.0, "registered as a client of the provider");
        return Ok(client.client_id.clone());
    }
    let current = rows::find_by_id(&app.db, row.environment_id, row.id).await?;
    current.and_then(|row| row.oauth_client_id).ok_or_else(no_client)
}
