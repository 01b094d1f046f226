//! Signing in through a popup, with a provider that checks what it is sent.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use crate::oauth_world::{KEY, World, insert_integration};
use crate::support::app::TestSettings;
use crate::support::{Case, Reply, Socket, TestApp, check, run};

/// The message that a page sends to its opener.
fn message_of(page: &Reply) -> Value {
    let text = page.text();
    let line = text.lines().find(|line| line.trim().starts_with("var message = ")).expect("a message");
    let json = line.trim().trim_start_matches("var message = ").trim_end_matches(';');
    serde_json::from_str(json).expect("JSON")
}

fn pairs(url: &Url) -> Value {
    Value::Object(
        url.query_pairs()
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect(),
    )
}

fn with_param(url: &Url, name: &str, value: Option<&str>) -> Url {
    let kept: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(kept);
    if let Some(value) = value {
        changed.query_pairs_mut().append_pair(name, value);
    }
    changed
}

#[test]
fn a_sign_in_ends_with_a_connection_a_message_and_a_page() {
    run(async {
        let world = World::start("token_response_metadata: [team.id]\nredirect_uri_metadata: [realm]").await;
        world.provider.add_to_answers(json!({"team": {"id": "T1"}}));
        world.provider.add_to_callbacks("realm", "r-9");
        let mut socket = Socket::open(&world.app).await;
        let token = world.session(|_| {}).await;
        let more = format!("&ws_client_id={}&params[region]=eu%2Fx", socket.id);
        let begun = world.begin(&token, &more).await;
        let query = pairs(&begun.authorize);
        assert_eq!(query["scope"], "read write:all");
        assert_eq!(query["redirect_uri"], format!("{}/oauth/callback", world.app.url()));
        let state = query["state"].as_str().unwrap_or_default();
        assert_eq!(
            begun.set_cookie,
            format!("oauth2-{state}=1; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax")
        );

        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        let page = world.callback(&begun, &target).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(message_of(&page), json!({"type": "nango_oauth_callback_success"}));
        assert_eq!(page.header("cross-origin-opener-policy"), None);
        assert!(page.text().contains("Acme is connected"));

        let frame = socket.next().await.expect("the outcome");
        let id = frame["connection_id"].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            frame,
            json!({"message_type": "success", "provider_config_key": KEY, "connection_id": id, "is_pending": false})
        );
        assert_eq!(socket.next().await, None, "one result per socket");

        let (connection, credentials) = world.connection(&id).await;
        assert_eq!(connection.connection_config, json!({"team.id": "T1", "realm": "r-9", "region": "eu/x"}));
        assert_eq!(connection.tags, json!({"end_user_id": "u1"}));
        assert!(connection.end_user_id.is_some());
        let json = credentials.to_json();
        assert_eq!(
            (&json["access_token"], &json["refresh_token"]),
            (&json!("access-2"), &json!("refresh-2"))
        );
        assert_eq!(credentials.expires_at(), Some(world.app.now() + TimeDelta::hours(1)));
        assert_eq!(json["raw"]["expires_at"], json["expires_at"]);
        assert_eq!(json["raw"]["team"]["id"], "T1");
    });
}

#[test]
fn a_session_is_used_once_and_keeps_no_secret() {
    run(async {
        let world = World::start("").await;
        let token = world.session(|_| {}).await;
        let begun = world.begin(&token, "").await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        assert_eq!(world.callback(&begun, &target).await.status, 200);
        let state = pairs(&begun.authorize)["state"].as_str().unwrap_or_default().to_owned();
        let row: (Option<Vec<u8>>, Option<Value>) =
            sqlx::query_as("SELECT payload, outcome FROM oauth_sessions WHERE id = $1")
                .bind(&state)
                .fetch_one(&world.app.app.db)
                .await
                .expect("the row stays");
        assert_eq!(row.0, None);
        assert_eq!(row.1.expect("an outcome")["message_type"], "success");
        let again = world.callback(&begun, &target).await;
        assert_eq!(again.status, 400);
        assert!(again.text().contains("state_err"), "{}", again.text());
        assert_eq!(world.provider.requests().len(), 1);
    });
}

#[test]
fn a_refusal_reaches_page_and_socket_in_the_words_of_the_provider() {
    run(async {
        let world = World::start("").await;
        let token = world.session(|_| {}).await;
        let mut socket = Socket::open(&world.app).await;
        let begun = world.begin(&token, &format!("&ws_client_id={}", socket.id)).await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        let target = with_param(&target, "code", None);
        let target = with_param(&target, "error", Some("access_denied"));
        let target = with_param(&target, "error_description", Some(" <b>No</b> & \u{2028} "));
        let page = world.callback(&begun, &target).await;
        assert_eq!(page.status, 400);
        assert!(!page.text().contains("<b>No</b>"));
        let message = message_of(&page);
        assert_eq!(message["payload"]["errorType"], "connection_validation_failed");
        let said: Value =
            serde_json::from_str(message["payload"]["message"].as_str().unwrap_or_default()).expect("JSON");
        assert_eq!(said, json!({"error": "access_denied", "error_description": "<b>No</b> &"}));
        let frame = socket.next().await.expect("the outcome");
        assert_eq!(frame["error_type"], "callback_err");
        let text = frame["error_desc"].as_str().unwrap_or_default();
        assert!(
            text.ends_with("Provider error: error: access_denied; error_description: <b>No</b> &"),
            "{text}"
        );
    });
}

#[test]
fn failures_of_the_exchange_tell_what_the_token_endpoint_said() {
    run(async {
        for (status, content_type, body, expected) in [
            (
                401,
                "application/json",
                r#"{"error":"invalid_client","error_description":"Secret s3cret&value is wrong"}"#,
                "401 invalid_client: Secret REDACTED is wrong",
            ),
            (
                502,
                "text/html",
                "<html><title>Bad Gateway</title></html>",
                "502 with a web page titled \"Bad Gateway\"",
            ),
            (200, "text/plain", "hello there", "neither JSON nor form-encoded"),
            (200, "application/json", r#"{"token":"tok-1234"}"#, "no access token. Its members: token."),
            (200, "application/json", r#"{"ok":false,"error":"bad_code"}"#, "200 bad_code"),
        ] {
            let world = World::start("").await;
            let token = world.session(|_| {}).await;
            let mut socket = Socket::open(&world.app).await;
            world.provider.answer_next(status, content_type, body);
            let page = world.sign_in(&token, &format!("&ws_client_id={}", socket.id)).await;
            assert_eq!(page.status, 400, "{body}");
            let frame = socket.next().await.expect("the outcome");
            assert_eq!(frame["error_type"], "unknown_err", "{body}");
            let text = frame["error_desc"].as_str().unwrap_or_default();
            assert!(text.contains(expected), "{body}: {text}");
            assert!(!page.text().contains("tok-1234") && !page.text().contains("s3cret"), "{body}");
        }
    });
}

#[test]
fn a_wrong_client_secret_is_refused_by_the_provider() {
    run(async {
        let world = World::start("").await;
        let mut changed = world.integration.clone();
        changed.oauth_client_secret = Some(world.app.app.cipher.seal_text("wrong-secret").expect("sealed"));
        hitchpost::db::integrations::update(&world.app.app.db, &changed, world.app.now())
            .await
            .expect("changed");
        let token = world.session(|_| {}).await;
        let page = world.sign_in(&token, "").await;
        assert_eq!(page.status, 400);
        assert!(page.text().contains("invalid_client: Client authentication failed"), "{}", page.text());
    });
}

#[test]
fn a_callback_must_come_from_the_browser_that_left_within_the_hour() {
    run(async {
        let world = World::start("").await;
        let token = world.session(|session| session.expires_at += TimeDelta::hours(9)).await;
        let mut socket = Socket::open(&world.app).await;
        let begun = world.begin(&token, &format!("&ws_client_id={}", socket.id)).await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        let page = world.callback_with("oauth2-other=1", &target).await;
        assert_eq!(page.status, 400);
        assert_eq!(socket.next().await.expect("the outcome")["error_type"], "state_cookie_err");

        let begun = world.begin(&token, "").await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        world.app.advance(TimeDelta::minutes(61));
        let page = world.callback(&begun, &target).await;
        assert_eq!(page.status, 400);
        assert!(page.text().contains("state_err"));
        for path in [
            "/oauth/callback",
            "/oauth/callback?state=nope",
            "/oauth/callback?state[]=a&code=%00",
            "/oauth/callback?state=%00",
        ] {
            let page = world.app.anonymous().get(path).send().await;
            assert_eq!(page.status, 400, "{path}");
            assert!(page.text().contains("state_err"), "{path}");
        }
        assert!(world.provider.requests().is_empty());
    });
}

#[test]
fn a_sign_in_ends_even_when_the_browser_goes_away() {
    run(async {
        let world = World::start("").await;
        let token = world.session(|_| {}).await;
        let mut socket = Socket::open(&world.app).await;
        let begun = world.begin(&token, &format!("&ws_client_id={}", socket.id)).await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        world.provider.delay(std::time::Duration::from_millis(500));
        let asked = async {
            while world.provider.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            page = world.callback(&begun, &target) => panic!("the browser waited: {}", page.text()),
            () = asked => {}
        }
        assert_eq!(socket.next().await.expect("the outcome")["message_type"], "success");
    });
}

#[test]
fn the_cookie_is_not_asked_for_where_the_operator_says_so() {
    run(async {
        let settings = TestSettings::default().set("HITCHPOST_OAUTH_STATE_COOKIE_REQUIRED", "false");
        let world = World::with_settings("", settings).await;
        let token = world.session(|_| {}).await;
        let begun = world.begin(&token, "").await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        assert_eq!(world.callback_with("a=b", &target).await.status, 200);
    });
}

#[test]
fn a_github_installation_without_a_state_goes_back() {
    run(async {
        let app = TestApp::start().await;
        let path = "/oauth/callback?installation_id=1&setup_action=install";
        for (referer, expected) in [
            (Some("https://shop.test/x"), "https://shop.test/x"),
            (None, "https://github.com"),
            (Some("javascript:x"), "https://github.com"),
        ] {
            let mut request = app.anonymous().get(path);
            if let Some(referer) = referer {
                request = request.header("referer", referer);
            }
            let reply = request.send().await;
            assert_eq!((reply.status.as_u16(), reply.header("location")), (302, Some(expected)));
        }
    });
}

#[test]
fn popups_are_refused_in_json_and_on_the_socket() {
    run(async {
        let world = World::start("").await;
        let client = world.app.anonymous();
        let token = world.session(|session| session.allowed_integrations = Some(vec!["other".into()])).await;
        let good = world.session(|_| {}).await;
        let path = |query: &str| format!("/oauth/connect/{KEY}?{query}");
        check(vec![
            Case { name: "nobody", request: client.get(path("")), status: 401, code: "missing_public_key" },
            Case {
                name: "not a key",
                request: client.get(path("public_key=x")),
                status: 401,
                code: "invalid_public_key",
            },
            Case {
                name: "unknown key",
                request: client.get(path("public_key=0f3f6f0e-7a55-4f0a-9d63-2f3f3f3f3f3f")),
                status: 401,
                code: "unknown_account",
            },
            Case {
                name: "not a token",
                request: client.get(path("connect_session_token=x")),
                status: 401,
                code: "invalid_connect_session_token_format",
            },
            Case {
                name: "unknown token",
                request: client
                    .get(path(&format!("connect_session_token=nango_connect_session_{}", "a".repeat(64)))),
                status: 401,
                code: "unknown_connect_session_token",
            },
            Case {
                name: "own connection id",
                request: client.get(path(&format!("connect_session_token={good}&connection_id=c1"))),
                status: 400,
                code: "invalid_query_params",
            },
            Case {
                name: "another integration",
                request: client.get(path(&format!("connect_session_token={token}"))),
                status: 400,
                code: "integration_not_allowed",
            },
        ])
        .await;
        let mut socket = Socket::open(&world.app).await;
        let reply = client
            .get(path(&format!("connect_session_token=x&ws_client_id={}", socket.id)))
            .header("accept", "text/html,*/*")
            .send()
            .await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(socket.next().await.expect("the outcome")["error_type"], "missing_auth_token");
    });
}

#[test]
fn popups_that_cannot_start_show_a_page_and_tell_the_socket() {
    run(async {
        let fields = "connection_config:\n  sub:\n    type: string\n    title: Sub\n    pattern: ^[a-z]+$\nauthorization_params:\n  tenant: ${connectionConfig.sub}";
        let world = World::start(fields).await;
        insert_integration(&world.app, "no-secret", "acme", None).await;
        insert_integration(&world.app, "gone", "left-the-catalog", Some("s")).await;
        for (key, more, kind) in [
            ("nope", "", "provider_config_err"),
            ("no-secret", "&params[sub]=a", "provider_config_err"),
            ("gone", "", "unknown_config_key"),
            (KEY, "", "url_param_err"),
            (KEY, "&params[sub]=UPPER", "url_param_err"),
            (KEY, "&params[sub]=a&params[other]=%00", "url_param_err"),
        ] {
            let token = world.session(|_| {}).await;
            let mut socket = Socket::open(&world.app).await;
            let path = format!(
                "/oauth/connect/{key}?connect_session_token={token}&ws_client_id={}{more}",
                socket.id
            );
            let page = world.app.anonymous().get(path).send().await;
            assert_eq!(page.status, 400, "{key} {more}");
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            let frame = socket.next().await.expect("the outcome");
            assert_eq!(frame["error_type"], kind, "{key} {more}");
            assert_eq!(frame["provider_config_key"], key);
        }
    });
}

#[test]
fn other_grants_and_modes_are_not_for_popups() {
    run(async {
        for (extra, kind) in [
            ("token_params:\n  grant_type: client_credentials", "grant_type_err"),
            ("installation: outbound", "auth_mode_err"),
            ("auth_mode: API_KEY", "auth_mode_err"),
        ] {
            let world = World::start(extra).await;
            let token = world.session(|_| {}).await;
            let page = world.connect(&token, "").await;
            assert_eq!(page.status, 400, "{extra}");
            assert!(page.text().contains(kind), "{extra}: {}", page.text());
        }
    });
}

#[test]
fn a_signed_call_with_the_public_key_chooses_its_own_id() {
    run(async {
        let world = World::start("").await;
        let app = &world.app.app;
        let sealed = app.cipher.seal_text("my-hmac-key").expect("sealed");
        let key: uuid::Uuid = sqlx::query_scalar(
            "UPDATE environments SET hmac_enabled = true, hmac_key = $2 WHERE id = $1 RETURNING public_key",
        )
        .bind(world.app.environment_id.0)
        .bind(sealed)
        .fetch_one(&app.db)
        .await
        .expect("changed");
        let hmac =
            hex::encode(hitchpost::crypto::hmac_sha256(b"my-hmac-key", format!("{KEY}:user 1").as_bytes()));
        let connect = async |more: &str| {
            let path = format!("/oauth/connect/{KEY}?public_key={key}&connection_id=user%201{more}");
            world.app.anonymous().get(path).send().await
        };
        for (more, kind) in [("", "missing_hmac"), ("&hmac=00", "invalid_hmac")] {
            let page = connect(more).await;
            assert_eq!(page.status, 400);
            assert!(page.text().contains(kind), "{}", page.text());
        }
        let more = format!(
            "&hmac={hmac}&params[oauth_scopes_override]=a,b&authorization_params[prompt]=x\
             &credentials[oauth_client_id_override]=own-1&credentials[oauth_client_secret_override]=own-secret\
             &credentials[oauth_refresh_token_override]=own-refresh"
        );
        let reply = connect(&more).await;
        assert_eq!(reply.status, 302, "{}", reply.text());
        let authorize = Url::parse(reply.header("location").expect("a target")).expect("a URL");
        let query = pairs(&authorize);
        assert_eq!(
            (&query["scope"], &query["prompt"], &query["client_id"]),
            (&json!("a b"), &json!("x"), &json!("own-1"))
        );
        let target = world.provider.sign_in(authorize.as_str()).await;
        let cookie = reply.header("set-cookie").expect("a cookie").split(';').next().unwrap_or_default();
        let page = world.callback_with(cookie, &target).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let (connection, credentials) = world.connection("user 1").await;
        assert_eq!(
            connection.connection_config,
            json!({"oauth_scopes_override": ["a", "b"], "overrideTokenRefresh": true})
        );
        let json = credentials.to_json();
        assert_eq!(json["config_override"], json!({"client_id": "own-1", "client_secret": "own-secret"}));
        assert_eq!(json["refresh_token"], "own-refresh");
        assert_eq!(json["raw"]["refresh_token"], "own-refresh");
    });
}

#[test]
fn what_the_session_prescribes_wins_over_the_caller() {
    run(async {
        let world = World::start("authorization_params:\n  prompt: consent").await;
        let defaults = world.defaults(json!({
            "user_scopes": "u", "authorization_params": {"prompt": "none"},
            "connection_config": {"region": "eu", "oauth_scopes_override": "x,y"},
        }));
        let token = world.session(|session| session.integrations_config_defaults = defaults).await;
        let more = "&params[region]=us&params[own]=1&params[webhook_url]=w&params[oauth_scopes_override]=evil\
                    &authorization_params[prompt]=login&user_scope=z";
        let begun = world.begin(&token, more).await;
        let query = pairs(&begun.authorize);
        assert_eq!((&query["scope"], &query["prompt"]), (&json!("x y"), &json!("none")));
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        assert_eq!(world.callback(&begun, &target).await.status, 200);
        let config: Value =
            sqlx::query_scalar("SELECT connection_config FROM connections WHERE environment_id = $1")
                .bind(world.app.environment_id.0)
                .fetch_one(&world.app.app.db)
                .await
                .expect("a connection");
        assert_eq!(
            config,
            json!({"region": "eu", "own": "1", "oauth_scopes_override": ["x", "y"], "user_scope": "u"})
        );
    });
}

#[test]
fn a_reconnect_keeps_id_tags_and_metadata() {
    run(async {
        let world = World::start("").await;
        let mut socket = Socket::open(&world.app).await;
        let token = world.session(|_| {}).await;
        world.sign_in(&token, &format!("&ws_client_id={}", socket.id)).await;
        let frame = socket.next().await.expect("the outcome");
        let id = frame["connection_id"].as_str().expect("an id").to_owned();
        let (before, _) = world.connection(&id).await;
        sqlx::query("UPDATE connections SET metadata = '{\"plan\":1}', webhook_url_override = 'https://w' WHERE id = $1")
            .bind(before.id.0)
            .execute(&world.app.app.db)
            .await
            .expect("changed");
        let again = world
            .session(|session| {
                session.connection_id = Some(before.id);
                session.end_user = None;
                session.tags = json!({});
                session.has_tags = false;
            })
            .await;
        assert_eq!(world.sign_in(&again, "").await.status, 200);
        let (after, credentials) = world.connection(&id).await;
        assert_eq!(after.id, before.id);
        assert_eq!((after.tags, after.end_user_id), (before.tags, before.end_user_id));
        assert_eq!(after.metadata, Some(json!({"plan": 1})));
        assert_eq!(after.webhook_url_override.as_deref(), Some("https://w"));
        assert_eq!(credentials.to_json()["access_token"], "access-4");
        sqlx::query("UPDATE connections SET deleted_at = now() WHERE id = $1")
            .bind(before.id.0)
            .execute(&world.app.app.db)
            .await
            .expect("deleted");
        let reply = world.connect(&again, "").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, "invalid_connection".to_owned()));
    });
}

#[test]
fn the_token_request_is_what_the_entry_says() {
    run(async {
        let basic = "Basic Y2xpZW50LTE6czNjcmV0JnZhbHVl";
        let encoded = "Basic Y2xpZW50LTE6czNjcmV0JTI2dmFsdWU=";
        let form = "application/x-www-form-urlencoded";
        for (extra, body, authorization, content_type) in [
            ("", "grant_type code redirect_uri code_verifier client_id client_secret", "", form),
            ("disable_pkce: true", "grant_type code redirect_uri client_id client_secret", "", form),
            ("authorization_method: header", "grant_type code redirect_uri code_verifier", encoded, form),
            (
                "token_request_auth_method: basic",
                "grant_type code redirect_uri code_verifier client_id client_secret",
                basic,
                form,
            ),
            (
                "body_format: json\ntoken_params:\n  audience: x",
                "grant_type code redirect_uri audience code_verifier client_id client_secret",
                "",
                "application/json",
            ),
        ] {
            let world = World::start(extra).await;
            let token = world.session(|_| {}).await;
            let page = world.sign_in(&token, "").await;
            assert_eq!(page.status, 200, "{extra}: {}", page.text());
            let request = world.provider.last_request();
            let names: Vec<&str> = request.body.keys().map(String::as_str).collect();
            assert_eq!(names.join(" "), body, "{extra}");
            assert_eq!(request.header("authorization"), authorization, "{extra}");
            assert_eq!(request.header("content-type"), content_type, "{extra}");
            assert_eq!(request.header("accept"), "application/json");
            assert!(request.header("user-agent").starts_with("Hitchpost/"));
        }
    });
}

#[test]
fn sockets_survive_nonsense_and_are_served_at_one_path_only() {
    run(async {
        let world = World::start("").await;
        let mut socket = Socket::open(&world.app).await;
        for text in ["", "{", "\u{1F600}", "{\"message_type\":\"success\"}"] {
            socket.send(Message::text(text)).await;
        }
        socket.send(Message::binary(vec![0, 159, 255])).await;
        let token = world.session(|_| {}).await;
        world.sign_in(&token, &format!("&ws_client_id={}", socket.id)).await;
        assert_eq!(socket.next().await.expect("the outcome")["message_type"], "success");
        for path in ["/ws", "/health", "/oauth/callback"] {
            assert!(Socket::open_at(&world.app, path).await.is_err(), "{path}");
        }
        let closing = Socket::open(&world.app).await;
        let id = closing.id.clone();
        closing.close().await;
        while world.app.app.hub.waiting(world.app.now()).contains(&id) {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.app.anonymous().get("/").send().await.status, 303);
    });
}

#[test]
fn sockets_can_be_served_elsewhere() {
    run(async {
        let app = TestSettings::default().set("NANGO_SERVER_WEBSOCKETS_PATH", "/live/ws").start().await;
        assert!(Socket::open_at(&app, "/live/ws").await.is_ok());
        assert!(Socket::open_at(&app, "/").await.is_err());
    });
}

#[test]
fn a_socket_gets_the_outcome_of_a_sign_in_that_ended_elsewhere() {
    run(async {
        let world = World::start("").await;
        let mut socket = Socket::open(&world.app).await;
        let token = world.session(|_| {}).await;
        let begun = world.begin(&token, &format!("&ws_client_id={}", socket.id)).await;
        let state = pairs(&begun.authorize)["state"].as_str().expect("a state").to_owned();
        // What another replica does that holds no socket.
        let outcome = json!({"message_type": "success", "connection_id": "c"});
        hitchpost::db::oauth_sessions::store_outcome(&world.app.app.db, &state, &outcome)
            .await
            .expect("stored");
        assert_eq!(socket.next().await, Some(outcome));
    });
}

#[test]
fn a_sign_in_that_never_began_is_told_to_distant_sockets_too() {
    run(async {
        let world = World::start("installation: outbound").await;
        let token = world.session(|_| {}).await;
        let distant = world.app.app.rng.uuid().to_string();
        world.connect(&token, &format!("&ws_client_id={distant}")).await;
        let sockets = [distant];
        let found =
            hitchpost::db::oauth_sessions::list_outcomes(&world.app.app.db, &sockets).await.expect("rows");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1["error_type"], "auth_mode_err");
    });
}

#[test]
fn a_socket_is_forgotten_after_an_hour() {
    run(async {
        let app = TestApp::start().await;
        let mut socket = Socket::open(&app).await;
        app.advance(TimeDelta::minutes(61));
        assert_eq!(socket.next().await, None);
        assert!(!app.app.hub.deliver(&socket.id, json!({})));
    });
}

#[test]
fn a_wrong_client_of_the_callers_own_is_never_repeated() {
    run(async {
        let world = World::start("").await;
        let token = world.session(|_| {}).await;
        let more = "&credentials[oauth_client_id_override]=own-2&credentials[oauth_client_secret_override]=wrong-one";
        let page = world.sign_in(&token, more).await;
        assert_eq!(page.status, 400);
        assert!(page.text().contains("invalid_client"));
        assert!(!page.text().contains("wrong-one"));
    });
}
