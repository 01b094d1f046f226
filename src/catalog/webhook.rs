//! The `webhook` section of an entry: how a provider's webhooks are verified, answered and matched with connections
//! (`spec` auth-flows, sections 11.2 to 11.7). Data only; `webhooks::incoming` acts on it.
//!
//! An entry that merely names a `webhook_routing_script`, as published catalogs do, has the section that
//! `assets/webhook_scripts.yaml` keeps under that name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Parameter;
use super::load::{Duplicates, parse};
use crate::template::{Context, Template, Unresolved};

/// What a request may be late by, in seconds, when the entry does not say.
const USUAL_TOLERANCE: u32 = 300;

/// How the webhooks of a provider are read. Misspelled keys are refused: one of them may be the one that verifies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Alternatives: the first whose signature the request has decides. Empty: the provider proves nothing.
    pub verify: Vec<Check>,
    /// Requests that want an answer of their own.
    pub answers: Vec<Reply>,
    /// The field of a form body that holds the JSON.
    pub form_field: Option<String>,
    /// Dotted path of a base64 text whose JSON is what the event is found in.
    pub wrapped_in: Option<String>,
    /// Dotted path of the list of events, empty when the body is that list. Absent: the body is one event.
    pub events: Option<String>,
    /// Events that nobody wants.
    pub skip: Option<Condition>,
    pub connections: Matching,
    /// What the event is called; the first that has a value.
    #[serde(deserialize_with = "one_or_many")]
    pub event_type: Vec<Template>,
    /// What tells the delivery apart from all others.
    pub event_id: Option<Template>,
    pub payload: Payload,
    /// Which waiting connections an event may complete.
    pub completes: Option<Completion>,
}

/// One way in which a request proves where it comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Which requests are signed like this; absent, all that have the signature.
    pub when: Option<Condition>,
    /// The signature, token or JWT of the request.
    pub signature: Template,
    /// Splits a signature that is a list.
    pub separator: Option<String>,
    /// What stands before the signature; parts of a list without it are no signatures.
    #[serde(default, deserialize_with = "one_or_many")]
    pub prefix: Vec<String>,
    pub algorithm: Algorithm,
    #[serde(default)]
    pub encoding: Encoding,
    #[serde(default)]
    pub signed: Signed,
    /// The SHA-256 of the body in hex, where the signature covers that instead of the body.
    pub body_digest: Option<Template>,
    /// Each that has a value may fit. Of a JWT: none.
    #[serde(default, deserialize_with = "one_or_many")]
    pub key: Vec<Template>,
    #[serde(default)]
    pub key_encoding: KeyEncoding,
    /// Taken off the key when it is there.
    pub key_prefix: Option<String>,
    /// A document that the request names and that holds the key: `${fetchedKey}`.
    pub key_document: Option<KeyDocument>,
    pub timestamp: Option<Timestamp>,
    pub jwt: Option<Jwt>,
    /// The keys are the secrets that handshakes agreed on for the request's address.
    #[serde(default)]
    pub agreed: bool,
    /// Nothing is asked for as long as there is no key.
    #[serde(default)]
    pub optional: bool,
}

impl Check {
    /// Whether the key is a connection's, so that connections are found before the request is believed.
    pub fn is_of_connection(&self) -> bool {
        let names = ["connectionConfig", "metadata"];
        self.key.iter().any(|key| names.iter().any(|name| key.mentions(name)))
    }

    /// Whether the signature stands in each event.
    pub fn is_of_event(&self) -> bool {
        self.signature.mentions("event")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha512,
    /// A digest of what is signed, which then has to contain the key.
    Sha1,
    Sha256,
    /// PKCS #1 v1.5; the key is a public one.
    RsaSha256,
    /// On P-256, in ASN.1; the key is a public one.
    EcdsaSha256,
    /// The key is a public one.
    Ed25519,
    /// The signature is the key.
    Token,
    /// RS256 with the issuer's published keys.
    Jwt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// How the text of a key becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    #[default]
    Utf8,
    Hex,
    Base64,
    /// The bytes of the text's SHA-256.
    Sha256,
}

/// When the provider signed, as part of what is signed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    /// Split by the check's separator when there is a prefix.
    pub value: Template,
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub unit: TimeUnit,
    /// Seconds.
    #[serde(default = "usual_tolerance")]
    pub tolerance: u32,
    /// May be absent: it stands where nobody can take it away without breaking the signature.
    #[serde(default)]
    pub optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    #[default]
    Seconds,
    Milliseconds,
}

/// A JSON document of the provider with a key in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDocument {
    pub url: Template,
    /// The only servers that are asked, as `https://host`.
    pub origins: Vec<String>,
    /// Dotted path.
    pub member: String,
}

/// Whose tokens are believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Where the issuer publishes its keys (RFC 7517).
    pub keys: String,
    pub issuer: String,
    #[serde(deserialize_with = "one_or_many")]
    pub audience: Vec<Template>,
}

/// What a signature covers: texts around `${body}`, which stands for the bytes of the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed(Vec<Template>);

impl Signed {
    /// The bytes for this request.
    ///
    /// # Errors
    /// The names without a value.
    pub fn bytes(&self, body: &[u8], context: &Context<'_>) -> Result<Vec<u8>, Unresolved> {
        let mut bytes = Vec::with_capacity(body.len() + 64);
        for (index, text) in self.0.iter().enumerate() {
            if index > 0 {
                bytes.extend_from_slice(body);
            }
            bytes.extend_from_slice(text.resolve(context)?.as_bytes());
        }
        Ok(bytes)
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let around = text.split("${body}").map(Template::parse_without_fallback);
        around.collect::<Result<_, _>>().map(Signed).map_err(D::Error::custom)
    }
}

impl Default for Signed {
    fn default() -> Self {
        Signed(vec![Template::parse_lenient(""), Template::parse_lenient("")])
    }
}

/// Holds when the value is this text; without a text, when there is a value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub value: Template,
    pub equals: Option<String>,
}

impl Condition {
    pub fn holds(&self, context: &Context<'_>) -> bool {
        let Ok(value) = self.value.resolve(context) else { return false };
        self.equals.as_ref().map_or(!value.is_empty(), |wanted| *wanted == value)
    }
}

/// The answer to a request that wants one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub when: Condition,
    /// Absent, and no `json`: the usual answer.
    pub text: Option<Template>,
    pub json: Option<Parameter>,
    /// The provider signs such requests as all others.
    #[serde(default)]
    pub signed: bool,
    /// The request is more than a handshake: it is forwarded.
    #[serde(default)]
    pub forward: bool,
    /// A text that the operator has to see to finish the setup.
    pub show: Option<Template>,
    /// The secret with which the provider is going to sign what it sends to the request's address.
    pub agrees: Option<Template>,
    /// What has to be the integration's webhook secret, so that not everybody can agree on a secret.
    pub token: Option<Template>,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
}

/// How the connections of an event are found.
#[derive(Debug, Clone)]
pub enum Matching {
    /// Every connection of the integration.
    All,
    /// Tried in this order, until one finds something.
    Steps(Steps),
}

/// Ways to find connections.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    pub steps: Vec<Step>,
    /// The refusal of a request with nothing to look for.
    pub missing: Option<MissingValue>,
}

/// A value of the request, and where a connection has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The first that has a value.
    #[serde(deserialize_with = "one_or_many")]
    pub value: Vec<Template>,
    pub when: Option<Condition>,
    /// Its first group is what is looked for.
    #[serde(default, deserialize_with = "regex")]
    pub pattern: Option<Regex>,
    /// Applied one after the other.
    #[serde(default, deserialize_with = "one_or_many")]
    pub form: Vec<ValueForm>,
    pub field: ConnectionField,
    /// Later steps are not tried when this one has a value.
    #[serde(default)]
    pub decides: bool,
    /// The code of the refusal when no step has a value; on any step.
    pub missing: Option<MissingValue>,
}

/// What is made of a value before it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueForm {
    /// Percent-encoding undone.
    Decoded,
    /// Scheme, host and port of an address.
    Origin,
    /// A host's text before the first dot.
    FirstLabel,
    /// What connections keep instead of an e-mail address (`spec` auth-flows, section 9.1).
    EmailHash,
}

/// The place in a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionField {
    Id,
    /// A key of the connection config; dots belong to it.
    Config(String),
    Metadata(String),
}

/// Codes of requests that do not say whom they concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingValue {
    ConnectionId,
    NangoConnectionId,
    ShopDomain,
}

/// What is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    #[default]
    Body,
    /// For providers that send nothing else.
    Headers,
}

/// Waiting connections that an event may complete (`spec` auth-flows, section 11.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Of an app's installation that an owner approved.
    Approval,
    /// Of an installation that started at the provider.
    Outbound,
}

impl Default for Matching {
    fn default() -> Self {
        Matching::Steps(Steps::default())
    }
}

impl<'de> Deserialize<'de> for Matching {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.as_str() == Some("all") {
            return Ok(Matching::All);
        }
        let steps: Vec<Step> = serde_json::from_value(value).map_err(D::Error::custom)?;
        let missing = steps.iter().find_map(|step| step.missing);
        Ok(Matching::Steps(Steps { steps, missing }))
    }
}

impl<'de> Deserialize<'de> for ConnectionField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('.') {
            _ if text == "connectionId" => Ok(ConnectionField::Id),
            Some(("connectionConfig", name)) => Ok(ConnectionField::Config(name.to_owned())),
            Some(("metadata", name)) => Ok(ConnectionField::Metadata(name.to_owned())),
            _ => Err(D::Error::custom("expected connectionId, connectionConfig.<name> or metadata.<name>")),
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let items = match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        one => vec![one],
    };
    items.into_iter().map(|item| serde_json::from_value(item).map_err(D::Error::custom)).collect()
}

fn regex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Regex::new(&text).map(Some).map_err(D::Error::custom)
}

fn usual_tolerance() -> u32 {
    USUAL_TOLERANCE
}

/// The sections of the routing scripts that published catalogs name.
static SCRIPTS: LazyLock<HashMap<String, Arc<Webhook>>> =
    LazyLock::new(|| read_scripts().unwrap_or_default());

fn read_scripts() -> Result<HashMap<String, Arc<Webhook>>, String> {
    let text = include_str!("../../assets/webhook_scripts.yaml");
    let scripts = parse("webhook_scripts.yaml", text, Duplicates::Refused)?;
    let read = scripts.into_iter().map(|(name, section)| {
        let section: Webhook = serde_json::from_value(section).map_err(|error| format!("{name}: {error}"))?;
        Ok((name, Arc::new(section)))
    });
    read.collect()
}

/// The section of a routing script; none for a script that this server does not have, which is harmless.
pub(super) fn of_script(name: &str) -> Option<Arc<Webhook>> {
    SCRIPTS.get(name).cloned()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_built_in_sections_can_be_read() {
        let scripts = read_scripts().unwrap();
        assert!(scripts.len() >= 41, "{}", scripts.len());
        assert_eq!(SCRIPTS.len(), scripts.len());
    }

    #[test]
    fn what_is_signed_has_the_bytes_of_the_body() {
        let signed: Signed = serde_json::from_value(json!("v0:${timestamp}:${body}!")).unwrap();
        let extras = [("timestamp", "12")];
        let context = Context::new(DateTime::UNIX_EPOCH, "").extras(&extras);
        assert_eq!(signed.bytes(b"\xff\x00", &context).unwrap(), b"v0:12:\xff\x00!");
        assert_eq!(Signed::default().bytes(b"x", &context).unwrap(), b"x");
        let unknown: Signed = serde_json::from_value(json!("${id}.${body}")).unwrap();
        assert!(unknown.bytes(b"x", &context).is_err());
    }

    #[test]
    fn mistakes_are_refused() {
        let check = |more: Value| {
            let mut check =
                json!({"signature": "${header.x}", "algorithm": "hmac-sha256", "key": "${clientSecret}"});
            check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "verify": [check] })
        };
        let step = |more: Value| {
            let mut step = json!({"value": "${body.a}", "field": "connectionConfig.a.b"});
            step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "connections": [step] })
        };
        let read = |section: Value| serde_json::from_value::<Webhook>(section);
        assert!(read(check(json!({}))).is_ok() && read(step(json!({}))).is_ok());
        for wrong in [
            check(json!({"algorithm": "md5"})),
            check(json!({"tolerence": 5})),
            check(json!({"signature": "${header.x"})),
            check(json!({"timestamp": {"value": "${header.t}", "tolerance": -1}})),
            step(json!({"field": "config.a"})),
            step(json!({"pattern": "("})),
            step(json!({"form": "upper"})),
            json!({"connections": "some"}),
            json!({"verified": true}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
