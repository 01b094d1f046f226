//! What the clients trust and show in TLS: the system's roots, the operator's extra file, and a client certificate where a
//! provider wants one. Called when clients are built; never turns verification off.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The trusted roots with the crypto provider, shared by every client.
#[derive(Clone)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
}

/// A client certificate or key that cannot be used. The text holds no part of either.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the client certificate is not a PEM certificate")]
    Certificate,
    #[error("the client private key is not an unencrypted PEM key")]
    Key,
    #[error("the client certificate and its private key do not fit together")]
    Mismatch,
}

impl Trust {
    /// Loads the system's roots and the PEM file given. A machine without roots only gets a warning: plain HTTP still works.
    ///
    /// # Errors
    /// A sentence when the extra file cannot be read or holds no certificate.
    pub fn load(extra_ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = extra_ca_file {
            add_file(&mut roots, path)?;
        }
        if roots.is_empty() {
            tracing::warn!(
                "no trusted root certificates were found on this machine: every https call will fail"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Self { provider, roots: Arc::new(roots) })
    }

    /// The configuration without a client certificate; no ALPN, each client sets its own.
    pub fn client_config(&self) -> Result<ClientConfig, String> {
        Ok(self.builder()?.with_no_client_auth())
    }

    /// The configuration that presents a client certificate (RFC 8446 section 4.4.2), both given as PEM.
    pub fn client_config_with_identity(
        &self,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<ClientConfig, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| IdentityError::Certificate)?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::Key)?;
        let builder = self.builder().map_err(|_| IdentityError::Mismatch)?;
        builder.with_client_auth_cert(chain, key).map_err(|_| IdentityError::Mismatch)
    }

    fn builder(
        &self,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(builder.with_root_certificates(self.roots.clone()))
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("the extra CA file {shown} cannot be read: {error}"))?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(format!("the extra CA file {shown} holds no certificate")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_file_must_hold_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(Trust::load(Some(&path)).err().unwrap().contains("cannot be read"));
        std::fs::write(&path, "not a certificate").unwrap();
        assert!(Trust::load(Some(&path)).err().unwrap().contains("holds no certificate"));
        assert!(Trust::load(None).unwrap().client_config().is_ok());
    }

    #[test]
    fn identities_are_checked() {
        let trust = Trust::load(None).unwrap();
        let error = |certificate: &str, key: &str| {
            trust.client_config_with_identity(certificate.as_bytes(), key.as_bytes()).unwrap_err().to_string()
        };
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(error("", "").contains("certificate is not"));
        assert!(error(certificate, "nonsense").contains("private key is not"));
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert!(error(certificate, key).contains("do not fit"));
    }
}
