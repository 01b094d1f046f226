//! The refresh of an OAUTH2 token (RFC 6749, section 6; `spec` auth-flows, section 8.4). Called by `crate::refresh` only,
//! which holds the lease.

use serde_json::{Map, Value};

use super::answer::Kinds;
use super::exception::{Exception, Phase};
use super::grant::Grant;
use super::token_call::{Client, TokenCall};
use super::{TokenError, with_operator_defaults};
use crate::app::App;
use crate::auth::{ClientOverride, Credentials};
use crate::integrations::OpenIntegration;
use crate::modes::{Renewed, provider_of};

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
    let Credentials::OAuth2 { access_token, refresh_token: old, raw, config_override, .. } = credentials
    else {
        return Err(TokenError::new(KIND, "Only OAUTH2 credentials have a refresh token."));
    };
    let provider = provider_of(integration, KIND)?;
    let exception = Exception::of(provider);
    let refresh_token = old.as_deref().filter(|token| !token.is_empty());
    if refresh_token.is_none() && !exception.refresh_request.without_refresh_token {
        return Err(TokenError::new("missing_refresh_token", "The connection has no refresh token."));
    }
    let config = with_operator_defaults(integration, config);
    let before = Map::from_iter([("raw".to_owned(), raw.clone())]);
    let grant = Grant {
        provider,
        exception: &exception,
        client: refreshing_client(integration, config_override.as_ref()),
        phase: Phase::Refresh,
        kinds: KINDS,
        config: &config,
        old: &before,
        refresh_token,
        now: app.clock.now(),
        random: &app.rng.uuid().to_string(),
    };
    let granted = grant.ask(app, refresh_call(&grant, access_token)?).await?;
    let credentials = Credentials::OAuth2 {
        access_token: granted.tokens.access_token,
        // The old token stays good unless the provider rotated it.
        refresh_token: granted.tokens.refresh_token.or_else(|| old.clone()),
        expires_at: granted.tokens.expires_at,
        raw: Value::Object(granted.tokens.raw),
        config_override: config_override.clone(),
    };
    Ok(Renewed { credentials, connection_config: granted.connection_config })
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

fn refresh_call(grant: &Grant<'_>, access_token: &str) -> Result<TokenCall, TokenError> {
    let (provider, client) = (grant.provider, grant.client);
    let refresh_token = grant.refresh_token.unwrap_or_default();
    let extras = [
        ("clientId", client.id),
        ("clientSecret", client.secret),
        ("accessToken", access_token),
        ("refreshToken", refresh_token),
    ];
    let context = grant.context(&extras);
    let mut call = grant.call(provider.refresh_url.as_ref(), &context)?;
    call.hide(access_token);
    call.set("grant_type", "refresh_token");
    call.set("refresh_token", refresh_token);
    match &provider.refresh_params {
        Some(parameters) => call.set_all(parameters, &context, &[])?,
        // Parameters meant for the exchange must not turn the refresh into one.
        None => call.set_all(&provider.token_params, &context, &["grant_type", "code"])?,
    }
    grant.authenticate(&mut call);
    grant.exception.refresh_request.apply(&mut call, client, &context)?;
    Ok(call)
}
