//! Client certificates of connections (`spec` proxy, section 7.7): a streaming client of its own per connection and
//! certificate, kept so that its TLS connections are used again. The provider's own certificate is always verified.

use sha2::{Digest, Sha256};

use super::target::Unbuildable;
use crate::app::App;
use crate::auth::{Credentials, pem};
use crate::caches::TimedCache;
use crate::catalog::Provider;
use crate::db::ConnectionRowId;
use crate::egress::ProxyClient;

const CAPACITY: usize = 1_000;
/// Of a client that may be in use: it is only built again.
const KEPT_FOR: chrono::TimeDelta = chrono::TimeDelta::hours(1);

type Key = (ConnectionRowId, [u8; 32]);

/// The clients of connections that present a certificate.
pub struct IdentityCache(TimedCache<Key, ProxyClient>);

impl Default for IdentityCache {
    fn default() -> Self {
        IdentityCache(TimedCache::new(CAPACITY, KEPT_FOR))
    }
}

/// The client that presents the connection's certificate; none where the entry asks for no certificate, or the connection
/// has none.
///
/// # Errors
/// A certificate or key that cannot be used.
pub(super) fn client_with_identity(
    app: &App,
    provider: Option<&Provider>,
    connection: ConnectionRowId,
    credentials: &Credentials,
) -> Result<Option<ProxyClient>, Unbuildable> {
    let Credentials::OAuth2Cc {
        client_certificate: Some(certificate),
        client_private_key: Some(private_key),
        ..
    } = credentials
    else {
        return Ok(None);
    };
    if !provider.is_some_and(|provider| provider.require_client_certificate) {
        return Ok(None);
    }
    let digest =
        Sha256::new().chain_update(certificate).chain_update([0]).chain_update(private_key).finalize();
    let (key, now) = ((connection, digest.into()), app.clock.now());
    if let Some(client) = app.identities.0.get(&key, now) {
        return Ok(Some(client));
    }
    let mark = app.identities.0.begin();
    let (certificate, private_key) = (pem::certificates(certificate), pem::private_key(private_key));
    let built = app.egress.proxy_with_identity(certificate.as_bytes(), private_key.as_bytes());
    let client = built.map_err(|error| Unbuildable::Identity(error.to_string()))?;
    app.identities.0.insert(mark, key, client.clone(), now);
    Ok(Some(client))
}
