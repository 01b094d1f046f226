//! JWT: the token is signed here, with the end user's key (`spec` auth-flows, section 5.7). Renewing it is signing again.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::signed_jwt::sign_token;
use super::{Renewed, provider_of};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::{Parameter, Provider};
use crate::integrations::OpenIntegration;
use crate::oauth::{TokenError, with_operator_defaults};
use crate::template::{Context, Template};

const KIND: &str = "failed_to_generate";
/// Members of the stored object that no submitted field may be called.
const RESERVED: [&str; 3] = ["type", "token", "expires_at"];

/// Signs the token of what an end user submitted.
///
/// # Errors
/// `missing_token_body`, `missing_signature_type`, `failed_to_generate` or `failed_to_sign`.
pub fn sign_jwt(
    app: &App,
    integration: &OpenIntegration,
    fields: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Result<Credentials, TokenError> {
    let provider = provider_of(integration, KIND)?;
    let config = with_operator_defaults(integration, config);
    let fields: Map<String, Value> =
        fields.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())).map(owned).collect();
    let seen = split_pairs(provider, &fields);
    let (now, random) = (app.clock.now(), app.rng.uuid().to_string());
    let context = Context::new(now, &random).connection_config(&config).credentials(&seen);
    let signed = sign_token(provider, &context, now)?;
    Ok(Credentials::Jwt { token: signed.token, expires_at: Some(signed.expires_at), fields })
}

/// Signs again.
///
/// # Errors
/// As [`sign_jwt`].
pub fn renew(
    app: &App,
    integration: &OpenIntegration,
    fields: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let credentials = sign_jwt(app, integration, fields, config)?;
    Ok(Renewed { credentials, connection_config: Map::new() })
}

/// What an end user submitted, with keys that came in two halves written as one text `id:secret`. The published SDK has both
/// forms.
pub fn joined_pairs(submitted: &Map<String, Value>) -> Map<String, Value> {
    let join = |(name, value): (&String, &Value)| {
        let half = |half: &str| value.get(half).and_then(Value::as_str);
        let joined = half("id").zip(half("secret")).map(|(id, secret)| format!("{id}:{secret}"));
        (name.clone(), joined.map_or_else(|| value.clone(), Value::String))
    };
    submitted.iter().map(join).collect()
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// The fields as templates see them: where the entry asks for `.id` and `.secret` of a field, its text `id:secret` is split
/// (Ghost's admin keys).
fn split_pairs<'f>(provider: &Provider, fields: &'f Map<String, Value>) -> Cow<'f, Map<String, Value>> {
    let halves = fields.iter().filter_map(|(name, value)| {
        let (id, secret) = value.as_str()?.split_once(':')?;
        asks_for_halves(provider, name).then(|| (name, json!({"id": id, "secret": secret})))
    });
    let halves: Vec<_> = halves.collect();
    if halves.is_empty() {
        return Cow::Borrowed(fields);
    }
    let mut split = fields.clone();
    halves.into_iter().for_each(|(name, value)| {
        split.insert(name.clone(), value);
    });
    Cow::Owned(split)
}

fn asks_for_halves(provider: &Provider, field: &str) -> bool {
    let secret = format!("{field}.secret");
    let is_asked = |template: &Template| {
        template.names().any(|name| name.strip_prefix("credentials.").unwrap_or(name) == secret)
    };
    let Some(token) = &provider.token else { return false };
    let members = token.header.values().chain(token.payload.values()).flat_map(Parameter::templates);
    token.signing_key.iter().chain(members).any(is_asked)
}
