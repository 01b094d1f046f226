//! The keys of an entry that say how TWO_STEP, JWT and SIGNATURE tokens come about (`spec` providers, sections 4.3, 4.4, 8.4
//! to 8.6).

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::parameters::parse_without_fallback;
use super::{BodyFormat, Parameters};
use crate::template::{Template, TemplateError};

/// `signature`: how a token is signed.
#[derive(Debug, Clone, Deserialize)]
pub struct Signature {
    pub protocol: SignatureProtocol,
    #[serde(default)]
    pub hmac_secret_encoding: HmacSecretEncoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignatureProtocol {
    Rsa,
    Ec,
    Hmac,
    /// The `UsernameToken` of OASIS web services security, which is no JWT.
    Wsse,
    /// Of a newer catalog.
    #[serde(other)]
    Unknown,
}

/// How the text of an HMAC key becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HmacSecretEncoding {
    #[default]
    Hex,
    Utf8,
}

/// `token`: what a signed token says, and with which key. Its templates do not know the fallback `||`.
#[derive(Debug, Clone, Deserialize)]
pub struct SignedToken {
    #[serde(default, deserialize_with = "exact_template")]
    pub signing_key: Option<Template>,
    /// Lifetime in milliseconds.
    #[serde(default)]
    pub expires_in_ms: f64,
    #[serde(default, deserialize_with = "exact_parameters")]
    pub header: Parameters,
    #[serde(default, deserialize_with = "exact_parameters")]
    pub payload: Parameters,
}

/// `token_response`: where the last answer of a TWO_STEP login has what. Paths are dotted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TokenResponse {
    /// Absent or empty: the whole answer is the token.
    pub token: Option<String>,
    pub refresh_token: Option<String>,
    pub token_expiration: Option<String>,
    pub token_expiration_strategy: ExpirationStrategy,
}

/// What the value at `token_expiration` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExpirationStrategy {
    /// A date or an epoch.
    #[default]
    ExpireAt,
    /// Seconds, or a duration such as `1h`.
    ExpireIn,
}

/// One of `additional_steps`: a request after the first.
#[derive(Debug, Clone, Deserialize)]
pub struct TokenStep {
    pub token_url: Template,
    #[serde(default)]
    pub token_params: Parameters,
    #[serde(default)]
    pub token_headers: IndexMap<String, Template>,
    #[serde(default)]
    pub token_request_method: TokenRequestMethod,
    /// Absent: the entry's.
    pub body_format: Option<BodyFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TokenRequestMethod {
    #[default]
    Post,
    /// Without a body.
    Get,
}

/// `assertion`: a statement, signed with the end user's key, that the token request carries.
#[derive(Debug, Clone, Deserialize)]
pub struct Assertion {
    #[serde(rename = "type", default)]
    pub kind: AssertionKind,
    /// A fresh one for every token request.
    #[serde(rename = "singleUse", default)]
    pub single_use: bool,
    /// Every other member; templates in it do not know the fallback.
    #[serde(flatten, deserialize_with = "exact_parameters")]
    pub fields: Parameters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssertionKind {
    #[default]
    Saml,
    Jwt,
    /// Of a newer catalog.
    #[serde(other)]
    Unknown,
}

fn exact_template<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Template>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Template::parse_without_fallback(&text).map(Some).map_err(serde::de::Error::custom)
}

fn exact_parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Parameters, D::Error> {
    let values = IndexMap::<String, Value>::deserialize(deserializer)?;
    let pair = |(name, value)| Ok((name, parse_without_fallback(value)?));
    values
        .into_iter()
        .map(pair)
        .collect::<Result<_, _>>()
        .map_err(|error: TemplateError| serde::de::Error::custom(error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::Parameter;

    #[test]
    fn bars_in_tokens_and_assertions_are_text() {
        let token: SignedToken = serde_json::from_value(json!({
            "signing_key": "${credentials.a}||${credentials.b}", "expires_in_ms": 300_000,
            "header": {"alg": "HS256"}, "payload": {"scope": ["a||b"]},
        }))
        .unwrap();
        let literal = Template::parse_without_fallback("a||b").unwrap();
        assert_eq!(token.payload["scope"], Parameter::List(vec![Parameter::Text(literal.clone())]));
        assert_eq!(token.signing_key.unwrap().names().count(), 2);
        let assertion: Assertion = serde_json::from_value(json!({
            "type": "jwt", "singleUse": true, "key": "a||b", "payload": {"x": 1}, "lifetimeInSeconds": 60,
        }))
        .unwrap();
        assert!(assertion.single_use && assertion.kind == AssertionKind::Jwt);
        assert_eq!(assertion.fields.keys().collect::<Vec<_>>(), ["key", "payload", "lifetimeInSeconds"]);
        assert_eq!(assertion.fields["key"], Parameter::Text(literal));
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_grammar() {
        let response: TokenResponse = serde_json::from_value(json!({"token": "a.b"})).unwrap();
        assert_eq!(response.token_expiration_strategy, ExpirationStrategy::ExpireAt);
        let step: TokenStep = serde_json::from_value(json!({"token_url": "https://x"})).unwrap();
        assert!(step.token_request_method == TokenRequestMethod::Post && step.body_format.is_none());
        let signature: Signature = serde_json::from_value(json!({"protocol": "NEWER"})).unwrap();
        assert_eq!(signature.protocol, SignatureProtocol::Unknown);
        assert_eq!(signature.hmac_secret_encoding, HmacSecretEncoding::Hex);
        let assertion: Assertion = serde_json::from_value(json!({"issuer": "x"})).unwrap();
        assert!(assertion.kind == AssertionKind::Saml && !assertion.single_use);
    }
}
