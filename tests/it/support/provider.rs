//! An authorization server in this process. It judges what it is sent as a strict provider would (client authentication,
//! PKCE, redirect URI, single use of codes, rotation of refresh tokens) and remembers it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

pub const CLIENT_ID: &str = "client-1";
pub const CLIENT_SECRET: &str = "s3cret&value";

/// A token request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    /// Of the URL.
    pub query: Map<String, Value>,
    /// Of the body, in its order.
    pub body: Map<String, Value>,
}

impl Recorded {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A parameter, wherever it was sent.
    pub fn param(&self, name: &str) -> &str {
        self.body.get(name).or_else(|| self.query.get(name)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// An answer to be given instead of the server's own.
#[derive(Clone)]
pub struct Canned {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

#[derive(Default)]
struct Inside {
    authorized: Vec<Map<String, Value>>,
    requests: Vec<Recorded>,
    canned: VecDeque<Canned>,
    /// Code to what it was given for.
    codes: HashMap<String, Map<String, Value>>,
    refresh_tokens: Vec<String>,
    rotates: bool,
    members: Map<String, Value>,
    callback_members: Vec<(String, String)>,
    delay: Duration,
    count: usize,
}

#[derive(Clone)]
pub struct Provider {
    pub address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let provider = Provider { address, inside: Arc::default() };
        let router = Router::new()
            .route("/authorize", get(authorize))
            .fallback(any(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A catalog entry of this provider with further keys (YAML lines, in which `PROVIDER` is its address).
    pub fn entry(&self, name: &str, extra: &str) -> String {
        let url = self.url();
        let extra = extra.replace("PROVIDER", &url);
        let mut lines = vec![
            "display_name: Acme".to_owned(),
            "docs: https://docs.test".to_owned(),
            "auth_mode: OAUTH2".to_owned(),
            format!("authorization_url: {url}/authorize"),
            format!("token_url: {url}/token"),
        ];
        let own =
            extra.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect::<Vec<_>>();
        lines.retain(|line| !own.iter().any(|key| line.starts_with(&format!("{key}:"))));
        lines.extend(extra.lines().map(str::to_owned));
        format!("{name}:\n{}\n", lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
    }

    /// The next token request is answered with this.
    pub fn answer_next(&self, status: u16, content_type: &'static str, body: impl Into<String>) {
        self.lock().canned.push_back(Canned { status, content_type, body: body.into() });
    }

    /// Members added to each token answer; they win.
    pub fn add_to_answers(&self, members: Value) {
        self.lock().members = members.as_object().cloned().unwrap_or_default();
    }

    /// Parameters added to each callback.
    pub fn add_to_callbacks(&self, name: &str, value: &str) {
        self.lock().callback_members.push((name.to_owned(), value.to_owned()));
    }

    /// Each refresh gives a new refresh token and ends the old one.
    pub fn rotate(&self) {
        self.lock().rotates = true;
    }

    /// Makes token answers slow.
    pub fn delay(&self, by: Duration) {
        self.lock().delay = by;
    }

    /// A refresh token that the server will take.
    pub fn issue_refresh_token(&self, token: &str) {
        self.lock().refresh_tokens.push(token.to_owned());
    }

    /// The token requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.lock().requests.clone()
    }

    /// The last token request.
    pub fn last_request(&self) -> Recorded {
        self.requests().pop().expect("a token request")
    }

    /// Plays the browser and the user: visits the authorize URL and says where it was sent back to.
    pub async fn sign_in(&self, authorize_url: &str) -> Url {
        let client = super::Client::new(String::new(), None);
        let reply = client.get(authorize_url).send().await;
        let location = reply.header("location").unwrap_or_else(|| panic!("refused: {}", reply.text()));
        Url::parse(location).expect("a callback URL")
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no panic while locked")
    }
}

async fn authorize(State(provider): State<Provider>, uri: Uri) -> Response {
    let query = pairs(uri.query().unwrap_or_default().as_bytes());
    let text = |name: &str| query.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("client_id") != CLIENT_ID && !text("client_id").starts_with("own-") {
        return (StatusCode::BAD_REQUEST, "unknown client").into_response();
    }
    let Ok(mut target) = Url::parse(&text("redirect_uri")) else {
        return (StatusCode::BAD_REQUEST, "bad redirect_uri").into_response();
    };
    let mut inside = provider.lock();
    inside.count += 1;
    let code = format!("code-{}", inside.count);
    inside.authorized.push(query.clone());
    inside.codes.insert(code.clone(), query.clone());
    target.query_pairs_mut().append_pair("code", &code).append_pair("state", &text("state"));
    target.query_pairs_mut().extend_pairs(&inside.callback_members);
    (StatusCode::FOUND, [(header::LOCATION, String::from(target))]).into_response()
}

async fn token(
    State(provider): State<Provider>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_json = headers.get("content-type").is_some_and(|value| value == "application/json");
    let body = if is_json { serde_json::from_slice(&body).unwrap_or_default() } else { pairs(&body) };
    let request = Recorded {
        method: method.to_string(),
        path: uri.path().to_owned(),
        headers,
        query: pairs(uri.query().unwrap_or_default().as_bytes()),
        body,
    };
    let (answer, delay) = {
        let mut inside = provider.lock();
        inside.requests.push(request.clone());
        (inside.answer(&request), inside.delay)
    };
    tokio::time::sleep(delay).await;
    let status = StatusCode::from_u16(answer.status).expect("a status");
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

impl Inside {
    fn answer(&mut self, request: &Recorded) -> Canned {
        if let Some(canned) = self.canned.pop_front() {
            return canned;
        }
        match self.grant(request) {
            Ok(tokens) => json_answer(200, &tokens),
            Err((error, description)) => {
                json_answer(400, &json!({"error": error, "error_description": description}))
            }
        }
    }

    fn grant(&mut self, request: &Recorded) -> Result<Value, (&'static str, &'static str)> {
        let (id, secret) = presented_client(request);
        if (id != CLIENT_ID || secret != CLIENT_SECRET) && !(id.starts_with("own-") && secret == "own-secret")
        {
            return Err(("invalid_client", "Client authentication failed"));
        }
        match request.param("grant_type") {
            "authorization_code" => self.check_code(request, &id)?,
            "refresh_token" => self.check_refresh(request)?,
            "client_credentials" => {}
            _ => return Err(("unsupported_grant_type", "No such grant")),
        }
        Ok(self.issue(request))
    }

    /// RFC 6749, section 4.1.3 and RFC 7636, section 4.6.
    fn check_code(&mut self, request: &Recorded, id: &str) -> Result<(), (&'static str, &'static str)> {
        let given = self.codes.remove(request.param("code")).ok_or(("invalid_grant", "Unknown code"))?;
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("redirect_uri") != request.param("redirect_uri") {
            return Err(("invalid_grant", "Another redirect_uri"));
        }
        if text("client_id") != id {
            return Err(("invalid_grant", "The code of another client"));
        }
        let challenge = text("code_challenge");
        let verifier = request.param("code_verifier");
        let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        if challenge.is_empty() != verifier.is_empty() || (!challenge.is_empty() && challenge != expected) {
            return Err(("invalid_grant", "The code_verifier does not fit"));
        }
        Ok(())
    }

    fn check_refresh(&mut self, request: &Recorded) -> Result<(), (&'static str, &'static str)> {
        let token = request.param("refresh_token");
        let index = self.refresh_tokens.iter().position(|known| known == token);
        let index = index.ok_or(("invalid_grant", "Unknown refresh token"))?;
        if self.rotates {
            self.refresh_tokens.remove(index);
        }
        Ok(())
    }

    fn issue(&mut self, request: &Recorded) -> Value {
        self.count += 1;
        let mut tokens = json!({"access_token": format!("access-{}", self.count), "token_type": "bearer",
            "expires_in": 3600});
        let is_refresh = request.param("grant_type") == "refresh_token";
        if request.param("grant_type") != "client_credentials" && (!is_refresh || self.rotates) {
            let token = format!("refresh-{}", self.count);
            self.refresh_tokens.push(token.clone());
            tokens["refresh_token"] = token.into();
        }
        if let Some(object) = tokens.as_object_mut() {
            object.extend(self.members.clone());
        }
        tokens
    }
}

/// Client id and secret from wherever they were sent.
fn presented_client(request: &Recorded) -> (String, String) {
    let basic =
        request.header("authorization").strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
    if let Some(text) = basic.and_then(|bytes| String::from_utf8(bytes).ok()) {
        let (id, secret) = text.split_once(':').unwrap_or_default();
        let decode = |text: &str| {
            let pair = format!("x={text}");
            form_urlencoded::parse(pair.as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        // Raw and form-encoded Basic are told apart by what fits.
        let secret = if secret == CLIENT_SECRET { secret.to_owned() } else { decode(secret) };
        return (decode(id), secret);
    }
    (request.param("client_id").to_owned(), request.param("client_secret").to_owned())
}

fn json_answer(status: u16, body: &Value) -> Canned {
    Canned { status, content_type: "application/json", body: body.to_string() }
}

fn pairs(text: &[u8]) -> Map<String, Value> {
    form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}
