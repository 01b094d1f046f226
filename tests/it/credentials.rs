//! The JSON routes by which a browser hands over credentials.

use serde_json::{Value, json};

use crate::support::{Case, Client, TestApp, check, run};

const CATALOG: &str = r#"
keyed:
  display_name: Keyed
  auth_mode: API_KEY
  docs: https://example.com
  proxy:
    base_url: https://${connectionConfig.subdomain}.keyed.example
    headers: { authorization: "Bearer ${apiKey}" }
  connection_config:
    subdomain: { type: string, title: Subdomain, description: Yours, optional: true }
    pin: { type: string, title: Pin, description: Yours, secret: true, optional: true }
  credentials:
    apiKey: { type: string, title: Key, description: The key, pattern: "^k-" }
passworded:
  display_name: Passworded
  auth_mode: BASIC
  docs: https://example.com
open:
  display_name: Open
  auth_mode: NONE
  docs: https://example.com
"#;

async fn app() -> TestApp {
    let app = TestApp::with_catalog(CATALOG).await;
    for provider in ["keyed", "passworded", "open"] {
        create(&app.client(), provider).await;
    }
    app
}

async fn create(client: &Client, provider: &str) {
    client.post("/integrations", json!({"provider": provider, "unique_key": provider})).expect(200).await;
}

/// A new connect session's token.
async fn session(app: &TestApp, body: Value) -> String {
    let answer = app.client().post("/connect/sessions", body).expect(201).await;
    answer["data"]["token"].as_str().unwrap().to_owned()
}

fn user() -> Value {
    json!({"end_user": {"id": "u1", "email": "u1@example.com"}, "tags": {"plan": "pro"}})
}

async fn connect(app: &TestApp, path: &str, token: &str, body: Value) -> String {
    let path = format!("{path}{}connect_session_token={token}", if path.contains('?') { '&' } else { '?' });
    let answer = app.anonymous().post(path, body).expect(200).await;
    answer["connectionId"].as_str().unwrap().to_owned()
}

async fn read(app: &TestApp, integration: &str, id: &str) -> Value {
    app.client().get(format!("/connections/{id}?provider_config_key={integration}")).expect(200).await
}

#[test]
fn an_api_key_becomes_a_connection_of_the_sessions_user() {
    run(async {
        let app = app().await;
        let token = session(&app, user()).await;
        let path =
            "/api-auth/api-key/keyed?params[subdomain]=acme&params[webhook_url]=https%3A%2F%2Fevil.example";
        let id = connect(&app, path, &token, json!({"apiKey": "k-1"})).await;
        let connection = read(&app, "keyed", &id).await;
        assert_eq!(connection["credentials"], json!({"type": "API_KEY", "apiKey": "k-1"}));
        assert_eq!(connection["connection_config"], json!({"subdomain": "acme"}));
        assert_eq!(connection["end_user"]["id"], "u1");
        assert_eq!(
            connection["tags"],
            json!({"end_user_id": "u1", "end_user_email": "u1@example.com", "plan": "pro"})
        );
        assert_eq!(connection["metadata"], Value::Null);
    });
}

#[test]
fn passwords_may_be_empty_and_nothing_is_needed_for_open_apis() {
    run(async {
        let app = app().await;
        let token = session(&app, user()).await;
        let id =
            connect(&app, "/api-auth/basic/passworded", &token, json!({"username": "a", "password": ""}))
                .await;
        let expected = json!({"type": "BASIC", "username": "a", "password": ""});
        assert_eq!(read(&app, "passworded", &id).await["credentials"], expected);
        let path = format!("/auth/unauthenticated/open?connect_session_token={token}");
        let answer = app.anonymous().ask("POST", path).expect(200).await;
        let id = answer["connectionId"].as_str().unwrap();
        assert_eq!(read(&app, "open", id).await["credentials"], json!({}));
    });
}

#[test]
fn a_reconnect_keeps_the_id_and_what_its_session_does_not_give() {
    run(async {
        let app = app().await;
        let first = session(&app, user()).await;
        let id = connect(&app, "/api-auth/api-key/keyed", &first, json!({"apiKey": "k-1"})).await;
        let metadata = json!({"connection_id": id, "provider_config_key": "keyed", "metadata": {"a": 1}});
        app.client().post("/connections/metadata", metadata).expect(201).await;
        let body = json!({"connection_id": id, "integration_id": "keyed"});
        let answer = app.client().post("/connect/sessions/reconnect", body).expect(201).await;
        let token = answer["data"]["token"].as_str().unwrap();
        assert_eq!(connect(&app, "/api-auth/api-key/keyed", token, json!({"apiKey": "k-2"})).await, id);
        let connection = read(&app, "keyed", &id).await;
        assert_eq!(connection["credentials"]["apiKey"], "k-2");
        assert_eq!(connection["metadata"], json!({"a": 1}));
        assert_eq!(connection["tags"]["plan"], "pro");
        assert_eq!(connection["end_user"]["id"], "u1");
    });
}

#[test]
fn secrets_of_the_config_are_sealed_in_the_database() {
    run(async {
        let app = app().await;
        let token = session(&app, user()).await;
        let id =
            connect(&app, "/api-auth/api-key/keyed?params[pin]=hunter2", &token, json!({"apiKey": "k-1"}))
                .await;
        let stored: Value =
            sqlx::query_scalar("SELECT connection_config FROM connections WHERE connection_id = $1")
                .bind(&id)
                .fetch_one(&app.app.db)
                .await
                .unwrap();
        assert!(!stored.to_string().contains("hunter2"), "{stored}");
        assert_eq!(read(&app, "keyed", &id).await["connection_config"]["pin"], "hunter2");
    });
}

#[test]
fn the_routes_refuse() {
    run(async {
        let app = app().await;
        let token = session(&app, user()).await;
        let limited = session(&app, json!({"tags": {}, "allowed_integrations": ["open"]})).await;
        let client = app.anonymous();
        let unknown = format!("nango_connect_session_{}", "a".repeat(64));
        let key = |query: &str, body: Value| client.post(format!("/api-auth/api-key/keyed?{query}"), body);
        let with_token = format!("connect_session_token={token}");
        let good = json!({"apiKey": "k-1"});
        let at = |path: &str| client.post(format!("{path}?{with_token}"), good.clone());
        check(vec![
            Case {
                name: "no caller",
                request: key("", good.clone()),
                status: 401,
                code: "missing_public_key",
            },
            Case {
                name: "malformed public key",
                request: key("public_key=x", good.clone()),
                status: 401,
                code: "invalid_public_key",
            },
            Case {
                name: "unknown public key",
                request: key("public_key=2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a11", good.clone()),
                status: 401,
                code: "unknown_account",
            },
            Case {
                name: "malformed token",
                request: key("connect_session_token=x", good.clone()),
                status: 401,
                code: "invalid_connect_session_token_format",
            },
            Case {
                name: "unknown token",
                request: key(&format!("connect_session_token={unknown}"), good.clone()),
                status: 401,
                code: "unknown_connect_session_token",
            },
            Case { name: "no key", request: key(&with_token, json!({})), status: 400, code: "invalid_body" },
            Case {
                name: "an unknown member",
                request: key(&with_token, json!({"apiKey": "k-1", "x": 1})),
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "not JSON",
                request: client
                    .ask("POST", format!("/api-auth/api-key/keyed?{with_token}"))
                    .header("content-type", "text/plain")
                    .bytes("x"),
                status: 415,
                code: "invalid_content_type",
            },
            Case {
                name: "a chosen id with a session",
                request: key(&format!("{with_token}&connection_id=mine"), good.clone()),
                status: 400,
                code: "invalid_query_params",
            },
            Case {
                name: "a bad path",
                request: at("/api-auth/api-key/a%2Fb"),
                status: 400,
                code: "invalid_uri_params",
            },
            Case {
                name: "an unknown integration",
                request: at("/api-auth/api-key/nope"),
                status: 404,
                code: "unknown_provider_config",
            },
            Case {
                name: "another auth mode",
                request: at("/api-auth/api-key/open"),
                status: 400,
                code: "invalid_auth_mode",
            },
            Case {
                name: "an integration outside the session",
                request: key(&format!("connect_session_token={limited}"), good.clone()),
                status: 400,
                code: "integration_not_allowed",
            },
            Case {
                name: "a host that would lead elsewhere",
                request: key(&format!("{with_token}&params[subdomain]=evil.test%2F"), good.clone()),
                status: 400,
                code: "invalid_connection_config",
            },
            Case {
                name: "a key of the wrong form",
                request: key(&with_token, json!({"apiKey": "x"})),
                status: 400,
                code: "invalid_connection_config",
            },
            Case {
                name: "a body for an open API",
                request: client.post(format!("/auth/unauthenticated/open?{with_token}"), json!({"a": 1})),
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "client credentials without an id",
                request: client
                    .post(format!("/oauth2/auth/keyed?{with_token}"), json!({"client_secret": "s"})),
                status: 400,
                code: "missing_client_id",
            },
            Case {
                name: "client credentials for an unknown integration",
                request: client.post(format!("/oauth2/auth/nope?{with_token}"), json!({"client_id": "i"})),
                status: 400,
                code: "unknown_provider_config",
            },
        ])
        .await;
    });
}

#[test]
fn a_session_whose_connection_was_deleted_has_no_target() {
    run(async {
        let app = app().await;
        let first = session(&app, user()).await;
        let id = connect(&app, "/api-auth/api-key/keyed", &first, json!({"apiKey": "k-1"})).await;
        let body = json!({"connection_id": id, "integration_id": "keyed"});
        let answer = app.client().post("/connect/sessions/reconnect", body).expect(201).await;
        app.client().delete(format!("/connections/{id}?provider_config_key=keyed")).expect(200).await;
        let token = answer["data"]["token"].as_str().unwrap();
        let path = format!("/api-auth/api-key/keyed?connect_session_token={token}");
        let request = app.anonymous().post(path, json!({"apiKey": "k-2"}));
        check(vec![Case { name: "gone", request, status: 400, code: "invalid_connection" }]).await;
    });
}
