//! `/connect/sessions*` and `/connect/session`.

use chrono::TimeDelta;
use hitchpost::db;
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::catalog::issue_lines;
use crate::support::{Case, Client, TestApp, check, run};

async fn app_with_connection() -> TestApp {
    let app = TestApp::with_providers().await;
    app.client().integration("plain-key", "plain").await;
    app.client().key_connection("plain", "c1").await;
    app
}

fn reconnect(extra: Value) -> Value {
    let mut body = json!({"connection_id": "c1", "integration_id": "plain"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[test]
fn connect_sessions_refuse() {
    run(async {
        let app = app_with_connection().await;
        let (client, nobody, stranger) = (app.client(), app.anonymous(), app.stranger().await);
        let session = client.session(json!({"tags": {}})).await;
        let other_scope = app.client_with(&["connections:*", "integrations:*"]).await;
        let case = |name, request, status, code| Case { name, request, status, code };
        let body = json!({"tags": {}});
        check(vec![
            case(
                "create without key",
                nobody.post("/connect/sessions", body.clone()),
                401,
                "missing_auth_header",
            ),
            case(
                "reconnect without key",
                nobody.post("/connect/sessions/reconnect", body.clone()),
                401,
                "missing_auth_header",
            ),
            case("read without token", nobody.get("/connect/session"), 401, "missing_auth_header"),
            case("delete without token", nobody.delete("/connect/session"), 401, "missing_auth_header"),
            case(
                "create by an end user",
                session.post("/connect/sessions", body.clone()),
                401,
                "invalid_secret_key_format",
            ),
            case(
                "read with an API key",
                client.get("/connect/session"),
                401,
                "invalid_connect_session_token_format",
            ),
            case(
                "read with an unknown token",
                client
                    .with_secret(format!("nango_connect_session_{}", "a".repeat(64)))
                    .get("/connect/session"),
                401,
                "unknown_connect_session_token",
            ),
            case(
                "create without scope",
                other_scope.post("/connect/sessions", body.clone()),
                403,
                "forbidden",
            ),
            case(
                "reconnect without scope",
                other_scope.post("/connect/sessions/reconnect", body.clone()),
                403,
                "forbidden",
            ),
            case(
                "create with a parameter",
                client.post("/connect/sessions?a=b", body.clone()),
                400,
                "invalid_query_params",
            ),
            case("create without body", client.ask("POST", "/connect/sessions"), 400, "invalid_body"),
            case(
                "wrong content type",
                client.ask("POST", "/connect/sessions").header("content-type", "text/plain"),
                415,
                "invalid_content_type",
            ),
            case(
                "broken JSON",
                client.ask("POST", "/connect/sessions").header("content-type", "application/json").bytes("{"),
                400,
                "invalid_json",
            ),
            case(
                "reconnect an unknown connection",
                client.post(
                    "/connect/sessions/reconnect",
                    json!({"connection_id": "c2", "integration_id": "plain"}),
                ),
                400,
                "invalid_body",
            ),
            case(
                "reconnect under an unknown integration",
                client.post(
                    "/connect/sessions/reconnect",
                    json!({"connection_id": "c1", "integration_id": "x"}),
                ),
                400,
                "invalid_body",
            ),
            case(
                "reconnect another environment's",
                stranger.post("/connect/sessions/reconnect", reconnect(json!({}))),
                400,
                "invalid_body",
            ),
            case("read with a parameter", session.get("/connect/session?a=b"), 400, "invalid_query_params"),
            case(
                "read with a body",
                session.ask("GET", "/connect/session").json(&json!({"a": 1})),
                400,
                "invalid_body",
            ),
            case(
                "delete with a parameter",
                session.delete("/connect/session?a=b"),
                400,
                "invalid_query_params",
            ),
            case(
                "delete with a body",
                session.delete("/connect/session").json(&json!({"a": 1})),
                400,
                "invalid_body",
            ),
        ])
        .await;
        session.ask("GET", "/connect/session").json(&json!({})).expect(200).await;
    });
}

#[test]
fn a_bad_session_is_told_with_every_field() {
    run(async {
        let app = app_with_connection().await;
        let eleven: Value =
            (0..11).map(|n| (format!("t{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!({}), vec!["invalid_type end_user"]),
            (json!({"end_user": {}}), vec!["invalid_type end_user.id"]),
            (json!({"end_user": {}, "tags": {}}), vec!["invalid_type end_user.id"]),
            (
                json!({"end_user": {"id": "", "email": "a@b", "x": 1}, "organization": {"display_name": 1}, "y": 1}),
                vec![
                    "too_small end_user.id",
                    "invalid_format end_user.email",
                    "too_small end_user.email",
                    "unrecognized_keys end_user",
                    "invalid_type organization.id",
                    "invalid_type organization.display_name",
                    "unrecognized_keys",
                ],
            ),
            (json!({"tags": {"1a": "b"}}), vec!["invalid_key tags.1a"]),
            (json!({"tags": {"a b": "b"}}), vec!["invalid_key tags.a b"]),
            (json!({"tags": {"a": "x".repeat(256)}}), vec!["too_big tags.a"]),
            (json!({"tags": eleven}), vec!["custom tags"]),
            (
                json!({"tags": {}, "allowed_integrations": ["a/b"], "integrations_config_defaults": {"plain": {
                    "user_scopes": 1, "authorization_params": {"a": 1}, "connection_config": {"oauth_scopes_override": [], "webhook_url": "x"}, "z": 1}},
                    "overrides": {"plain": {"docs_connect": 1, "dropped": 1}}, "webhook_url_override": "x"}),
                vec![
                    "invalid_format allowed_integrations.0",
                    "invalid_type integrations_config_defaults.plain.user_scopes",
                    "invalid_type integrations_config_defaults.plain.authorization_params.a",
                    "invalid_type integrations_config_defaults.plain.connection_config.oauth_scopes_override",
                    "invalid_union integrations_config_defaults.plain.connection_config.webhook_url",
                    "unrecognized_keys integrations_config_defaults.plain",
                    "invalid_type overrides.plain.docs_connect",
                    "invalid_union webhook_url_override",
                ],
            ),
            (
                json!({"tags": {}, "allowed_integrations": ["plain", "x"], "integrations_config_defaults": {"y": {}}, "overrides": {"z": {}}}),
                vec![
                    "custom allowed_integrations.1",
                    "custom integrations_config_defaults.y",
                    "custom overrides.z",
                ],
            ),
        ];
        for (body, expected) in cases {
            let error = app.client().post("/connect/sessions", body.clone()).expect(400).await;
            assert_eq!(error["error"]["code"], "invalid_body");
            assert_eq!(issue_lines(&error), expected, "{body}");
        }
        for (body, expected) in [
            (json!({}), vec!["invalid_type connection_id", "invalid_type integration_id"]),
            (
                reconnect(json!({"tags": {"a": ""}, "allowed_integrations": []})),
                vec!["too_small tags.a", "unrecognized_keys"],
            ),
            (reconnect(json!({"end_user": {}})), vec!["invalid_type end_user.id"]),
            (
                reconnect(json!({"overrides": {"x": {}}, "integrations_config_defaults": {"y": {}}})),
                vec!["custom integrations_config_defaults.y", "custom overrides.x"],
            ),
        ] {
            let error = app.client().post("/connect/sessions/reconnect", body.clone()).expect(400).await;
            assert_eq!(issue_lines(&error), expected, "{body}");
        }
    });
}

#[test]
fn merged_tags_above_ten_are_refused() {
    run(async {
        let app = TestApp::start().await;
        let nine: Value =
            (0..9).map(|n| (format!("t{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        let body = json!({"end_user": {"id": "u", "email": "u@example.com"}, "tags": nine});
        assert_eq!(
            issue_lines(&app.client().post("/connect/sessions", body).expect(400).await),
            ["custom tags"]
        );
    });
}

#[test]
fn a_session_is_opened_for_half_an_hour() {
    run(async {
        let app = TestApp::start().await;
        let opened =
            app.client().post("/connect/sessions", json!({"end_user": {"id": "u1"}})).expect(201).await;
        let token = opened["data"]["token"].as_str().unwrap();
        assert!(hitchpost::api::input::formats::CONNECT_SESSION_TOKEN.accepts(token));
        let expires_at = hitchpost::time_format::format_millis_z(app.now() + TimeDelta::minutes(30));
        let link = format!("{}/connect-ui/?session_token={token}", app.url());
        assert_eq!(opened, json!({"data": {"token": token, "connect_link": link, "expires_at": expires_at}}));
        let user = app.client().with_secret(token);
        app.advance(TimeDelta::minutes(29));
        user.get("/connect/session").expect(200).await;
        app.advance(TimeDelta::minutes(1));
        assert_eq!(
            user.get("/connect/session").expect(401).await["error"]["code"],
            "unknown_connect_session_token"
        );
    });
}

#[test]
fn a_plain_session_shows_its_end_user_and_the_defaults_of_the_page() {
    run(async {
        let app = TestApp::start().await;
        let user = app.client().session(json!({"end_user": {"id": "u1", "email": "u1@example.com"}})).await;
        assert_eq!(
            user.get("/connect/session").expect(200).await,
            json!({"data": {
                "endUser": {"id": "u1", "display_name": null, "email": "u1@example.com", "tags": null, "organization": null},
                "connectUISettings": {"showWatermark": false, "defaultTheme": "system",
                    "theme": {"light": {"primary": "#00B2E3"}, "dark": {"primary": "#00B2E3"}}},
                "websocketsPath": "/",
            }})
        );
        let other = TestSettings::default().set("NANGO_SERVER_WEBSOCKETS_PATH", "/ws").start().await;
        let tagged = other.client().session(json!({"tags": {}, "allowed_integrations": []})).await;
        let shown = tagged.get("/connect/session").expect(200).await;
        assert_eq!(shown["data"]["endUser"], Value::Null);
        assert_eq!(shown["data"]["websocketsPath"], "/ws");
        assert_eq!(shown["data"].get("allowed_integrations"), None, "an empty list allows all");
    });
}

#[test]
fn a_full_session_shows_what_it_prescribes() {
    run(async {
        let app = app_with_connection().await;
        let body = json!({
            "end_user": {"id": "u1", "display_name": "Una", "tags": {"Seat": "7"}},
            "organization": {"id": "o9", "display_name": "Org"},
            "tags": {"Plan": "pro plan"},
            "allowed_integrations": ["plain"],
            "integrations_config_defaults": {"plain": {
                "user_scopes": "a,b", "authorization_params": {"prompt": "consent"}, "connection_config": {"subdomain": "una", "n": 1}}},
            "overrides": {"plain": {"docs_connect": "https://docs.example", "dropped": true}},
            "webhook_url_override": "https://hooks.example.com/in",
        });
        let user = app.client().session(body).await;
        let shown = user.get("/connect/session").expect(200).await["data"].clone();
        assert_eq!(
            shown["endUser"],
            json!({"id": "u1", "display_name": "Una", "email": null, "tags": {"Seat": "7"},
                   "organization": {"id": "o9", "display_name": "Org"}})
        );
        assert_eq!(shown["allowed_integrations"], json!(["plain"]));
        assert_eq!(
            shown["integrations_config_defaults"],
            json!({"plain": {"authorization_params": {"prompt": "consent"}, "connection_config": {"subdomain": "una", "n": 1}}})
        );
        assert_eq!(shown["overrides"], json!({"plain": {"docs_connect": "https://docs.example"}}));
        assert_eq!(shown.get("isReconnecting"), None);
        let row = stored(&app).await;
        assert_eq!(
            row.tags,
            json!({"end_user_id": "u1", "end_user_display_name": "Una", "organization_id": "o9",
                   "organization_display_name": "Org", "seat": "7", "plan": "pro plan"})
        );
        assert!(row.has_tags);
        assert_eq!(row.webhook_url_override.as_deref(), Some("https://hooks.example.com/in"));
        assert!(row.operation_id.starts_with(&app.now().timestamp_millis().to_string()));
        let defaults = app.app.cipher.open_text(&row.integrations_config_defaults.unwrap()).unwrap();
        assert!(defaults.expose().contains("\"user_scopes\":\"a,b\""), "kept for the sign-in");
    });
}

/// The newest session of the test's environment.
async fn stored(app: &TestApp) -> db::connect_sessions::ConnectSession {
    let id: i64 = sqlx::query_scalar("SELECT max(id) FROM connect_sessions WHERE environment_id = $1")
        .bind(app.environment_id.0)
        .fetch_one(&app.app.db)
        .await
        .unwrap();
    db::connect_sessions::find(&app.app.db, app.environment_id, db::ConnectSessionId(id))
        .await
        .unwrap()
        .unwrap()
}

#[test]
fn the_webhook_of_old_clients_becomes_the_override() {
    run(async {
        let app = app_with_connection().await;
        app.client().integration("plain-key", "other").await;
        let nested = |plain: Value, other: Value| {
            json!({"tags": {}, "integrations_config_defaults": {
            "plain": {"connection_config": plain}, "other": {"connection_config": other}}})
        };
        let hook = |n: u8| json!(format!("https://hooks.example.com/{n}"));
        let user = app
            .client()
            .session(nested(json!({"webhook_url": ""}), json!({"webhook_url": hook(2), "kept": 1})))
            .await;
        assert_eq!(stored(&app).await.webhook_url_override, hook(2).as_str().map(str::to_owned));
        let shown = user.get("/connect/session").expect(200).await;
        assert_eq!(
            shown["data"]["integrations_config_defaults"],
            json!({"plain": {}, "other": {"connection_config": {"kept": 1}}})
        );
        app.client().session(nested(json!({"webhook_url": hook(1)}), json!({"webhook_url": hook(2)}))).await;
        assert_eq!(stored(&app).await.webhook_url_override, hook(1).as_str().map(str::to_owned));
        let mut body = nested(json!({"webhook_url": hook(1)}), json!({}));
        body["webhook_url_override"] = json!("");
        app.client().session(body).await;
        assert_eq!(stored(&app).await.webhook_url_override.as_deref(), Some(""), "given to clear it");
    });
}

#[test]
fn a_reconnect_session_is_tied_to_its_connection() {
    run(async {
        let app = app_with_connection().await;
        let client = app.client();
        let open = async |extra: Value| {
            let opened = client.post("/connect/sessions/reconnect", reconnect(extra)).expect(201).await;
            client.with_secret(opened["data"]["token"].as_str().unwrap())
        };
        let user = open(json!({})).await;
        let shown = user.get("/connect/session").expect(200).await["data"].clone();
        assert_eq!(shown["isReconnecting"], true);
        assert_eq!(shown["allowed_integrations"], json!(["plain"]));
        assert_eq!(shown["endUser"], Value::Null);
        assert!(!stored(&app).await.has_tags);
        let user = open(json!({"end_user": {"id": "new"}, "tags": {"a": "b"}})).await;
        assert_eq!(user.get("/connect/session").expect(200).await["data"]["endUser"]["id"], "new");
        let row = stored(&app).await;
        assert_eq!((row.has_tags, row.tags), (true, json!({"end_user_id": "new", "a": "b"})));
        client
            .patch("/connections/c1?provider_config_key=plain", json!({"end_user": {"id": "old"}}))
            .expect(200)
            .await;
        let shown = user.get("/connect/session").expect(200).await;
        assert_eq!(shown["data"]["endUser"]["id"], "old", "the connection's own end user is shown");
        let list = user.get("/integrations").expect(200).await;
        assert_eq!(list["data"].as_array().unwrap().len(), 1);
    });
}

/// Connects an account of the integration `plain` with a session, and returns the session's token.
async fn connect(app: &TestApp, session: Value) -> String {
    let opened = app.client().post("/connect/sessions", session).expect(201).await;
    let token = opened["data"]["token"].as_str().unwrap().to_owned();
    let path = format!("/api-auth/api-key/plain?connect_session_token={token}");
    app.anonymous().post(path, json!({"apiKey": "k"})).expect(200).await;
    token
}

#[test]
fn a_session_tells_what_its_end_user_has_connected_since_it_was_opened() {
    run(async {
        let app = app_with_connection().await;
        app.client().integration("plain-key", "other").await;
        let user = json!({"end_user": {"id": "u1"}});
        connect(&app, user.clone()).await;
        app.advance(TimeDelta::seconds(1));

        let only_other = json!({"end_user": {"id": "u1"}, "allowed_integrations": ["other"]});
        let organization = json!({"end_user": {"id": "u1"}, "organization": {"id": "o1"}});
        let mut untouched = Vec::new();
        for session in
            [only_other, organization, json!({"end_user": {"id": "u2"}}), json!({"tags": {"a": "b"}})]
        {
            untouched.push(app.client().session(session).await);
        }
        let fresh = app.client().session(user.clone()).await;
        let shown = async |client: &Client| {
            client.get("/connect/session").expect(200).await["data"].get("connected_integrations").cloned()
        };
        assert_eq!(shown(&fresh).await, None, "what was connected before is not told");
        let used = app.client().with_secret(&connect(&app, user).await);
        for client in [&used, &fresh] {
            assert_eq!(shown(client).await, Some(json!(["plain"])));
        }
        for client in &untouched {
            assert_eq!(shown(client).await, None);
        }
        let again =
            app.client().post("/connect/sessions/reconnect", reconnect(json!({"end_user": {"id": "u1"}})));
        let again = again.expect(201).await;
        let again = app.client().with_secret(again["data"]["token"].as_str().unwrap());
        assert_eq!(shown(&again).await, None, "this one is there to do it again");
    });
}

#[test]
fn a_deleted_session_ends_at_once() {
    run(async {
        let app = TestApp::start().await;
        let user = app.client().session(json!({"tags": {}})).await;
        let deleted = user.delete("/connect/session").header("content-type", "application/json").send().await;
        assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
        for request in [user.get("/connect/session"), user.delete("/connect/session"), user.get("/providers")]
        {
            assert_eq!(request.expect(401).await["error"]["code"], "unknown_connect_session_token");
        }
    });
}

#[test]
fn one_end_user_has_a_tenth_of_the_accounts_points() {
    run(async {
        let app = TestSettings::default().set("DEFAULT_RATE_LIMIT_PER_MIN", "20").start().await;
        let user = app.client().session(json!({"tags": {}})).await;
        let first = user.get("/connect/session").send().await;
        assert_eq!(first.header("x-ratelimit-limit"), Some("20"));
        user.get("/connect/session").expect(200).await;
        let blocked = user.get("/connect/session").send().await;
        assert_eq!((blocked.status.as_u16(), blocked.code()), (429, "too_many_request".to_owned()));
        app.client().get("/integrations").expect(200).await;
    });
}

#[test]
fn tokens_are_stored_as_hashes_only() {
    run(async {
        let app = TestApp::start().await;
        let opened = app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
        let token = opened["data"]["token"].as_str().unwrap();
        let hash = app.app.cipher.lookup_hash(token);
        let found = db::connect_sessions::find_by_hash(&app.app.db, &[hash], app.now()).await.unwrap();
        assert_eq!(found.map(|session| session.environment_id), Some(app.environment_id));
    });
}
