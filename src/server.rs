//! The listeners: they accept connections, serve HTTP/1.1 with upgrades, and stop gracefully.

mod lanes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use self::lanes::{LaneGone, Lanes};
use crate::api::{Api, Surface, is_proxied};
use crate::app::SharedApp;
use crate::connect::{ConnectUi, Mount};
use crate::lane;

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

impl Site {
    async fn answer(&self, request: axum::extract::Request) -> Response {
        match self {
            Site::Api(api) => api.answer(request).await,
            Site::ConnectUi(page) => page.answer(request).await,
        }
    }

    /// Whether answering usually touches nothing that lives at home.
    fn is_warm(&self, path: &str) -> bool {
        match self {
            Site::Api(_) => is_proxied(path),
            Site::ConnectUi(_) => false,
        }
    }
}

/// Serves the API until the application is told to stop, then lets requests in flight finish. The operator's routes are
/// part of it unless they have a port of their own.
pub async fn serve(app: SharedApp, listener: TcpListener) {
    let surface =
        if app.config.http.admin_port.is_some() { Surface::Public } else { Surface::PublicAndOperators };
    let server = Arc::new(Server::new(api_site(&app, surface), &app));
    let threads = match app.config.http.lanes {
        0 => Threads::Home(Connections::default()),
        count => match Lanes::start(count, &server) {
            Ok(lanes) => Threads::Lanes(lanes),
            Err(error) => return tracing::error!(error = %error, "no threads could be started"),
        },
    };
    run(&app, &server, listener, threads).await;
}

/// Serves the operator's routes and the metrics, just as long.
pub async fn serve_admin(app: SharedApp, listener: TcpListener) {
    serve_at_home(&app, api_site(&app, Surface::Admin), listener).await;
}

/// Serves the metrics alone, just as long.
pub async fn serve_metrics(app: SharedApp, listener: TcpListener) {
    serve_at_home(&app, api_site(&app, Surface::Metrics), listener).await;
}

fn api_site(app: &SharedApp, surface: Surface) -> Site {
    Site::Api(Box::new(Api::new(app.clone(), surface)))
}

async fn serve_at_home(app: &SharedApp, site: Site, listener: TcpListener) {
    let server = Arc::new(Server::new(site, app));
    run(app, &server, listener, Threads::Home(Connections::default())).await;
}

/// Serves the Connect UI alone, when it is served at all, just as long.
pub async fn serve_connect_ui(app: SharedApp, listener: TcpListener) {
    if let Some(page) = ConnectUi::new(&app.config, Mount::OwnPort) {
        serve_at_home(&app, Site::ConnectUi(page), listener).await;
    }
}

async fn run(app: &SharedApp, server: &Arc<Server>, listener: TcpListener, threads: Threads) {
    loop {
        let accepted = tokio::select! {
            () = app.lifecycle.stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = threads.take(server, stream, peer) {
                    // The process ends with its listener: one that serves every second client must not stay.
                    return tracing::error!(error = %error, "the listener ends");
                }
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    threads.finish().await;
}

/// Where connections are served.
enum Threads {
    /// On the runtime of the listener.
    Home(Connections),
    Lanes(Lanes),
}

impl Threads {
    fn take(&self, server: &Arc<Server>, stream: TcpStream, peer: SocketAddr) -> Result<(), LaneGone> {
        match self {
            Threads::Home(connections) => {
                connections.spawn(server, stream, peer, ());
                Ok(())
            }
            Threads::Lanes(lanes) => lanes.take(stream, peer),
        }
    }

    async fn finish(self) {
        match self {
            Threads::Home(connections) => connections.finish().await,
            Threads::Lanes(lanes) => lanes.finish().await,
        }
    }
}

/// The connections served on one runtime.
#[derive(Default)]
struct Connections(GracefulShutdown);

impl Connections {
    /// Serves a connection; `kept` lives as long.
    fn spawn(&self, server: &Arc<Server>, stream: TcpStream, peer: SocketAddr, kept: impl Send + 'static) {
        let _ = stream.set_nodelay(true);
        let answering = Arc::clone(server);
        let service = service_fn(move |request| answering.clone().answer(request, peer));
        let connection = server.http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let watched = self.0.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(error = %error, "a client connection ended early");
            }
            drop(kept);
        });
    }

    /// Takes no further requests, and lets those in flight finish.
    async fn finish(self) {
        tokio::select! {
            () = self.0.shutdown() => {}
            () = tokio::time::sleep(STOP_BOUND) => tracing::warn!("requests were still running after 30 s; they are cut off"),
        }
    }
}

struct Server {
    site: Site,
    http: auto::Builder<TokioExecutor>,
}

impl Server {
    fn new(site: Site, app: &SharedApp) -> Self {
        Server { site, http: http_settings(app.config.http.keep_alive) }
    }

    async fn answer(
        self: Arc<Self>,
        mut request: hyper::Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response, std::convert::Infallible> {
        request.extensions_mut().insert(ConnectInfo(peer));
        let request = request.map(axum::body::Body::new);
        if self.site.is_warm(request.uri().path()) {
            return Ok(self.site.answer(request).await);
        }
        let response = lane::at_home(async move { self.site.answer(request).await }).await;
        Ok(response.map(lane::body_from_home))
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
