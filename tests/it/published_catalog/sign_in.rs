//! How connections of each auth mode are made, refreshed and used, over the public routes.

use axum::response::Response;
use hitchpost::auth::AuthMode;
use hitchpost::catalog::{BodyFormat, Provider, TokenAuthMethod};
use hitchpost::db::connections::{self as rows, Connection};
use hitchpost::db::integrations;
use hitchpost::oauth::xml::write_xml;
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{Step, has_template, inputs, refuse_unresolved};
use crate::support::internet::{Internet, Sent};
use crate::support::target::answer;
use crate::support::{Client, Reply, TestApp};

const MCP_METADATA: &str = "/.well-known/oauth-authorization-server";

/// One entry on one server.
pub struct Visit<'a> {
    pub app: &'a TestApp,
    pub internet: &'a Internet,
    /// A connect session's.
    pub token: &'a str,
    pub provider: &'a Provider,
}

/// A connection that was made.
pub struct Connected {
    pub connection: Connection,
    /// Whether a popup was sent somewhere on the way.
    pub is_authorized: bool,
    pub asked_for_a_token: bool,
}

/// How a mode's connections are made.
enum Arm {
    Popup,
    /// A JSON route and its body.
    Form(&'static str, Value),
}

type Failed = (Step, String);

/// What providers call the state.
const STATES: [&str; 3] = ["state", "payload", "customField"];

/// A session in which everything is allowed.
pub async fn session_token(app: &TestApp) -> String {
    let reply = app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
    reply["data"]["token"].as_str().expect("a token").to_owned()
}

impl Visit<'_> {
    fn mode(&self) -> AuthMode {
        self.provider.mode().expect("a known mode")
    }

    fn arm(&self) -> Arm {
        let entry = self.provider;
        match self.mode() {
            AuthMode::OAuth1
            | AuthMode::OAuth2
            | AuthMode::McpOAuth2
            | AuthMode::McpOAuth2Generic
            | AuthMode::App
            | AuthMode::Custom
            | AuthMode::InstallPlugin => Arm::Popup,
            AuthMode::ApiKey => Arm::Form("/api-auth/api-key", json!({"apiKey": self.typed("apiKey")})),
            AuthMode::Basic => {
                let body = json!({"username": self.typed("username"), "password": self.typed("password")});
                Arm::Form("/api-auth/basic", body)
            }
            AuthMode::None => Arm::Form("/auth/unauthenticated", json!({})),
            AuthMode::OAuth2Cc => {
                let mut body = json!({"client_id": "client-1", "client_secret": "secret-1"});
                if entry.token_request_auth_method == Some(TokenAuthMethod::PrivateKeyJwt) {
                    body["client_private_key"] = PRIVATE_JWK.into();
                }
                Arm::Form("/oauth2/auth", body)
            }
            AuthMode::TwoStep => {
                let mut body = self.typed_all();
                let options = inputs::typed(entry, &entry.assertion_option);
                body.insert("assertionOption".to_owned(), options.into());
                Arm::Form("/auth/two-step", body.into())
            }
            AuthMode::Jwt => Arm::Form("/auth/jwt", self.typed_all().into()),
            AuthMode::Signature => {
                let body = json!({"username": self.typed("username"), "password": self.typed("password")});
                Arm::Form("/auth/signature", body)
            }
            AuthMode::Bill => {
                let body =
                    json!({"username": "u", "password": "p", "organization_id": "o", "dev_key": "dev-key-1"});
                Arm::Form("/auth/bill", body)
            }
            AuthMode::Tba => {
                Arm::Form("/auth/tba", json!({"token_id": "token-1", "token_secret": "secret-1"}))
            }
            AuthMode::AwsSigV4 => Arm::Form("/auth/aws-sigv4", json!({"role_arn": self.typed("role_arn")})),
        }
    }

    /// Whether getting the first credentials of this mode means asking somebody for them.
    fn asks_for_tokens(&self) -> bool {
        let mode = self.mode();
        matches!(mode, AuthMode::OAuth2Cc | AuthMode::TwoStep | AuthMode::Bill | AuthMode::AwsSigV4)
    }

    fn typed_all(&self) -> Map<String, Value> {
        inputs::typed(self.provider, &self.provider.credentials)
    }

    fn typed(&self, name: &str) -> String {
        let field = self.provider.credentials.get(name).cloned().unwrap_or_default();
        inputs::plausible(self.provider, name, &field)
    }

    /// Makes a connection.
    pub async fn connect(&self) -> Result<Connected, Failed> {
        let connect = |problem: String| (Step::Connect, problem);
        self.internet.answer_as(answers(self.provider));
        self.create_integration().await.map_err(connect)?;
        let (is_authorized, asked) = match self.arm() {
            Arm::Popup => {
                let back = self.authorize().await.map_err(|problem| (Step::Authorize, problem))?;
                self.internet.take();
                let asked = self.come_back(&back).await.map_err(|problem| (Step::Token, problem))?;
                (true, asked)
            }
            Arm::Form(route, body) => {
                let reply = self.app.anonymous().post(self.with_params(route), body).send().await;
                expect(200, &reply).map_err(|problem| (Step::Token, problem))?;
                let sent = self.internet.take();
                refuse_unresolved(&sent).map_err(|problem| (Step::Token, problem))?;
                (false, self.asks_for_tokens() && !sent.is_empty())
            }
        };
        let connection =
            self.connection().await.ok_or_else(|| connect("there is no connection".to_owned()))?;
        Ok(Connected { connection, is_authorized, asked_for_a_token: asked })
    }

    async fn create_integration(&self) -> Result<(), String> {
        let mut body = json!({"provider": self.provider.name, "unique_key": self.provider.name});
        let client = json!({"client_id": "client-1", "client_secret": "secret-1"});
        let app = json!({"app_id": "7", "app_link": APP_LINK, "private_key": inputs::RSA_KEY});
        let (client, app) = match self.mode() {
            AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::Tba => (Some(client), None),
            // Where servers register themselves, this one does.
            AuthMode::McpOAuth2 => (Some(client).filter(|_| self.provider.registration_url.is_none()), None),
            AuthMode::App => (None, Some(app)),
            AuthMode::Custom => (Some(client), Some(app)),
            _ => (None, None),
        };
        let parts = [client, app];
        let members = parts.iter().flatten().filter_map(Value::as_object).flatten();
        let mut credentials: Map<String, Value> =
            members.map(|(name, value)| (name.clone(), value.clone())).collect();
        if !credentials.is_empty() {
            credentials.insert("type".to_owned(), self.mode().as_str().into());
            body["credentials"] = Value::Object(credentials);
        }
        if !self.provider.integration_config.is_empty() {
            body["integration_config"] =
                inputs::typed(self.provider, &self.provider.integration_config).into();
        }
        if self.mode() == AuthMode::InstallPlugin {
            body["custom"] = json!({"app_link": APP_LINK, "username": "plugin-1", "password": "password-1"});
        }
        let reply = self.app.client().post("/integrations", body).send().await;
        expect(200, &reply)?;
        refuse_unresolved(&self.internet.take())
    }

    /// Begins the popup; the callback that the provider would send it to.
    async fn authorize(&self) -> Result<Url, String> {
        let reply = self.app.anonymous().get(self.with_params("/oauth/connect")).send().await;
        expect(302, &reply)?;
        refuse_unresolved(&self.internet.take())?;
        let location = reply.header("location").unwrap_or_default();
        if has_template(location) {
            return Err(format!("unresolved in the URL: {location}"));
        }
        let url = Url::parse(location).map_err(|error| format!("{location}: {error}"))?;
        // Some providers want the parameters behind a fragment.
        let behind = url.fragment().and_then(|fragment| fragment.split_once('?')).map(|(_, query)| query);
        let query = behind.or(url.query()).unwrap_or_default();
        // OAuth 1 has no state of its own: it travels inside the callback's address.
        let callback = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "oauth_callback");
        let inner = callback.and_then(|(_, callback)| Url::parse(&callback).ok()).unwrap_or(url.clone());
        let inner = inner.query().unwrap_or_default().to_owned();
        let mut parameters =
            form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(inner.as_bytes()));
        let state = parameters.find(|(name, _)| STATES.contains(&name.as_ref()));
        let (named, state) = state.ok_or_else(|| format!("no state in {location}"))?;
        let is_installation = self.mode() == AuthMode::App;
        let route = if is_installation { "app-auth/connect" } else { "oauth/callback" };
        let mut back = Url::parse(&format!("http://hitchpost.test/{route}")).expect("a URL");
        back.query_pairs_mut().append_pair(&named, &state);
        let brought: &[(&str, &str)] = match self.mode() {
            AuthMode::App => &[("installation_id", "7")],
            AuthMode::Custom => &[("code", "code-1"), ("installation_id", "7")],
            AuthMode::OAuth1 => &[("oauth_token", "access-token-1"), ("oauth_verifier", "verifier-1")],
            AuthMode::InstallPlugin => &[],
            _ => &[(&self.provider.authorization_code_param_in_callback, "code-1")],
        };
        back.query_pairs_mut().extend_pairs(brought);
        for name in &self.provider.redirect_uri_metadata {
            let field = self.provider.connection_config.get(name).cloned().unwrap_or_default();
            back.query_pairs_mut().append_pair(name, &inputs::plausible(self.provider, name, &field));
        }
        Ok(back)
    }

    /// Whether a token was asked for.
    async fn come_back(&self, back: &Url) -> Result<bool, String> {
        let state = back.query_pairs().next().map(|(_, state)| state.into_owned());
        let cookie = format!("oauth2-{}=1", state.unwrap_or_default());
        let path = format!("{}?{}", back.path(), back.query().unwrap_or_default());
        let reply = self.app.anonymous().get(path).header("cookie", &cookie).send().await;
        expect(200, &reply)?;
        let sent = self.internet.take();
        refuse_unresolved(&sent)?;
        match (self.mode(), sent.is_empty()) {
            // The operator gave the credentials; nobody is asked for a token.
            (AuthMode::InstallPlugin, _) => Ok(false),
            (_, true) => Err("no token was asked for".to_owned()),
            (_, false) => Ok(true),
        }
    }

    /// A route of this entry's integration with what the end user typed.
    fn with_params(&self, route: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("connect_session_token", self.token);
        let mut typed = inputs::submitted(self.provider);
        if self.mode() == AuthMode::McpOAuth2Generic {
            // Over plain http, which the test uses, such servers may be on this machine only.
            typed.insert("mcp_server_url".to_owned(), "http://127.0.0.1:9/mcp".into());
        }
        for (name, value) in &typed {
            query.append_pair(&format!("params[{name}]"), value.as_str().unwrap_or_default());
        }
        format!("{route}/{}?{}", self.provider.name, query.finish())
    }

    /// The only connection of this entry's integration.
    async fn connection(&self) -> Option<Connection> {
        let (db, environment) = (&self.app.app.db, self.app.environment_id);
        let integration =
            integrations::find(db, environment, &self.provider.name).await.expect("the database answers")?;
        let found =
            rows::list_of_integration(db, environment, integration.id).await.expect("the database answers");
        found.into_iter().next()
    }

    /// Waits for what is asked after a sign-in.
    ///
    /// # Errors
    /// What of a request was not filled in.
    pub async fn follow_hooks(&self, connection: &Connection) -> Result<(), String> {
        self.app.hooks_settled(connection.id).await;
        let sent = self.internet.take();
        // To this world https does not exist: only the attempt to get there is seen.
        let sent: Vec<Sent> = sent.into_iter().filter(|sent| sent.method != "CONNECT").collect();
        refuse_unresolved(&sent)
    }

    /// Fills in what the provider would have said about the connection.
    pub async fn fill_in_automated(&self, connection: &Connection) {
        let mut missing = inputs::automated(self.provider);
        missing.retain(|name, _| connection.connection_config.get(name).is_none_or(Value::is_null));
        let (app, environment) = (&self.app.app, self.app.environment_id);
        let merged = rows::merge_config(&app.db, environment, connection.id, &Value::Object(missing)).await;
        merged.expect("the database answers");
        app.forget_connection(connection.id);
    }

    /// Whether connections of this mode are renewed.
    pub fn is_renewed(&self) -> bool {
        !matches!(
            self.mode(),
            AuthMode::ApiKey
                | AuthMode::Basic
                | AuthMode::None
                | AuthMode::OAuth1
                | AuthMode::Tba
                | AuthMode::InstallPlugin
        )
    }

    /// Whether nobody has to be asked for the new credentials.
    fn is_signed_here(&self) -> bool {
        matches!(self.mode(), AuthMode::Jwt | AuthMode::Signature)
    }

    /// Insists on new credentials.
    pub async fn refresh(&self, connected: &Connected) -> Result<(), String> {
        let id = &connected.connection.connection_id;
        let path = format!("/connections/{id}?provider_config_key={}&force_refresh=true", self.provider.name);
        let reply = self.app.client().get(path).send().await;
        expect(200, &reply)?;
        let sent = self.internet.take();
        refuse_unresolved(&sent)?;
        if sent.is_empty() && !self.is_signed_here() {
            Err("no token was asked for".to_owned())
        } else {
            Ok(())
        }
    }

    /// Calls the provider's API through the proxy.
    pub async fn call(&self, connected: &Connected) -> Result<(), String> {
        let client = Client::new(self.app.url(), Some(self.app.secret.clone()));
        let mut ask = client
            .get("/proxy/v1/things?page=2")
            .header("provider-config-key", &self.provider.name)
            .header("connection-id", &connected.connection.connection_id);
        if self.provider.proxy.is_none() {
            ask = ask.header("base-url-override", "http://api.example.com");
        }
        let reply = ask.send().await;
        let sent = self.internet.take();
        expect(200, &reply)?;
        refuse_unresolved(&sent)?;
        let call = sent.last().ok_or("nothing was sent")?;
        self.refuse_missing_parts(call)
    }

    /// What an entry wants in a call and what has no value is left out of it, which is not seen in the request itself.
    fn refuse_missing_parts(&self, call: &Sent) -> Result<(), String> {
        let Some(entry) = &self.provider.proxy else { return Ok(()) };
        let headers = entry.headers.keys().filter(|name| !call.headers.contains_key(name.as_str()));
        let url = Url::parse(&call.url).map_err(|error| format!("{}: {error}", call.url))?;
        let has = |wanted: &String| url.query_pairs().any(|(name, _)| name == *wanted);
        let query = entry.query.keys().filter(|name| !has(name));
        let missing: Vec<&str> = headers.chain(query).map(String::as_str).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("left out: {}", missing.join(", "))) }
    }
}

/// The key of the tests of assertions.
const PRIVATE_JWK: &str = include_str!("../../../src/oauth/test_rsa_jwk.json");

const APP_LINK: &str = "http://example.com/apps/acme";

fn answers(provider: &Provider) -> impl Fn(&Sent) -> Response + Send + Sync + use<> {
    let usual = inputs::answer(provider);
    let is_login = provider.mode() == Some(AuthMode::TwoStep);
    let token_path = provider.token_response.token.clone().filter(|_| is_login).unwrap_or_default();
    let is_text = is_login && token_path.is_empty();
    let root = token_path.split('.').next().unwrap_or_default().to_owned();
    let is_xml = is_login && provider.body_format == Some(BodyFormat::Xml);
    let is_oauth1 = provider.mode() == Some(AuthMode::OAuth1);
    let kept = provider.token_response_headers.clone();
    let role_arn = provider.credentials.get("role_arn").and_then(|field| field.example.clone());
    let role = role_arn.as_deref().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned();
    move |sent| {
        let mut headers =
            vec![("set-cookie", "session=1; Path=/"), ("location", "http://example.com/created/1")];
        headers.extend(kept.iter().map(|name| (name.as_str(), "kept=1")));
        let body = match Url::parse(&sent.url) {
            Ok(url) if url.path() == MCP_METADATA => json!({
                "issuer": url.origin().ascii_serialization(),
                "authorization_endpoint": format!("{}/authorize", url.origin().ascii_serialization()),
                "token_endpoint": format!("{}/token", url.origin().ascii_serialization()),
                "registration_endpoint": format!("{}/register", url.origin().ascii_serialization()),
            }),
            Ok(url) if url.path().starts_with("/.well-known/oauth-protected-resource") => json!({
                "resource": url.origin().ascii_serialization(),
                "authorization_servers": [url.origin().ascii_serialization()],
            }),
            Ok(_) if sent.body.contains("Action=AssumeRole") => return assumed_role(),
            Ok(url) if url.query().is_some_and(|query| query.contains("Action=GetCallerIdentity")) => {
                let arn = format!("arn:aws:sts::123456789012:assumed-role/{role}/hitchpost");
                json!({"GetCallerIdentityResponse": {"GetCallerIdentityResult": {"Arn": arn}}})
            }
            Ok(_) if is_oauth1 => {
                headers.push(("content-type", "application/x-www-form-urlencoded"));
                let body =
                    "oauth_token=access-token-1&oauth_token_secret=secret-1&oauth_callback_confirmed=true";
                return answer(200, &headers, body);
            }
            Ok(_) if is_xml => {
                headers.push(("content-type", "application/xml"));
                let document = Map::from_iter([(root.clone(), usual[&root].clone())]);
                return answer(200, &headers, write_xml(&document));
            }
            Ok(_) if is_text => return answer(200, &headers, "access-token-1"),
            // Of WebDAV, for entries that are asked in its way whether credentials are good.
            Ok(_) if sent.method == "PROPFIND" => return answer(207, &headers, "<multistatus/>"),
            _ => usual.clone(),
        };
        headers.push(("content-type", "application/json"));
        answer(200, &headers, body.to_string())
    }
}

/// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
fn assumed_role() -> Response {
    let body = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
        <SecretAccessKey>secret-1</SecretAccessKey><SessionToken>session-1</SessionToken>\
        <Expiration>2040-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    answer(200, &[("content-type", "text/xml")], body)
}

/// # Errors
/// What was answered instead.
fn expect(status: u16, reply: &Reply) -> Result<(), String> {
    if reply.status.as_u16() == status {
        return Ok(());
    }
    // The message of a page for people is the one that its script sends to the opener.
    let text = reply.text();
    let message = text.lines().find(|line| line.trim().starts_with("var message = ")).unwrap_or(&text);
    Err(format!("{}: {}", reply.status.as_u16(), message.trim()))
}
