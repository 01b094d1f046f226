//! A client of the server under test: builds requests, keeps whole answers.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::contract::{Sent, check_answer};

/// Sends requests to one server, with or without an API key.
#[derive(Clone)]
pub struct Client {
    base: String,
    secret: Option<String>,
    http: reqwest::Client,
    /// The server has the routes of the OpenAPI document.
    is_api: bool,
}

/// A request being put together.
#[derive(Clone)]
pub struct Ask {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "the tests' own client, which only talks to this machine")]
    pub fn new(base: String, secret: Option<String>) -> Self {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(no_tls())
            .redirect(reqwest::redirect::Policy::none())
            // Tests look at the bytes that were sent.
            .no_gzip()
            .build()
            .expect("a client");
        Client { base, secret, http, is_api: true }
    }

    /// The same client for a server that has other routes than those of the OpenAPI document.
    pub fn of_other_routes(self) -> Self {
        Client { is_api: false, ..self }
    }

    /// The same client with another credential.
    pub fn with_secret(&self, secret: impl Into<String>) -> Self {
        Client { secret: Some(secret.into()), ..self.clone() }
    }

    pub fn ask(&self, method: &str, path: impl Into<String>) -> Ask {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Ask { client: self.clone(), method, path: path.into(), headers: HeaderMap::new(), body: None }
    }

    pub fn get(&self, path: impl Into<String>) -> Ask {
        self.ask("GET", path)
    }

    pub fn post(&self, path: impl Into<String>, body: Value) -> Ask {
        self.ask("POST", path).json(&body)
    }

    pub fn patch(&self, path: impl Into<String>, body: Value) -> Ask {
        self.ask("PATCH", path).json(&body)
    }

    pub fn delete(&self, path: impl Into<String>) -> Ask {
        self.ask("DELETE", path)
    }
}

impl Ask {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// A header whose value may be any bytes.
    pub fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, HeaderValue::from_bytes(value).expect("a header value"));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        let text = body.to_string();
        self.header("content-type", "application/json").bytes(text)
    }

    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the request and reads the answer, which must be one that the OpenAPI document has.
    pub async fn send(self) -> Reply {
        let sent = self.clone();
        let is_api = self.client.is_api;
        let reply = self.send_unchecked().await;
        let content_type = sent.headers.get("content-type").and_then(|value| value.to_str().ok());
        let sent = Sent {
            method: sent.method.as_str(),
            target: &sent.path,
            content_type: content_type.unwrap_or_default(),
            body: sent.body.as_deref().unwrap_or_default(),
        };
        if is_api {
            check_answer(&sent, &reply);
        }
        reply
    }

    async fn send_unchecked(self) -> Reply {
        let url = format!("{}{}", self.client.base, self.path);
        let mut request = self.client.http.request(self.method, url).headers(self.headers.clone());
        if let Some(secret) = self.client.secret.filter(|_| !self.headers.contains_key("authorization")) {
            request = request.bearer_auth(secret);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("a whole answer").to_vec();
        Reply { status, headers, body }
    }

    /// Sends the request, expects this status, and returns the JSON of the answer.
    #[track_caller]
    pub fn expect(self, status: u16) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let reply = self.send().await;
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!(reply.status.as_u16(), status, "at {caller}: {text}");
            reply.json()
        }
    }
}

impl Reply {
    /// The JSON body; null when there is none.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The wire code of an error answer.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The tests' client speaks plain HTTP only; reqwest wants a TLS setup all the same.
fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
