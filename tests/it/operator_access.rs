//! Who gets into `/api/v1`: the dashboard's name and password, or a key of the account; nobody else, ever.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::client::Ask;
use crate::support::{Case, Client, TestApp, check, run};

/// Every route with a method that it has.
const ROUTES: [(&str, &str); 19] = [
    ("GET", "/api/v1/environments"),
    ("POST", "/api/v1/environments"),
    ("PATCH", "/api/v1/environments"),
    ("DELETE", "/api/v1/environments"),
    ("GET", "/api/v1/environments/current"),
    ("GET", "/api/v1/environments/variables"),
    ("POST", "/api/v1/environments/variables"),
    ("GET", "/api/v1/environments/webhook"),
    ("PATCH", "/api/v1/environments/webhook"),
    ("GET", "/api/v1/environment/api-keys"),
    ("POST", "/api/v1/environment/api-keys"),
    ("DELETE", "/api/v1/environment/api-keys/1"),
    ("POST", "/api/v1/environment/webhook-signing-key/rotate"),
    ("GET", "/api/v1/account/api-keys"),
    ("POST", "/api/v1/account/api-keys"),
    ("DELETE", "/api/v1/account/api-keys/1"),
    ("POST", "/api/v1/connect/sessions"),
    ("GET", "/api/v1/connect-ui-settings"),
    ("PUT", "/api/v1/connect-ui-settings"),
];

async fn with_password() -> TestApp {
    let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", "ops");
    settings.set("NANGO_DASHBOARD_PASSWORD", "correct horse").set("FLAG_AUTH_ENABLED", "false").start().await
}

fn basic(ask: Ask, user: &str, password: &str) -> Ask {
    ask.header("authorization", &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

#[test]
fn nobody_without_credentials_learns_more_than_that() {
    run(async {
        for app in [TestApp::start().await, with_password().await] {
            let nobody = app.anonymous();
            for (method, path) in ROUTES {
                for query in ["", "?env=dev", "?nonsense=1"] {
                    let path = format!("{path}{query}");
                    let asks = [
                        nobody.ask(method, &path),
                        nobody.ask(method, &path).header("content-type", "text/plain").bytes("x"),
                        nobody.ask(method, &path).header("content-type", "application/json").bytes("{"),
                        nobody.with_secret("not-a-key").ask(method, &path),
                        nobody.with_secret(app.app.rng.uuid().to_string()).ask(method, &path),
                        basic(nobody.ask(method, &path), "", ""),
                        nobody.ask(method, &path).header("authorization", "Basic"),
                    ];
                    for ask in asks {
                        app.advance(TimeDelta::seconds(10));
                        let reply = ask.send().await;
                        assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text());
                        assert!(reply.header("access-control-allow-origin").is_none(), "{method} {path}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_password_opens_everything_where_one_is_set() {
    run(async {
        let app = with_password().await;
        let nobody = app.anonymous();
        let list = || nobody.get("/api/v1/environments");
        let listed = basic(list(), "ops", "correct horse").expect(200).await;
        let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&json!(app.environment_name)), "{names:?}");
        let refused = basic(list(), "ops", "wrong").send().await;
        assert_eq!((refused.status.as_u16(), refused.code()), (401, "unknown_account".to_owned()));
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Hitchpost\", charset=\"UTF-8\""));
        let made = basic(
            nobody.post("/api/v1/account/api-keys", json!({"display_name": app.environment_name})),
            "ops",
            "correct horse",
        );
        let made = made.send().await;
        assert_eq!(made.header("cache-control"), Some("no-store"));
        let account = nobody.with_secret(made.json()["data"]["secret"].as_str().unwrap());
        account.get("/api/v1/environments").expect(200).await;
        // A password opens these routes only.
        assert_eq!(basic(nobody.get("/connections"), "ops", "correct horse").send().await.status, 401);
    });
}

#[test]
fn without_a_password_only_keys_of_the_account_open() {
    run(async {
        let app = TestApp::start().await;
        let reply = basic(app.anonymous().get("/api/v1/environments"), "admin", "admin").send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unknown_account".to_owned()));
        assert!(reply.header("www-authenticate").is_none(), "a browser must not ask for a password");
        app.account_client().await.get("/api/v1/environments").expect(200).await;
    });
}

#[test]
fn keys_open_what_their_scopes_say() {
    run(async {
        let app = TestApp::start().await;
        let environment = app.client();
        let narrow = app.account_client_with(&["environments:api_keys:create"]).await;
        let env = &app.environment_name;
        let body = json!({"display_name": "ci"});
        let case = |name, request, status, code| Case { name, request, status, code };
        let keys = format!("/api/v1/environment/api-keys?env={env}");
        let settings = format!("/api/v1/environments?env={env}");
        check(vec![
            case("environment key makes a key", environment.post(&keys, body.clone()), 403, "forbidden"),
            case("environment key reads", environment.get(&keys), 403, "forbidden"),
            case("environment key changes", environment.patch(&settings, json!({})), 403, "forbidden"),
            case("narrow key changes", narrow.patch(&settings, json!({})), 403, "forbidden"),
            case(
                "narrow key makes account keys",
                narrow.post("/api/v1/account/api-keys", body.clone()),
                403,
                "forbidden",
            ),
            case("narrow key deletes", narrow.delete(&settings), 403, "forbidden"),
        ])
        .await;
        narrow.post(&keys, body).expect(200).await;
        let names = environment.get("/api/v1/environments").expect(200).await;
        assert!(names["data"].as_array().unwrap().contains(&json!({"name": env})), "names alone: {names}");
        let only = environment.get(&settings).expect(200).await;
        assert_eq!(only, json!({"data": [{"name": env}]}));
    });
}

#[test]
fn guessing_passwords_is_slow_and_does_not_lock_keys_out() {
    run(async {
        let app = with_password().await;
        let account = app.account_client().await;
        let guess =
            |password: &str| basic(app.anonymous().get("/api/v1/environments"), "ops", password).send();
        for number in 0..30 {
            assert_eq!(guess(&number.to_string()).await.status, 401, "{number}");
        }
        assert_eq!(guess("correct horse").await.code(), "too_many_request");
        account.get("/api/v1/environments").expect(200).await;
        app.client().get("/connections").expect(200).await;
        app.advance(TimeDelta::seconds(61));
        assert_eq!(guess("correct horse").await.status, 200);
    });
}

#[test]
fn pages_of_other_origins_may_not_call() {
    run(async {
        let app = with_password().await;
        let ask = |client: Client, method: &str| {
            client.ask(method, "/api/v1/environments").header("origin", "https://evil.example")
        };
        let preflight =
            ask(app.anonymous(), "OPTIONS").header("access-control-request-method", "PATCH").send().await;
        assert_eq!(preflight.status, 204);
        let answer = ask(app.account_client().await, "GET").send().await;
        for reply in [preflight, answer] {
            let names = reply.headers.keys().map(|name| name.as_str());
            assert!(!names.into_iter().any(|name| name.starts_with("access-control")), "{:?}", reply.headers);
        }
    });
}
