//! Opens connections for the streaming client: policy, resolution, the operator's outbound proxy, TCP, peer check, TLS.
//! Called by hyper's pool only; the single way in which a proxied call reaches a socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::{Service, ServiceExt};

use super::inside::Inside;
use super::outbound_proxy::OutboundProxy;
use super::policy::OutboundPolicy;
use super::resolver::GuardResolver;

const TCP_CONNECT_TIMEOUT: Duration = Duration::from_secs(9);
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);

type Opening<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// The outermost connector: guarded TCP with TLS on top, name resolution to handshake within one time limit.
/// Cheap to clone: the pool clones it for every call, and asks it only for few.
#[derive(Clone)]
pub(super) struct TimedConnector {
    https: Arc<HttpsConnector<GuardConnector>>,
    limit: Duration,
}

impl TimedConnector {
    pub(super) fn new(guard: GuardConnector, tls: ClientConfig, limit: Duration) -> Self {
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self { https: Arc::new(builder.enable_all_versions().wrap_connector(guard)), limit }
    }
}

impl Service<Uri> for TimedConnector {
    type Response = MaybeHttpsStream<Link>;
    type Error = BoxError;
    type Future = Opening<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (opening, limit) = (HttpsConnector::clone(&self.https).oneshot(target), self.limit);
        Box::pin(async move {
            match timeout(limit, opening).await {
                Ok(outcome) => outcome,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// Guarded TCP connections, straight to the target or through the operator's proxy.
#[derive(Clone)]
pub(super) struct GuardConnector {
    policy: Arc<OutboundPolicy>,
    direct: HttpConnector<GuardResolver>,
    outbound: Option<Arc<OutboundProxy>>,
    inside: Inside,
}

impl GuardConnector {
    pub(super) fn new(
        policy: Arc<OutboundPolicy>,
        resolver: GuardResolver,
        outbound: Option<Arc<OutboundProxy>>,
        inside: Inside,
    ) -> Self {
        Self { policy, direct: tcp_connector(HttpConnector::new_with_resolver(resolver)), outbound, inside }
    }

    async fn open(self, target: Uri) -> Result<Link, BoxError> {
        let host = target.host().unwrap_or_default();
        self.policy.check_host(host)?;
        if let Some(address) = self.inside.address_of(host) {
            let tcp = TokioIo::new(TcpStream::connect(address).await?);
            return Ok(Link { tcp, is_forwarded: false });
        }
        if let Some(outbound) = &self.outbound
            && let Some(hop) = outbound.hop_for(&target)
        {
            return hop.open(target).await;
        }
        let tcp = self.direct.oneshot(target).await?;
        self.policy.check_ip(tcp.inner().peer_addr()?.ip())?;
        Ok(Link { tcp, is_forwarded: false })
    }
}

impl Service<Uri> for GuardConnector {
    type Response = Link;
    type Error = BoxError;
    type Future = Opening<Link>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().open(target))
    }
}

/// The TCP settings of every connection.
pub(super) fn tcp_connector<R>(mut connector: HttpConnector<R>) -> HttpConnector<R> {
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // Shared out among a name's addresses, so that a dead one leaves time for the next.
    connector.set_connect_timeout(Some(TCP_CONNECT_TIMEOUT));
    connector.set_keepalive(Some(TCP_KEEP_ALIVE));
    connector
}

/// An open TCP connection.
pub(super) struct Link {
    pub(super) tcp: TokioIo<TcpStream>,
    /// Whether requests go to a proxy that forwards them, and so name the whole URL (RFC 9112 section 3.2.2).
    pub(super) is_forwarded: bool,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.is_forwarded)
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }
}
