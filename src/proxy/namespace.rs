//! The names that templates of a `proxy` section may use: one namespace for all modes (`spec` providers, section 6.3).
//! Pure. The copy of the credentials in it is wiped when it goes.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::auth::{ClientOverride, Credentials};
use crate::db::connections::Connection;
use crate::integrations::OpenIntegration;
use crate::template::Context;

/// Where the values come from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub integration: &'a OpenIntegration,
    pub credentials: &'a Credentials,
    /// As cleaned by [`clean_config`].
    pub connection_config: &'a Map<String, Value>,
    pub metadata: Option<&'a Map<String, Value>>,
    pub connection_id: &'a str,
}

/// The values of one moment.
pub(super) struct Namespace<'a> {
    origin: Origin<'a>,
    credentials: Map<String, Value>,
    extras: Vec<(&'a str, &'a str)>,
    found: Option<&'a Map<String, Value>>,
    random: String,
    now: DateTime<Utc>,
}

impl<'a> Namespace<'a> {
    pub fn new(origin: Origin<'a>, random: String, now: DateTime<Utc>) -> Self {
        let (client_id, client_secret) = client(origin.integration, origin.credentials);
        let mut extras = vec![
            ("connection_id", origin.connection_id),
            ("clientId", client_id),
            ("clientSecret", client_secret),
        ];
        extras.extend(origin.credentials.bearer_token().map(|token| ("accessToken", token)));
        let mut credentials = match origin.credentials.to_json() {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        credentials.extend(operator_credentials(origin.integration));
        Namespace { origin, credentials, extras, found: None, random, now }
    }

    /// Adds names that belong to one request.
    pub fn with_request(mut self, names: &[(&'static str, &'a str)]) -> Self {
        self.extras.extend_from_slice(names);
        self
    }

    /// Adds what the earlier steps of a hook brought.
    pub fn with_found(self, found: &'a Map<String, Value>) -> Self {
        let mut namespace = self;
        namespace.found = Some(found);
        namespace
    }

    pub fn context(&self) -> Context<'_> {
        let context = Context::new(self.now, &self.random)
            .connection_config(self.origin.connection_config)
            .credentials(&self.credentials)
            .extras(&self.extras);
        let context = match self.found {
            Some(found) => context.found(found),
            None => context,
        };
        match self.origin.metadata {
            Some(metadata) => context.metadata(metadata),
            None => context,
        }
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        self.credentials.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Credentials that the operator set for every connection. They are never copied into one, and replace what users typed.
fn operator_credentials(integration: &OpenIntegration) -> impl Iterator<Item = (String, Value)> {
    let provider = integration.provider.iter();
    let names = provider.flat_map(|provider| {
        provider.integration_config.keys().filter(|name| provider.credentials.contains_key(*name))
    });
    names.filter_map(|name| {
        let value = integration.custom.get(name).filter(|value| value.as_str() != Some(""))?;
        Some((name.clone(), value.clone()))
    })
}

/// The client that got the token: the end user's own one when both halves are stored, else the integration's.
fn client<'a>(integration: &'a OpenIntegration, credentials: &'a Credentials) -> (&'a str, &'a str) {
    let own = match credentials {
        Credentials::OAuth2 { config_override, .. } | Credentials::Tba { config_override, .. } => {
            config_override.as_ref().and_then(both_halves)
        }
        Credentials::OAuth2Cc { client_id, client_secret, .. } => {
            Some((client_id.as_str(), client_secret.as_str()))
        }
        Credentials::OAuth1 { .. }
        | Credentials::Basic { .. }
        | Credentials::ApiKey { .. }
        | Credentials::App { .. }
        | Credentials::Jwt { .. }
        | Credentials::Bill { .. }
        | Credentials::TwoStep { .. }
        | Credentials::Signature { .. }
        | Credentials::AwsSigV4 { .. }
        | Credentials::None => None,
    };
    let secret = || integration.client_secret.as_ref().map_or("", |secret| secret.expose());
    own.unwrap_or_else(|| (integration.client_id(), secret()))
}

fn both_halves(own: &ClientOverride) -> Option<(&str, &str)> {
    Some((own.client_id.as_deref()?, own.client_secret.as_deref()?))
}

/// The connection config as templates see it: a literal `connectionConfig.` in a stored name does not count, and empty
/// texts count as missing.
pub fn clean_config(stored: &Map<String, Value>) -> Map<String, Value> {
    let is_filled = |value: &Value| value.as_str() != Some("");
    let pairs = stored.iter().filter(|(_, value)| is_filled(value));
    pairs
        .map(|(name, value)| {
            (name.strip_prefix("connectionConfig.").unwrap_or(name).to_owned(), value.clone())
        })
        .collect()
}

/// Metadata, when it is an object.
pub(super) fn metadata(connection: &Connection) -> Option<&Map<String, Value>> {
    connection.metadata.as_ref().and_then(Value::as_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_names_lose_their_prefix_and_empty_values_go() {
        let stored = json!({"connectionConfig.sub": "a", "empty": "", "n": 0, "b": "x"});
        let cleaned = clean_config(stored.as_object().unwrap());
        assert_eq!(Value::Object(cleaned), json!({"sub": "a", "n": 0, "b": "x"}));
    }
}
