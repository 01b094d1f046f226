//! The listeners: they accept connections, serve HTTP/1.1 with upgrades, and stop gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use crate::api::Api;
use crate::app::SharedApp;
use crate::connect::{ConnectUi, Mount};

/// How long requests in flight may take once the server stops.
const STOP_BOUND: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// What answers on a listener.
enum Site {
    /// The API, with the Connect UI below it.
    Api(Box<Api>),
    ConnectUi(ConnectUi),
}

/// Serves the API until the application is told to stop, then lets requests in flight finish.
pub async fn serve(app: SharedApp, listener: TcpListener) {
    let site = Site::Api(Box::new(Api::new(app.clone())));
    run(&app, site, listener).await;
}

/// Serves the Connect UI alone, when it is served at all, just as long.
pub async fn serve_connect_ui(app: SharedApp, listener: TcpListener) {
    if let Some(page) = ConnectUi::new(&app.config, Mount::OwnPort) {
        run(&app, Site::ConnectUi(page), listener).await;
    }
}

async fn run(app: &SharedApp, site: Site, listener: TcpListener) {
    let server = Arc::new(Server { site, http: http_settings(app.config.http.keep_alive) });
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = app.lifecycle.stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => server.clone().spawn(stream, peer, &graceful),
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(STOP_BOUND) => tracing::warn!("requests were still running after 30 s; they are cut off"),
    }
}

struct Server {
    site: Site,
    http: auto::Builder<TokioExecutor>,
}

impl Server {
    fn spawn(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, graceful: &GracefulShutdown) {
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&self);
        let service = service_fn(move |request| server.clone().answer(request, peer));
        let connection = self.http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let watched = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(error = %error, "a client connection ended early");
            }
        });
    }

    async fn answer(
        self: Arc<Self>,
        mut request: hyper::Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<axum::response::Response, std::convert::Infallible> {
        request.extensions_mut().insert(ConnectInfo(peer));
        let request = request.map(axum::body::Body::new);
        Ok(match &self.site {
            Site::Api(api) => api.answer(request).await,
            Site::ConnectUi(page) => page.answer(request).await,
        })
    }
}

fn http_settings(keep_alive: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also the time an idle connection is kept, because hyper starts waiting for the next head at once.
        .header_read_timeout(keep_alive + Duration::from_secs(1))
        .max_buf_size(MAX_HEAD)
        .max_headers(200)
        .keep_alive(true);
    builder
}

/// Running out of file descriptors ends by itself when connections close; a busy loop would not help.
async fn pause_after(error: &std::io::Error) {
    tracing::warn!(error = %error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
