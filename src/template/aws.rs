//! AWS Signature Version 4 for one request described by the context.
//! https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::Context;

/// What the signature covers and the context must bring; `contentType` may be absent.
pub(super) const NAMES: [&str; 5] =
    ["method", "path", "urlCanonicalParams", "bodyCanonicalParams", "contentType"];

/// The `Authorization` value for `key, secret, region, service[, host]`; none when a field is empty or the
/// context describes no request.
pub(super) fn authorization(arguments: &[String], context: &Context<'_>) -> Option<String> {
    if arguments.iter().any(String::is_empty) {
        return None;
    }
    let (key, secret, region, service, host) = match arguments {
        [key, secret, region, service] => (key, secret, region, service, &format!("{service}.amazonaws.com")),
        [key, secret, region, service, host] => (key, secret, region, service, host),
        _ => return None,
    };
    let stamp = context.now().format("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/{region}/{service}/aws4_request", &stamp[..8]);
    let (request, signed) = canonical_request(context, host, &stamp)?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let mut signing_key = format!("AWS4{secret}").into_bytes();
    for step in [&stamp[..8], region, service, "aws4_request"] {
        signing_key = hmac(&signing_key, step)?;
    }
    let signature = hex::encode(hmac(&signing_key, &to_sign)?);
    Some(format!("AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}"))
}

/// The canonical request and the list of headers it signs.
fn canonical_request(context: &Context<'_>, host: &str, stamp: &str) -> Option<(String, &'static str)> {
    let [method, path, query, body] =
        ["method", "path", "urlCanonicalParams", "bodyCanonicalParams"].map(|name| context.text(name));
    let content_type = context.text("contentType").filter(|value| !value.is_empty());
    let signed = if content_type.is_some() { "content-type;host;x-amz-date" } else { "host;x-amz-date" };
    let typed = content_type.map(|value| format!("content-type:{}\n", value.trim())).unwrap_or_default();
    let (method, path, query, body) =
        (method?.to_uppercase(), path?, query?, hex::encode(Sha256::digest(&*body?)));
    let request =
        format!("{method}\n{path}\n{query}\n{typed}host:{host}\nx-amz-date:{stamp}\n\n{signed}\n{body}");
    Some((request, signed))
}

fn hmac(key: &[u8], message: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}
