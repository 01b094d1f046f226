//! The client for short exchanges: token endpoints, verification, webhooks. Request and answer are whole in memory, bounded
//! in size and time; redirects are followed by our own loop, which judges every hop (spec `auth-flows.md` 14).
//! It knows nothing of credentials and logs nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use rustls::ClientConfig;
use url::Url;

use super::error::{EgressError, classify};
use super::inside::{DEMO_HOST, Inside};
use super::outbound_proxy::OutboundProxy;
use super::policy::{Denied, DeniedReason, OutboundPolicy};
use super::resolver::{GuardResolver, Lookup};
use super::witness::{self, Witness, Witnessed};

const POOL_IDLE: Duration = Duration::from_secs(90);
const MAX_IDLE_PER_HOST: usize = 16;
const PRODUCT: &str = concat!("Hitchpost/", env!("CARGO_PKG_VERSION"));

/// A request with its whole body. Deliberately without `Debug`: headers and body carry secrets.
#[derive(Clone)]
pub struct OutgoingRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// False returns a 3xx answer as it is; signed requests (OAuth 1) need that.
    pub follow: bool,
}

/// A whole answer. Deliberately without `Debug`: it may hold tokens.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Decompressed, unless the request brought its own `Accept-Encoding`.
    pub body: Bytes,
    /// Where the last redirect led.
    pub final_url: Url,
}

/// Bounds of one exchange, redirects included.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To open one connection, name resolution to TLS handshake; holds for proxied calls too.
    pub connect_timeout: Duration,
    pub timeout: Duration,
    /// Of the decompressed answer, in bytes.
    pub max_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            max_body: 10 * 1024 * 1024,
        }
    }
}

/// A client under one policy. Cloning is cheap and shares the pool.
#[derive(Clone)]
pub struct BufferedClient {
    http: reqwest::Client,
    /// Reaches the demo provider, while it runs.
    own: reqwest::Client,
    inside: Inside,
    policy: Arc<OutboundPolicy>,
    limits: Limits,
    /// Names of the operator's proxies: the resolver trusts them, so they must never be targets.
    proxy_names: Arc<HashSet<String>>,
    has_proxy: bool,
}

impl BufferedClient {
    pub(super) fn new(
        policy: Arc<OutboundPolicy>,
        lookup: Lookup,
        tls: ClientConfig,
        outbound: Option<&OutboundProxy>,
        limits: Limits,
        inside: Inside,
    ) -> Result<Self, String> {
        let proxy_names = outbound.map(OutboundProxy::names).unwrap_or_default();
        let resolver = GuardResolver::new(policy.clone(), lookup, proxy_names.clone());
        let http = build_reqwest(resolver.clone(), tls.clone(), outbound, limits.connect_timeout)?;
        // Never through the operator's proxy.
        let own = build_reqwest(resolver.leading(inside.clone()), tls, None, limits.connect_timeout)?;
        let (proxy_names, has_proxy) = (Arc::new(proxy_names), outbound.is_some());
        Ok(Self { http, own, inside, policy, limits, proxy_names, has_proxy })
    }

    /// Sends a request and reads the whole answer within the client's limits.
    pub async fn send(&self, request: OutgoingRequest) -> Result<Answer, EgressError> {
        self.send_within(request, self.limits.timeout).await
    }

    /// The same with another time limit.
    pub async fn send_within(
        &self,
        request: OutgoingRequest,
        limit: Duration,
    ) -> Result<Answer, EgressError> {
        let unheard = Unheard::begin(&request);
        let outcome = tokio::time::timeout(limit, self.exchange(request)).await;
        let result = outcome.unwrap_or_else(|_| {
            unheard.tell(&EgressError::Timeout);
            Err(EgressError::Timeout)
        });
        unheard.settle();
        result
    }

    async fn exchange(&self, mut request: OutgoingRequest) -> Result<Answer, EgressError> {
        let limit = if request.follow { self.policy.max_redirects() } else { 0 };
        let mut followed = 0;
        loop {
            let response = self.send_watched(&request).await?;
            if limit == 0 || !is_redirect(response.status(), response.headers()) {
                return self.read(request.url, response).await;
            }
            if followed == limit {
                return Err(EgressError::TooManyRedirects { limit });
            }
            request = next_hop(request, response.status(), response.headers())?;
            followed += 1;
        }
    }

    async fn send_watched(&self, request: &OutgoingRequest) -> Result<reqwest::Response, EgressError> {
        let began = Instant::now();
        let outcome = self.send_once(request).await;
        let seen = outcome.as_ref().map(|response| (response.status(), response.headers()));
        show(request, seen, began.elapsed());
        outcome
    }

    async fn send_once(&self, request: &OutgoingRequest) -> Result<reqwest::Response, EgressError> {
        self.check(&request.url)?;
        let demo = self.inside.address_of(request.url.domain().unwrap_or_default());
        let client = if demo.is_some() { &self.own } else { &self.http };
        let mut builder =
            client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        } else if states_length(request) {
            builder = builder.header(CONTENT_LENGTH, 0);
        }
        let response = builder.send().await.map_err(|error| classify(&error))?;
        if let Some(peer) = response.remote_addr().filter(|peer| !self.has_proxy && Some(*peer) != demo) {
            self.policy.check_ip(peer.ip())?;
        }
        Ok(response)
    }

    fn check(&self, url: &Url) -> Result<(), Denied> {
        if url.domain().is_some_and(|name| self.proxy_names.contains(name)) {
            return Err(Denied::new(
                DeniedReason::DeniedHostname,
                "the outbound HTTP proxy cannot be called itself",
            ));
        }
        // A port of its own would lead to another listener of this machine.
        if url.domain() == Some(DEMO_HOST) && url.port().is_some() {
            return Err(Denied::new(DeniedReason::DeniedHostname, "the demo provider has no such port"));
        }
        self.policy.check_url(url)
    }

    async fn read(&self, final_url: Url, mut response: reqwest::Response) -> Result<Answer, EgressError> {
        let limit = self.limits.max_body;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
            if body.len() + chunk.len() > limit {
                return Err(EgressError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(Answer { status, headers, body: body.into(), final_url })
    }
}

/// A request whose exchange goes on. When whoever waits for the answer gives up, the witness hears of the request all the same.
struct Unheard {
    asked: Option<(OutgoingRequest, Witness)>,
    began: Instant,
}

impl Unheard {
    fn begin(request: &OutgoingRequest) -> Self {
        let asked = witness::current().map(|witness| (request.clone(), witness));
        Unheard { asked, began: Instant::now() }
    }

    fn tell(&self, error: &EgressError) {
        let Some((OutgoingRequest { method, url, headers, .. }, witness)) = &self.asked else { return };
        witness(&Witnessed { method, url, headers, outcome: Err(error), duration: self.began.elapsed() });
    }

    /// Everything was told.
    fn settle(mut self) {
        self.asked = None;
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        self.tell(&EgressError::Other("nobody waited for the answer any longer".to_owned()));
    }
}

/// Tells the witness, if somebody is one.
fn show(
    request: &OutgoingRequest,
    outcome: Result<(StatusCode, &HeaderMap), &EgressError>,
    duration: Duration,
) {
    let OutgoingRequest { method, url, headers, .. } = request;
    witness::show(&Witnessed { method, url, headers, outcome, duration });
}

#[expect(clippy::disallowed_methods, reason = "this is the egress guard")]
fn build_reqwest(
    resolver: GuardResolver,
    mut tls: ClientConfig,
    outbound: Option<&OutboundProxy>,
    connect_timeout: Duration,
) -> Result<reqwest::Client, String> {
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .user_agent(PRODUCT)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST);
    for proxy in outbound.map(OutboundProxy::reqwest_proxies).transpose()?.unwrap_or_default() {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| format!("the HTTP client cannot be built: {}", classify(&error)))
}

/// Whether an empty body is to be announced: some servers answer 411 to a POST without a length (RFC 9110 section 8.6).
fn states_length(request: &OutgoingRequest) -> bool {
    matches!(request.method, Method::POST | Method::PUT | Method::PATCH)
        && !request.headers.contains_key(CONTENT_LENGTH)
}

fn is_redirect(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) && headers.contains_key(LOCATION)
}

/// The request that a redirect asks for (RFC 9110 section 15.4), without anything that could be a credential.
fn next_hop(
    request: OutgoingRequest,
    status: StatusCode,
    answer: &HeaderMap,
) -> Result<OutgoingRequest, EgressError> {
    let url = redirect_target(&request.url, answer)?;
    let becomes_get = match status {
        StatusCode::SEE_OTHER => !matches!(request.method, Method::GET | Method::HEAD),
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _ => false,
    };
    let mut headers = kept_headers(&request.headers);
    if becomes_get {
        headers.remove(CONTENT_TYPE);
        return Ok(OutgoingRequest { method: Method::GET, url, headers, body: Bytes::new(), follow: true });
    }
    if !request.body.is_empty() && url.origin() != request.url.origin() {
        return Err(EgressError::RefusedRedirect("it would carry the request body to another origin"));
    }
    Ok(OutgoingRequest { method: request.method, url, headers, body: request.body, follow: true })
}

fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let kept = [ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT];
    kept.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

/// The absolute target, without user and password: those would become an `Authorization` header.
fn redirect_target(from: &Url, answer: &HeaderMap) -> Result<Url, EgressError> {
    let location = answer.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let mut url = location
        .and_then(|location| from.join(location).ok())
        .ok_or(EgressError::RefusedRedirect("its Location is not a URL"))?;
    if url.has_authority() {
        // Fails only for URLs without a host, which the policy refuses anyway.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
    }
    Ok(url)
}
