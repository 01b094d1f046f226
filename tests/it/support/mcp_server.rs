//! An MCP server with its authorization server in this process. It registers clients and judges what it is sent: PKCE,
//! redirect URI, resource, the client's proof as it was registered, single use of codes and refresh tokens.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource/mcp";
const SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";

type Refusal = (&'static str, &'static str);

/// An answer to be given instead of the server's own.
#[derive(Clone)]
pub struct Canned {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Canned {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Canned { status, headers, body: body.to_string() }
    }

    pub fn html(status: u16, body: &str) -> Self {
        Canned { status, headers: vec![("content-type", "text/html".to_owned())], body: body.to_owned() }
    }

    pub fn redirect(to: &str) -> Self {
        Canned { status: 302, headers: vec![("location", to.to_owned())], body: String::new() }
    }
}

#[derive(Default)]
struct Inside {
    canned: HashMap<String, Canned>,
    /// Method and path of every request, with `MCP-Protocol-Version`.
    seen: Vec<(String, String)>,
    registrations: Vec<Value>,
    /// How registered clients must prove themselves.
    auth_method: Option<&'static str>,
    /// Client id to its secret and method.
    clients: HashMap<String, (Option<String>, String)>,
    codes: HashMap<String, Map<String, Value>>,
    refresh_tokens: Vec<String>,
    token_requests: Vec<Map<String, Value>>,
    metadata: Map<String, Value>,
    names_issuer: Option<String>,
    count: usize,
}

#[derive(Clone)]
pub struct McpServer {
    pub address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

impl McpServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = McpServer { address, inside: Arc::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// The address without a path: the issuer.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What end users type.
    pub fn mcp_url(&self) -> String {
        format!("{}/mcp", self.url())
    }

    /// Every request to this path is answered so.
    pub fn answer_with(&self, path: &str, answer: Canned) {
        self.lock().canned.insert(path.to_owned(), answer);
    }

    pub fn answer_resource_metadata_with(&self, answer: Canned) {
        self.answer_with(RESOURCE_METADATA, answer);
    }

    pub fn answer_server_metadata_with(&self, answer: Canned) {
        self.answer_with(SERVER_METADATA, answer);
    }

    /// Back to the server's own answers.
    pub fn answer_normally(&self) {
        self.lock().canned.clear();
    }

    /// Changes members of the authorization server's metadata; null takes one away.
    pub fn change_metadata(&self, members: Value) {
        self.lock().metadata = members.as_object().cloned().unwrap_or_default();
    }

    /// Clients that register from now on get a secret and must prove themselves so.
    pub fn give_secrets(&self, auth_method: &'static str) {
        self.lock().auth_method = Some(auth_method);
    }

    /// Callbacks name this issuer.
    pub fn name_issuer(&self, issuer: &str) {
        self.lock().names_issuer = Some(issuer.to_owned());
    }

    /// A client that an operator registered by hand.
    pub fn add_client(&self, id: &str, secret: &str) {
        let client = (Some(secret.to_owned()), "client_secret_post".to_owned());
        self.lock().clients.insert(id.to_owned(), client);
    }

    /// A client whose id is the address of its document.
    pub fn add_public_client(&self, id: &str) {
        self.lock().clients.insert(id.to_owned(), (None, "none".to_owned()));
    }

    /// Bodies of the registrations so far.
    pub fn registrations(&self) -> Vec<Value> {
        self.lock().registrations.clone()
    }

    /// Parameters of the token requests so far.
    pub fn token_requests(&self) -> Vec<Map<String, Value>> {
        self.lock().token_requests.clone()
    }

    /// `path version` of the GET requests for documents so far.
    pub fn documents_asked(&self) -> Vec<String> {
        let seen = self.lock().seen.clone();
        let documents = seen.into_iter().filter(|(path, _)| path.contains("/.well-known/"));
        documents.map(|(path, version)| format!("{path} {version}")).collect()
    }

    /// Plays the browser and the user.
    pub async fn sign_in(&self, authorize_url: &Url) -> Url {
        let reply = super::Client::new(String::new(), None).get(authorize_url.as_str()).send().await;
        let location = reply.header("location").unwrap_or_else(|| panic!("refused: {}", reply.text()));
        Url::parse(location).expect("a callback URL")
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no panic while locked")
    }
}

async fn answer(
    State(server): State<McpServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let version = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    let issuer = server.url();
    let mut inside = server.lock();
    inside.seen.push((uri.path().to_owned(), version.unwrap_or_default().to_owned()));
    if let Some(canned) = inside.canned.get(uri.path()).cloned() {
        return render(&canned);
    }
    match (method, uri.path()) {
        (Method::GET, RESOURCE_METADATA) => render(&Canned::json(200, &resource_metadata(&issuer))),
        (Method::GET, SERVER_METADATA) => render(&Canned::json(200, &inside.server_metadata(&issuer))),
        (Method::GET, "/authorize") => inside.authorize(uri.query().unwrap_or_default()),
        (Method::POST, "/register") => render(&inside.register(&body)),
        (Method::POST, "/token") => render(&inside.token(&headers, &body)),
        _ => (StatusCode::NOT_FOUND, "nothing here").into_response(),
    }
}

fn render(canned: &Canned) -> Response {
    let mut response = canned.body.clone().into_response();
    *response.status_mut() = StatusCode::from_u16(canned.status).expect("a status");
    for (name, value) in &canned.headers {
        response.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    response
}

fn resource_metadata(issuer: &str) -> Value {
    json!({"resource": format!("{issuer}/mcp"), "authorization_servers": [issuer], "scopes_supported": ["tools", "offline_access"]})
}

impl Inside {
    fn server_metadata(&self, issuer: &str) -> Value {
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize?tenant=t1"),
            "token_endpoint": format!("{issuer}/token"),
            "registration_endpoint": format!("{issuer}/register"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "unknown_member": {"x": 1},
        });
        for (name, value) in &self.metadata {
            metadata[name] = value.clone();
        }
        let members = metadata.as_object_mut().expect("an object");
        members.retain(|_, value| !value.is_null());
        metadata
    }

    fn register(&mut self, body: &[u8]) -> Canned {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        self.registrations.push(body.clone());
        self.count += 1;
        let id = format!("registered-{}", self.count);
        let mut answer = body;
        answer["client_id"] = id.clone().into();
        let method = self.auth_method.unwrap_or("none");
        answer["token_endpoint_auth_method"] = method.into();
        let secret = (method != "none").then(|| format!("secret of {id}"));
        if let Some(secret) = &secret {
            answer["client_secret"] = secret.clone().into();
        }
        self.clients.insert(id, (secret, method.to_owned()));
        Canned::json(201, &answer)
    }

    fn authorize(&mut self, query: &str) -> Response {
        let query = pairs(query.as_bytes());
        let problem = if !self.clients.contains_key(text(&query, "client_id")) {
            Some("unknown client")
        } else if text(&query, "code_challenge_method") != "S256" || text(&query, "code_challenge").is_empty()
        {
            Some("no PKCE")
        } else {
            None
        };
        if let Some(problem) = problem {
            return (StatusCode::BAD_REQUEST, problem).into_response();
        }
        let Ok(mut target) = Url::parse(text(&query, "redirect_uri")) else {
            return (StatusCode::BAD_REQUEST, "bad redirect_uri").into_response();
        };
        self.count += 1;
        let code = format!("code-{}", self.count);
        target.query_pairs_mut().append_pair("code", &code).append_pair("state", text(&query, "state"));
        if let Some(issuer) = &self.names_issuer {
            target.query_pairs_mut().append_pair("iss", issuer);
        }
        self.codes.insert(code, query);
        (StatusCode::FOUND, [(header::LOCATION, String::from(target))]).into_response()
    }

    fn token(&mut self, headers: &HeaderMap, body: &[u8]) -> Canned {
        let params = pairs(body);
        self.token_requests.push(params.clone());
        let granted = self.check_client(headers, &params).and_then(|id| match text(&params, "grant_type") {
            "authorization_code" => self.check_code(&params, &id),
            "refresh_token" => self.check_refresh(&params),
            _ => Err(("unsupported_grant_type", "No such grant")),
        });
        if let Err((error, description)) = granted {
            return Canned::json(400, &json!({"error": error, "error_description": description}));
        }
        self.count += 1;
        let refresh = format!("refresh-{}", self.count);
        self.refresh_tokens.push(refresh.clone());
        let tokens = json!({"access_token": format!("access-{}", self.count), "token_type": "bearer",
            "expires_in": 3600, "refresh_token": refresh});
        Canned::json(200, &tokens)
    }

    fn check_client(&self, headers: &HeaderMap, params: &Map<String, Value>) -> Result<String, Refusal> {
        let basic = headers.get("authorization").and_then(|value| value.to_str().ok());
        let basic = basic.and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok());
        let (id, secret, method) = match basic.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(pair) => {
                let pair = pairs(pair.replacen(':', "=", 1).as_bytes());
                let (id, secret) = pair.into_iter().next().unwrap_or_default();
                (id, secret.as_str().map(str::to_owned), "client_secret_basic")
            }
            None => {
                let secret = params.get("client_secret").and_then(Value::as_str).map(str::to_owned);
                let method = if secret.is_some() { "client_secret_post" } else { "none" };
                (text(params, "client_id").to_owned(), secret, method)
            }
        };
        match self.clients.get(&id) {
            Some((known, wanted)) if *known == secret && wanted == method => Ok(id),
            _ => Err(("invalid_client", "Client authentication failed")),
        }
    }

    fn check_code(&mut self, params: &Map<String, Value>, id: &str) -> Result<(), Refusal> {
        let given = self.codes.remove(text(params, "code")).ok_or(("invalid_grant", "Unknown code"))?;
        let same = ["redirect_uri", "resource"].into_iter().all(|name| given.get(name) == params.get(name));
        if !same || text(&given, "client_id") != id {
            return Err(("invalid_grant", "The code of another request"));
        }
        let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(text(params, "code_verifier")));
        if text(&given, "code_challenge") != expected {
            return Err(("invalid_grant", "The code_verifier does not fit"));
        }
        Ok(())
    }

    fn check_refresh(&mut self, params: &Map<String, Value>) -> Result<(), Refusal> {
        let token = text(params, "refresh_token");
        let index = self.refresh_tokens.iter().position(|known| known == token);
        self.refresh_tokens.remove(index.ok_or(("invalid_grant", "Unknown refresh token"))?);
        Ok(())
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn pairs(text: &[u8]) -> Map<String, Value> {
    form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}
