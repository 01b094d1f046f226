//! The exchange of an authorization code for tokens (RFC 6749, section 4.1.3; `spec` auth-flows, sections 5.1.2 to 5.1.4).

use serde_json::{Map, Value};

use super::answer::Kinds;
use super::callback::provider_errors;
use super::exception::{Exception, Phase};
use super::grant::Grant;
use super::session::Payload;
use super::token_call::{Client, TokenCall};
use super::token_refresh::integration_client;
use super::tokens::pick_metadata;
use super::{PopupError, TokenError};
use crate::app::App;
use crate::auth::{ClientOverride, Credentials};
use crate::catalog::Provider;
use crate::integrations::OpenIntegration;
use crate::modes::{Arrival, Obtained};

const KINDS: Kinds = Kinds { refused: "unknown", unreadable: "unable_to_parse_token_response" };

/// A code that came back with the callback.
struct Code<'a> {
    provider: &'a Provider,
    /// The connection's own client, where it has one, else the integration's.
    client: Client<'a>,
    code: &'a str,
    payload: &'a Payload,
    config: &'a Map<String, Value>,
}

/// Exchanges the code of a callback.
///
/// # Errors
/// The callback has no code, or the provider's words.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let code = Code {
        provider: arrival.provider,
        client: own_client(arrival.integration, &arrival.payload.client),
        code: code_of(arrival.provider, arrival.query)?,
        payload: arrival.payload,
        config: arrival.config,
    };
    let (credentials, found) = exchange_code(app, &code).await?;
    Ok(Obtained::ready(credentials, found))
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

/// Each half of the caller's own client replaces that of the integration.
fn own_client<'a>(integration: &'a OpenIntegration, own: &'a ClientOverride) -> Client<'a> {
    let given = integration_client(integration);
    Client {
        id: own.client_id.as_deref().unwrap_or(given.id),
        secret: own.client_secret.as_deref().unwrap_or(given.secret),
    }
}

/// Tokens for a code, with the metadata that the answer brought.
///
/// # Errors
/// The provider's words, or what the request lacks.
async fn exchange_code(app: &App, code: &Code<'_>) -> Result<(Credentials, Map<String, Value>), TokenError> {
    let exception = Exception::of(code.provider);
    let grant = Grant {
        provider: code.provider,
        exception: &exception,
        client: code.client,
        phase: Phase::Exchange,
        kinds: KINDS,
        config: code.config,
        old: &Map::new(),
        refresh_token: None,
        now: app.clock.now(),
        random: &app.rng.uuid().to_string(),
    };
    let granted = grant.ask(app, exchange_call(&grant, code)?).await?;
    let mut found = pick_metadata(&granted.answer, &code.provider.token_response_metadata);
    found.extend(granted.connection_config);
    let mut tokens = granted.tokens;
    if let Some(token) = &code.payload.refresh_token {
        tokens.raw.insert("refresh_token".to_owned(), token.clone().into());
        tokens.refresh_token = Some(token.clone());
    }
    let own = &code.payload.client;
    let credentials = Credentials::OAuth2 {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        expires_at: tokens.expires_at,
        raw: Value::Object(tokens.raw),
        config_override: (*own != ClientOverride::default()).then(|| own.clone()),
    };
    Ok((credentials, found))
}

fn exchange_call(grant: &Grant<'_>, code: &Code<'_>) -> Result<TokenCall, TokenError> {
    let (provider, payload) = (code.provider, code.payload);
    let extras = [
        ("clientId", code.client.id),
        ("clientSecret", code.client.secret),
        ("code", code.code),
        ("redirectUri", payload.callback_url.as_str()),
    ];
    let context = grant.context(&extras);
    let mut call = grant.call(None, &context)?;
    call.hide(code.code);
    call.set("grant_type", "authorization_code");
    call.set("code", code.code);
    call.set("redirect_uri", payload.callback_url.as_str());
    call.set_all(&provider.token_params, &context, &[])?;
    if !provider.disable_pkce {
        call.set("code_verifier", payload.code_verifier.as_str());
    }
    grant.authenticate(&mut call);
    grant.exception.token_request.apply(&mut call, code.client, &context)?;
    Ok(call)
}

/// What the connection is stored with (`spec` auth-flows, section 5.1.4): the metadata of the answer, under that of the
/// callback, under what was submitted. An empty submitted value does not hide a found one.
pub fn stored_config(
    mut found: Map<String, Value>,
    from_callback: Map<String, Value>,
    submitted: &Map<String, Value>,
) -> Map<String, Value> {
    found.extend(from_callback);
    for (name, value) in submitted {
        let is_empty = value.as_str() == Some("");
        if !is_empty || !found.contains_key(name) {
            found.insert(name.clone(), value.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn submitted_values_win_unless_they_are_empty() {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let stored = stored_config(
            object(json!({"team.id": "T", "a": "answer", "b": "answer", "c": "answer"})),
            object(json!({"b": "callback", "c": "callback"})),
            &object(json!({"c": "typed", "a": "", "d": ""})),
        );
        assert_eq!(
            Value::Object(stored),
            json!({"team.id": "T", "a": "answer", "b": "callback", "c": "typed", "d": ""})
        );
    }
}
