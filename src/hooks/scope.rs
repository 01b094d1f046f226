//! What the steps of a hook know: the connection, and what the earlier steps found. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::steps::Found;
use crate::auth::Credentials;
use crate::catalog::{HookCondition, HookSource, value_at};
use crate::integrations::OpenIntegration;
use crate::proxy::{OnBehalf, clean_config};

const ANSWER: &str = "answer";
const PICKED: &str = "picked";
const JWT: &str = "jwt";
const RAW_TOKEN: &str = "raw_token";

/// Grows from step to step. Deliberately without `Debug`.
pub(super) struct Scope<'a> {
    integration: &'a OpenIntegration,
    credentials: &'a Credentials,
    connection_id: &'a str,
    config: Map<String, Value>,
    metadata: Map<String, Value>,
    /// Under the names by which templates and conditions know them.
    found: Map<String, Value>,
}

impl<'a> Scope<'a> {
    pub fn new(
        integration: &'a OpenIntegration,
        credentials: &'a Credentials,
        config: &Map<String, Value>,
        metadata: Option<&Value>,
        connection_id: &'a str,
    ) -> Self {
        let mut found = Map::new();
        found.extend(credentials.bearer_token().and_then(claims).map(|claims| (JWT.to_owned(), claims)));
        let raw = credentials.to_json().get_mut("raw").map(Value::take).filter(|raw| !raw.is_null());
        found.extend(raw.map(|raw| (RAW_TOKEN.to_owned(), raw)));
        let metadata = metadata.and_then(Value::as_object).cloned().unwrap_or_default();
        Scope { integration, credentials, connection_id, config: clean_config(config), metadata, found }
    }

    pub fn on_behalf(&self) -> OnBehalf<'_> {
        OnBehalf {
            integration: self.integration,
            credentials: self.credentials,
            connection_config: &self.config,
            metadata: Some(&self.metadata),
            connection_id: self.connection_id,
            found: &self.found,
        }
    }

    pub fn set_answer(&mut self, answer: Value) {
        self.found.insert(ANSWER.to_owned(), answer);
    }

    pub fn set_picked(&mut self, picked: Value) {
        self.found.insert(PICKED.to_owned(), picked);
    }

    /// What a step found is known to the next ones.
    pub fn keep(&mut self, found: &Found) {
        self.config.extend(found.set.clone());
        self.metadata.extend(found.metadata.clone());
        self.config.retain(|name, _| !found.unset.contains(name));
    }

    pub fn source(&self, source: HookSource) -> Option<Value> {
        let name = match source {
            HookSource::Answer => ANSWER,
            HookSource::Picked => PICKED,
            HookSource::Jwt => JWT,
            HookSource::RawToken => RAW_TOKEN,
            HookSource::Credentials => return Some(self.credentials.to_json()),
            HookSource::Config => return Some(Value::Object(self.config.clone())),
        };
        self.found.get(name).cloned()
    }

    pub fn holds(&self, condition: &HookCondition) -> bool {
        let is_set = |name: &String| self.config.get(name).is_some_and(|value| !value.is_null());
        condition.set.iter().all(is_set)
            && !condition.unset.iter().any(is_set)
            && condition.equals.iter().all(|(name, wanted)| self.value(name).as_ref() == Some(wanted))
            && condition.contains.iter().all(|(name, part)| {
                self.value(name).is_some_and(|value| match &value {
                    Value::Array(items) => items.iter().any(|item| holds_text(item, part)),
                    one => holds_text(one, part),
                })
            })
    }

    fn value(&self, name: &str) -> Option<Value> {
        let (root, path) = name.split_once('.')?;
        let value = match root {
            "connectionConfig" => self.config.get(path).cloned(),
            "metadata" => self.metadata.get(path).cloned(),
            "credentials" => value_at(&self.credentials.to_json(), path).cloned(),
            found => value_at(self.found.get(found)?, path).cloned(),
        };
        value.filter(|value| !value.is_null())
    }
}

fn holds_text(value: &Value, part: &str) -> bool {
    value.as_str().is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
}

/// The claims of a JWT, whose signature is the provider's business: it came from the provider itself.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}
