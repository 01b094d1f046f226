//! AWS Signature Version 4 for a finished HTTP request, over the `aws-sigv4` crate. Pure: the time comes in as a value.
//! Used by proxied calls with AWS_SIGV4 credentials and by the calls to STS that obtain and check them.
//! https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Headers that the signature brings; they belong to one request.
pub static SIGNATURE_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
];
/// Set or changed on the way, so never signed.
const UNSIGNED_HEADERS: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, USER_AGENT];
/// What RFC 3986 leaves alone, the separator of segments, and the sign of what is encoded already.
const S3_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'%');

/// Who signs, and for which service. Deliberately without `Debug`.
#[derive(Clone, Copy)]
pub struct AwsSigner<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    /// Of temporary keys.
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    pub service: &'a str,
}

/// The body of the signed request.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    Bytes(&'a [u8]),
    /// Too large to be read first. Only S3 takes it, and only TLS protects it.
    Unsigned,
}

/// A request that cannot be signed: its URL has no host, or a credential holds characters that no header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed")]
pub struct Unsignable;

impl AwsSigner<'_> {
    /// Signs a request that is finished but for its transport headers: sets `Authorization` and the `x-amz-*` headers,
    /// in place of those that are there.
    ///
    /// # Errors
    /// See [`Unsignable`].
    pub fn sign(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        payload: Payload<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), Unsignable> {
        for name in &SIGNATURE_HEADERS {
            headers.remove(name);
        }
        let signed = self.signed_headers(method, uri, headers, payload, now, self.settings())?;
        for (name, value) in signed {
            headers.insert(name, value);
        }
        Ok(())
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if self.service == "s3" {
            // Keys of objects may hold `//` and `..`, and S3 decodes paths before it checks them.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }

    fn signed_headers(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        payload: Payload<'_>,
        now: DateTime<Utc>,
        settings: SigningSettings,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Unsignable> {
        if uri.host().is_none_or(str::is_empty) {
            return Err(Unsignable);
        }
        let keys = Credentials::new(
            self.access_key_id,
            self.secret_access_key,
            self.session_token.map(str::to_owned),
            None,
            "hitchpost",
        );
        let identity = keys.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(now.into())
            .settings(settings)
            .build()
            .map_err(|_| Unsignable)?;
        let covered = headers.iter().filter(|(name, _)| !UNSIGNED_HEADERS.contains(name));
        let covered = covered
            .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)));
        let body = match payload {
            Payload::Bytes(bytes) => SignableBody::Bytes(bytes),
            Payload::Unsigned => SignableBody::UnsignedPayload,
        };
        let url = if self.service == "s3" { s3_url(uri) } else { uri.to_string() };
        let request = SignableRequest::new(method.as_str(), url, covered, body).map_err(|_| Unsignable)?;
        let signed = sign(request, &params.into()).map_err(|_| Unsignable)?;
        let (instructions, _) = signed.into_parts();
        instructions.headers().map(|(name, value)| signature_header(name, value)).collect()
    }
}

fn signature_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Unsignable> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unsignable)?;
    let mut value = HeaderValue::from_str(value).map_err(|_| Unsignable)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The URL as S3 sees it: it decodes the path and encodes it strictly, whatever the sender left unencoded.
fn s3_url(uri: &Uri) -> String {
    let path = utf8_percent_encode(uri.path(), S3_PATH);
    let scheme = uri.scheme_str().unwrap_or("https");
    let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{host}{path}{query}")
}

#[cfg(test)]
mod tests;
