//! AWS as far as the tests need it: a verifier of Signature Version 4 written from the documentation alone, and an STS that
//! uses it. It shares no code with the server.
//! https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::response::Response;
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::target::{Seen, Target, answer};

pub const OPERATOR: (&str, &str) = ("AKIAOPERATOR", "operator-secret");
pub const ROLE: &str = "arn:aws:iam::123456789012:role/path/reader";
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The request that a signature is checked for.
pub struct Signed<'a> {
    pub seen: &'a Seen,
    pub secret: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

impl Signed<'_> {
    /// Why the signature is wrong, if it is.
    pub fn check(&self) -> Result<(), String> {
        let header = self.seen.header("authorization").ok_or("no Authorization")?;
        let rest = header.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another scheme")?;
        let field = |name: &str| {
            let found = rest.split(", ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned).ok_or(format!("no {name}"))
        };
        let (credential, signed) = (field("Credential")?, field("SignedHeaders")?);
        let date = self.seen.header("x-amz-date").ok_or("no date")?;
        let scope = format!("{}/{}/{}/aws4_request", &date[..8], self.region, self.service);
        if !credential.ends_with(&format!("/{scope}")) {
            return Err(format!("the scope is not {scope}: {credential}"));
        }
        for must in ["host", "x-amz-date"] {
            if !signed.split(';').any(|name| name == must) {
                return Err(format!("{must} is not signed"));
            }
        }
        let unsigned = self.seen.headers.keys().map(http::HeaderName::as_str);
        if let Some(name) =
            unsigned.filter(|name| name.starts_with("x-amz-")).find(|name| !signed.contains(name))
        {
            return Err(format!("{name} is not signed"));
        }
        let request = hex(&Sha256::digest(self.canonical_request(&signed)?));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for step in [&date[..8], self.region, self.service, "aws4_request"] {
            key = hmac(&key, step);
        }
        let expected = hex(&hmac(&key, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{request}")));
        if field("Signature")? == expected { Ok(()) } else { Err("SignatureDoesNotMatch".to_owned()) }
    }

    fn canonical_request(&self, signed: &str) -> Result<String, String> {
        let (path, query) = self.seen.target.split_once('?').unwrap_or((&self.seen.target, ""));
        let segments = path.split('/').map(|segment| {
            if self.service == "s3" {
                encode(&percent_decode_str(segment).decode_utf8_lossy())
            } else {
                encode(segment)
            }
        });
        let path = segments.collect::<Vec<_>>().join("/");
        let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (encode(&name), encode(&value)))
            .collect();
        pairs.sort();
        let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = String::new();
        for name in signed.split(';') {
            let values =
                self.seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
            let values: Vec<String> =
                values.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            headers.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        let real = hex(&Sha256::digest(&self.seen.body));
        let stated = self.seen.header("x-amz-content-sha256").unwrap_or(&real).to_owned();
        if stated != real && stated != "UNSIGNED-PAYLOAD" {
            return Err("XAmzContentSHA256Mismatch".to_owned());
        }
        let method = self.seen.method.as_str();
        Ok(format!("{method}\n{path}\n{}\n{headers}\n{signed}\n{stated}", query.join("&")))
    }

    /// The access key that the request names.
    pub fn access_key(seen: &Seen) -> String {
        let header = seen.header("authorization").unwrap_or_default();
        let (_, rest) = header.split_once("Credential=").unwrap_or_default();
        rest.split('/').next().unwrap_or_default().to_owned()
    }
}

/// STS: knows the operator's key, and hands out `ASIA1`, `ASIA2` ... with the secrets `secret-1`, `secret-2` ...
pub struct Sts {
    pub target: Target,
    /// What every call is answered from now on.
    pub script: Arc<Mutex<Option<(u16, &'static str)>>>,
    /// The role whose keys are handed out, whichever is asked for.
    pub role_name: Arc<Mutex<&'static str>>,
}

impl Sts {
    pub async fn start() -> Sts {
        let script: Arc<Mutex<Option<(u16, &'static str)>>> = Arc::default();
        let role_name = Arc::new(Mutex::new("reader"));
        let (told, name) = (Arc::clone(&script), Arc::clone(&role_name));
        let handed_out: Mutex<HashMap<String, String>> = Mutex::default();
        let target = Target::start(move |seen| match *told.lock().unwrap() {
            Some((status, body)) => answer(status, &[("content-type", "text/xml")], body),
            None => respond(seen, &handed_out, *name.lock().unwrap()),
        })
        .await;
        Sts { target, script, role_name }
    }

    pub fn say(&self, answer: Option<(u16, &'static str)>) {
        *self.script.lock().unwrap() = answer;
    }

    /// Calls of one action so far.
    pub fn calls(&self, action: &str) -> usize {
        let is_it = |seen: &Seen| parameters(seen).get("Action").is_some_and(|found| found == action);
        self.target.seen().iter().filter(|seen| is_it(seen)).count()
    }
}

pub fn parameters(seen: &Seen) -> HashMap<String, String> {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    let pairs = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(&seen.body));
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn respond(seen: &Seen, handed_out: &Mutex<HashMap<String, String>>, role_name: &str) -> Response {
    let key = Signed::access_key(seen);
    let mut handed_out = handed_out.lock().unwrap();
    let secret = if key == OPERATOR.0 { Some(OPERATOR.1.to_owned()) } else { handed_out.get(&key).cloned() };
    let Some(secret) = secret else { return refusal("InvalidClientTokenId", "The token is invalid.") };
    let signed = Signed { seen, secret: &secret, region: "eu-west-1", service: "sts" };
    if let Err(reason) = signed.check() {
        return refusal("SignatureDoesNotMatch", &reason);
    }
    let parameters = parameters(seen);
    match parameters.get("Action").map(String::as_str) {
        Some("AssumeRole") if parameters.get("RoleArn").is_some_and(|arn| arn == ROLE) => {
            let number = handed_out.len() + 1;
            handed_out.insert(format!("ASIA{number}"), format!("secret-{number}"));
            let expiration = in_an_hour(seen);
            let body = format!(
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                 <AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>secret-{number}</SecretAccessKey>\
                 <SessionToken>session/{number}==</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
                 </AssumeRoleResult></AssumeRoleResponse>"
            );
            answer(200, &[("content-type", "text/xml")], body)
        }
        Some("AssumeRole") => refusal("AccessDenied", "User is not authorized to perform: sts:AssumeRole"),
        Some("GetCallerIdentity") => {
            let arn = format!("arn:aws:sts::123456789012:assumed-role/{role_name}/hitchpost-x");
            let identity = json!({"GetCallerIdentityResponse": {"GetCallerIdentityResult": {"Arn": arn}}});
            answer(200, &[("content-type", "application/json")], Value::to_string(&identity))
        }
        _ => refusal("InvalidAction", "Could not find operation."),
    }
}

/// An hour after the request was signed.
fn in_an_hour(seen: &Seen) -> String {
    let date = seen.header("x-amz-date").unwrap_or_default();
    let date = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").expect("a checked date");
    (date + chrono::TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn refusal(code: &str, message: &str) -> Response {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    answer(403, &[("content-type", "text/xml")], body)
}
