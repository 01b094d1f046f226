//! Auth modes and the credentials they produce. Pure: no I/O, no handles; `now` and nonces come in as values.
//! Called by `oauth`, `refresh`, `proxy` and the API; never decides where a credential is stored.

mod app_jwt;
mod aws_signature;
mod credentials;
mod mode;
mod oauth1_signature;
pub mod pem;
mod rsa_key;
pub mod scopes;

pub use app_jwt::{jwt_times, sign_app_jwt};
pub use aws_signature::{
    AwsSigner, Payload as AwsPayload, SIGNATURE_HEADERS as AWS_SIGNATURE_HEADERS, Unsignable,
};
pub use credentials::{ClientOverride, Credentials, UnreadableCredentials, hide_refresh_tokens, remove_at};
pub use mode::AuthMode;
pub use oauth1_signature::{Signable, SignatureMethod, Signer as OAuth1Signer, Stamp, UnknownMethod};
pub use rsa_key::{RsaKey, RsaKeyError, sign_sha1};
