//! The refresh of an OAUTH2 token (RFC 6749, section 6; `spec` auth-flows, section 8.4). Called by `crate::refresh` only,
//! which holds the lease.

use serde_json::{Map, Value};

use super::answer::{Kinds, without_token};
use super::token_call::{Client, TokenCall, token_endpoint};
use super::tokens::read_tokens;
use super::{Renewed, TokenError, provider_of};
use crate::app::App;
use crate::auth::{AuthMode, ClientOverride, Credentials};
use crate::catalog::{AuthorizationMethod, BodyFormat, Provider, SkipEncode, TokenAuthMethod};
use crate::integrations::OpenIntegration;
use crate::template::{Context, Escape};

const KIND: &str = "refresh_token_external_error";
const KINDS: Kinds = Kinds { refused: KIND, unreadable: KIND };

/// Asks the token endpoint for a successor of an OAUTH2 token.
///
/// # Errors
/// `refresh_token_external_error` with the provider's words, or what the connection lacks.
pub async fn refresh_token(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let Credentials::OAuth2 { refresh_token: old, config_override, .. } = credentials else {
        return Err(TokenError::new(KIND, "Only OAUTH2 credentials have a refresh token."));
    };
    let missing = || TokenError::new("missing_refresh_token", "The connection has no refresh token.");
    let refresh_token = old.as_deref().filter(|token| !token.is_empty()).ok_or_else(missing)?;
    let provider = provider_of(integration, KIND)?;
    let (now, random) = (app.clock.now(), app.rng.uuid().to_string());
    let context = Context::new(now, &random).flat_connection_config(config);
    let client = refreshing_client(integration, config_override.as_ref());
    let answer = refresh_call(provider, client, refresh_token, &context)?.send(app).await?;
    let alternate = provider.alternate_access_token_response_path.as_deref();
    let names = answer.clone();
    let tokens = read_tokens(answer, alternate, now).ok_or_else(|| without_token(&names, KINDS))?;
    let credentials = Credentials::OAuth2 {
        access_token: tokens.access_token,
        // The old token stays good unless the provider rotated it.
        refresh_token: tokens.refresh_token.or_else(|| old.clone()),
        expires_at: tokens.expires_at,
        raw: Value::Object(tokens.raw),
        config_override: config_override.clone(),
    };
    Ok(Renewed { credentials, connection_config: Map::new() })
}

/// The connection's own client when both of its halves are known, else the integration's.
fn refreshing_client<'a>(
    integration: &'a OpenIntegration,
    config_override: Option<&'a ClientOverride>,
) -> Client<'a> {
    let own =
        config_override.and_then(|own| Some((own.client_id.as_deref()?, own.client_secret.as_deref()?)));
    match own {
        Some((id, secret)) => Client { id, secret },
        None => integration_client(integration),
    }
}

pub fn integration_client(integration: &OpenIntegration) -> Client<'_> {
    let secret = integration.client_secret.as_ref().map(|secret| secret.expose()).unwrap_or_default();
    Client { id: integration.client_id(), secret }
}

fn refresh_call(
    provider: &Provider,
    client: Client<'_>,
    refresh_token: &str,
    context: &Context<'_>,
) -> Result<TokenCall, TokenError> {
    let mut call = oauth2_call(provider, provider.refresh_url.as_ref(), context, KINDS)?;
    call.set("grant_type", "refresh_token");
    call.set("refresh_token", refresh_token);
    match &provider.refresh_params {
        Some(parameters) => call.set_all(parameters, context, &[])?,
        // Parameters meant for the exchange must not turn the refresh into one.
        None => call.set_all(&provider.token_params, context, &["grant_type", "code"])?,
    }
    authenticate(&mut call, provider, client);
    Ok(call)
}

/// An empty request to `url`, or to the token URL when that is absent.
pub fn oauth2_call(
    provider: &Provider,
    url: Option<&crate::template::Template>,
    context: &Context<'_>,
    kinds: Kinds,
) -> Result<TokenCall, TokenError> {
    let missing = || TokenError::new("missing_token_url", "The provider has no token URL in the catalog.");
    let template = url.or_else(|| provider.token_url_for(AuthMode::OAuth2)).ok_or_else(missing)?;
    let is_verbatim = provider.token_url_skip_encode.contains(&SkipEncode::BaseUrl);
    let escape = if is_verbatim { Escape::Verbatim } else { Escape::Component };
    let url = token_endpoint(template, context, escape)?;
    let format =
        if provider.body_format == Some(BodyFormat::Json) { BodyFormat::Json } else { BodyFormat::Form };
    Ok(TokenCall::post(url, format, kinds))
}

/// Proves the client as the catalog entry says (`spec` auth-flows, section 5.1.2).
pub fn authenticate(call: &mut TokenCall, provider: &Provider, client: Client<'_>) {
    if provider.authorization_method == AuthorizationMethod::Header {
        call.authenticate_basic_encoded(client);
    } else {
        call.authenticate_in_body(client);
    }
    if provider.token_request_auth_method == Some(TokenAuthMethod::Basic) {
        // Wire: in addition to the body, and unencoded.
        call.authenticate_basic(client.id, client.secret);
    }
}
