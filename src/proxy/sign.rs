//! Signatures of calls (`spec` proxy, sections 7.5 and 7.6), for credentials that are signed with instead of being sent.
//! A signature belongs to one request at one moment: it is made anew for every attempt and every redirect. Pure.

use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Map, Value};

use super::authorize::sensitive;
use super::body::is_type;
use super::target::Unbuildable;
use crate::auth::{
    AWS_SIGNATURE_HEADERS, AwsPayload, AwsSigner, ClientOverride, Credentials, OAuth1Signer, Signable,
    SignatureMethod, Stamp,
};
use crate::integrations::OpenIntegration;

const FORM: &str = "application/x-www-form-urlencoded";

/// Signs with the credentials of one connection. Borrows them: making one allocates nothing that it does not need.
pub(super) enum Signer<'a> {
    OAuth1 { signer: OAuth1Signer<'a>, realm: Option<String> },
    Aws(AwsSigner<'a>),
}

/// A finished request, ready to be signed.
pub(super) struct Finished<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a mut HeaderMap,
    pub payload: AwsPayload<'a>,
}

/// What makes a signature unique.
pub(super) struct Moment {
    pub now: DateTime<Utc>,
    /// 32 letters and digits.
    pub nonce: String,
}

impl<'a> Signer<'a> {
    /// The signer that the credentials ask for; `None` for those that are sent as they are.
    ///
    /// # Errors
    /// A client is missing, or the entry names an unknown signature method.
    pub fn of(
        integration: &'a OpenIntegration,
        credentials: &'a Credentials,
        config: &'a Map<String, Value>,
    ) -> Result<Option<Self>, Unbuildable> {
        match credentials {
            Credentials::OAuth1 { oauth_token, oauth_token_secret, .. } => {
                let name =
                    integration.provider.as_ref().and_then(|provider| provider.signature_method.as_deref());
                let method = SignatureMethod::named(name)
                    .map_err(|unknown| Unbuildable::Unsignable(unknown.to_string()))?;
                let client = own_client(integration).ok_or_else(no_client)?;
                let signer = oauth1_signer(method, client, (oauth_token, oauth_token_secret));
                Ok(Some(Signer::OAuth1 { signer, realm: None }))
            }
            Credentials::Tba { token_id, token_secret, config_override } => {
                let client = config_override.as_ref().and_then(overriding_client);
                let client = client.or_else(|| own_client(integration)).or_else(|| imported_client(config));
                let client = client.ok_or_else(no_client)?;
                let signer = oauth1_signer(SignatureMethod::HmacSha256, client, (token_id, token_secret));
                Ok(Some(Signer::OAuth1 { signer, realm: realm(config) }))
            }
            Credentials::AwsSigV4 { .. } => Ok(aws_signer(credentials).map(Signer::Aws)),
            Credentials::OAuth2 { .. }
            | Credentials::OAuth2Cc { .. }
            | Credentials::Basic { .. }
            | Credentials::ApiKey { .. }
            | Credentials::App { .. }
            | Credentials::Jwt { .. }
            | Credentials::Bill { .. }
            | Credentials::TwoStep { .. }
            | Credentials::Signature { .. }
            | Credentials::None => Ok(None),
        }
    }

    /// Whether a request with these headers is signed. An `Authorization` of the entry or of the caller replaces the one of
    /// OAuth 1; AWS accepts nothing but its own.
    pub fn applies(&self, headers: &HeaderMap) -> bool {
        match self {
            Signer::OAuth1 { .. } => !headers.contains_key(AUTHORIZATION),
            Signer::Aws(_) => true,
        }
    }

    /// Whether the signature covers the bytes of a body of these content types (what the client sent, what it asked for, what
    /// the entry says).
    pub fn covers_body(&self, content_types: &[Option<&HeaderValue>], is_https: bool) -> bool {
        match self {
            // RFC 5849, section 3.4.1.3.1.
            Signer::OAuth1 { .. } => content_types.iter().flatten().any(|value| is_type(value, FORM)),
            // S3 takes streams whose bytes only TLS protects.
            Signer::Aws(signer) => !(signer.service == "s3" && is_https),
        }
    }

    /// Puts the signature into the headers.
    ///
    /// # Errors
    /// Credentials that no header can carry, or with which nothing can be signed.
    pub fn sign(&self, request: Finished<'_>, moment: &Moment) -> Result<(), Unbuildable> {
        match self {
            Signer::OAuth1 { signer, realm } => {
                let signer = OAuth1Signer { realm: realm.as_deref(), ..*signer };
                let form = form_of(&request);
                let signable = Signable { method: request.method.as_str(), uri: request.uri, form };
                let stamp = Stamp { nonce: &moment.nonce, timestamp: moment.now.timestamp() };
                let value = signer.authorization(&signable, stamp, &[]).map_err(|error| {
                    Unbuildable::Unsignable(format!("the client secret is no key: {error}"))
                })?;
                let value = sensitive(&value);
                let value = value.ok_or(Unbuildable::UnsendableCredentials)?;
                request.headers.insert(AUTHORIZATION, value);
                Ok(())
            }
            Signer::Aws(signer) => {
                let Finished { method, uri, headers, payload } = request;
                let signed = signer.sign(method, uri, headers, payload, moment.now);
                signed.map_err(|_| Unbuildable::UnsendableCredentials)
            }
        }
    }
}

/// Headers that signatures of these credentials bring: they must not follow a redirect to another origin.
pub(super) fn signature_headers(credentials: &Credentials) -> &'static [HeaderName] {
    // `Authorization` never leaves its origin, whoever made it.
    if matches!(credentials, Credentials::AwsSigV4 { .. }) { &AWS_SIGNATURE_HEADERS } else { &[] }
}

/// The body, when it is a form that was not encoded any further.
fn form_of<'a>(request: &Finished<'a>) -> Option<&'a [u8]> {
    let is_form = request.headers.get(CONTENT_TYPE).is_some_and(|value| is_type(value, FORM));
    match request.payload {
        AwsPayload::Bytes(bytes) if is_form && !request.headers.contains_key(CONTENT_ENCODING) => Some(bytes),
        AwsPayload::Bytes(_) | AwsPayload::Unsigned => None,
    }
}

fn oauth1_signer<'a>(
    method: SignatureMethod,
    (consumer_key, consumer_secret): (&'a str, &'a str),
    (token, token_secret): (&'a str, &'a str),
) -> OAuth1Signer<'a> {
    OAuth1Signer { method, consumer_key, consumer_secret, token, token_secret, realm: None }
}

fn aws_signer(credentials: &Credentials) -> Option<AwsSigner<'_>> {
    let Credentials::AwsSigV4 { region, service, access_key_id, secret_access_key, session_token, .. } =
        credentials
    else {
        return None;
    };
    let session_token = Some(session_token.as_str()).filter(|token| !token.is_empty());
    Some(AwsSigner { access_key_id, secret_access_key, session_token, region, service })
}

fn no_client() -> Unbuildable {
    Unbuildable::Unsignable("the integration has no client id and client secret".to_owned())
}

fn own_client(integration: &OpenIntegration) -> Option<(&str, &str)> {
    Some((integration.row.oauth_client_id.as_deref()?, integration.client_secret.as_ref()?.expose()))
}

fn overriding_client(own: &ClientOverride) -> Option<(&str, &str)> {
    let filled = |text: &'_ Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let is_whole = filled(&own.client_id) && filled(&own.client_secret);
    Some((own.client_id.as_deref()?, own.client_secret.as_deref()?)).filter(|_| is_whole)
}

/// The reference server copied the integration's client into the connection, so imported ones may bring it.
fn imported_client(config: &Map<String, Value>) -> Option<(&str, &str)> {
    let text = |name: &str| config.get(name).and_then(Value::as_str);
    Some((text("oauth_client_id")?, text("oauth_client_secret")?))
}

/// The account as NetSuite writes it in the realm: `123-sb1` is `123_SB1`.
fn realm(config: &Map<String, Value>) -> Option<String> {
    let account = match config.get("accountId")? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(account.replacen('-', "_", 1).to_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_realm_is_the_account_in_capitals() {
        for (config, expected) in [
            (json!({"accountId": "123-sb1"}), Some("123_SB1")),
            (json!({"accountId": "a-b-c"}), Some("A_B-C")),
            (json!({"accountId": 1_234_567}), Some("1234567")),
            (json!({}), None),
        ] {
            assert_eq!(realm(config.as_object().unwrap()).as_deref(), expected, "{config}");
        }
    }

    #[test]
    fn only_what_is_signed_is_read() {
        let aws = |service| {
            let (access_key_id, secret_access_key) = ("i", "s");
            Signer::Aws(AwsSigner {
                access_key_id,
                secret_access_key,
                session_token: None,
                region: "r",
                service,
            })
        };
        let signer = oauth1_signer(SignatureMethod::HmacSha1, ("k", "s"), ("t", "ts"));
        let oauth1 = Signer::OAuth1 { signer, realm: None };
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let json = HeaderValue::from_static("application/json");
        for (name, signer, content_types, is_https, expected) in [
            ("a form", &oauth1, [Some(&form), None], true, true),
            ("JSON that becomes a form", &oauth1, [Some(&json), Some(&form)], true, true),
            ("JSON", &oauth1, [Some(&json), None], true, false),
            ("no type", &oauth1, [None, None], true, false),
            ("an AWS service", &aws("sns"), [Some(&json), None], true, true),
            ("S3 over TLS", &aws("s3"), [Some(&json), None], true, false),
            ("S3 without TLS", &aws("s3"), [Some(&json), None], false, true),
        ] {
            assert_eq!(signer.covers_body(&content_types, is_https), expected, "{name}");
        }
    }

    #[test]
    fn half_a_client_overrides_nothing() {
        let own = |id: Option<&str>, secret: Option<&str>| ClientOverride {
            client_id: id.map(str::to_owned),
            client_secret: secret.map(str::to_owned),
        };
        assert_eq!(overriding_client(&own(Some("i"), Some("s"))), Some(("i", "s")));
        assert_eq!(overriding_client(&own(Some("i"), Some(""))), None);
        assert_eq!(overriding_client(&own(None, Some("s"))), None);
    }
}
