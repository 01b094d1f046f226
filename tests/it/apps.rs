//! Installing an app, and the tokens of its installation.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::apps_world::{APP, APP_LINK, USER_APP, World};
use crate::support::github::{Canned, PRIVATE_KEY};
use crate::support::run;

#[test]
fn an_installation_becomes_a_connection() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let token = world
            .session(json!({"end_user": {"id": "u1"}, "tags": {"plan": "pro"},
                "integrations_config_defaults": {APP: {"connection_config": {"region": "eu"}}}}))
            .await;
        // None of these is the end user's to choose.
        let more = "&params[installation_id]=666&params[appPublicLink]=https://evil.test&params[jwtToken]=x&params[pending]=y";
        let begun = world.begin_with(APP, &token, more).await;
        assert_eq!(begun.target.as_str(), format!("{APP_LINK}/installations/new?state={}", begun.state));
        assert_eq!(begun.cookie, format!("oauth2-{}=1", begun.state));
        let ended = world.end(begun, "/app-auth/connect", "&installation_id=77&setup_action=install").await;
        assert!(ended.page.text().contains("GitHub App is connected"), "{}", ended.page.text());
        let id = ended.connection_id().to_owned();
        assert_eq!(ended.frame["is_pending"], false);
        assert_eq!(ended.frame["provider_config_key"], APP);

        let connection = world.read(APP, &id).await;
        let credentials = &connection["credentials"];
        let jwt = credentials["jwtToken"].clone();
        let expires_at = hitchpost::time_format::format_millis_z(world.app.now() + TimeDelta::hours(1));
        assert_eq!(
            *credentials,
            json!({"type": "APP", "access_token": "ghs_1", "expires_at": expires_at, "jwtToken": jwt,
                "raw": {"token": "ghs_1", "expires_at": expires_at, "permissions": {"issues": "write"},
                    "repository_selection": "all"}})
        );
        assert_eq!(
            connection["connection_config"],
            json!({"installation_id": "77", "app_id": "12345", "jwtToken": jwt, "region": "eu"})
        );
        assert_eq!(connection["tags"]["plan"], "pro");
        assert_eq!(connection["end_user"]["id"], "u1");

        let row = world.row(APP, &id).await.expect("a row");
        assert!(!row.connection_config.to_string().contains(jwt.as_str().expect("a text")), "sealed");
        let limited = world.app.client_with(&["connections:read"]).await;
        let shown = limited.get(world.connection_path(APP, &id)).expect(200).await;
        assert_eq!(shown["connection_config"].get("jwtToken"), None);
        assert_eq!(shown["credentials"], json!({}));

        let proxied = world.app.client().get("/proxy/installation/repositories");
        let proxied = proxied.header("provider-config-key", APP).header("connection-id", &id);
        assert_eq!(proxied.send().await.status, 200);
    });
}

#[test]
fn the_token_is_renewed_again_and_again_until_the_app_is_uninstalled() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let ended = world.install("77").await;
        let id = ended.connection_id();
        for token in ["ghs_2", "ghs_3"] {
            world.app.advance(TimeDelta::minutes(46));
            let read = world.read(APP, id).await;
            assert_eq!(read["credentials"]["access_token"], token);
            assert_eq!(read["credentials"]["jwtToken"], read["connection_config"]["jwtToken"]);
            let again = world.read(APP, id).await;
            assert_eq!(again["credentials"], read["credentials"]);
        }
        world.github.revoke("77");
        world.app.advance(TimeDelta::minutes(46));
        let client = world.app.client();
        let refused = client.get(world.connection_path(APP, id)).expect(400).await;
        assert_eq!(refused["error"]["code"], "invalid_credentials");
        assert_eq!(refused["error"]["payload"]["type"], "github_app_token_fetch_error");
        assert!(refused["error"]["message"].as_str().unwrap_or_default().contains("404"), "{refused}");
        assert_eq!(refused["error"]["payload"]["connection"]["connection_config"].get("jwtToken"), None);
        let refused = client.get(world.connection_path(APP, id)).expect(424).await;
        assert_eq!(refused["error"]["payload"]["type"], "connection_refresh_backoff");
    });
}

#[test]
fn the_apps_own_jwt_is_renewed_only_when_asked_for_and_due() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let ended = world.install("77").await;
        let id = ended.connection_id();
        let asking = format!("{}&refresh_github_app_jwt_token=true", world.connection_path(APP, id));
        let jwt_of = |connection: &Value| connection["connection_config"]["jwtToken"].clone();
        let first = jwt_of(&world.read(APP, id).await);
        let client = world.app.client();
        world.app.advance(TimeDelta::minutes(5));
        assert_eq!(jwt_of(&client.get(&asking).expect(200).await), first, "it lasts a while yet");
        world.app.advance(TimeDelta::minutes(3));
        assert_eq!(jwt_of(&world.read(APP, id).await), first, "nobody asked");
        let second = jwt_of(&client.get(&asking).expect(200).await);
        assert_ne!(second, first);
        assert_eq!(jwt_of(&client.get(&asking).expect(200).await), second);
        assert_eq!(world.github.calls("access_tokens").len(), 2);
    });
}

#[test]
fn keys_of_every_form_sign_and_wrong_ones_say_why() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let pkcs8 = include_str!("../../src/auth/test_rsa_key.pkcs8.pem");
        let in_one_line = PRIVATE_KEY.trim_end().replace('\n', "\\n");
        let nonsense = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----";
        for (key, pem, expected) in [
            ("pkcs8", pkcs8, None),
            ("one-line", in_one_line.as_str(), None),
            ("nonsense", nonsense, Some("is no RSA private key")),
        ] {
            world.integrate(APP, key, pem).await;
            let begun = world.begin(key).await;
            let ended = world.end(begun, "/app-auth/connect", "&installation_id=77").await;
            match expected {
                None => assert!(!ended.connection_id().is_empty()),
                Some(words) => {
                    let (kind, message) = ended.failure();
                    assert_eq!(kind, "github_app_token_fetch_error");
                    assert!(message.contains(words) && !message.contains("MIIE"), "{message}");
                }
            }
        }
    });
}

/// What may come instead of a token. The words that the failure must have; none: there is a connection all the same.
pub fn oddities() -> Vec<(&'static str, Canned, Option<&'static str>)> {
    let json = |status, body: Value| Canned::json(status, &body);
    let big = format!("{{\"token\":\"{}\"}}", "x".repeat(11 * 1024 * 1024));
    let redirect =
        Canned { location: Some("/elsewhere".to_owned()), ..Canned::new(307, "text/plain", "over there") };
    vec![
        (
            "400",
            json(400, json!({"message": "Bad request"})),
            Some("answered 400: {\"message\":\"Bad request\"}"),
        ),
        (
            "401",
            json(401, json!({"message": "A JSON web token could not be decoded"})),
            Some("answered 401: {\"message\":\"A JSON web token could not be decoded\"}"),
        ),
        ("404", json(404, json!({"message": "Not Found"})), Some("answered 404")),
        (
            "a page",
            Canned::new(502, "text/html", "<html><title>Unicorn!</title>"),
            Some("web page titled \"Unicorn!\""),
        ),
        (
            "a page as a success",
            Canned::new(200, "text/html", "<html>hello"),
            Some("neither JSON nor form-encoded"),
        ),
        ("an error as a success", json(200, json!({"error": "suspended"})), Some("answered 200 suspended")),
        ("no token", json(201, json!({"tokens": ["secret-1"]})), Some("has no")),
        ("a redirect", redirect, Some("answered 404")),
        ("a big body", Canned::new(200, "application/json", big), Some("gave no usable answer")),
    ]
}

#[test]
fn what_github_says_instead_of_a_token_reaches_page_and_socket() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        for (name, canned, expected) in oddities() {
            world.github.answer_next("installation", canned);
            let ended = world.install("77").await;
            let (kind, message) = ended.failure();
            assert_eq!(kind, "github_app_token_fetch_error", "{name}");
            assert!(message.contains(expected.unwrap_or_default()), "{name}: {message}");
            let page = ended.page.text();
            assert!(!page.contains("secret-1") && !page.contains("eyJ"), "{name}: {page}");
        }
        assert_eq!(world.count().await, 0);
    });
}

#[test]
fn a_token_endpoint_that_never_answers_is_given_up() {
    run(async {
        let world = World::start().await;
        let canned = Canned { delay: Duration::from_secs(60), ..Canned::new(200, "application/json", "{}") };
        world.github.answer_next("installation", canned);
        let (kind, message) = world.install("77").await.failure();
        assert_eq!(kind, "github_app_token_fetch_error");
        assert!(message.contains("gave no usable answer"), "{message}");
    });
}

#[test]
fn a_token_without_an_end_is_kept_until_somebody_insists() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        world.github.answer_next("installation", Canned::json(201, &json!({"token": "ghs_endless"})));
        let ended = world.install("77").await;
        let id = ended.connection_id();
        world.app.advance(TimeDelta::days(2));
        let read = world.read(APP, id).await;
        assert_eq!(read["credentials"]["access_token"], "ghs_endless");
        assert_eq!(read["credentials"].get("expires_at"), None);
        let path = format!("{}&force_refresh=true", world.connection_path(APP, id));
        let forced = world.app.client().get(path).expect(200).await;
        assert_eq!(forced["credentials"]["access_token"], "ghs_1");
    });
}

#[test]
fn callbacks_that_are_no_installation_say_so() {
    run(async {
        let world = World::start().await;
        for (more, kind, words) in [
            ("&setup_action=request", "wrong_auth_mode", "CUSTOM"),
            ("&setup_action=install", "callback_err", "No installation_id"),
            ("&error=access_denied", "callback_err", "error: access_denied"),
            ("&installation_id=../../x&setup_action=install", "callback_err", "is not one"),
            ("&installation_id[a]=1&setup_action=install", "callback_err", "No installation_id"),
        ] {
            let begun = world.begin(APP).await;
            let (found, message) = world.end(begun, "/app-auth/connect", more).await.failure();
            assert_eq!(found, kind, "{more}");
            assert!(message.contains(words), "{more}: {message}");
        }
        // Each kind of app has its own way back.
        for (key, path) in [(APP, "/oauth/callback"), (USER_APP, "/app-auth/connect")] {
            let begun = world.begin(key).await;
            let (kind, _) = world.end(begun, path, "&installation_id=1&setup_action=install").await.failure();
            assert_eq!(kind, "auth_mode_err", "{key}");
        }
        let mut begun = world.begin(APP).await;
        begun.cookie.clear();
        let (kind, _) = world.end(begun, "/app-auth/connect", "&installation_id=77").await.failure();
        assert_eq!(kind, "state_cookie_err");
        assert_eq!(world.count().await, 0);
        assert!(world.github.calls("access_tokens").is_empty());
    });
}

#[test]
fn callbacks_without_a_sign_in_are_sent_back_or_told() {
    run(async {
        let world = World::start().await;
        let nobody = world.app.anonymous();
        for (query, referer, target) in [
            ("installation_id=1&setup_action=install", None, "https://github.com"),
            (
                "installation_id=1&setup_action=update",
                Some("https://github.com/settings"),
                "https://github.com/settings",
            ),
            ("installation_id=1&setup_action=install", Some("javascript:alert(1)"), "https://github.com"),
        ] {
            let mut request = nobody.get(format!("/app-auth/connect?{query}"));
            if let Some(referer) = referer {
                request = request.header("referer", referer);
            }
            let reply = request.send().await;
            assert_eq!((reply.status.as_u16(), reply.header("location")), (302, Some(target)), "{query}");
        }
        for (query, status) in [
            ("", 400),
            ("installation_id=1", 400),
            ("setup_action=install", 400),
            ("installation_id=1&setup_action=request", 400),
            ("state=unknown&installation_id=1", 404),
        ] {
            let path = format!("/app-auth/connect?{query}");
            let plain = nobody.get(&path).send().await;
            assert_eq!(plain.status, status, "{query}");
            assert!(plain.header("content-type").unwrap_or_default().starts_with("text/plain"), "{query}");
            let page = nobody.get(&path).header("accept", "text/html").send().await;
            assert_eq!(page.status, status, "{query}");
            assert!(page.text().contains("nango_oauth_callback_error"), "{}", page.text());
        }
    });
}

#[test]
fn an_integration_without_an_app_link_cannot_be_installed() {
    run(async {
        let world = World::start().await;
        sqlx::query("UPDATE integrations SET app_link = NULL WHERE environment_id = $1")
            .bind(world.app.environment_id.0)
            .execute(&world.app.app.db)
            .await
            .expect("changed");
        let token = world.session(json!({"end_user": {"id": "u1"}})).await;
        let path = format!("/oauth/connect/{APP}?connect_session_token={token}");
        let page = world.app.anonymous().get(path).send().await;
        assert_eq!(page.status, 400);
        assert!(page.text().contains("provider_config_err"), "{}", page.text());
    });
}

#[test]
fn a_reconnected_installation_keeps_its_id() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        world.github.add_installation("78");
        let ended = world.install("77").await;
        let id = ended.connection_id();
        let body = json!({"connection_id": id, "integration_id": APP});
        let reply = world.app.client().post("/connect/sessions/reconnect", body).expect(201).await;
        let token = reply["data"]["token"].as_str().expect("a token");
        let begun = world.begin_with(APP, token, "").await;
        let again = world.end(begun, "/app-auth/connect", "&installation_id=78&setup_action=update").await;
        assert_eq!(again.connection_id(), id);
        assert_eq!(world.read(APP, id).await["connection_config"]["installation_id"], "78");
    });
}
