//! The streaming client of proxied calls: bodies pass through in both directions, connections are pooled (HTTP/1.1 and
//! HTTP/2). Called by the proxy. It follows no redirect, retries nothing that was sent, and buffers nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::TimedConnector;
use super::error::{EgressError, classify_hyper_error};
use super::outbound_proxy::OutboundProxy;
use crate::lane;

const POOL_IDLE: Duration = Duration::from_secs(90);
const MAX_IDLE_PER_HOST: usize = 512;
/// For the header section of an answer, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Pools of connections under one policy. Cloning is cheap and shares the pools.
#[derive(Clone)]
pub struct ProxyClient {
    pools: Arc<Pools>,
    outbound: Option<Arc<OutboundProxy>>,
}

type Pool = Client<TimedConnector, Body>;

/// A connection is polled by the thread that opened it, so every lane has a pool of its own.
struct Pools {
    lanes: Vec<Pool>,
    home: Pool,
}

impl ProxyClient {
    pub(super) fn new(
        connector: &TimedConnector,
        outbound: Option<Arc<OutboundProxy>>,
        lanes: usize,
    ) -> Self {
        let lanes = (0..lanes).map(|_| pool(connector)).collect();
        Self { pools: Arc::new(Pools { lanes, home: pool(connector) }), outbound }
    }

    /// Sends a request with an absolute URI and returns once the answer's head is there; the caller bounds that wait.
    /// The host is judged when a connection is opened; judge the URL with the policy first for the better message.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, EgressError> {
        if let Some(outbound) = &self.outbound {
            let target = request.uri().clone();
            outbound.authorize(&target, request.headers_mut());
        }
        self.pool().request(request).await.map_err(|error| classify_hyper_error(&error))
    }

    /// The pool of the calling thread.
    fn pool(&self) -> &Pool {
        let of_lane = lane::number().and_then(|number| self.pools.lanes.get(number));
        of_lane.unwrap_or(&self.pools.home)
    }
}

fn pool(connector: &TimedConnector) -> Pool {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .http1_max_buf_size(MAX_HEADER_BYTES)
        .http2_max_header_list_size(MAX_HEADER_BYTES as u32)
        .build(connector.clone())
}
