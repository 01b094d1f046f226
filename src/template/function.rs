//! The functions a template may call: digests, encodings and signatures over evaluated text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Context, aws, pem};
use crate::crypto::hmac_sha256;

/// A function by its catalog name (`spec` providers, section 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Base64,
    Sha256Hex,
    Sha256Base64,
    HmacSha1Hex,
    HmacSha256Hex,
    Ed25519Sign,
    Fingerprint,
    AwsSigV4,
}

impl Function {
    const ALL: [(Function, &'static str); 8] = [
        (Function::Base64, "base64"),
        (Function::Sha256Hex, "sha256Hex"),
        (Function::Sha256Base64, "sha256Base64"),
        (Function::HmacSha1Hex, "hmacSha1Hex"),
        (Function::HmacSha256Hex, "hmacSha256Hex"),
        (Function::Ed25519Sign, "ed25519Sign"),
        (Function::Fingerprint, "fingerprint"),
        (Function::AwsSigV4, "awsSigV4"),
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(function, _)| *function)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(function, _)| *function == self).map_or("", |(_, name)| name)
    }

    /// Cuts the argument text; none when the number of arguments is wrong. Commas count in template text only.
    pub fn split_arguments<'t>(self, text: &'t str, commas: &[usize]) -> Option<Vec<&'t str>> {
        match self {
            Function::HmacSha1Hex | Function::HmacSha256Hex | Function::Ed25519Sign => {
                // Wire: the message is taken as it is, only the key is trimmed.
                let last = *commas.last()?;
                Some(vec![&text[..last], text[last + 1..].trim()])
            }
            Function::AwsSigV4 => {
                let starts = std::iter::once(0).chain(commas.iter().map(|comma| comma + 1));
                let ends = commas.iter().copied().chain(std::iter::once(text.len()));
                let pieces: Vec<_> = starts.zip(ends).map(|(start, end)| text[start..end].trim()).collect();
                matches!(pieces.len(), 4 | 5).then_some(pieces)
            }
            _ => Some(vec![text]),
        }
    }

    /// Names of the context that the function reads beside its arguments.
    pub fn implicit_names(self) -> &'static [&'static str] {
        match self {
            Function::AwsSigV4 => &aws::NAMES,
            _ => &[],
        }
    }

    /// The result; none when an argument is unusable (a bad key, an empty AWS field, no request to sign).
    pub fn call(self, arguments: &[String], context: &Context<'_>) -> Option<String> {
        match (self, arguments) {
            (Function::Base64, [text]) => Some(STANDARD.encode(text)),
            (Function::Sha256Hex, [text]) => Some(hex::encode(Sha256::digest(text))),
            (Function::Sha256Base64, [text]) => Some(STANDARD.encode(Sha256::digest(text))),
            (Function::HmacSha1Hex, [message, key]) => hmac_sha1_hex(message, key),
            (Function::HmacSha256Hex, [message, key]) => {
                Some(hex::encode(hmac_sha256(key.as_bytes(), message.as_bytes())))
            }
            (Function::Ed25519Sign, [message, key]) => pem::ed25519_sign(message, key),
            (Function::Fingerprint, [key]) => pem::fingerprint(key),
            (Function::AwsSigV4, arguments) => aws::authorization(arguments, context),
            _ => None,
        }
    }
}

fn hmac_sha1_hex(message: &str, key: &str) -> Option<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(message.as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};

    use super::super::Template;
    use super::*;

    /// RFC 8032 section 7.1, test 1, as PKCS#8.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\\n-----END PRIVATE KEY-----\\n";
    const EC: &str = "-----BEGIN PRIVATE KEY----- MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHP9MPxacIPwkHltdFKeeru8/fmKkuizKq7nObPJM7+ahRANCAARDkSjm+Po5y/1Ywndc6pHVI9bASUhmoIuNptJcIoYVO0+5arju6QKiaILusIQa8JnyRDwRpEayVe8SZUtiWvhM -----END PRIVATE KEY-----";
    const RSA: &str = include_str!("test_rsa_key.pem");

    fn evaluate(text: &str, extras: &[(&str, &str)]) -> Option<String> {
        let now = NaiveDate::from_ymd_opt(2015, 8, 30).and_then(|day| day.and_hms_opt(12, 36, 0));
        let now = now.map_or(DateTime::UNIX_EPOCH, |now| now.and_utc());
        let context = Context::new(now, "r").extras(extras);
        Template::parse(text).ok()?.resolve(&context).ok().map(|text| text.into_owned())
    }

    #[test]
    fn functions_match_published_vectors() {
        let extras = [("ed", ED25519), ("ec", EC), ("rsa", RSA), ("key", " key "), ("comma", "a, b\n")];
        let cases = [
            ("${base64(é)}", "w6k="),
            ("${sha256Hex(abc)}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("${sha256Base64(abc)}", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
            ("${hmacSha1Hex(${comma}, key )}", "e5eabb6330324869aa32a39792c9370ec6dfc20d"),
            // RFC 4231, test case 2.
            (
                "${hmacSha256Hex(what do ya want for nothing?, Jefe)}",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            ("${hmacSha1Hex(a, b\n,key)}", "e5eabb6330324869aa32a39792c9370ec6dfc20d"),
            (
                "${ed25519Sign(,${ed})}",
                "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==",
            ),
            ("${fingerprint(${ec})}", "SHA256:BQ/1+XOtWvyZzssZJvBzf4EjAhScVr1ExWF1WLZqn5g="),
            ("${fingerprint(${rsa})}", "SHA256:INLC7+DtRjmVtJyHuF54HGHiwuK41UJXxSrHFHrLp5E="),
        ];
        for (text, expected) in cases {
            assert_eq!(evaluate(text, &extras).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn unusable_arguments_have_no_value() {
        let extras = [("bad", "no key"), ("empty", ""), ("rsa", RSA), ("path", "/")];
        for text in [
            "${ed25519Sign(m,${bad})}",
            "${ed25519Sign(m,${rsa})}",
            "${fingerprint(${bad})}",
            "${fingerprint(${empty})}",
            "${awsSigV4(k, ${empty}, r, s)}",
            "${awsSigV4(k, s, r, s)}",
        ] {
            assert_eq!(evaluate(text, &extras), None, "{text}");
        }
    }

    #[test]
    fn aws_signature_matches_the_published_test_suite() {
        let request =
            [("method", "GET"), ("path", "/"), ("urlCanonicalParams", ""), ("bodyCanonicalParams", "")];
        let text = "${awsSigV4(AKIDEXAMPLE, wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY, us-east-1, service, example.amazonaws.com)}";
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(evaluate(text, &request).as_deref(), Some(expected));
        let typed: Vec<_> = request.into_iter().chain([("contentType", "text/plain")]).collect();
        let signed = evaluate(text, &typed).unwrap_or_default();
        assert!(signed.contains("SignedHeaders=content-type;host;x-amz-date"), "{signed}");
    }
}
