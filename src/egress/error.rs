//! Why an outgoing request failed, read from the error chains of hyper and reqwest.
//! Callers branch on the variants; texts carry no secret, no path and no query.

use std::error::Error as StdError;
use std::io;

use super::outbound_proxy::TunnelRefused;
use super::policy::Denied;
use super::resolver::ResolveError;

/// A request that got no (whole) answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EgressError {
    /// The outbound policy refused the URL, an address, or a redirect.
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{host} could not be resolved")]
    Dns { host: String, is_temporary: bool },
    #[error("no connection: {0}")]
    Connect(io::ErrorKind),
    /// The proxy named by `HTTPS_PROXY` or `HTTP_PROXY` gave no tunnel.
    #[error("the outbound HTTP proxy opened no tunnel: {0}")]
    Tunnel(String),
    #[error("TLS: {0}")]
    Tls(Box<rustls::Error>),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("more than {limit} redirects")]
    TooManyRedirects { limit: usize },
    /// A redirect that would carry a body to another origin, or has no usable target.
    #[error("refused redirect: {0}")]
    RefusedRedirect(&'static str),
    /// The connection broke before the answer was complete.
    #[error("the connection was closed before the answer was complete")]
    Aborted,
    #[error("the request failed: {0}")]
    Other(String),
}

impl EgressError {
    /// The code a Node client would report for this failure; part of the wire format of proxy errors.
    pub fn transport_code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "ERR_BAD_REQUEST",
            Self::Dns { is_temporary: true, .. } => "EAI_AGAIN",
            Self::Dns { .. } => "ENOTFOUND",
            Self::Connect(kind) => connect_code(*kind),
            Self::Tunnel(_) => "ECONNREFUSED",
            Self::Tls(error) => tls_code(error),
            Self::Timeout => "ETIMEDOUT",
            Self::TooLarge { .. } => "ERR_BAD_RESPONSE",
            Self::TooManyRedirects { .. } => "ERR_FR_TOO_MANY_REDIRECTS",
            Self::RefusedRedirect(_) => "ERR_FR_REDIRECTION_FAILURE",
            Self::Aborted => "ECONNRESET",
            Self::Other(_) => "EPROTO",
        }
    }
}

fn connect_code(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        io::ErrorKind::NetworkDown => "ENETDOWN",
        io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        _ => "ECONNREFUSED",
    }
}

fn tls_code(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError as Cert, Error};
    match error {
        Error::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. }) => "CERT_HAS_EXPIRED",
        Error::InvalidCertificate(Cert::NotValidYet | Cert::NotValidYetContext { .. }) => {
            "CERT_NOT_YET_VALID"
        }
        Error::InvalidCertificate(Cert::NotValidForName | Cert::NotValidForNameContext { .. }) => {
            "ERR_TLS_CERT_ALTNAME_INVALID"
        }
        Error::InvalidCertificate(Cert::UnknownIssuer) => "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        _ => "EPROTO",
    }
}

/// Reads a failure of the streaming client.
pub fn classify_hyper_error(error: &hyper_util::client::legacy::Error) -> EgressError {
    classify(error)
}

/// Reads any failure of a client of this module, an error inside a streamed body included.
pub fn classify(error: &(dyn StdError + 'static)) -> EgressError {
    find(error).unwrap_or_else(|| EgressError::Other(root_text(error)))
}

/// The first link of the chain that says something definite; a link's cause is asked before the link itself
/// where the link is only a wrapper.
fn find(error: &(dyn StdError + 'static)) -> Option<EgressError> {
    if let Some(denied) = error.downcast_ref::<Denied>() {
        return Some(EgressError::Denied(denied.clone()));
    }
    if let Some(error) = error.downcast_ref::<ResolveError>() {
        return Some(EgressError::from(error.clone()));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(EgressError::Tls(Box::new(error.clone())));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `source` of an io::Error skips the error it wraps.
        return error.get_ref().and_then(|inner| find(inner)).or_else(|| from_kind(error.kind()));
    }
    error.source().and_then(find).or_else(|| from_wrapper(error))
}

fn from_kind(kind: io::ErrorKind) -> Option<EgressError> {
    use io::ErrorKind::*;
    match kind {
        ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => {
            Some(EgressError::Connect(kind))
        }
        TimedOut => Some(EgressError::Timeout),
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | NotConnected => {
            Some(EgressError::Aborted)
        }
        _ => None,
    }
}

fn from_wrapper(error: &(dyn StdError + 'static)) -> Option<EgressError> {
    if let Some(error) = error.downcast_ref::<TunnelRefused>() {
        return Some(EgressError::Tunnel(error.0.clone()));
    }
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return error.is_timeout().then_some(EgressError::Timeout);
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_timeout() {
        return Some(EgressError::Timeout);
    }
    (!error.is_user() && !error.is_parse()).then_some(EgressError::Aborted)
}

/// The text of the innermost cause. reqwest's own texts are left out: they contain the URL.
fn root_text(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    match root.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request or its answer is malformed".to_owned(),
        None => root.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_inside_io_errors() {
        let table: Vec<(io::Error, &str)> = vec![
            (io::Error::from(io::ErrorKind::ConnectionRefused), "ECONNREFUSED"),
            (io::Error::from(io::ErrorKind::HostUnreachable), "EHOSTUNREACH"),
            (io::Error::from(io::ErrorKind::ConnectionReset), "ECONNRESET"),
            (io::Error::from(io::ErrorKind::TimedOut), "ETIMEDOUT"),
            (io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"), "ECONNRESET"),
            (io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused)), "ECONNREFUSED"),
            (io::Error::other("something else"), "EPROTO"),
            (
                io::Error::other(rustls::Error::InvalidCertificate(rustls::CertificateError::Expired)),
                "CERT_HAS_EXPIRED",
            ),
            (
                io::Error::other(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::NotValidForName,
                )),
                "ERR_TLS_CERT_ALTNAME_INVALID",
            ),
        ];
        for (error, code) in table {
            assert_eq!(classify(&error).transport_code(), code, "{error:?}");
        }
    }
}
