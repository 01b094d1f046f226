//! Name resolution under the outbound policy: every address of a name must be allowed, and the answer is pinned, so that a
//! name cannot change between the check and the connection (DNS rebinding, spec `proxy.md` 14.4).
//! Called by both clients when they open a connection. IP literals never come here; the connector checks them.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

use super::error::EgressError;
use super::inside::Inside;
use super::policy::{Denied, OutboundPolicy};

const PIN_FOR: Duration = Duration::from_secs(30);
const MAX_PINNED_HOSTS: usize = 1000;

/// How a name becomes addresses: the system's resolver, or a table in tests.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let answers = tokio::net::lookup_host((name, 0)).await?;
            Ok(answers.map(|answer| answer.ip()).collect())
        })
    })
}

/// A name without usable addresses.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{host} could not be resolved")]
    Failed { host: String, is_temporary: bool },
}

impl From<ResolveError> for EgressError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Denied(denied) => Self::Denied(denied),
            ResolveError::Failed { host, is_temporary } => Self::Dns { host, is_temporary },
        }
    }
}

type Outcome = Result<Arc<[IpAddr]>, ResolveError>;

/// One host's answer; the cell lets simultaneous connections to a new host share one lookup.
#[derive(Clone)]
struct Pinned {
    until: Instant,
    outcome: Arc<OnceCell<Outcome>>,
}

/// The resolver of one policy. Cloning shares the pinned answers.
#[derive(Clone)]
pub struct GuardResolver(Arc<Shared>, Inside);

struct Shared {
    policy: Arc<OutboundPolicy>,
    lookup: Lookup,
    trusted: HashSet<String>,
    pinned: Cache<String, Pinned>,
}

impl GuardResolver {
    /// `trusted` names skip the policy: the operator's own outbound proxy, never a target.
    pub fn new(policy: Arc<OutboundPolicy>, lookup: Lookup, trusted: HashSet<String>) -> Self {
        let shared = Shared { policy, lookup, trusted, pinned: Cache::new(MAX_PINNED_HOSTS) };
        Self(Arc::new(shared), Inside::default())
    }

    /// The same resolver, which also knows where the demo provider is.
    pub(super) fn leading(self, inside: Inside) -> Self {
        Self(self.0, inside)
    }

    /// The checked addresses of a name, at most 30 seconds old at `now`. Failed lookups are not kept, and the caller
    /// bounds the wait.
    pub async fn resolve(&self, name: &str, now: Instant) -> Outcome {
        let pinned = self.pin(name, now);
        let outcome = pinned.outcome.get_or_init(|| self.0.look_up(name)).await.clone();
        if matches!(outcome, Err(ResolveError::Failed { .. })) {
            self.0.pinned.remove_if(name, |kept| Arc::ptr_eq(&kept.outcome, &pinned.outcome));
        }
        outcome
    }

    fn pin(&self, name: &str, now: Instant) -> Pinned {
        if let Some(pinned) = self.0.pinned.get(name).filter(|pinned| pinned.until > now) {
            return pinned;
        }
        let fresh = Pinned { until: now + PIN_FOR, outcome: Arc::default() };
        self.0.pinned.insert(name.to_owned(), fresh.clone());
        fresh
    }

    async fn socket_addresses(self, name: String) -> Result<std::vec::IntoIter<SocketAddr>, ResolveError> {
        if let Some(address) = self.1.address_of(&name) {
            return Ok(vec![address].into_iter());
        }
        let answers = self.resolve(&name, Instant::now()).await?;
        let addresses: Vec<_> = answers.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        Ok(addresses.into_iter())
    }
}

impl Shared {
    async fn look_up(&self, name: &str) -> Outcome {
        let failed = |is_temporary| ResolveError::Failed { host: name.to_owned(), is_temporary };
        let answers = (self.lookup)(name.to_owned()).await.map_err(|error| failed(is_temporary(&error)))?;
        if answers.is_empty() {
            return Err(failed(false));
        }
        if !self.trusted.contains(name) {
            self.policy.check_answers(name, &answers)?;
        }
        Ok(answers.into())
    }
}

/// The standard library hides the resolver's error number, so glibc's and musl's texts have to tell.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    text.contains("Temporary failure") || text.contains("Try again")
}

impl tower::Service<Name> for GuardResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().socket_addresses(name.as_str().to_owned()))
    }
}

impl reqwest::dns::Resolve for GuardResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.socket_addresses(name.as_str().to_owned()).await?;
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::settings::PolicySet;
    use super::*;

    /// Answers the n-th lookup with the n-th list, then with the last one; an empty list fails.
    fn scripted(answers: &'static [&'static [&'static str]]) -> (GuardResolver, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let lookup: Lookup = Arc::new(move |_| {
            let turn = counter.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let ips = answers[turn].iter().map(|ip| ip.parse().unwrap()).collect();
            Box::pin(async move { Ok(ips) })
        });
        let policy = Arc::new(PolicySet::parse(None, None, None).unwrap().proxy);
        (GuardResolver::new(policy, lookup, HashSet::from(["proxy.corp".to_owned()])), count)
    }

    fn code(outcome: &Outcome) -> &'static str {
        match outcome {
            Ok(_) => "ok",
            Err(ResolveError::Denied(denied)) => denied.reason.code(),
            Err(ResolveError::Failed { .. }) => "failed",
        }
    }

    #[tokio::test]
    async fn one_private_answer_among_public_ones_refuses_the_name() {
        let (resolver, _) = scripted(&[&["8.8.8.8", "10.0.0.1"]]);
        assert_eq!(code(&resolver.resolve("api.test", Instant::now()).await), "denied_dns");
    }

    #[tokio::test]
    async fn an_answer_is_pinned_for_thirty_seconds_and_checked_again_after() {
        let (resolver, count) = scripted(&[&["8.8.8.8"], &["127.0.0.1"]]);
        let start = Instant::now();
        assert_eq!(code(&resolver.resolve("api.test", start).await), "ok");
        assert_eq!(code(&resolver.resolve("api.test", start + Duration::from_secs(29)).await), "ok");
        assert_eq!(code(&resolver.resolve("api.test", start + Duration::from_secs(31)).await), "denied_dns");
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn simultaneous_connections_share_one_lookup() {
        let (resolver, count) = scripted(&[&["8.8.8.8"]]);
        let all =
            futures_util::future::join_all((0..50).map(|_| resolver.resolve("api.test", Instant::now())))
                .await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failed_lookup_is_not_kept() {
        let (resolver, _) = scripted(&[&[], &["8.8.8.8"]]);
        assert_eq!(code(&resolver.resolve("api.test", Instant::now()).await), "failed");
        assert_eq!(code(&resolver.resolve("api.test", Instant::now()).await), "ok");
    }

    #[tokio::test]
    async fn the_operators_own_proxy_may_live_on_a_private_address() {
        let (resolver, _) = scripted(&[&["10.0.0.1"]]);
        assert_eq!(code(&resolver.resolve("proxy.corp", Instant::now()).await), "ok");
        assert_eq!(code(&resolver.resolve("other.corp", Instant::now()).await), "denied_dns");
    }

    #[tokio::test]
    async fn at_most_a_thousand_hosts_are_pinned() {
        let (resolver, _) = scripted(&[&["8.8.8.8"]]);
        for n in 0..1500 {
            resolver.resolve(&format!("h{n}.test"), Instant::now()).await.unwrap();
        }
        assert!(resolver.0.pinned.len() <= MAX_PINNED_HOSTS);
    }
}
