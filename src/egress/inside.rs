//! The one name that leads back into this process: the demo provider's, and only while somebody runs it. The name exists
//! nowhere else (RFC 6761 section 6.4), so that nothing else becomes reachable: whatever port a URL names, a connection to
//! it ends at the address that was opened here.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// The host of the demo provider, as calls of this server name it.
pub const DEMO_HOST: &str = "demo-provider.hitchpost.invalid";

/// Where the demo provider listens, while it does. Cloning shares it.
#[derive(Clone, Default)]
pub struct Inside(Arc<RwLock<Option<SocketAddr>>>);

impl Inside {
    /// Lets [`DEMO_HOST`] lead to a listener of this process.
    pub fn open(&self, address: SocketAddr) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Lets it lead nowhere again.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The listener behind a host name.
    pub(super) fn address_of(&self, host: &str) -> Option<SocketAddr> {
        if host != DEMO_HOST {
            return None;
        }
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
