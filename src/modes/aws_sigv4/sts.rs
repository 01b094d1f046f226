//! The calls that hand out temporary keys and say whose keys they are.
//! https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::REFUSED;
use super::settings::{Broker, Proof};
use crate::app::App;
use crate::auth::{AwsPayload, AwsSigner};
use crate::egress::{Answer, OutgoingRequest};
use crate::oauth::{Redaction, TokenError};
use crate::time_format::parse_expiry;

const API_VERSION: &str = "2011-06-15";
const LIFETIME_SECONDS: &str = "3600";
/// Of each call: a refresh must end before its lease does.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// The role that is assumed.
pub struct Role<'a> {
    pub arn: &'a str,
    pub external_id: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// Keys that end. Deliberately without `Debug`.
pub struct TemporaryKeys {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expires_at: Option<DateTime<Utc>>,
    /// The members of the answer.
    pub raw: Map<String, Value>,
}

/// Somebody who asks STS, with keys of their own.
pub struct Caller<'a> {
    pub app: &'a App,
    pub signer: AwsSigner<'a>,
}

impl Caller<'_> {
    /// Keys of `role`.
    pub async fn assume_role(&self, role: &Role<'_>) -> Result<TemporaryKeys, TokenError> {
        let session = format!("hitchpost-{}", self.app.rng.hex(8));
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRole")
            .append_pair("Version", API_VERSION)
            .append_pair("RoleArn", role.arn)
            .append_pair("RoleSessionName", &session)
            .append_pair("DurationSeconds", LIFETIME_SECONDS)
            .append_pair("ExternalId", role.external_id)
            .finish();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, form_type)]);
        let request = self.signed(Method::POST, self.endpoint()?, headers, form.into())?;
        let answer = self.send(request).await?;
        let found = Found::in_answer(&answer.body);
        found.keys(self.app.clock.now()).ok_or_else(|| without_keys(&answer))
    }

    /// Whose the caller's keys are.
    pub async fn own_arn(&self) -> Result<String, TokenError> {
        let mut url = self.endpoint()?;
        url.query_pairs_mut().append_pair("Action", "GetCallerIdentity").append_pair("Version", API_VERSION);
        let answer = self.send(self.signed(Method::GET, url, HeaderMap::new(), Bytes::new())?).await?;
        let found = Found::in_answer(&answer.body);
        found.text("Arn").ok_or_else(|| TokenError::new(REFUSED, "STS did not say whose the keys are."))
    }

    fn endpoint(&self) -> Result<Url, TokenError> {
        let region = self.signer.region;
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        let text = match &self.app.config.outbound.sts_url {
            Some(own) => own.clone(),
            None => format!("https://sts.{region}.amazonaws.com{suffix}/"),
        };
        Url::parse(&text).map_err(|_| TokenError::new(REFUSED, "The address of STS is not a URL."))
    }

    fn signed(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<OutgoingRequest, TokenError> {
        let unsignable = || TokenError::new(REFUSED, "The request to STS cannot be signed.");
        let uri: Uri = url.as_str().parse().map_err(|_| unsignable())?;
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let payload = AwsPayload::Bytes(&body);
        let signed = self.signer.sign(&method, &uri, &mut headers, payload, self.app.clock.now());
        signed.map_err(|_| unsignable())?;
        Ok(OutgoingRequest { method, url, headers, body, follow: false })
    }

    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TokenError> {
        let secrets = [self.signer.secret_access_key, self.signer.session_token.unwrap_or_default()];
        send(self.app, request, &secrets, "STS").await
    }
}

/// Keys from a broker of the operator's own.
pub async fn ask_broker(
    app: &App,
    broker: &Broker<'_>,
    role: &Role<'_>,
) -> Result<TemporaryKeys, TokenError> {
    let body = json!({"role_arn": role.arn, "external_id": role.external_id, "region": role.region,
        "service": role.service});
    let json_type = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, json_type.clone()), (ACCEPT, json_type)]);
    let secret = prove(&broker.proof, &mut headers)?;
    let (method, url, body) = (Method::POST, broker.url.clone(), Bytes::from(body.to_string()));
    let request = OutgoingRequest { method, url, headers, body, follow: false };
    let answer = send(app, request, &[secret], "The token broker").await?;
    Found::in_answer(&answer.body).keys(app.clock.now()).ok_or_else(|| without_keys(&answer))
}

/// Adds what the broker asks for. Gives the secret in it.
fn prove<'a>(proof: &Proof<'a>, headers: &mut HeaderMap) -> Result<&'a str, TokenError> {
    let unusable = || {
        TokenError::new(
            "invalid_aws_sigv4_config",
            "The header for the token broker is not one that HTTP allows.",
        )
    };
    let (name, text, secret) = match proof {
        Proof::None => return Ok(""),
        Proof::Header { name, value } => {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
            (name, (*value).to_owned(), *value)
        }
        Proof::Basic { user, password } => {
            (AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))), *password)
        }
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(secret)
}

/// A successful answer, or why there is none.
async fn send(
    app: &App,
    request: OutgoingRequest,
    secrets: &[&str],
    who: &str,
) -> Result<Answer, TokenError> {
    let answer = app.egress.tokens.send_within(request, TIME_LIMIT).await;
    let answer =
        answer.map_err(|error| TokenError::new(REFUSED, format!("{who} gave no usable answer: {error}.")))?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let mut redaction = Redaction::default();
    secrets.iter().for_each(|secret| redaction.hide(secret));
    let found = Found::in_answer(&answer.body);
    let (code, message) = (found.text("Code"), found.text("Message"));
    let words: Vec<String> = [code, message].into_iter().flatten().collect();
    // Nothing of another body is repeated: it is some proxy's page, or holds who knows what.
    let reason = if words.is_empty() {
        format!(" with {} bytes that are no answer of STS", answer.body.len())
    } else {
        format!(": {}", redaction.clean(&words.join(": ")))
    };
    let status = answer.status.as_u16();
    Err(TokenError::new(REFUSED, format!("{who} answered {status}{reason}.")).with_status(status))
}

fn without_keys(answer: &Answer) -> TokenError {
    let message = format!("The answer ({} bytes) holds no temporary keys.", answer.body.len());
    TokenError::new(REFUSED, message).with_status(answer.status.as_u16())
}

/// The values of an answer by name, whether it is XML or JSON, and however it spells its names.
#[derive(Default)]
struct Found(Map<String, Value>);

impl Found {
    fn in_answer(body: &[u8]) -> Self {
        let mut found = Found::default();
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => found.add(&value),
            Err(_) => found.add_xml(&String::from_utf8_lossy(body)),
        }
        found
    }

    /// Values at any depth; those further in win, because brokers may wrap the keys.
    fn add(&mut self, value: &Value) {
        let Value::Object(members) = value else { return };
        for (name, value) in members {
            if value.is_string() || value.is_number() {
                self.0.insert(letters(name), value.clone());
            }
        }
        members.values().for_each(|member| self.add(member));
    }

    /// Elements that hold nothing but text. STS uses neither attributes nor CDATA in what is read here.
    fn add_xml(&mut self, text: &str) {
        for piece in text.split('<') {
            let Some((name, value)) = piece.split_once('>') else { continue };
            let is_element = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if is_element && !value.trim().is_empty() {
                self.0.insert(letters(name), unescape(value.trim()).into());
            }
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(&letters(name)).and_then(Value::as_str);
        value.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn keys(&self, now: DateTime<Utc>) -> Option<TemporaryKeys> {
        const NAMES: [&str; 4] = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"];
        let raw =
            NAMES.iter().filter_map(|name| Some(((*name).to_owned(), self.0.get(&letters(name))?.clone())));
        let expiration = self.0.get(&letters("Expiration"));
        Some(TemporaryKeys {
            access_key_id: self.text("AccessKeyId")?,
            secret_access_key: self.text("SecretAccessKey")?,
            session_token: self.text("SessionToken")?,
            expires_at: expiration.and_then(|value| parse_expiry(value, now)),
            raw: raw.collect(),
        })
    }
}

/// A name without the differences between `AccessKeyId`, `accessKeyId` and `access_key_id`.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn unescape(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<(String, String, String, Option<i64>)> {
        let keys = Found::in_answer(body.as_bytes()).keys(DateTime::UNIX_EPOCH)?;
        let expires_at = keys.expires_at.map(|time| time.timestamp());
        Some((keys.access_key_id, keys.secret_access_key, keys.session_token, expires_at))
    }

    /// The XML is the example of the API reference, the JSON what STS answers to `Accept: application/json`.
    #[test]
    fn keys_are_found_in_every_form() {
        let xml = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <AssumeRoleResult>
            <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/demo/TestAR</Arn></AssumedRoleUser>
            <Credentials>
              <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>
              <SecretAccessKey>wJalr/K7</SecretAccessKey>
              <SessionToken>
               AQoDYXdz=
              </SessionToken>
              <Expiration>2019-11-09T13:34:41Z</Expiration>
            </Credentials>
            <PackedPolicySize>6</PackedPolicySize>
          </AssumeRoleResult>
          <ResponseMetadata><RequestId>c6104cbe</RequestId></ResponseMetadata>
        </AssumeRoleResponse>"#;
        let expected = |id: &str, secret: &str, token: &str, end: Option<i64>| {
            Some((id.to_owned(), secret.to_owned(), token.to_owned(), end))
        };
        let end = Some(1_573_306_481);
        assert_eq!(read(xml), expected("ASIAIOSFODNN7EXAMPLE", "wJalr/K7", "AQoDYXdz=", end));
        for (body, end) in [
            (
                r#"{"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": {"AccessKeyId": "i", "SecretAccessKey": "s",
                   "SessionToken": "t", "Expiration": 1.573306481E9}}}}"#,
                end,
            ),
            (
                r#"{"accessKeyId": "i", "secretAccessKey": "s", "sessionToken": "t", "expiration": 1573306481000}"#,
                end,
            ),
            (
                r#"{"credentials": {"access_key_id": "i", "secret_access_key": "s", "session_token": "t",
                   "expiration": "2019-11-09T13:34:41.000Z"}}"#,
                end,
            ),
            (r#"{"access_key_id": "i", "secret_access_key": "s", "session_token": "t"}"#, None),
        ] {
            assert_eq!(read(body), expected("i", "s", "t", end), "{body}");
        }
        for body in ["", "<html><body>Bad Gateway</body></html>", "[]", r#"{"accessKeyId": "i"}"#] {
            assert_eq!(read(body), None, "{body}");
        }
    }

    #[test]
    fn refusals_are_found_in_both_forms() {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User &quot;x&quot; &amp; co
            </Message></Error></ErrorResponse>";
        let json = r#"{"Error": {"Code": "AccessDenied", "Message": "User \"x\" & co"}, "RequestId": "r"}"#;
        for body in [xml, json] {
            let found = Found::in_answer(body.as_bytes());
            assert_eq!(found.text("Code").as_deref(), Some("AccessDenied"));
            assert_eq!(found.text("Message").as_deref(), Some("User \"x\" & co"));
        }
    }
}
