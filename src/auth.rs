//! Auth modes and the credentials they produce. Pure: no I/O, no handles; `now` and nonces come in as values.
//! Called by `oauth`, `refresh`, `proxy` and the API; never decides where a credential is stored.

mod credentials;
mod mode;
pub mod scopes;

pub use credentials::{ClientOverride, Credentials, UnreadableCredentials, hide_refresh_tokens, remove_at};
pub use mode::AuthMode;
