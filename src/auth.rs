//! Auth modes and the credentials they produce. Pure: no I/O, no handles; `now` and nonces come in as values.
//! Called by `oauth`, `refresh`, `proxy` and the API; never decides where a credential is stored.

mod app_jwt;
mod credentials;
mod mode;
mod rsa_key;
pub mod scopes;

pub use app_jwt::{jwt_times, sign_app_jwt};
pub use credentials::{ClientOverride, Credentials, UnreadableCredentials, hide_refresh_tokens, remove_at};
pub use mode::AuthMode;
pub use rsa_key::{RsaKey, RsaKeyError};
