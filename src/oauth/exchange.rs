//! The exchange of an authorization code for tokens (RFC 6749, section 4.1.3; `spec` auth-flows, sections 5.1.2 to 5.1.4).

use serde_json::{Map, Value};

use super::TokenError;
use super::answer::{Kinds, without_token};
use super::session::Payload;
use super::token_call::{Client, TokenCall};
use super::token_refresh::{authenticate, oauth2_call};
use super::tokens::{pick_metadata, read_tokens};
use crate::app::App;
use crate::auth::{ClientOverride, Credentials};
use crate::catalog::Provider;
use crate::template::Context;

const KINDS: Kinds = Kinds { refused: "unknown", unreadable: "unable_to_parse_token_response" };

/// A code that came back with the callback.
pub struct Grant<'a> {
    pub provider: &'a Provider,
    /// The connection's own client, where it has one, else the integration's.
    pub client: Client<'a>,
    pub code: &'a str,
    pub payload: &'a Payload,
    /// The connection config with the operator's defaults and what the callback brought.
    pub config: &'a Map<String, Value>,
}

/// Tokens for a code, with the metadata that the answer brought.
///
/// # Errors
/// The provider's words, or what the request lacks.
pub async fn exchange_code(
    app: &App,
    grant: &Grant<'_>,
) -> Result<(Credentials, Map<String, Value>), TokenError> {
    let (now, random) = (app.clock.now(), app.rng.uuid().to_string());
    let context = Context::new(now, &random).flat_connection_config(grant.config);
    let answer = exchange_call(grant, &context)?.send(app).await?;
    let metadata = pick_metadata(&answer, &grant.provider.token_response_metadata);
    let names: Map<String, Value> = answer.keys().map(|name| (name.clone(), Value::Null)).collect();
    let alternate = grant.provider.alternate_access_token_response_path.as_deref();
    let mut tokens = read_tokens(answer, alternate, now).ok_or_else(|| without_token(&names, KINDS))?;
    if let Some(token) = &grant.payload.refresh_token {
        tokens.raw.insert("refresh_token".to_owned(), token.clone().into());
        tokens.refresh_token = Some(token.clone());
    }
    let own = &grant.payload.client;
    let credentials = Credentials::OAuth2 {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        expires_at: tokens.expires_at,
        raw: Value::Object(tokens.raw),
        config_override: (*own != ClientOverride::default()).then(|| own.clone()),
    };
    Ok((credentials, metadata))
}

fn exchange_call(grant: &Grant<'_>, context: &Context<'_>) -> Result<TokenCall, TokenError> {
    let provider = grant.provider;
    let mut call = oauth2_call(provider, None, context, KINDS)?;
    call.hide(grant.code);
    call.set("grant_type", "authorization_code");
    call.set("code", grant.code);
    call.set("redirect_uri", grant.payload.callback_url.as_str());
    call.set_all(&provider.token_params, context, &[])?;
    if !provider.disable_pkce {
        call.set("code_verifier", grant.payload.code_verifier.as_str());
    }
    authenticate(&mut call, provider, grant.client);
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
