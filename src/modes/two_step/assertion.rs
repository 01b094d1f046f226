//! `assertion`: a JWT or a SAML assertion, signed with the end user's key, that the token request carries (`spec` providers,
//! section 8.6). No I/O.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use zeroize::Zeroizing;

use super::saml::{self, Statement};
use crate::catalog::{Assertion, AssertionKind, Parameter, Parameters};
use crate::modes::signed_jwt::{self, Algorithm, KeyError, SigningKey};
use crate::oauth::TokenError;
use crate::template::Context;

/// An assertion with less time left is made anew.
const SHORTEST_REST: TimeDelta = TimeDelta::seconds(60);
const JWT_LIFETIME: i64 = 3600;
const SAML_LIFETIME: i64 = 300;
/// A year, in seconds.
const LONGEST_LIFETIME: f64 = 366.0 * 24.0 * 3600.0;

/// Whether an assertion can be used once more. One whose end nobody can read came from outside; only the provider can judge
/// it.
pub fn is_good(assertion: &str, now: DateTime<Utc>) -> bool {
    if assertion.is_empty() {
        return false;
    }
    expiry(assertion).is_none_or(|end| end - now >= SHORTEST_REST)
}

fn expiry(assertion: &str) -> Option<DateTime<Utc>> {
    signed_jwt::expiry_in(assertion).or_else(|| {
        let xml = STANDARD.decode(assertion.trim()).ok()?;
        saml::expiry_in(std::str::from_utf8(&xml).ok()?)
    })
}

/// Makes an assertion. `nonce` is hexadecimal and names it unless the entry does.
///
/// # Errors
/// `missing_assertion_config`, `missing_private_key`, `invalid_private_key_format`, `failed_to_generate_assertion` or
/// `failed_to_generate_jwt_assertion`.
pub fn build(
    entry: &Assertion,
    context: &Context<'_>,
    now: DateTime<Utc>,
    nonce: &str,
) -> Result<String, TokenError> {
    let maker = Maker { fields: &entry.fields, context, now };
    match entry.kind {
        AssertionKind::Jwt => maker.jwt(),
        AssertionKind::Saml => maker.saml(nonce),
        AssertionKind::Unknown => Err(TokenError::new(
            "missing_assertion_config",
            "The provider's `assertion.type` is not known to this server.",
        )),
    }
}

struct Maker<'a> {
    fields: &'a Parameters,
    context: &'a Context<'a>,
    now: DateTime<Utc>,
}

impl Maker<'_> {
    fn jwt(&self) -> Result<String, TokenError> {
        const KIND: &str = "failed_to_generate_jwt_assertion";
        let members = |name: &str| match self.fields.get(name) {
            Some(Parameter::Object(members)) => Some(signed_jwt::claims(members, self.context)),
            _ => None,
        };
        let mut payload = members("payload").ok_or_else(|| lacks_config("payload"))?;
        let mut header = members("header").unwrap_or_default();
        let algorithm = signed_jwt::algorithm_of(&header, Algorithm::Rs256)
            .map_err(|error| TokenError { kind: KIND, ..error })?;
        header.insert("alg".to_owned(), algorithm.name().into());
        let missing = || TokenError::new("missing_private_key", "The assertion needs a private key.");
        let key = self.key()?.ok_or_else(missing)?;
        let key = SigningKey::private(&key, algorithm).map_err(|error| unusable(&error))?;
        signed_jwt::stamp(&mut payload, self.now, self.lifetime(JWT_LIFETIME));
        signed_jwt::encode(&header, &payload, &key)
            .map_err(|error| TokenError::new(KIND, format!("The assertion cannot be signed: {error}.")))
    }

    fn saml(&self, nonce: &str) -> Result<String, TokenError> {
        let key = match self.key()? {
            Some(key) => Some(SigningKey::private(&key, Algorithm::Rs256).map_err(|error| unusable(&error))?),
            None => None,
        };
        let required = |name: &'static str| {
            let parameter = self.fields.get(name).ok_or_else(|| lacks_config(name))?;
            parameter.resolve_text(self.context).map_err(|missing| {
                let message = format!("`assertion.{name}`: {missing}.");
                TokenError::new("failed_to_generate_assertion", message)
            })
        };
        let statement = Statement {
            id: saml::xml_id(&self.text("uid").unwrap_or_else(|| nonce.to_owned())),
            issuer: required("issuer")?,
            name_id: required("nameIdentifier")?,
            name_id_format: self.text("nameIdentifierFormat"),
            audiences: self.list("audiences"),
            recipient: self.text("recipient"),
            in_response_to: self.text("inResponseTo"),
            session_index: self.text("sessionIndex"),
            authn_context: self.text("authnContextClassRef"),
            attributes: self.attributes(),
            now: self.now,
            lifetime: self.lifetime(SAML_LIFETIME),
        };
        let xml = statement.sign(key.as_ref()).map_err(|error| {
            let message = format!("The assertion cannot be signed: {error}.");
            TokenError::new("failed_to_generate_assertion", message)
        })?;
        Ok(STANDARD.encode(xml))
    }

    /// The private key; none when the entry wants no signature.
    fn key(&self) -> Result<Option<Zeroizing<String>>, TokenError> {
        let Some(parameter) = self.fields.get("key") else { return Ok(None) };
        let text = parameter.resolve_text(self.context).map_err(|missing| {
            TokenError::new("missing_private_key", format!("The assertion needs a private key: {missing}."))
        })?;
        if text.trim().is_empty() {
            return Err(TokenError::new(
                "missing_private_key",
                "The assertion needs a private key; it is empty.",
            ));
        }
        Ok(Some(Zeroizing::new(text)))
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.fields.get(name)?.resolve_text(self.context).ok()?;
        Some(text).filter(|text| !text.is_empty())
    }

    /// A list, or texts separated by commas.
    fn list(&self, name: &str) -> Vec<String> {
        let texts = match self.fields.get(name) {
            Some(Parameter::List(items)) => {
                items.iter().filter_map(|item| item.resolve_text(self.context).ok()).collect()
            }
            Some(_) => self.text(name).into_iter().collect::<Vec<_>>(),
            None => Vec::new(),
        };
        let parts = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn attributes(&self) -> Vec<(String, Vec<String>)> {
        let Some(Parameter::Object(members)) = self.fields.get("attributes") else { return Vec::new() };
        let values = |value: Value| match value {
            Value::Array(items) => items.iter().map(plain_text).collect(),
            other => vec![plain_text(&other)],
        };
        let pair = |(name, parameter): (&String, &Parameter)| {
            Some((name.clone(), values(parameter.resolve_or_drop(self.context)?)))
        };
        members.iter().filter_map(pair).collect()
    }

    fn lifetime(&self, default: i64) -> TimeDelta {
        let seconds = self.text("lifetimeInSeconds").and_then(|text| text.trim().parse::<f64>().ok());
        let seconds = seconds.filter(|seconds| *seconds >= 1.0 && *seconds <= LONGEST_LIFETIME);
        seconds.map_or(TimeDelta::seconds(default), |seconds| TimeDelta::seconds(seconds as i64))
    }
}

fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lacks_config(name: &str) -> TokenError {
    TokenError::new(
        "missing_assertion_config",
        format!("The provider has no `assertion.{name}` in the catalog."),
    )
}

fn unusable(error: &KeyError) -> TokenError {
    TokenError::new("invalid_private_key_format", format!("The assertion cannot be signed: {error}."))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Map, json};

    use super::*;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_767_323_045_678_000_000);
    const RSA: &str = include_str!("../signed_jwt/testdata/rsa_pkcs8.pem");

    fn make(entry: Value, credentials: Value, options: Value) -> Result<String, TokenError> {
        let entry: Assertion = serde_json::from_value(entry).unwrap();
        let object = |value: Value| -> Map<String, Value> { value.as_object().unwrap().clone() };
        let (credentials, options) = (object(credentials), object(options));
        let context = Context::new(NOW, "random-uuid").credentials(&credentials).assertion_option(&options);
        build(&entry, &context, NOW, "ab12")
    }

    fn part(jwt: &str, index: usize) -> Value {
        let text = jwt.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn a_jwt_assertion_says_what_the_entry_says() {
        let entry = json!({"type": "jwt", "key": "${credentials.privateKey}",
            "header": {"alg": "PS256", "x5t#S256": "${credentials.thumb}", "kid": "${credentials.none}"},
            "payload": {"iss": "${credentials.clientId}", "jti": "${random}", "sub": "${assertionOption.sub}"}});
        let jwt = make(entry, json!({"privateKey": RSA, "thumb": "t", "clientId": "c"}), json!({"sub": "s"}))
            .unwrap();
        assert_eq!(part(&jwt, 0), json!({"alg": "PS256", "x5t#S256": "t"}));
        assert_eq!(
            part(&jwt, 1),
            json!({"iss": "c", "jti": "random-uuid", "sub": "s", "iat": 1_767_323_045, "exp": 1_767_326_645})
        );
        assert!(
            is_good(&jwt, NOW + TimeDelta::minutes(58)) && !is_good(&jwt, NOW + TimeDelta::seconds(3550))
        );
    }

    #[test]
    fn a_saml_assertion_ends_when_it_says() {
        let entry = json!({"issuer": "i", "nameIdentifier": "${assertionOption.user}", "lifetimeInSeconds": "120",
            "audiences": "a, b", "key": "${credentials.privateKey}"});
        let made = make(entry, json!({"privateKey": STANDARD.encode(RSA)}), json!({"user": "u"})).unwrap();
        assert!(is_good(&made, NOW) && is_good(&made, NOW + TimeDelta::seconds(59)));
        assert!(!is_good(&made, NOW + TimeDelta::seconds(61)));
        assert!(is_good("from elsewhere", NOW) && !is_good("", NOW));
    }

    #[test]
    fn what_is_missing_has_its_own_code() {
        let jwt = json!({"iss": "x"});
        for (entry, kind, text) in [
            (json!({"type": "newer"}), "missing_assertion_config", "type"),
            (json!({"type": "jwt", "key": "x"}), "missing_assertion_config", "payload"),
            (json!({"type": "jwt", "payload": jwt}), "missing_private_key", "private key"),
            (
                json!({"type": "jwt", "payload": jwt, "key": "${credentials.k}"}),
                "missing_private_key",
                "credentials.k",
            ),
            (json!({"type": "jwt", "payload": jwt, "key": " "}), "missing_private_key", "empty"),
            (json!({"type": "jwt", "payload": jwt, "key": "s3cret"}), "invalid_private_key_format", "PEM"),
            (
                json!({"type": "jwt", "payload": jwt, "key": RSA, "header": {"alg": "x"}}),
                "failed_to_generate_jwt_assertion",
                "algorithm",
            ),
            (json!({"nameIdentifier": "x"}), "missing_assertion_config", "issuer"),
            (
                json!({"issuer": "x", "nameIdentifier": "${assertionOption.u}"}),
                "failed_to_generate_assertion",
                "assertionOption.u",
            ),
            (
                json!({"issuer": "x", "nameIdentifier": "n", "key": "s3cret"}),
                "invalid_private_key_format",
                "PEM",
            ),
        ] {
            let error = make(entry.clone(), json!({}), json!({})).expect_err("refused");
            assert_eq!(error.kind, kind, "{entry}");
            assert!(error.message.contains(text) && !error.message.contains("s3cret"), "{}", error.message);
        }
    }
}
