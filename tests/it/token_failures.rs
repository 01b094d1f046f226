//! What a token endpoint may answer, mode by mode: what the caller gets, the socket of a popup, the `errors` of the
//! connection, and what people find in the log. One table for all: `token_failures.txt`, a line for each mode and answer.
//!
//! The answer that never comes takes half a minute, so all modes wait for it at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use crate::support::app::TestSettings;
use crate::support::github::PRIVATE_KEY;
use crate::support::logged::{Logged, logged, of_kind};
use crate::support::target::answer;
use crate::support::{Client, Reply, Socket, TestApp, run};

/// Nothing that is answered or told may hold it.
const SECRET: &str = "hunter2-secret";

/// What the endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    InvalidGrant,
    HtmlErrorPage,
    ErrorBodyIn200,
    PageIn200,
    NothingIn200,
    RedirectToPage,
    ElevenMegabytes,
    HangsUp,
    SpeaksNoTls,
    NeverAnswers,
    WrongContentType,
    NoExpiry,
    NumbersAsText,
    NestedToken,
}

const ALL: [Does; 14] = [
    Does::InvalidGrant,
    Does::HtmlErrorPage,
    Does::ErrorBodyIn200,
    Does::PageIn200,
    Does::NothingIn200,
    Does::RedirectToPage,
    Does::ElevenMegabytes,
    Does::HangsUp,
    Does::SpeaksNoTls,
    Does::NeverAnswers,
    Does::WrongContentType,
    Does::NoExpiry,
    Does::NumbersAsText,
    Does::NestedToken,
];

/// The modes whose sign-in or renewal asks an endpoint, by the name of their entry.
const MODES: [&str; 8] =
    ["oauth2", "refresh", "oauth2-cc", "cc-refresh", "two-step", "bill", "oauth1", "app"];

impl Does {
    fn respond(self, path: &str) -> Response {
        let json = [("content-type", "application/json")];
        let html = [("content-type", "text/html")];
        let page = "<html><title>Down for maintenance</title>hunter2-secret</html>";
        if path == "/page" {
            return answer(200, &html, page);
        }
        match self {
            Does::InvalidGrant => {
                let body = r#"{"error": "invalid_grant", "error_description": "hunter2-secret is revoked"}"#;
                answer(400, &json, body)
            }
            Does::HtmlErrorPage => answer(503, &html, page),
            Does::ErrorBodyIn200 => answer(200, &json, r#"{"ok": false, "error": "bad_client"}"#),
            Does::PageIn200 => answer(200, &html, page),
            Does::NothingIn200 => answer(200, &[], ""),
            Does::RedirectToPage => answer(302, &[("location", "/page")], ""),
            Does::ElevenMegabytes => answer(200, &json, "x".repeat(11 * 1024 * 1024)),
            Does::WrongContentType => {
                answer(200, &[("content-type", "text/html")], token(json!(3600)).to_string())
            }
            Does::NoExpiry => answer(200, &json, token(Value::Null).to_string()),
            Does::NumbersAsText => answer(200, &json, token(json!("3600")).to_string()),
            Does::NestedToken => {
                answer(200, &json, json!({"ok": true, "data": token(json!(3600))}).to_string())
            }
            Does::HangsUp | Does::SpeaksNoTls | Does::NeverAnswers => answer(500, &[], "not reached"),
        }
    }
}

/// A token under every name that one of the modes knows.
fn token(expires_in: Value) -> Value {
    let mut token = json!({"access_token": "token-1", "token": "token-1", "sessionId": "token-1", "refresh_token": "again-1",
        "oauth_token": "token-1", "oauth_token_secret": "made-up-1"});
    if !expires_in.is_null() {
        token["expires_in"] = expires_in;
    }
    token
}

/// An endpoint that does one thing.
async fn endpoint(does: Does) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    if does == Does::HangsUp {
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        });
        return address;
    }
    let router = Router::new().fallback(serve).with_state(does);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn serve(State(does): State<Does>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let _ = to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    if does == Does::NeverAnswers {
        return std::future::pending().await;
    }
    does.respond(&path)
}

fn entries(base: &str) -> BTreeMap<&'static str, Value> {
    let entry = |mode: &str, more: Value| {
        let mut entry = json!({"display_name": "Acme", "docs": "https://docs.test", "auth_mode": mode,
            "authorization_url": "https://login.test/authorize", "token_url": format!("{base}/token"),
            "proxy": {"base_url": base}});
        entry.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        entry
    };
    let nested = json!({"alternate_access_token_response_path": "data.access_token"});
    let login = json!({"token_params": {"pin": "${credentials.pin}"},
        "token_response": {"token": "token", "token_expiration": "expires_in", "token_expiration_strategy": "expireIn"},
        "credentials": {"pin": {"type": "string", "title": "PIN", "description": "PIN", "secret": true}}});
    let installation = json!({"authorization_url": "${connectionConfig.appPublicLink}/installations/new"});
    let signed = json!({"request_url": format!("{base}/request"), "signature_method": "HMAC-SHA1"});
    BTreeMap::from([
        ("oauth2", entry("OAUTH2", nested.clone())),
        ("refresh", entry("OAUTH2", nested)),
        ("oauth2-cc", entry("OAUTH2_CC", json!({}))),
        ("cc-refresh", entry("OAUTH2_CC", json!({}))),
        ("two-step", entry("TWO_STEP", login)),
        ("bill", entry("BILL", json!({}))),
        ("oauth1", entry("OAUTH1", signed)),
        ("app", entry("APP", installation)),
    ])
}

/// A server whose every provider does this.
struct World {
    app: TestApp,
}

impl World {
    async fn start(does: Does) -> World {
        let address = endpoint(does).await;
        let scheme = if does == Does::SpeaksNoTls { "https" } else { "http" };
        let entries = entries(&format!("{scheme}://{address}"));
        let catalog = serde_json::to_string(&entries).expect("JSON");
        let app = TestSettings::default().catalog(catalog).start().await;
        for (name, entry) in &entries {
            let mode = &entry["auth_mode"];
            let mut body = json!({"provider": name, "unique_key": name});
            if mode == "OAUTH2" || mode == "OAUTH1" {
                body["credentials"] = json!({"type": mode, "client_id": "client-1", "client_secret": SECRET});
            }
            if mode == "APP" {
                body["credentials"] = json!({"type": "APP", "app_id": "7", "app_link": "https://apps.test/acme",
                    "private_key": PRIVATE_KEY});
            }
            app.client().post("/integrations", body).expect(200).await;
        }
        World { app }
    }

    /// Each attempt has a session, and so an operation, of its own.
    async fn session(&self) -> String {
        let session = self.app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
        session["data"]["token"].as_str().expect("a token").to_owned()
    }

    /// What came of a mode, in one line.
    async fn outcome(&self, mode: &str) -> String {
        match mode {
            "refresh" => {
                let old = json!({"type": "OAUTH2", "access_token": "old", "refresh_token": SECRET,
                    "expires_at": "2040-01-01T00:00:00Z"});
                self.renew(mode, old).await
            }
            "cc-refresh" => {
                let old = json!({"type": "OAUTH2_CC", "token": "old", "client_id": "c", "client_secret": SECRET,
                    "expires_at": "2040-01-01T00:00:00Z"});
                self.renew(mode, old).await
            }
            "oauth2-cc" => {
                self.form("/oauth2/auth", mode, json!({"client_id": "c", "client_secret": SECRET})).await
            }
            "two-step" => self.form("/auth/two-step", mode, json!({"pin": SECRET})).await,
            "bill" => {
                let body =
                    json!({"username": "u", "password": SECRET, "organization_id": "o", "dev_key": SECRET});
                self.form("/auth/bill", mode, body).await
            }
            popup => self.popup(popup).await,
        }
    }

    async fn form(&self, route: &str, mode: &str, body: Value) -> String {
        let path = format!("{route}/{mode}?connect_session_token={}", self.session().await);
        let reply = self.app.anonymous().post(path, body).send().await;
        if !reply.status.is_success() {
            return self.refusal(mode, &reply).await;
        }
        let id = reply.json()["connectionId"].as_str().expect("an id").to_owned();
        self.success(mode, &id).await
    }

    /// Insists on new credentials of an imported connection.
    async fn renew(&self, mode: &str, credentials: Value) -> String {
        let body = json!({"provider_config_key": mode, "connection_id": "c1", "credentials": credentials});
        self.app.client().post("/connections", body).expect(201).await;
        let path = format!("/connections/c1?provider_config_key={mode}&force_refresh=true");
        let reply = self.app.client().get(path).send().await;
        if !reply.status.is_success() {
            return self.refusal(mode, &reply).await;
        }
        self.success(mode, "c1").await
    }

    /// A popup: its outcome is what the socket is told, and the page says the same.
    async fn popup(&self, mode: &str) -> String {
        let mut socket = Socket::open(&self.app).await;
        let session = self.session().await;
        let path =
            format!("/oauth/connect/{mode}?connect_session_token={session}&ws_client_id={}", socket.id);
        let mut page = self.app.anonymous().get(path).send().await;
        if page.status == 302 {
            page = self.come_back(mode, &page).await;
        }
        let frame = socket.next().await.expect("an outcome");
        // An app proves itself with its key, so that the text is nobody's secret there.
        let is_told = |text: &str| mode != "app" && text.contains(SECRET);
        assert!(!is_told(&page.text()), "{mode}");
        if frame["message_type"] == "success" {
            return self.success(mode, frame["connection_id"].as_str().expect("an id")).await;
        }
        let told = frame["error_desc"].as_str().unwrap_or_default();
        assert!(!is_told(told), "{told}");
        assert!(self.connections(mode).await.is_empty(), "nothing is stored");
        format!("socket {}: {told}", frame["error_type"].as_str().unwrap_or_default())
    }

    async fn come_back(&self, mode: &str, page: &Reply) -> Reply {
        let location = Url::parse(page.header("location").expect("a target")).expect("a URL");
        let parameter = |url: &Url, name: &str| {
            url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
        };
        let callback = parameter(&location, "oauth_callback").and_then(|callback| Url::parse(&callback).ok());
        let state = parameter(callback.as_ref().unwrap_or(&location), "state").expect("a state");
        let query = match mode {
            "app" => "/app-auth/connect?installation_id=7",
            "oauth1" => "/oauth/callback?oauth_token=token-1&oauth_verifier=v",
            _ => "/oauth/callback?code=c",
        };
        let ask = self.app.anonymous().get(format!("{query}&state={state}"));
        ask.header("cookie", &format!("oauth2-{state}=1")).send().await
    }

    async fn connections(&self, mode: &str) -> Vec<Value> {
        let listed = self.app.client().get(format!("/connections?integrationId={mode}")).expect(200).await;
        listed["connections"].as_array().cloned().unwrap_or_default()
    }

    async fn refusal(&self, mode: &str, reply: &Reply) -> String {
        let error = reply.json()["error"].clone();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let message = text(&error["message"]).or(text(&error)).unwrap_or_else(|| error.to_string());
        assert!(!reply.text().contains(SECRET), "{}", reply.text());
        let errors: Vec<String> = self
            .connections(mode)
            .await
            .iter()
            .flat_map(|connection| connection["errors"].as_array().cloned().unwrap_or_default())
            .map(|error| error["type"].as_str().unwrap_or_default().to_owned())
            .collect();
        let noted = if errors.is_empty() { String::new() } else { format!(" errors={}", errors.join(",")) };
        format!("{} {}{noted}: {message}", reply.status.as_u16(), reply.code())
    }

    async fn success(&self, mode: &str, id: &str) -> String {
        let client: Client = self.app.client();
        let shown = client.get(format!("/connections/{id}?provider_config_key={mode}")).expect(200).await;
        let credentials = &shown["credentials"];
        let token = ["access_token", "token", "session_id", "oauth_token"].map(|name| &credentials[name]);
        let token = token.into_iter().find(|token| !token.is_null()).unwrap_or(&Value::Null);
        let ends = credentials["expires_at"].as_str().and_then(|text| text.parse().ok());
        let ends = ends.map(|ends: chrono::DateTime<chrono::Utc>| (ends - self.app.now()).num_seconds());
        let ends = ends.map_or("never".to_owned(), |seconds| format!("in {seconds} s"));
        assert_eq!(shown["errors"], json!([]));
        format!("token {token}, ends {ends}")
    }
}

/// The lines of one answer, in the order of the modes.
async fn lines_of(does: Does) -> Vec<String> {
    let world = World::start(does).await;
    let outcomes = join_all(MODES.map(|mode| world.outcome(mode))).await;
    let all = logged(&world.app).await;
    let line = |(mode, outcome): (&str, String)| {
        let outcome = in_time(&outcome);
        let seen = in_the_log(&all, mode, &outcome);
        format!("{does:?} | {mode} | {outcome} | {seen}")
    };
    MODES.into_iter().zip(outcomes).map(line).collect()
}

/// A login and its only call have the same time, and either may notice first that it is over.
fn in_time(text: &str) -> String {
    let of_login = "The login took longer than 30 seconds.";
    let of_call = "The token endpoint gave no usable answer: no answer in time.";
    text.replace(of_login, of_call)
}

/// What people find: the state, the requests with their statuses, the error's code, and its message where the caller was told
/// other words. A failure comes with advice.
fn in_the_log(all: &[Logged], mode: &str, outcome: &str) -> String {
    let action = if mode.ends_with("refresh") { "refresh_token" } else { "create_connection" };
    let of_mode: Vec<&Logged> =
        of_kind(all, "auth", action).into_iter().filter(|one| one.text("integrationName") == mode).collect();
    assert_eq!(of_mode.len(), 1, "{mode}");
    let one = of_mode[0];
    let everything = format!("{}{}", one.operation, Value::Array(one.messages.clone()));
    // An app proves itself with its key, so that the text is nobody's secret there.
    assert!(mode == "app" || !everything.contains(SECRET), "{mode}: {everything}");
    let status = |status: &Value| status.as_u64().map_or("no answer".to_owned(), |status| status.to_string());
    let requests: Vec<String> =
        one.exchanges().iter().map(|(method, code)| format!("{method} {}", status(code))).collect();
    let seen = format!("{}, {}", one.text("state"), requests.join(", "));
    if one.text("state") == "success" {
        assert!(one.operation["error"].is_null(), "{mode}");
        return seen;
    }
    let error = &one.operation["error"];
    let last = one.messages.last().expect("a message");
    assert_eq!(last["error"], *error, "{mode}");
    assert!(last["meta"]["advice"].is_string(), "{mode}: no advice for {error}");
    let (code, message) = (error["name"].as_str(), error["message"].as_str());
    let message = in_time(message.expect("a message"));
    let other = if outcome.ends_with(&message) { String::new() } else { format!(": {message}") };
    format!("{seen}, {}{other}", code.expect("a code"))
}

#[test]
fn every_mode_reports_every_answer_of_its_token_endpoint() {
    run(async {
        let found: Vec<String> = join_all(ALL.map(lines_of)).await.concat();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/token_failures.txt");
        let text = std::fs::read_to_string(file).expect("the table");
        let expected: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let differing: Vec<&String> = found
            .iter()
            .enumerate()
            .filter(|(at, line)| expected.get(*at) != Some(&line.as_str()))
            .map(|(_, line)| line)
            .collect();
        assert!(
            differing.is_empty() && expected.len() == found.len(),
            "tests/it/token_failures.txt says something else than\n{}",
            differing.iter().map(|line| format!("{line}\n")).collect::<String>()
        );
    });
}
