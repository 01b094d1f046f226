//! The functions a template may call: digests, encodings and signatures over evaluated text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Context, aws, pem};

/// A function by its catalog name (`spec` providers, section 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Base64,
    Sha256Hex,
    Sha256Base64,
    HmacSha1Hex,
    Ed25519Sign,
    Fingerprint,
    AwsSigV4,
}

impl Function {
    const ALL: [(Function, &'static str); 7] = [
        (Function::Base64, "base64"),
        (Function::Sha256Hex, "sha256Hex"),
        (Function::Sha256Base64, "sha256Base64"),
        (Function::HmacSha1Hex, "hmacSha1Hex"),
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
            Function::HmacSha1Hex | Function::Ed25519Sign => {
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
