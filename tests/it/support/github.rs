//! GitHub in this process, as far as apps need it. It judges what it is sent as GitHub does: the app's JWT with the public key,
//! the OAuth client, codes and refresh tokens that work once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hitchpost::clock::Clock;
use hitchpost::time_format::format_millis_z;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

/// PKCS#1, as GitHub hands keys out.
pub const PRIVATE_KEY: &str = include_str!("../../../src/auth/test_rsa_key.pem");
const PKCS8: &str = include_str!("../../../src/auth/test_rsa_key.pkcs8.pem");
pub const APP_ID: &str = "12345";
pub const CLIENT_ID: &str = "Iv1.client";
pub const CLIENT_SECRET: &str = "s3cret-of-the-app";

#[derive(Default)]
struct Inside {
    /// Installations of the app, by id.
    installations: HashSet<String>,
    installation_tokens: HashMap<String, DateTime<Utc>>,
    codes: HashSet<String>,
    user_tokens: HashSet<String>,
    refresh_tokens: HashSet<String>,
    canned: HashMap<&'static str, VecDeque<Canned>>,
    calls: Vec<Call>,
    count: usize,
}

/// An answer to be given instead of GitHub's own.
#[derive(Clone)]
pub struct Canned {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
    pub location: Option<String>,
    pub delay: Duration,
}

impl Canned {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Canned { status, content_type, body: body.into(), location: None, delay: Duration::ZERO }
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Canned::new(status, "application/json", body.to_string())
    }
}

/// A request as it came.
#[derive(Clone)]
pub struct Call {
    pub path: String,
    pub form: Map<String, Value>,
}

#[derive(Clone)]
pub struct GitHub {
    pub address: SocketAddr,
    clock: Arc<OnceLock<Clock>>,
    inside: Arc<Mutex<Inside>>,
}

impl GitHub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let github = GitHub { address, clock: Arc::default(), inside: Arc::default() };
        let router = Router::new()
            .route("/app/installations/{id}/access_tokens", post(installation_token))
            .route("/login/oauth/access_token", post(user_token))
            .route("/user", get(user))
            .route("/installation/repositories", get(repositories))
            .with_state(github.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        github
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The time by which tokens and proofs are judged.
    pub fn keep_time(&self, clock: &Clock) {
        assert!(self.clock.set(clock.clone()).is_ok(), "set once");
    }

    pub fn add_installation(&self, id: &str) {
        self.lock().installations.insert(id.to_owned());
    }

    pub fn revoke(&self, id: &str) {
        self.lock().installations.remove(id);
    }

    /// A code that the callback brings.
    pub fn issue_code(&self) -> String {
        let mut inside = self.lock();
        inside.count += 1;
        let code = format!("code-{}", inside.count);
        inside.codes.insert(code.clone());
        code
    }

    /// The next request to `endpoint` (`installation`, `login`, `user`) is answered with this.
    pub fn answer_next(&self, endpoint: &'static str, canned: Canned) {
        self.lock().canned.entry(endpoint).or_default().push_back(canned);
    }

    pub fn calls(&self, part: &str) -> Vec<Call> {
        self.lock().calls.iter().filter(|call| call.path.contains(part)).cloned().collect()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.get().expect("a clock").now()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no panic while locked")
    }

    fn note(&self, path: &str, body: &[u8]) {
        let form = form_urlencoded::parse(body);
        let form = form.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        self.lock().calls.push(Call { path: path.to_owned(), form });
    }

    async fn canned(&self, endpoint: &str) -> Option<Response> {
        let canned = self.lock().canned.get_mut(endpoint)?.pop_front()?;
        tokio::time::sleep(canned.delay).await;
        let status = StatusCode::from_u16(canned.status).expect("a status");
        let mut answer = (status, [(header::CONTENT_TYPE, canned.content_type)], canned.body).into_response();
        if let Some(location) = canned.location {
            answer.headers_mut().insert(header::LOCATION, location.parse().expect("a header"));
        }
        Some(answer)
    }

    /// Why GitHub would not take this proof.
    fn judge_proof(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let jwt = bearer(headers).ok_or("Requires authentication")?;
        let (signed, signature) = jwt.rsplit_once('.').ok_or("A JSON web token could not be decoded")?;
        let decode =
            |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "A JSON web token could not be decoded");
        public_key()
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| "A JSON web token could not be decoded")?;
        let (head, claims) = signed.split_once('.').ok_or("A JSON web token could not be decoded")?;
        let json =
            |text: &str| decode(text).map(|text| serde_json::from_slice::<Value>(&text).unwrap_or_default());
        let (head, claims) = (json(head)?, json(claims)?);
        let now = self.now().timestamp();
        let time = |name: &str| claims[name].as_i64().unwrap_or_default();
        match () {
            () if head["alg"] != "RS256" => Err("Unexpected algorithm"),
            () if claims["iss"] != APP_ID => Err("Integration not found"),
            () if time("iat") != now - 60 => Err("'Issued at' claim ('iat') is not one minute ago"),
            () if time("exp") <= now => Err("'Expiration time' claim ('exp') is in the past"),
            () if time("exp") > now + 600 => Err("'Expiration time' claim ('exp') is too far in the future"),
            () => Ok(()),
        }
    }
}

fn public_key() -> UnparsedPublicKey<Vec<u8>> {
    let body: String = PKCS8.lines().filter(|line| !line.contains("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    let pair = KeyPair::from_pkcs8(&der).expect("a key");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref().to_vec())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn said(status: u16, message: &str) -> Response {
    let body = json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()});
    (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response()
}

async fn installation_token(
    State(github): State<GitHub>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    github.note(&format!("/app/installations/{id}/access_tokens"), &[]);
    if let Some(canned) = github.canned("installation").await {
        return canned;
    }
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if !headers.contains_key(header::USER_AGENT) {
        return said(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    if !is("accept", "application/vnd.github.v3+json")
        || !is("content-type", "application/json")
        || body != "{}"
    {
        return said(415, "Unexpected request");
    }
    if let Err(reason) = github.judge_proof(&headers) {
        return said(401, reason);
    }
    let expires_at = github.now() + TimeDelta::hours(1);
    let mut inside = github.lock();
    if !inside.installations.contains(&id) {
        return said(404, "Not Found");
    }
    inside.count += 1;
    let token = format!("ghs_{}", inside.count);
    inside.installation_tokens.insert(token.clone(), expires_at);
    let body = json!({"token": token, "expires_at": format_millis_z(expires_at), "permissions": {"issues": "write"},
        "repository_selection": "all"});
    (StatusCode::CREATED, axum::Json(body)).into_response()
}

async fn user_token(State(github): State<GitHub>, body: Bytes) -> Response {
    github.note("/login/oauth/access_token", &body);
    if let Some(canned) = github.canned("login").await {
        return canned;
    }
    let call = github.calls("/login/oauth/access_token").pop().expect("this call");
    let text = |name: &str| call.form.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let refused =
        |error: &str| axum::Json(json!({"error": error, "error_description": "No."})).into_response();
    let mut inside = github.lock();
    if text("client_id") != CLIENT_ID || text("client_secret") != CLIENT_SECRET {
        return refused("incorrect_client_credentials");
    }
    let is_known = match text("grant_type").as_str() {
        // A verifier without a challenge is refused, as it would hide an attack.
        "authorization_code" => {
            !call.form.contains_key("code_verifier") && inside.codes.remove(&text("code"))
        }
        "refresh_token" => inside.refresh_tokens.remove(&text("refresh_token")),
        _ => false,
    };
    if !is_known {
        return refused("bad_verification_code");
    }
    inside.count += 1;
    let (token, refresh_token) = (format!("ghu_{}", inside.count), format!("ghr_{}", inside.count));
    inside.user_tokens.insert(token.clone());
    inside.refresh_tokens.insert(refresh_token.clone());
    axum::Json(json!({"access_token": token, "refresh_token": refresh_token, "expires_in": 28800,
        "refresh_token_expires_in": 15_811_200, "token_type": "bearer", "scope": ""}))
    .into_response()
}

async fn user(State(github): State<GitHub>, headers: HeaderMap) -> Response {
    github.note("/user", &[]);
    if let Some(canned) = github.canned("user").await {
        return canned;
    }
    let is_known = bearer(&headers).is_some_and(|token| github.lock().user_tokens.contains(token));
    if is_known {
        axum::Json(json!({"login": "octocat", "id": 1})).into_response()
    } else {
        said(401, "Bad credentials")
    }
}

async fn repositories(State(github): State<GitHub>, headers: HeaderMap) -> Response {
    let ends = bearer(&headers).and_then(|token| github.lock().installation_tokens.get(token).copied());
    if ends.is_some_and(|ends| ends > github.now()) {
        return axum::Json(json!({"total_count": 0, "repositories": []})).into_response();
    }
    said(401, "Bad credentials")
}
