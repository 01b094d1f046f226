//! What is logged of everything that happens, and that no secret is.

use chrono::TimeDelta;
use hitchpost::jobs;
use hitchpost::time_format::format_millis_z;
use serde_json::json;

use crate::oauth_world::{KEY, World};
use crate::support::logged::{Logged, logged, of_kind};
use crate::support::target::{Target, WorldPlan, answer};
use crate::support::token_endpoint::TokenEndpoint;
use crate::support::{TestApp, run};

/// Waits until the proxied call, whose entry is made when its body has gone away, is there.
async fn calls(app: &TestApp, count: usize) -> Vec<Logged> {
    for _ in 0..100 {
        let all = logged(app).await;
        let calls: Vec<Logged> =
            all.into_iter().filter(|one| one.operation["operation"]["type"] == "proxy").collect();
        if calls.len() >= count {
            return calls;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("fewer than {count} calls were logged");
}

/// A connect session that the API made, with an operation of its own.
async fn session(app: &TestApp) -> String {
    let body = json!({"end_user": {"id": "u1", "display_name": "Jane"}});
    let made = app.client().post("/connect/sessions", body).expect(201).await;
    made["data"]["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_sign_in_through_the_popup_is_one_operation() {
    run(async {
        let world = World::start("").await;
        let token = session(&world.app).await;
        let event = json!({"token": token, "event": "open", "timestamp": format_millis_z(world.app.now())});
        world
            .app
            .anonymous()
            .post("/connect/telemetry", event)
            .header("user-agent", "Firefox")
            .expect(204)
            .await;
        let page = world.sign_in(&token, "").await;
        assert_eq!(page.status, 200, "{}", page.text());
        let all = logged(&world.app).await;
        assert_eq!(all.len(), 1);
        let sign_in = &all[0];
        assert_eq!((sign_in.text("state"), sign_in.text("message")), ("success", "Connect session"));
        assert_eq!((sign_in.text("endUserName"), sign_in.text("integrationName")), ("Jane", KEY));
        assert!(sign_in.operation["connectionId"].is_number() && !sign_in.text("connectionName").is_empty());
        let texts = sign_in.texts();
        assert_eq!(
            texts[..3],
            ["The connect session was opened.", "Connect UI: open", "The browser was sent to the provider."]
        );
        assert_eq!(texts[3], "The browser came back from the provider.");
        assert_eq!(texts.last(), Some(&"The connection was made."));
        assert_eq!(sign_in.exchanges(), [("POST".to_owned(), json!(200))]);
        assert_eq!(sign_in.messages[1]["meta"]["userAgent"], "Firefox");
        let scopes = &sign_in.messages[2]["meta"]["scopes"];
        assert_eq!(scopes, &json!(["read", "write:all"]));
    });
}

#[test]
fn a_sign_in_that_fails_says_what_to_do() {
    run(async {
        let world = World::start("").await;
        let token = session(&world.app).await;
        world.provider.answer_next(400, "application/json", r#"{"error": "invalid_client"}"#);
        assert_eq!(world.sign_in(&token, "").await.status, 400);
        let all = logged(&world.app).await;
        let sign_in = &all[0];
        assert_eq!((all.len(), sign_in.text("state")), (1, "failed"));
        assert_eq!(sign_in.exchanges(), [("POST".to_owned(), json!(400))]);
        let last = sign_in.messages.last().unwrap();
        assert!(last["message"].as_str().unwrap().contains("invalid_client"), "{last}");
        assert!(last["meta"]["advice"].is_string(), "{last}");
        assert_eq!(sign_in.operation["error"]["name"], last["error"]["name"]);
        // The end user tries again.
        assert_eq!(world.sign_in(&token, "").await.status, 200);
        assert_eq!(logged(&world.app).await[0].text("state"), "success");
    });
}

#[test]
fn a_sign_in_that_is_refused_before_the_redirect_is_logged() {
    run(async {
        let world = World::start("").await;
        let token = session(&world.app).await;
        let path = format!("/oauth/connect/nowhere?connect_session_token={token}");
        world.app.anonymous().get(path).send().await;
        let all = logged(&world.app).await;
        assert_eq!((all.len(), all[0].text("state")), (1, "failed"));
        assert_eq!(all[0].operation["error"]["name"], "provider_config_err");
    });
}

#[test]
fn credentials_that_are_handed_over_are_tested_in_the_open() {
    run(async {
        let target = Target::start(|seen| {
            let status = if seen.header("x-api-key") == Some("k-good-one") { 200 } else { 401 };
            answer(status, &[("content-type", "text/plain")], "no entry for k-bad-one")
        })
        .await;
        let app = TestApp::with_catalog(format!(
            "keyed:\n  display_name: Keyed\n  auth_mode: API_KEY\n  docs: https://example.com\n  proxy:\n    \
             base_url: {}\n    headers: {{ x-api-key: \"${{apiKey}}\" }}\n    verification: {{ method: GET, endpoints: [/me] }}\n",
            target.url()
        ))
        .await;
        app.client()
            .post("/integrations", json!({"provider": "keyed", "unique_key": "keyed"}))
            .expect(200)
            .await;
        let token = session(&app).await;
        let path = format!("/api-auth/api-key/keyed?connect_session_token={token}");
        app.anonymous().post(&path, json!({"apiKey": "k-bad-one"})).expect(400).await;
        let all = logged(&app).await;
        assert_eq!((all.len(), all[0].text("state")), (1, "failed"));
        assert_eq!(all[0].operation["error"]["name"], "connection_test_failed");
        assert_eq!(all[0].exchanges(), [("GET".to_owned(), json!(401))]);
        assert_eq!(all[0].messages[1]["request"]["headers"]["x-api-key"], "REDACTED");
        app.anonymous().post(&path, json!({"apiKey": "k-good-one"})).expect(200).await;
        assert_eq!(logged(&app).await[0].text("state"), "success");
    });
}

#[test]
fn imports_deletions_and_refreshes_are_operations() {
    run(async {
        let endpoint = TokenEndpoint::start().await;
        let app = TestApp::with_catalog(format!(
            "machine:\n  display_name: Machine\n  auth_mode: OAUTH2_CC\n  docs: https://example.com\n  token_url: {}\n  \
             token_params: {{ grant_type: client_credentials }}\n",
            endpoint.url
        ))
        .await;
        let client = app.client();
        client
            .post("/integrations", json!({"provider": "machine", "unique_key": "machine"}))
            .expect(200)
            .await;
        let body = json!({"provider_config_key": "machine", "connection_id": "c1",
            "credentials": {"type": "OAUTH2_CC", "token": "imported", "client_id": "id", "client_secret": "s3cr3t",
                "expires_at": (app.now() + TimeDelta::minutes(1)).to_rfc3339()}});
        client.post("/connections", body).expect(201).await;
        let one = "/connections/c1?provider_config_key=machine";
        client.get(format!("{one}&force_refresh=true")).expect(200).await;
        client.delete(one).expect(200).await;
        client.delete(one).expect(400).await;
        let all = logged(&app).await;
        let import = of_kind(&all, "auth", "create_connection");
        assert_eq!(
            (import.len(), import[0].text("state"), import[0].text("connectionName")),
            (1, "success", "c1")
        );
        let refresh = of_kind(&all, "auth", "refresh_token");
        assert_eq!((refresh.len(), refresh[0].text("state")), (1, "success"));
        assert_eq!(refresh[0].exchanges(), [("POST".to_owned(), json!(200))]);
        let mut deleted: Vec<&str> =
            of_kind(&all, "admin", "connection_delete").iter().map(|one| one.text("state")).collect();
        // The clock of the test stands still, so that the list has no order.
        deleted.sort_unstable();
        assert_eq!(deleted, ["failed", "success"]);
    });
}

#[test]
fn a_proxied_call_is_one_operation_with_a_message_per_attempt() {
    run(async {
        let target = Target::start(|seen| match seen.target.as_str() {
            "/ok?page=3" => answer(200, &[("content-type", "application/json")], r#"{"a": 1}"#),
            _ => answer(503, &[("retry-after", "0"), ("x-reason", "busy")], "later"),
        })
        .await;
        let world = WorldPlan::new(target.url()).build().await;
        world.get("/ok?page=3").expect(200).await;
        world
            .call("POST", "/broken?api_key=key-0123456789")
            .header("retries", "1")
            .bytes("12345")
            .send()
            .await;
        let calls = calls(&world.app, 2).await;
        let (good, bad) =
            if calls[0].text("state") == "success" { (&calls[0], &calls[1]) } else { (&calls[1], &calls[0]) };
        assert_eq!(good.text("message"), format!("GET {}/ok?page=3 200", target.url()));
        assert_eq!(good.operation["meta"], json!({"attempts": 1, "requestBytes": null, "responseBytes": 8}));
        assert!(good.operation["durationMs"].is_number() && good.operation["connectionId"].is_number());
        assert_eq!(good.messages[0]["response"]["headers"]["content-type"], "application/json");
        assert_eq!(bad.text("state"), "failed");
        assert_eq!(bad.exchanges(), [("POST".to_owned(), json!(503)), ("POST".to_owned(), json!(503))]);
        assert_eq!(bad.messages[0]["request"]["url"], format!("{}/broken?api_key=REDACTED", target.url()));
        assert_eq!(bad.messages[0]["request"]["headers"]["x-api-key"], "REDACTED");
        assert_eq!(bad.messages[1]["response"]["headers"]["x-reason"], "busy");
        assert_eq!(
            (&bad.messages[1]["retry"]["attempt"], &bad.messages[1]["retry"]["max"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(bad.operation["meta"]["requestBytes"], 5);
    });
}

#[test]
fn calls_that_go_nowhere_are_logged_too() {
    run(async {
        let world = WorldPlan::new("http://127.0.0.1:1").build().await;
        world.get("/x").send().await;
        world.call("GET", "/x").header("connection-id", "nobody").send().await;
        let calls = calls(&world.app, 2).await;
        let mut codes: Vec<&str> =
            calls.iter().map(|call| call.operation["error"]["name"].as_str().unwrap_or_default()).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["proxy_connect_failed", "server_error"]);
        assert!(calls.iter().all(|call| call.text("state") == "failed"));
    });
}

#[test]
fn successful_calls_can_be_left_out() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).set("HITCHPOST_LOG_PROXY_SUCCESS_PCT", "0").build().await;
        world.get("/x").expect(200).await;
        world.call("GET", "/x").header("connection-id", "nobody").send().await;
        let calls = calls(&world.app, 1).await;
        assert_eq!((calls.len(), calls[0].text("state")), (1, "failed"));
    });
}

/// Secrets that stand wherever somebody can put them: in credentials, in what providers say, in URLs and headers.
#[test]
fn no_planted_secret_is_stored() {
    run(async {
        let world = World::start("").await;
        let app = &world.app;
        let token = session(app).await;
        let echo = r#"{"error": "invalid_grant", "error_description": "code and s3cret&value were wrong",
            "access_token": "planted-access-in-error", "refresh_token": "planted-refresh-in-error"}"#;
        world.provider.answer_next(400, "application/json", echo);
        world.sign_in(&token, "&params[secret_param]=planted-param").await;
        world.provider.answer_next(
            500,
            "text/html",
            "<b>client_secret=s3cret&value</b> Bearer planted-bearer-1",
        );
        world.sign_in(&token, "").await;
        world.provider.add_to_answers(json!({"id_token": "planted-id-token"}));
        assert_eq!(world.sign_in(&token, "").await.status, 200);
        let id = logged(app).await[0].text("connectionName").to_owned();
        // Refreshes that fail in the provider's own words.
        app.advance(TimeDelta::hours(2));
        world.provider.answer_next(
            400,
            "application/json",
            r#"{"error": "bad refresh-4", "token": "planted-token-in-error"}"#,
        );
        let one = format!("/connections/{id}?provider_config_key={KEY}");
        app.client().get(&one).send().await;
        // Calls whose answers and URLs repeat what they were sent.
        let target = Target::start(|seen| {
            let key = seen.header("x-api-key").unwrap_or_default().to_owned();
            answer(
                500,
                &[("x-echo", &key), ("location", &format!("https://x.test/?token={key}"))],
                key.clone(),
            )
        })
        .await;
        let calling = WorldPlan::new(target.url()).build().await;
        calling.get("/x/key-0123456789?access_token=planted-query&q=key-0123456789").send().await;
        calls(&calling.app, 1).await;
        jobs::flush(&app.app).await;
        jobs::flush(&calling.app.app).await;
        let mut planted: Vec<String> =
            ["s3cret&value", "s3cret%26value", "key-0123456789", token.as_str()].map(str::to_owned).to_vec();
        planted.extend([app.secret.clone(), calling.app.secret.clone()]);
        planted.extend(
            ["access-in-error", "refresh-in-error", "bearer-1", "id-token", "query", "token-in-error"]
                .map(|name| format!("planted-{name}")),
        );
        for number in 1..10 {
            planted.extend([
                format!("access-{number}"),
                format!("refresh-{number}"),
                format!("code-{number}"),
            ]);
        }
        for environment in [app.environment_id, calling.app.environment_id] {
            let operations: Vec<String> =
                sqlx::query_scalar("SELECT o::text FROM log_operations o WHERE environment_id = $1")
                    .bind(environment.0)
                    .fetch_all(&app.app.db)
                    .await
                    .unwrap();
            let messages: Vec<String> = sqlx::query_scalar(
                "SELECT m::text FROM log_messages m JOIN log_operations o ON o.id = m.operation_id
                 WHERE o.environment_id = $1",
            )
            .bind(environment.0)
            .fetch_all(&app.app.db)
            .await
            .unwrap();
            assert!(!operations.is_empty());
            for text in operations.iter().chain(&messages) {
                for secret in &planted {
                    assert!(!text.contains(secret.as_str()), "{secret} in {text}");
                }
            }
        }
    });
}
