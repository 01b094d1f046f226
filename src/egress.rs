//! The one way out: every request of this process to another host (proxied call, token, webhook) passes here.
//! Called by the proxy, the OAuth flows, webhooks and the catalog. The clients judge URLs, resolved addresses, connected
//! peers and redirects by the outbound policy; nothing else in the tree may open an outgoing HTTP connection.

mod buffered_client;
mod connector;
mod error;
mod inside;
mod outbound_proxy;
mod own_server;
mod policy;
mod proxy_client;
mod ranges;
mod resolver;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;
pub mod witness;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use buffered_client::{Answer, BufferedClient, Limits, OutgoingRequest};
pub use error::{EgressError, classify, classify_hyper_error};
pub use inside::{DEMO_HOST, Inside};
pub use outbound_proxy::OutboundProxyConfig;
pub use policy::{Denied, DeniedReason, Mode, OutboundPolicy};
pub use proxy_client::ProxyClient;
pub use resolver::{Lookup, system_lookup};
pub use settings::PolicySet;
pub use tls::IdentityError;
pub use witness::Witnessed;

use connector::{GuardConnector, TimedConnector};
use outbound_proxy::OutboundProxy;
use resolver::GuardResolver;
use tls::Trust;

/// Everything the clients are built from.
pub struct EgressConfig {
    pub policies: PolicySet,
    /// A PEM file trusted besides the system's roots.
    pub extra_ca_file: Option<PathBuf>,
    pub outbound_proxy: OutboundProxyConfig,
    /// `system_lookup()` outside tests.
    pub lookup: Lookup,
    /// Of token, verification and webhook exchanges; proxied calls share the connect time-out.
    pub limits: Limits,
    /// Lanes that call from pools of their own.
    pub lanes: usize,
}

impl EgressConfig {
    /// Policies with everything else at its default.
    pub fn new(policies: PolicySet) -> Self {
        Self {
            policies,
            extra_ca_file: None,
            outbound_proxy: OutboundProxyConfig::default(),
            lookup: system_lookup(),
            limits: Limits::default(),
            lanes: 0,
        }
    }
}

/// The outgoing clients, built once and shared.
#[derive(Clone)]
pub struct Egress {
    /// Streams proxied calls, under `proxy_policy`.
    pub proxy: ProxyClient,
    /// OAuth and token endpoints, under `oauth_policy`.
    pub tokens: BufferedClient,
    /// Webhooks, verification and hooks, under `proxy_policy`.
    pub webhooks: BufferedClient,
    /// Addresses that the operator's settings name, such as a collector: private networks are normal there.
    pub operator: BufferedClient,
    pub proxy_policy: Arc<OutboundPolicy>,
    pub oauth_policy: Arc<OutboundPolicy>,
    /// The way to the demo provider.
    pub inside: Inside,
    trust: Trust,
    guard: GuardConnector,
    outbound: Option<Arc<OutboundProxy>>,
    lookup: Lookup,
    limits: Limits,
    lanes: usize,
}

impl Egress {
    /// Builds the clients.
    ///
    /// # Errors
    /// A sentence for the operator: a CA file or outbound proxy that cannot be used.
    pub fn new(config: EgressConfig) -> Result<Self, String> {
        let trust = Trust::load(config.extra_ca_file.as_deref())?;
        let tls = trust.client_config()?;
        let outbound = OutboundProxy::new(&config.outbound_proxy)?.map(Arc::new);
        let (proxy_policy, oauth_policy) = (Arc::new(config.policies.proxy), Arc::new(config.policies.oauth));
        let inside = Inside::default();
        let buffered = |policy: &Arc<OutboundPolicy>| {
            BufferedClient::new(
                policy.clone(),
                config.lookup.clone(),
                tls.clone(),
                outbound.as_deref(),
                config.limits,
                inside.clone(),
            )
        };
        let (tokens, webhooks) = (buffered(&oauth_policy)?, buffered(&proxy_policy)?);
        let operator = buffered(&Arc::new(OutboundPolicy::of_operator()))?;
        let resolver = GuardResolver::new(proxy_policy.clone(), config.lookup.clone(), HashSet::new());
        let guard = GuardConnector::new(proxy_policy.clone(), resolver, outbound.clone(), inside.clone());
        let connector = TimedConnector::new(guard.clone(), tls, config.limits.connect_timeout);
        let proxy = ProxyClient::new(&connector, outbound.clone(), config.lanes);
        Ok(Self {
            proxy,
            tokens,
            webhooks,
            operator,
            proxy_policy,
            oauth_policy,
            inside,
            trust,
            guard,
            outbound,
            lookup: config.lookup,
            limits: config.limits,
            lanes: config.lanes,
        })
    }

    /// A streaming client that presents a client certificate (both parts PEM), with a pool of its own: keep it per
    /// connection and certificate.
    pub fn proxy_with_identity(&self, certificate: &[u8], key: &[u8]) -> Result<ProxyClient, IdentityError> {
        let tls = self.trust.client_config_with_identity(certificate, key)?;
        let connector = TimedConnector::new(self.guard.clone(), tls, self.limits.connect_timeout);
        Ok(ProxyClient::new(&connector, self.outbound.clone(), self.lanes))
    }

    /// A client for token endpoints that presents a client certificate (both parts PEM). Token calls are rare, so it is
    /// built for each.
    pub fn tokens_with_identity(
        &self,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<BufferedClient, IdentityError> {
        let tls = self.trust.client_config_with_identity(certificate, key)?;
        let (policy, lookup) = (self.oauth_policy.clone(), self.lookup.clone());
        let inside = self.inside.clone();
        let built = BufferedClient::new(policy, lookup, tls, self.outbound.as_deref(), self.limits, inside);
        built.map_err(|_| IdentityError::Mismatch)
    }
}

/// Asks a server of the operator's own, for the `healthcheck` command: no policy, because the address is the
/// operator's own word and the answer's body is not read.
pub async fn ask_own_server(url: &str, limit: Duration) -> Result<http::StatusCode, EgressError> {
    own_server::ask(url, limit).await
}
