//! Signatures of OAuth 1.0a (RFC 5849, section 3). Pure: nonce and time come in as values, nothing is sent.
//! Used by the sign-in of OAUTH1 and by proxied calls with OAUTH1 and TBA credentials.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::rsa_key::{RsaKeyError, sign_sha1};

/// RFC 5849, section 3.6.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureMethod {
    HmacSha1,
    /// Not in the RFC; NetSuite asks for it.
    HmacSha256,
    /// With a private key, which stands in the place of the consumer's secret.
    RsaSha1,
    /// The secrets themselves: only fit for TLS.
    Plaintext,
}

/// A signature method that no request can be signed with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signature method `{0}` is not supported")]
pub struct UnknownMethod(pub String);

impl SignatureMethod {
    /// The method that a catalog entry names; without a name it is HMAC-SHA1.
    ///
    /// # Errors
    /// A name of another method.
    pub fn named(name: Option<&str>) -> Result<Self, UnknownMethod> {
        match name.map(str::trim).unwrap_or_default() {
            "" | "HMAC-SHA1" => Ok(SignatureMethod::HmacSha1),
            "HMAC-SHA256" => Ok(SignatureMethod::HmacSha256),
            "RSA-SHA1" => Ok(SignatureMethod::RsaSha1),
            "PLAINTEXT" => Ok(SignatureMethod::Plaintext),
            other => Err(UnknownMethod(other.to_owned())),
        }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SignatureMethod::HmacSha1 => "HMAC-SHA1",
            SignatureMethod::HmacSha256 => "HMAC-SHA256",
            SignatureMethod::RsaSha1 => "RSA-SHA1",
            SignatureMethod::Plaintext => "PLAINTEXT",
        }
    }
}

/// Who signs, and how. Deliberately without `Debug`.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub method: SignatureMethod,
    pub consumer_key: &'a str,
    pub consumer_secret: &'a str,
    /// Empty before there is one.
    pub token: &'a str,
    pub token_secret: &'a str,
    /// Said in the header, but never signed (RFC 5849, section 3.5.1).
    pub realm: Option<&'a str>,
}

/// The request that is signed.
#[derive(Clone, Copy)]
pub struct Signable<'a> {
    pub method: &'a str,
    /// Absolute.
    pub uri: &'a Uri,
    /// The body, when it is `application/x-www-form-urlencoded`.
    pub form: Option<&'a [u8]>,
}

/// What makes a signature unique.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// 32 letters and digits.
    pub nonce: &'a str,
    /// Seconds since 1970.
    pub timestamp: i64,
}

impl Signer<'_> {
    /// The value of the `Authorization` header. `more` are further protocol parameters, such as `oauth_verifier`.
    ///
    /// # Errors
    /// The consumer's secret is no key, where the method wants one.
    pub fn authorization(
        &self,
        request: &Signable<'_>,
        stamp: Stamp<'_>,
        more: &[(&str, &str)],
    ) -> Result<Zeroizing<String>, RsaKeyError> {
        let timestamp = stamp.timestamp.to_string();
        let mut protocol = vec![
            ("oauth_consumer_key", self.consumer_key),
            ("oauth_nonce", stamp.nonce),
            ("oauth_signature_method", self.method.as_str()),
            ("oauth_timestamp", timestamp.as_str()),
            ("oauth_version", "1.0"),
        ];
        if !self.token.is_empty() {
            protocol.push(("oauth_token", self.token));
        }
        protocol.extend_from_slice(more);
        let signature = self.signature(request, &protocol)?;
        protocol.push(("oauth_signature", &signature));
        protocol.sort_unstable();
        Ok(header(self.realm, &protocol))
    }

    /// The signature over the request and its protocol parameters, not yet encoded (RFC 5849, section 3.4).
    fn signature(
        &self,
        request: &Signable<'_>,
        protocol: &[(&str, &str)],
    ) -> Result<Zeroizing<String>, RsaKeyError> {
        let key =
            || Zeroizing::new(format!("{}&{}", encode(self.consumer_secret), encode(self.token_secret)));
        let text = || base_string(request, protocol);
        Ok(match self.method {
            SignatureMethod::Plaintext => key(),
            SignatureMethod::HmacSha1 => mac::<Hmac<Sha1>>(&key(), &text()),
            SignatureMethod::HmacSha256 => mac::<Hmac<Sha256>>(&key(), &text()),
            SignatureMethod::RsaSha1 => {
                Zeroizing::new(STANDARD.encode(sign_sha1(self.consumer_secret, text().as_bytes())?))
            }
        })
    }
}

fn mac<M: Mac + hmac::digest::KeyInit>(key: &str, text: &str) -> Zeroizing<String> {
    // HMAC takes keys of every length, so the result cannot be an error.
    let Ok(mut mac) = <M as Mac>::new_from_slice(key.as_bytes()) else { return Zeroizing::default() };
    mac.update(text.as_bytes());
    Zeroizing::new(STANDARD.encode(mac.finalize().into_bytes()))
}

/// RFC 5849, section 3.4.1.1.
fn base_string(request: &Signable<'_>, protocol: &[(&str, &str)]) -> String {
    let method = request.method.to_ascii_uppercase();
    let parameters = parameters(request, protocol);
    format!("{}&{}&{}", encode(&method), encode(&base_uri(request.uri)), encode(&parameters))
}

/// Scheme, host and path; a port only when it is not the scheme's own (RFC 5849, section 3.4.1.2).
fn base_uri(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("https").to_ascii_lowercase();
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let port =
        uri.port_u16().filter(|port| !matches!((scheme.as_str(), port), ("http", 80) | ("https", 443)));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{}", uri.path())
}

/// Query, form and protocol parameters, encoded and sorted (RFC 5849, section 3.4.1.3).
fn parameters(request: &Signable<'_>, protocol: &[(&str, &str)]) -> String {
    let query = request.uri.query().unwrap_or_default().as_bytes();
    let mut pairs: Vec<(String, String)> =
        [query, request.form.unwrap_or_default()].into_iter().flat_map(form_pairs).collect();
    pairs.extend(protocol.iter().map(|(name, value)| (encode(name), encode(value))));
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The pairs of form-encoded bytes, encoded anew. Bytes, not text: what is no UTF-8 is signed as it is.
fn form_pairs(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    let recode = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let plain: Vec<u8> = percent_decode(&spaced).collect();
        percent_encode(&plain, ENCODED).to_string()
    };
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (recode(&pair[..end]), recode(pair.get(end + 1..).unwrap_or_default()))
    })
}

fn header(realm: Option<&str>, protocol: &[(&str, &str)]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::from("OAuth "));
    let mut separator = "";
    for (name, value) in realm.map(|realm| ("realm", realm)).iter().chain(protocol) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}=\"{}\"", encode(name), encode(value));
        separator = ", ";
    }
    text
}

fn encode(text: &str) -> String {
    percent_encode(text.as_bytes(), ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of section 1.2, with the secret of whichever token it has.
    fn photos(token_secret: &'static str) -> Signer<'static> {
        Signer {
            method: SignatureMethod::HmacSha1,
            consumer_key: "dpf43f3p2l4k3l03",
            consumer_secret: "kd94hf93k423kf44",
            token: "",
            token_secret,
            realm: None,
        }
    }

    fn signature(signer: &Signer<'_>, request: (&str, &'static str), protocol: &[(&str, &str)]) -> String {
        let uri = Uri::from_static(request.1);
        let signable = Signable { method: request.0, uri: &uri, form: None };
        signer.signature(&signable, protocol).unwrap().to_string()
    }

    #[test]
    fn the_example_of_rfc_5849_section_1_2_has_its_signatures() {
        let common = |nonce, timestamp| {
            vec![
                ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
                ("oauth_signature_method", "HMAC-SHA1"),
                ("oauth_timestamp", timestamp),
                ("oauth_nonce", nonce),
            ]
        };
        let mut initiate = common("wIjqoS", "137131200");
        initiate.push(("oauth_callback", "http://printer.example.com/ready"));
        let mut token = common("walatlh", "137131201");
        token.extend([("oauth_token", "hh5s93j4hdidpola"), ("oauth_verifier", "hfdp7dh39dks9884")]);
        let mut photo = common("chapoH", "137131202");
        photo.push(("oauth_token", "nnch734d00sl2jdk"));
        for (secret, request, protocol, expected) in [
            ("", ("POST", "https://photos.example.net/initiate"), initiate, "74KNZJeDHnMBp0EMJ9ZHt/XKycU="),
            (
                "hdhd0244k9j7ao03",
                ("POST", "https://photos.example.net/token"),
                token,
                "gKgrFCywp7rO0OXSjdot/IHF7IU=",
            ),
            (
                "pfkkdhi9sl3r4s00",
                ("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original"),
                photo,
                "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
            ),
        ] {
            assert_eq!(signature(&photos(secret), request, &protocol), expected, "{}", request.1);
        }
    }

    /// Sections 3.1 and 3.4.1.1. The signature is that of erratum 2550: the printed one belongs to no known secret.
    #[test]
    fn the_base_string_of_rfc_5849_section_3_4_is_built() {
        let protocol = [
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
        ];
        let uri = Uri::from_static("http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b");
        let request = Signable { method: "post", uri: &uri, form: Some(b"c2&a3=2+q") };
        let expected = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D\
                        %26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a\
                        %26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token\
                        %3Dkkk9d7dh3k39sjv7";
        assert_eq!(base_string(&request, &protocol), expected);
        let signer = Signer { consumer_secret: "j49sk3j29djd", token_secret: "dh893hdasih9", ..photos("") };
        assert_eq!(*signer.signature(&request, &protocol).unwrap(), "r6/TJjbCOr97/+UU0NsvSne7s5g=");
    }

    #[test]
    fn base_uris_follow_section_3_4_1_2() {
        for (uri, expected) in [
            ("http://EXAMPLE.COM:80/r%20v/X?id=123", "http://example.com/r%20v/X"),
            ("https://www.example.net:8080/?q=1", "https://www.example.net:8080/"),
            ("https://a.test:443", "https://a.test/"),
            ("http://a.test:443/x", "http://a.test:443/x"),
        ] {
            assert_eq!(base_uri(&Uri::from_static(uri)), expected, "{uri}");
        }
    }

    /// The headers of sections 2.1 and 2.3.
    #[test]
    fn plaintext_signatures_are_the_secrets() {
        let signer = |token_secret| Signer {
            method: SignatureMethod::Plaintext,
            consumer_secret: "ja893SD9",
            token_secret,
            ..photos("")
        };
        let request = ("POST", "https://photos.example.net/token");
        assert_eq!(signature(&signer(""), request, &[]), "ja893SD9&");
        assert_eq!(signature(&signer("xyz4992k83j47x0b"), request, &[]), "ja893SD9&xyz4992k83j47x0b");
    }

    /// The signature that python's `oauthlib` 4.0 makes of the third request of section 1.2 with the test key.
    #[test]
    fn rsa_signs_as_another_library_does() {
        let signer = |consumer_secret| Signer {
            method: SignatureMethod::RsaSha1,
            consumer_secret,
            token: "nnch734d00sl2jdk",
            ..photos("ignored")
        };
        let protocol = [
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_nonce", "chapoH"),
            ("oauth_signature_method", "RSA-SHA1"),
            ("oauth_timestamp", "137131202"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_version", "1.0"),
        ];
        let request = ("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original");
        let expected = "r3BkDlH4CERd4an1CF9h8G7rM/OE8wdJ6EvE2lYoDALRp/hpCem314rW4GlorXMT9EIyof/BW5jBJ7eU2tLtmq9t71qaSMAQl7UN\
                        VEeFKq7NZndi8RjfGCq2n0u27VAYsK5qlDPW8CPw0jXkMeU5DVWpKIM45vLfo8qp3ymgJ0hh3lcGgmMhwf5w9e7gaBy9zJHG+zu4\
                        G1t4QnEyQU3BLdFpjxfLS8encqhUmaTOhwd/uwy4hdg6gpp3AoYds8Vw+8oyVVAXWEj/oj1BgkGvYtw6ts7jtUCEBfkNS5T/IdVX\
                        1Qfj6LG6whzViAVgGs69YrH/vQvnjpuqvWXazli5Yg==";
        for key in [include_str!("test_rsa_key.pem"), include_str!("test_rsa_key.pkcs8.pem")] {
            assert_eq!(signature(&signer(key), request, &protocol), expected);
        }
        let uri = Uri::from_static(request.1);
        let signable = Signable { method: "GET", uri: &uri, form: None };
        let refused = signer("s3cret, not a key").signature(&signable, &protocol);
        assert_eq!(refused.err(), Some(RsaKeyError::NotPem));
    }

    #[test]
    fn the_header_lists_its_parameters_in_order_after_the_realm() {
        let uri = Uri::from_static("https://a.test/x");
        let request = Signable { method: "GET", uri: &uri, form: None };
        let stamp = Stamp { nonce: "n", timestamp: 7 };
        let signer = Signer {
            method: SignatureMethod::Plaintext,
            consumer_key: "k\u{e9}\"",
            consumer_secret: "a&b",
            token: "t",
            token_secret: "c d",
            realm: Some("123_SB1"),
        };
        assert_eq!(
            *signer.authorization(&request, stamp, &[("oauth_verifier", "v")]).unwrap(),
            "OAuth realm=\"123_SB1\", oauth_consumer_key=\"k%C3%A9%22\", oauth_nonce=\"n\", \
             oauth_signature=\"a%2526b%26c%2520d\", oauth_signature_method=\"PLAINTEXT\", oauth_timestamp=\"7\", \
             oauth_token=\"t\", oauth_verifier=\"v\", oauth_version=\"1.0\""
        );
        let tokenless = Signer { token: "", realm: None, ..signer };
        assert!(!tokenless.authorization(&request, stamp, &[]).unwrap().contains("oauth_token"));
    }

    #[test]
    fn bytes_that_are_no_text_are_signed_as_they_are() {
        let pairs: Vec<_> = form_pairs(b"a=%ff+b&=x&flag&%e2%9c%93=1=2&x=%zz").collect();
        let expected = [("a", "%FF%20b"), ("", "x"), ("flag", ""), ("%E2%9C%93", "1%3D2"), ("x", "%25zz")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn methods_have_names() {
        for (name, expected) in [
            (None, Ok(SignatureMethod::HmacSha1)),
            (Some("HMAC-SHA256"), Ok(SignatureMethod::HmacSha256)),
            (Some("PLAINTEXT"), Ok(SignatureMethod::Plaintext)),
            (Some("RSA-SHA1"), Ok(SignatureMethod::RsaSha1)),
            (Some("RSA-SHA512"), Err(UnknownMethod("RSA-SHA512".to_owned()))),
        ] {
            assert_eq!(SignatureMethod::named(name), expected);
        }
    }
}
