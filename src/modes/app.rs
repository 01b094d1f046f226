//! Apps that are installed rather than signed in to: GitHub's (`spec` auth-flows, section 5.12). The app proves itself with a
//! JWT signed with its private key, and gets a token of the installation for it.
//!
//! The redirect and the installation token are also the app half of `CUSTOM` (`modes::custom`).

use std::time::Duration;

use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value};
use url::Url;

use super::{Arrival, Departure, Obtained, Renewed, provider_of};
use crate::app::App;
use crate::auth::{AuthMode, Credentials, RsaKey, sign_app_jwt};
use crate::catalog::{BodyFormat, ExpiryUnit, SkipEncode};
use crate::integrations::OpenIntegration;
use crate::oauth::callback::provider_reason;
use crate::oauth::{
    self, Kinds, Payload, PopupError, TokenCall, TokenError, token_endpoint, with_operator_defaults,
};
use crate::template::{Context, Escape, Template, build_url};

/// The wire's code of every failure to get an installation token.
pub const KIND: &str = "github_app_token_fetch_error";
const KINDS: Kinds = Kinds { refused: KIND, unreadable: KIND };
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.github.v3+json");
/// Of one request for an installation token. `CUSTOM` makes another call in the same refresh, and both must end before its
/// lease does.
pub const CALL_LIMIT: Duration = Duration::from_secs(15);
/// What only this server may put into a connection config: an end user who could choose the installation would get the
/// tokens of somebody else's.
const OWN_NAMES: [&str; 8] = [
    "appPublicLink",
    "installation_id",
    "app_id",
    "jwtToken",
    "userCredentials",
    "handle",
    "pending",
    "pendingLog",
];

/// An installation as an importing customer names it.
pub struct Installation {
    pub app_id: String,
    pub installation_id: String,
}

/// Where the app is installed. What end users may not decide is taken out of the payload.
///
/// # Errors
/// The integration has no app link.
pub fn depart(app: &App, departure: Departure<'_>, payload: &mut Payload) -> Result<Url, PopupError> {
    let Departure { sign_in, provider, state } = departure;
    payload.connection_config.retain(|name, _| !OWN_NAMES.contains(&name.as_str()));
    // The page of an installation takes no PKCE challenge, so the exchange of its code may not send a verifier.
    payload.code_verifier.clear();
    let config = with_link(with_operator_defaults(sign_in.integration, &payload.connection_config), sign_in)?;
    let random = app.rng.uuid().to_string();
    let context = Context::new(app.clock.now(), &random).flat_connection_config(&config);
    let usual = Template::parse("${connectionConfig.appPublicLink}/installations/new");
    let usual = usual.map_err(|_| PopupError::new("url_param_err", "The link cannot be built."))?;
    let template = provider.authorization_url.as_ref().unwrap_or(&usual);
    let escape = escape(provider.authorization_url_skip_encode.contains(&SkipEncode::BaseUrl));
    let mut url = build_url(template, &context, escape).map_err(|error| {
        PopupError::new("url_param_err", format!("The link to the app cannot be built: {error}."))
    })?;
    url.query_pairs_mut().append_pair("state", state);
    Ok(url)
}

fn with_link(
    mut config: Map<String, Value>,
    sign_in: &oauth::SignIn<'_>,
) -> Result<Map<String, Value>, PopupError> {
    config.insert("appPublicLink".to_owned(), app_link(sign_in.integration)?.into());
    Ok(config)
}

/// The app's public page: a column of the integration, or a value of `custom` for the modes whose settings have no member
/// for it.
///
/// # Errors
/// The integration has none.
pub fn app_link(integration: &OpenIntegration) -> Result<&str, PopupError> {
    let column = integration.row.app_link.as_deref().map(str::trim).filter(|link| !link.is_empty());
    column.or_else(|| text(&integration.custom, "app_link")).ok_or_else(|| {
        PopupError::new("provider_config_err", "The integration has no app link. Add it to the integration.")
    })
}

fn escape(is_verbatim: bool) -> Escape {
    if is_verbatim { Escape::Verbatim } else { Escape::Component }
}

/// The token of the installation that the callback names.
///
/// # Errors
/// The callback names none, or the provider's words.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    if arrival.query.get("setup_action").and_then(Value::as_str) == Some("request") {
        let message = "The installation has to be approved by an owner first, which this provider cannot wait \
            for. Use the provider with user login (auth mode CUSTOM).";
        return Err(PopupError::new("wrong_auth_mode", message));
    }
    let installation = installation_of(arrival.query)?.ok_or_else(|| {
        let reason = provider_reason(arrival.query);
        PopupError::new("callback_err", format!("No installation_id in the callback.{reason}"))
    })?;
    let (credentials, gained) = install(app, arrival, installation).await?;
    Ok(Obtained::ready(credentials, gained))
}

/// The installation that a callback names.
///
/// # Errors
/// It names something that cannot be one.
pub fn installation_of(query: &Value) -> Result<Option<&str>, PopupError> {
    let given = query.get("installation_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let is_plain = |id: &str| id.len() <= 255 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match given {
        Some(id) if !is_plain(id) => {
            Err(PopupError::new("callback_err", "The installation_id in the callback is not one."))
        }
        given => Ok(given),
    }
}

/// A token of this installation, and what the connection config gains by it.
///
/// # Errors
/// The provider's words, or what the integration lacks.
pub async fn install(
    app: &App,
    arrival: Arrival<'_>,
    installation: &str,
) -> Result<(Credentials, Map<String, Value>), TokenError> {
    let mut config = arrival.config.clone();
    config.insert("installation_id".to_owned(), installation.into());
    let renewed = fetch_token(app, arrival.integration, &config).await?;
    let mut gained = renewed.connection_config;
    gained.insert("installation_id".to_owned(), installation.into());
    Ok((renewed.credentials, gained))
}

/// A token for an installation that was made elsewhere.
///
/// # Errors
/// The provider's words, or what the integration lacks.
pub async fn import_installation(
    app: &App,
    integration: &OpenIntegration,
    installation: &Installation,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let mut config = config.clone();
    config.insert("app_id".to_owned(), installation.app_id.clone().into());
    config.insert("installation_id".to_owned(), installation.installation_id.clone().into());
    let mut renewed = fetch_token(app, integration, &config).await?;
    config.extend(renewed.connection_config);
    renewed.connection_config = config;
    Ok(renewed)
}

/// Asks for a token of the installation that the connection config names. The config gains the app's id and its proof.
///
/// # Errors
/// `github_app_token_fetch_error` with the provider's words, or what the connection or the integration lacks.
pub async fn fetch_token(
    app: &App,
    integration: &OpenIntegration,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let provider = provider_of(integration, KIND)?;
    let now = app.clock.now();
    let app_id = app_id(integration, config)?.to_owned();
    let jwt = sign_app_jwt(&private_key(integration)?, &app_id, now)
        .map_err(|error| TokenError::new(KIND, format!("The private key is of no use: {error}.")))?;
    let config = with_operator_defaults(integration, config);
    let random = app.rng.uuid().to_string();
    let context = Context::new(now, &random).flat_connection_config(&config);
    let missing = || TokenError::new(KIND, "The provider has no token URL for apps in the catalog.");
    let template = provider.token_url_for(AuthMode::App).ok_or_else(missing)?;
    let escape = escape(provider.token_url_skip_encode.contains(&SkipEncode::BaseUrl));
    let answer = call(token_endpoint(template, &context, escape)?, &jwt)?.send(app).await?;
    let token = answer.get("token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let missing = || TokenError::new(KIND, "The answer of the token endpoint has no `token`.");
    let credentials = Credentials::App {
        access_token: token.ok_or_else(missing)?.to_owned(),
        expires_at: oauth::expiry(&answer, ExpiryUnit::Seconds, now),
        jwt_token: Some(jwt.clone()),
        raw: Value::Object(answer),
    };
    let mut gained = Map::from_iter([("jwtToken".to_owned(), Value::String(jwt))]);
    if !config.contains_key("app_id") {
        gained.insert("app_id".to_owned(), app_id.into());
    }
    Ok(Renewed { credentials, connection_config: gained })
}

fn call(url: Url, jwt: &str) -> Result<TokenCall, TokenError> {
    let mut call = TokenCall::post(url, BodyFormat::Json, KINDS);
    call.time_limit = CALL_LIMIT;
    call.hide(jwt);
    let mut proof = HeaderValue::from_str(&format!("Bearer {jwt}"))
        .map_err(|_| TokenError::new(KIND, "The proof of the app cannot be sent."))?;
    proof.set_sensitive(true);
    call.headers.insert(AUTHORIZATION, proof);
    call.headers.insert(ACCEPT, MEDIA_TYPE);
    Ok(call)
}

/// The app's id: the integration's, which belongs to its key, else the one that an import named.
fn app_id<'a>(
    integration: &'a OpenIntegration,
    config: &'a Map<String, Value>,
) -> Result<&'a str, TokenError> {
    // For CUSTOM, the column holds the OAuth client.
    let column = Some(integration.client_id()).filter(|_| is_plain_app(integration));
    let own = || text(&integration.custom, "app_id");
    let found = column.filter(|id| !id.is_empty()).or_else(own).or_else(|| text(config, "app_id"));
    found.ok_or_else(|| TokenError::new(KIND, "The integration has no app id."))
}

fn private_key(integration: &OpenIntegration) -> Result<RsaKey, TokenError> {
    let column = integration.client_secret.as_ref().map(|secret| secret.expose());
    let column = column.filter(|key| !key.is_empty() && is_plain_app(integration));
    let found = column.or_else(|| text(&integration.custom, "private_key"));
    let found = found.ok_or_else(|| TokenError::new(KIND, "The integration has no private key."))?;
    RsaKey::read(found).map_err(|error| {
        TokenError::new(KIND, format!("The private key of the integration cannot be used: {error}."))
    })
}

fn is_plain_app(integration: &OpenIntegration) -> bool {
    integration.provider.as_ref().is_some_and(|provider| provider.mode() == Some(AuthMode::App))
}

fn text<'a>(values: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
