//! Providers for the proxy: a server that records what it is sent and answers as told, a raw one that answers with fixed
//! bytes, and a connection to them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use hitchpost::auth::Credentials;
use hitchpost::connections::{self, NewConnection};
use hitchpost::db::ConnectionRowId;
use hitchpost::db::integrations::Integration;
use hitchpost::integrations::OpenIntegration;
use hitchpost::{db, integrations};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::TestApp;
use super::app::TestSettings;
use super::client::Ask;

/// A request as the target received it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query, undecoded.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A server on this machine that remembers every request.
pub struct Target {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Target {
    /// Answers every request with `answer`, after its whole body arrived.
    pub async fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (notes, answer) = (Arc::clone(&seen), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (notes, answer) = (Arc::clone(&notes), Arc::clone(&answer));
            async move {
                let request = read(request).await;
                let response = answer(&request);
                notes.lock().unwrap().push(request);
                response
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
        Target { address, seen, task }
    }

    /// Answers 200 with an empty JSON object.
    pub async fn recording() -> Target {
        Self::start(|_| ok_json("{}")).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, the oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The last request.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the target was called")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.map(|body| body.to_vec()).unwrap_or_default();
    let target = parts.uri.path_and_query().map(|target| target.to_string()).unwrap_or_default();
    Seen { method: parts.method, target, headers: parts.headers, body }
}

/// A 200 answer with this JSON text.
pub fn ok_json(text: &'static str) -> Response {
    answer(200, &[("content-type", "application/json")], text)
}

/// An answer with these headers; repeated names are repeated.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).expect("an answer")
}

/// A server that reads one request per connection and writes fixed bytes.
pub struct RawTarget {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl RawTarget {
    /// Writes `bytes` after the request's head, then closes the connection.
    pub async fn start(bytes: impl Into<Vec<u8>>) -> RawTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (notes, bytes) = (Arc::clone(&seen), bytes.into());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = read_head(&mut stream).await;
                notes.lock().unwrap().push(head);
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        RawTarget { address, seen, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of the last request, as it was written.
    pub fn last(&self) -> String {
        self.seen.lock().unwrap().last().cloned().expect("the target was called")
    }
}

impl Drop for RawTarget {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads until the empty line.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A server under test with one integration `acme` and one connection `c1`, whose provider is at `base_url`.
pub struct World {
    pub app: TestApp,
    pub connection: ConnectionRowId,
}

/// What a world is made of.
pub struct WorldPlan {
    provider: Value,
    credentials: Value,
    connection_config: Value,
    custom: Option<Value>,
    settings: TestSettings,
}

impl WorldPlan {
    /// An API-key provider at `base_url` that puts the key into `x-api-key`.
    pub fn new(base_url: impl Into<String>) -> WorldPlan {
        let proxy = json!({"base_url": base_url.into(), "headers": {"x-api-key": "${apiKey}"}});
        WorldPlan {
            provider: json!({"display_name": "Acme", "docs": "https://docs.example.com", "auth_mode": "API_KEY",
                             "proxy": proxy}),
            credentials: json!({"type": "API_KEY", "apiKey": "key-0123456789"}),
            connection_config: json!({}),
            custom: None,
            settings: TestSettings::default(),
        }
    }

    /// Changes the entry's `proxy` section.
    pub fn proxy(mut self, change: Value) -> Self {
        merge(&mut self.provider["proxy"], change);
        self
    }

    /// Changes the entry.
    pub fn provider(mut self, change: Value) -> Self {
        merge(&mut self.provider, change);
        self
    }

    pub fn credentials(mut self, credentials: Value) -> Self {
        self.credentials = credentials;
        self
    }

    pub fn config(mut self, config: Value) -> Self {
        self.connection_config = config;
        self
    }

    /// What the operator set for the integration.
    pub fn custom(mut self, custom: Value) -> Self {
        self.custom = Some(custom);
        self
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings = self.settings.set(name, value);
        self
    }

    pub async fn build(self) -> World {
        let catalog = json!({"acme": self.provider}).to_string();
        let app = self.settings.catalog(catalog).start().await;
        let integration = insert_integration(&app, "acme", self.custom.as_ref()).await;
        let connection =
            insert_connection(&app, &integration, "c1", self.credentials, self.connection_config).await;
        World { app, connection }
    }
}

impl World {
    /// A call of `c1` through the proxy.
    pub fn call(&self, method: &str, path: &str) -> Ask {
        let ask = self.app.client().ask(method, format!("/proxy{path}"));
        ask.header("provider-config-key", "acme").header("connection-id", "c1")
    }

    pub fn get(&self, path: &str) -> Ask {
        self.call("GET", path)
    }
}

fn merge(into: &mut Value, change: Value) {
    if let (Some(into), Value::Object(change)) = (into.as_object_mut(), change) {
        into.extend(change);
    }
}

/// Stores an integration whose key is its provider's name.
pub async fn insert_integration(app: &TestApp, key: &str, custom: Option<&Value>) -> OpenIntegration {
    let now = app.now();
    let custom = custom.map(|custom| app.app.cipher.seal_text(&custom.to_string()).expect("sealed"));
    let row = Integration {
        id: db::IntegrationId(0),
        environment_id: app.environment_id,
        unique_key: key.to_owned(),
        provider: key.to_owned(),
        display_name: None,
        oauth_client_id: Some("client-id".to_owned()),
        oauth_client_secret: Some(app.app.cipher.seal_text("client-secret").expect("sealed")),
        oauth_scopes: None,
        app_link: None,
        custom,
        forward_webhooks: true,
        accept_unverified_webhooks: false,
        created_at: now,
        updated_at: now,
    };
    db::integrations::insert(&app.app.db, &row, now).await.expect("stored");
    integrations::find(&app.app, app.environment_id, key).await.expect("found").expect("there")
}

/// Stores a connection.
pub async fn insert_connection(
    app: &TestApp,
    integration: &OpenIntegration,
    id: &str,
    credentials: Value,
    config: Value,
) -> ConnectionRowId {
    let environment = db::environments::find(&app.app.db, app.environment_id).await.expect("found");
    let credentials = Credentials::from_json(credentials).expect("credentials");
    let config: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
    let new = NewConnection::from_session(id, &credentials, config, None);
    let stored = connections::establish(&app.app, &environment.expect("there"), integration, new).await;
    stored.expect("stored").id
}
