//! The HTTP proxy: takes a call of the customer's backend, adds the credentials of a connection, and streams the
//! provider's answer back. Called by the edge (`api::proxy`); credential verification also starts here.
//!
//! Phases, one module each: resolve (integration, connection, fresh credentials), authorize (what the entry adds), url,
//! headers, body, send (with redirects), retry, response. A call whose target is cached touches no database. Bodies pass
//! through in both directions; none is kept whole unless something has to read it, and no secret reaches a log.

mod authorize;
mod body;
mod call;
mod call_log;
mod conversion;
mod encoding;
mod entry;
mod error;
mod headers;
mod identity;
mod json_form;
mod multipart;
mod namespace;
mod own_call;
mod paced;
mod redirect;
mod replay;
mod request_names;
mod resolve;
mod response;
mod retry;
mod send;
mod sign;
mod target;
mod trace;
mod url;
mod verify;

use http::{HeaderMap, Method};

use crate::db::EnvironmentId;

pub use call::call;
pub use error::ProxyError;
pub use identity::IdentityCache;
pub use namespace::clean_config;
pub use own_call::{OnBehalf, OwnCallError, send_hook, with_context};
pub use resolve::{TargetCache, TargetKey};
pub use target::Target;
pub use trace::{Attempt, watch};
pub use verify::{VerificationFailure, excerpt, verify_credentials};

/// What the control headers of a call say (`spec` proxy, section 2).
#[derive(Debug, Clone, PartialEq)]
pub struct Control<'a> {
    /// The integration's unique key.
    pub integration: &'a str,
    pub connection: &'a str,
    /// Additional attempts, at most 10.
    pub retries: u32,
    /// Statuses that are worth a retry besides the entry's.
    pub retry_on: Vec<u16>,
    /// An absolute URL, possibly with templates.
    pub base_url_override: Option<&'a str>,
    pub decompress: bool,
    /// Absent: the entry decides.
    pub forward_headers_on_redirect: Option<bool>,
}

/// A call as the client sent it, its body apart.
pub struct Call<'a> {
    pub environment: EnvironmentId,
    pub control: Control<'a>,
    pub method: Method,
    /// Path and query below `/proxy`, undecoded.
    pub endpoint: &'a str,
    pub headers: &'a HeaderMap,
}
