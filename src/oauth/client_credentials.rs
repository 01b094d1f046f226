//! The client-credentials grant (RFC 6749, section 4.4) of OAUTH2_CC connections (`spec` auth-flows, section 5.3).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::TokenError;
use super::answer::{Kinds, without_token};
use super::assertion::{Claims, sign_assertion};
use super::token_call::{Client, TokenCall, token_endpoint};
use super::tokens::{expiry, lookup, pick_metadata, text};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::{BodyFormat, Provider, TokenAuthMethod};
use crate::integrations::OpenIntegration;
use crate::modes::{Renewed, provider_of};
use crate::template::{Context, Escape};

const KIND: &str = "client_credentials_fetch_error";
const KINDS: Kinds = Kinds { refused: KIND, unreadable: KIND };
/// Of tokens whose answer names no lifetime.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(55);
/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client that an end user typed in. Deliberately without `Debug`.
#[derive(Clone, Default)]
pub struct ClientCredentialsInput {
    pub client_id: String,
    pub client_secret: Zeroizing<String>,
    /// PEM, for mutual TLS.
    pub client_certificate: Option<String>,
    /// PEM with the certificate; a JWK as JSON text for `private_key_jwt`.
    pub client_private_key: Option<Zeroizing<String>>,
}

/// What makes an assertion unique.
#[derive(Clone, Copy)]
struct Nonce<'a> {
    jti: &'a str,
    now: DateTime<Utc>,
}

/// Asks the token endpoint for the first token of a connection. The returned connection config holds what the connection
/// gains: `oauth_scopes` and the metadata of the answer.
///
/// # Errors
/// `client_credentials_fetch_error` with the provider's words; `missing_token_url`, `invalid_connection_config`,
/// `missing_client_private_key` or `invalid_certificate_or_key_format` before anything was sent.
pub async fn obtain_client_credentials(
    app: &App,
    integration: &OpenIntegration,
    input: ClientCredentialsInput,
    connection_config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let provider = provider_of(integration, KIND)?;
    let mut gained = Map::new();
    if let Some(scopes) = integration_scopes(integration, connection_config) {
        gained.insert("oauth_scopes".to_owned(), scopes.into());
    }
    let mut config = connection_config.clone();
    config.extend(gained.clone());
    let (credentials, answer) = fetch(app, provider, &input, &config).await?;
    gained.extend(pick_metadata(&answer, &provider.token_response_metadata));
    Ok(Renewed { credentials, connection_config: gained })
}

/// Asks the token endpoint for a new OAUTH2_CC token.
///
/// # Errors
/// As [`obtain_client_credentials`].
pub async fn renew_client_credentials(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let Credentials::OAuth2Cc { client_id, client_secret, client_certificate, client_private_key, .. } =
        credentials
    else {
        return Err(TokenError::new(
            KIND,
            "Only OAUTH2_CC credentials are renewed with the client's own secret.",
        ));
    };
    let provider = provider_of(integration, KIND)?;
    let input = ClientCredentialsInput {
        client_id: client_id.clone(),
        client_secret: client_secret.clone().into(),
        client_certificate: client_certificate.clone(),
        client_private_key: client_private_key.clone().map(Zeroizing::new),
    };
    let mut config = config.clone();
    if let Some(scopes) = integration_scopes(integration, &config) {
        config.insert("oauth_scopes".to_owned(), scopes.into());
    }
    let (credentials, _) = fetch(app, provider, &input, &config).await?;
    Ok(Renewed { credentials, connection_config: Map::new() })
}

/// The integration's scopes, comma separated, where the connection has none of its own.
fn integration_scopes(integration: &OpenIntegration, config: &Map<String, Value>) -> Option<String> {
    let scopes = integration.scopes().collect::<Vec<_>>().join(",");
    (!config.contains_key("oauth_scopes") && !scopes.is_empty()).then_some(scopes)
}

async fn fetch(
    app: &App,
    provider: &Provider,
    input: &ClientCredentialsInput,
    config: &Map<String, Value>,
) -> Result<(Credentials, Map<String, Value>), TokenError> {
    let (now, random) = (app.clock.now(), app.rng.uuid().to_string());
    let typed = json!({"client_id": input.client_id, "client_secret": *input.client_secret});
    let typed = typed.as_object().cloned().unwrap_or_default();
    let extras = [("clientId", input.client_id.as_str()), ("clientSecret", input.client_secret.as_str())];
    let context =
        Context::new(now, &random).flat_connection_config(config).credentials(&typed).extras(&extras);
    let call = token_call(provider, input, config, &context, Nonce { jti: &random, now })?;
    let answer = call.send(app).await?;
    let token = token_in(&answer).ok_or_else(|| without_token(&answer, KINDS))?.to_owned();
    let credentials = Credentials::OAuth2Cc {
        token,
        client_id: input.client_id.clone(),
        client_secret: input.client_secret.to_string(),
        client_certificate: input.client_certificate.clone(),
        client_private_key: input.client_private_key.as_ref().map(|key| key.to_string()),
        expires_at: Some(expiry(&answer, provider.expires_in_unit, now).unwrap_or(now + DEFAULT_LIFETIME)),
        raw: Value::Object(answer.clone()),
    };
    Ok((credentials, answer))
}

fn token_in(answer: &Map<String, Value>) -> Option<&str> {
    let nested = || lookup(answer, "data.token").and_then(Value::as_str).filter(|token| !token.is_empty());
    text(answer, "access_token").or_else(nested).or_else(|| text(answer, "jwt"))
}

/// Parameters in the order of the wire: the client, the entry's own, `scope`, the connection's own.
fn token_call(
    provider: &Provider,
    input: &ClientCredentialsInput,
    config: &Map<String, Value>,
    context: &Context<'_>,
    nonce: Nonce<'_>,
) -> Result<TokenCall, TokenError> {
    refuse_mutual_tls(provider, input)?;
    let missing = || TokenError::new("missing_token_url", "The provider has no token URL in the catalog.");
    let template = provider.token_url().ok_or_else(missing)?;
    let url = token_endpoint(template, context, Escape::Component)?;
    let mut call = TokenCall::post(url, provider.body_format.unwrap_or(BodyFormat::Form), KINDS);
    call.hide(&input.client_secret);
    authenticate(&mut call, provider, input, nonce)?;
    call.set_all(&provider.token_params, context, &[])?;
    if let Some(scopes) = connection_scopes(config, &provider.scope_separator) {
        call.set("scope", scopes);
    }
    for (name, value) in config.get("authorization_params").and_then(Value::as_object).into_iter().flatten() {
        call.set(name, value.clone());
    }
    call.set_headers(&provider.token_headers, context)?;
    Ok(call)
}

fn authenticate(
    call: &mut TokenCall,
    provider: &Provider,
    input: &ClientCredentialsInput,
    nonce: Nonce<'_>,
) -> Result<(), TokenError> {
    let client = Client { id: &input.client_id, secret: &input.client_secret };
    match provider.token_request_auth_method {
        None => call.authenticate_in_body(client),
        Some(TokenAuthMethod::Basic) => call.authenticate_basic(client.id, client.secret),
        Some(TokenAuthMethod::Custom) => {
            call.set("username", client.id);
            call.set("password", client.secret);
        }
        Some(TokenAuthMethod::PrivateKeyJwt) => {
            let missing = || {
                TokenError::new(
                    "missing_client_private_key",
                    "This provider needs `client_private_key`, a JWK.",
                )
            };
            let key =
                input.client_private_key.as_deref().filter(|key| !key.is_empty()).ok_or_else(missing)?;
            let claims =
                Claims { client_id: client.id, audience: call.url.as_str(), jti: nonce.jti, now: nonce.now };
            let assertion = sign_assertion(key, &claims)
                .map_err(|error| TokenError::new("invalid_certificate_or_key_format", format!("{error}.")))?;
            call.set("client_id", client.id);
            call.set("client_assertion_type", ASSERTION_TYPE);
            call.set("client_assertion", assertion);
        }
    }
    Ok(())
}

/// The client of token endpoints cannot present a certificate; saying so beats a refusal that nobody understands.
fn refuse_mutual_tls(provider: &Provider, input: &ClientCredentialsInput) -> Result<(), TokenError> {
    let has_certificate = input.client_certificate.as_deref().is_some_and(|pem| !pem.trim().is_empty());
    if !provider.require_client_certificate && !has_certificate {
        return Ok(());
    }
    let message = "Token endpoints that want a client certificate (mutual TLS) are not supported yet.";
    Err(TokenError::new(KIND, message))
}

/// Scopes are kept comma separated, or as a list, and sent with the provider's separator.
fn connection_scopes(config: &Map<String, Value>, separator: &str) -> Option<String> {
    let scopes: Vec<&str> = match config.get("oauth_scopes")? {
        Value::String(text) => text.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    (!scopes.is_empty()).then(|| scopes.join(separator))
}
