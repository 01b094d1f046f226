//! OAuth 1.0a: every way in which the popup fails, and what becomes of signatures on the way through the proxy. That the
//! signatures are right is checked by the vectors beside the code and by the provider of `tests/sdk/oauth1.test.mjs`.

use std::sync::{Arc, Mutex};

use axum::response::Response;
use serde_json::{Value, json};
use url::Url;

use crate::support::target::{Seen, Target, WorldPlan, answer, ok_json};
use crate::support::{Reply, Socket, TestApp, run};

const KEY: &str = "one";

/// Status, content type and body of a scripted answer.
type Script = (u16, &'static str, &'static str);

const REQUEST_TOKEN: Script =
    (200, "text/html", "oauth_token=rt-1&oauth_token_secret=rs-1&oauth_callback_confirmed=true");
const ACCESS_TOKEN: Script =
    (200, "text/plain", "oauth_token=at-1&oauth_token_secret=as%2B1&screen_name=ada+l&user_id=7\n");

/// A server, and a provider that says what it is told.
struct World {
    app: TestApp,
    provider: Target,
    token: String,
}

impl World {
    async fn start(request_token: Script, access_token: Script, extra: &Value) -> World {
        let provider = Target::start(move |seen| {
            let (status, content_type, body) = match seen.target.split('?').next() {
                Some("/request") => request_token,
                _ => access_token,
            };
            let headers = [("content-type", content_type), ("location", "https://elsewhere.test/")];
            answer(status, &headers[..if status == 302 { 2 } else { 1 }], body)
        })
        .await;
        let url = provider.url();
        let mut entry = json!({
            "display_name": "One", "docs": "https://docs.example.com", "auth_mode": "OAUTH1",
            "request_url": format!("{url}/request"), "authorization_url": format!("{url}/authorize?lang=en"),
            "token_url": format!("{url}/access"), "signature_method": "HMAC-SHA1", "scope_separator": ",",
            "request_params": {"x_scope": "all of it"}, "token_params": {"x_final": "yes"},
            "authorization_params": {"expiration": "never", "name": "Hitchpost"},
            "token_response_metadata": ["user_id"], "proxy": {"base_url": url},
        });
        entry.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let app = TestApp::with_catalog(json!({ "one": entry }).to_string()).await;
        let credentials = json!({"type": "OAUTH1", "client_id": "ck", "client_secret": "cs-secret", "scopes": "read,write"});
        let body = json!({"provider": "one", "unique_key": KEY, "credentials": credentials});
        app.client().post("/integrations", body).expect(200).await;
        let session =
            app.client().post("/connect/sessions", json!({"end_user": {"id": "u1"}})).expect(201).await;
        let token = session["data"]["token"].as_str().unwrap().to_owned();
        World { app, provider, token }
    }

    async fn connect(&self, more: &str) -> Reply {
        let path = format!("/oauth/connect/{KEY}?connect_session_token={}{more}", self.token);
        self.app.anonymous().get(path).send().await
    }

    /// The error type and text that the socket is told when the popup cannot leave.
    async fn refusal(&self) -> (String, String) {
        let mut socket = Socket::open(&self.app).await;
        let reply = self.connect(&format!("&ws_client_id={}", socket.id)).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        told(&mut socket).await
    }

    /// Leaves, and comes back with this query; `TOKEN` stands for the request token.
    async fn round_trip(&self, query: &str) -> (Reply, Value) {
        let mut socket = Socket::open(&self.app).await;
        let reply = self.connect(&format!("&ws_client_id={}", socket.id)).await;
        assert_eq!(reply.status, 302, "{}", reply.text());
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let callback = parameter(&Url::parse(reply.header("location").unwrap()).unwrap(), "oauth_callback");
        let callback = Url::parse(&callback).unwrap();
        let path = format!("{}?{}&{query}", callback.path(), callback.query().unwrap());
        let page = self.app.anonymous().get(path).header("cookie", &cookie).send().await;
        (page, socket.next().await.expect("an outcome"))
    }
}

async fn told(socket: &mut Socket) -> (String, String) {
    let frame = socket.next().await.expect("an outcome");
    let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
    (text("error_type"), text("error_desc"))
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("{url} lacks {name}")).1.into_owned()
}

/// A parameter of an OAuth header, still encoded.
fn header_parameter(seen: &Seen, name: &str) -> Option<String> {
    let rest = seen.header("authorization")?.strip_prefix("OAuth ")?;
    let found = rest.split(", ").filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name);
    found.map(|(_, value)| value.trim_matches('"').to_owned())
}

#[test]
fn a_popup_ends_in_a_connection() {
    run(async {
        let world = World::start(REQUEST_TOKEN, ACCESS_TOKEN, &json!({})).await;
        let more = "&authorization_params[name]=undefined&authorization_params[oauth_token]=evil";
        let reply = world.connect(more).await;
        let authorize = Url::parse(reply.header("location").unwrap()).unwrap();
        let pairs: Vec<String> =
            authorize.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
        let callback = parameter(&authorize, "oauth_callback");
        let first = ["lang=en", "oauth_token=rt-1", "scope=read,write", "expiration=never"];
        assert_eq!(pairs[..4], first);
        assert_eq!(pairs.len(), 5);
        assert!(callback.starts_with(&format!("{}/oauth/callback?state=", world.app.url())), "{callback}");
        let asked = world.provider.last();
        assert_eq!((asked.method.as_str(), asked.text().as_str()), ("POST", "x_scope=all+of+it"));
        assert_eq!(header_parameter(&asked, "oauth_token"), None);
        let announced = header_parameter(&asked, "oauth_callback").unwrap();
        assert!(announced.ends_with(&callback.split_once("state=").unwrap().1.to_owned()), "{announced}");

        let (page, outcome) = world.round_trip("oauth_token=rt-1&oauth_verifier=v%2F1").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(outcome["message_type"], "success");
        let exchanged = world.provider.last();
        assert_eq!(exchanged.text(), "x_final=yes");
        assert_eq!(header_parameter(&exchanged, "oauth_verifier").as_deref(), Some("v%2F1"));
        let id = outcome["connection_id"].as_str().unwrap();
        let path = format!("/connections/{id}?provider_config_key={KEY}");
        let connection = world.app.client().get(path).expect(200).await;
        let raw = json!({"oauth_token": "at-1", "oauth_token_secret": "as+1", "screen_name": "ada l", "user_id": "7"});
        let expected =
            json!({"type": "OAUTH1", "oauth_token": "at-1", "oauth_token_secret": "as+1", "raw": raw});
        assert_eq!(connection["credentials"], expected);
        assert_eq!(connection["connection_config"], json!({"user_id": "7"}));
    });
}

#[test]
fn request_tokens_that_are_not_given_are_explained() {
    run(async {
        let html = "<html><head><title>Down for repair</title></head><body>sorry</body></html>";
        let cases: Vec<(Script, Value, &str)> = vec![
            ((401, "text/plain", "Failed to validate cs-secret signature"), json!({}), "REDACTED signature"),
            ((401, "application/json", r#"{"error": "bad client"}"#), json!({}), "bad client"),
            ((503, "text/html", html), json!({}), "Down for repair"),
            ((200, "text/html", html), json!({}), "neither JSON nor form-encoded"),
            ((200, "text/plain", ""), json!({}), "neither JSON nor form-encoded"),
            ((200, "text/plain", "oauth_token_secret=x&other=1"), json!({}), "no `oauth_token`"),
            ((200, "text/plain", "oauth_token=x"), json!({}), "no `oauth_token` with its secret"),
            ((302, "text/plain", ""), json!({}), "302"),
            (REQUEST_TOKEN, json!({"signature_method": "RSA-SHA512"}), "`RSA-SHA512` is not supported"),
            (
                REQUEST_TOKEN,
                json!({"signature_method": "RSA-SHA1"}),
                "no key to sign with: it is neither PEM",
            ),
            (REQUEST_TOKEN, json!({"request_url": null}), "no `request_url`"),
            (REQUEST_TOKEN, json!({"request_url": "http://127.0.0.1:1/x"}), "no connection"),
        ];
        for (script, extra, expected) in cases {
            let world = World::start(script, ACCESS_TOKEN, &extra).await;
            let (kind, text) = world.refusal().await;
            assert_eq!(kind, "token_err", "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("cs-secret"), "{text}");
        }
    });
}

#[test]
fn callbacks_that_bring_no_approval_are_explained() {
    run(async {
        let refused = (401, "text/plain", "Invalid verifier for rs-1");
        let html = (502, "text/html", "<title>Bad gateway</title>");
        let empty = (200, "text/plain", "screen_name=ada");
        let good = "oauth_token=rt-1&oauth_verifier=v";
        for (script, query, kind, expected) in [
            (ACCESS_TOKEN, "denied=rt-1", "callback_err", "refused at the provider"),
            (
                ACCESS_TOKEN,
                "oauth_token=rt-1&oauth_problem=user_refused",
                "callback_err",
                "no `oauth_verifier`. Provider error: oauth_problem: user_refused",
            ),
            (ACCESS_TOKEN, "oauth_verifier=v", "callback_err", "no `oauth_token`"),
            (ACCESS_TOKEN, "oauth_token=rt-2&oauth_verifier=v", "callback_err", "another request token"),
            (refused, good, "unknown_err", "401: Invalid verifier for REDACTED"),
            (html, good, "unknown_err", "Bad gateway"),
            (empty, good, "unknown_err", "no `oauth_token` with its secret. Its members: screen_name"),
        ] {
            let world = World::start(REQUEST_TOKEN, script, &json!({})).await;
            let (page, outcome) = world.round_trip(query).await;
            assert_eq!(page.status, 400, "{query}");
            assert_eq!(outcome["error_type"], kind, "{outcome}");
            assert!(outcome["error_desc"].as_str().unwrap().contains(expected), "{outcome}");
            let list = world.app.client().get("/connections").expect(200).await;
            assert_eq!(list["connections"], json!([]), "nothing is stored");
        }
    });
}

#[test]
fn verbs_and_plaintext_are_the_entrys() {
    run(async {
        let extra = json!({"request_http_method": "get", "signature_method": "PLAINTEXT"});
        let world = World::start(REQUEST_TOKEN, ACCESS_TOKEN, &extra).await;
        assert_eq!(world.connect("").await.status, 302);
        let asked = world.provider.last();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/request?x_scope=all+of+it"));
        assert_eq!(header_parameter(&asked, "oauth_signature").as_deref(), Some("cs-secret%26"));
    });
}

/// A plan for calls that are signed; `answer` is what the provider says.
async fn signed(
    answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
    credentials: Value,
) -> (Target, WorldPlan) {
    let target = Target::start(answer).await;
    let plan = WorldPlan::new(target.url()).proxy(json!({"headers": {}})).credentials(credentials);
    (target, plan)
}

fn oauth1() -> Value {
    json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "ts", "raw": {}})
}

#[test]
fn every_request_has_a_signature_of_its_own() {
    run(async {
        let other = Target::recording().await;
        let elsewhere = other.url();
        let failures = Arc::new(Mutex::new(1));
        let (target, plan) = signed(
            move |seen| match seen.target.as_str() {
                "/moved" => answer(307, &[("location", "/landed?x=1")], ""),
                "/away" => answer(307, &[("location", &elsewhere)], ""),
                "/flaky" if std::mem::take(&mut *failures.lock().unwrap()) == 1 => {
                    answer(503, &[("retry-after", "0")], "")
                }
                _ => ok_json("{}"),
            },
            oauth1(),
        )
        .await;
        let world = plan.provider(json!({"auth_mode": "OAUTH1"})).build().await;
        for (path, retries) in [("/moved", "0"), ("/flaky", "1")] {
            let before = target.seen().len();
            world.get(path).header("retries", retries).expect(200).await;
            let seen = target.seen().split_off(before);
            let of = |name| seen.iter().map(|seen| header_parameter(seen, name).unwrap()).collect::<Vec<_>>();
            let (nonces, signatures) = (of("oauth_nonce"), of("oauth_signature"));
            assert_eq!(nonces.len(), 2, "{path}");
            assert_ne!(nonces[0], nonces[1], "{path}");
            assert_ne!(signatures[0], signatures[1], "{path}");
        }
        world.get("/away").expect(200).await;
        assert_eq!(other.last().header("authorization"), None);
        world.get("/away").header("forward-headers-on-redirect", "true").expect(200).await;
        assert_ne!(
            header_parameter(&other.last(), "oauth_nonce"),
            header_parameter(&target.last(), "oauth_nonce")
        );
        world.get("/x").header("nango-proxy-authorization", "mine").expect(200).await;
        assert_eq!(target.last().header("authorization"), Some("mine"));
    });
}

#[test]
fn forms_are_read_because_they_are_signed_and_everything_else_streams() {
    run(async {
        let (target, plan) = signed(|_| ok_json("{}"), oauth1()).await;
        let world =
            plan.provider(json!({"auth_mode": "OAUTH1", "signature_method": "HMAC-SHA256"})).build().await;
        let form = "b=x+y&a=%2B&a=%FF";
        let post = || world.call("POST", "/f?q=1");
        post().header("content-type", "application/x-www-form-urlencoded").bytes(form).expect(200).await;
        assert_eq!(target.last().text(), form);
        assert_eq!(target.last().header("content-length"), Some("17"));
        assert_eq!(
            header_parameter(&target.last(), "oauth_signature_method").as_deref(),
            Some("HMAC-SHA256")
        );
        post()
            .json(&json!({"a": 1}))
            .header("nango-proxy-content-type", "application/x-www-form-urlencoded")
            .expect(200)
            .await;
        assert_eq!(target.last().text(), "a=1");
        let large = vec![b'x'; 9 * 1024 * 1024];
        post().header("content-type", "application/octet-stream").bytes(large.clone()).expect(200).await;
        assert_eq!(target.last().body, large);
    });
}

#[test]
fn what_cannot_be_signed_is_refused_before_anything_is_sent() {
    run(async {
        let (target, plan) = signed(|_| ok_json("{}"), oauth1()).await;
        let world =
            plan.provider(json!({"auth_mode": "OAUTH1", "signature_method": "RSA-SHA512"})).build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "unsupported_auth"));
        assert!(reply.text().contains("RSA-SHA512"), "{}", reply.text());

        let (keyless, plan) = signed(|_| ok_json("{}"), oauth1()).await;
        let world =
            plan.provider(json!({"auth_mode": "OAUTH1", "signature_method": "RSA-SHA1"})).build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "unsupported_auth"));
        assert!(reply.text().contains("is no key"), "{}", reply.text());
        assert!(keyless.seen().is_empty());

        let (other, plan) = signed(|_| ok_json("{}"), oauth1()).await;
        let world = plan.provider(json!({"auth_mode": "OAUTH1"})).build().await;
        sqlx::query("UPDATE integrations SET oauth_client_secret = NULL WHERE environment_id = $1")
            .bind(world.app.environment_id.0)
            .execute(&world.app.app.db)
            .await
            .unwrap();
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "unsupported_auth"));
        assert!(target.seen().is_empty() && other.seen().is_empty());
    });
}
