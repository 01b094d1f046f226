//! Providers whose token calls leave the grammar of the catalog.

use std::sync::Arc;

use chrono::TimeDelta;
use hitchpost::refresh::{Force, fresh_credentials};
use serde_json::{Value, json};

use crate::oauth_world::World;
use crate::support::app::TestSettings;
use crate::support::provider::{CLIENT_ID, CLIENT_SECRET, Recorded};
use crate::support::{Provider, Socket, run};

/// A world whose entry has the name of a real provider.
async fn world(name: &str, extra: &str) -> World {
    let provider = Provider::start().await;
    let catalog = provider.entry(name, extra);
    World::with_provider(provider, TestSettings::default().catalog(catalog), name).await
}

/// Signs in, with a canned answer where the provider of the tests does not know the dialect.
async fn connect(world: &World, answer: Option<Value>) -> String {
    if let Some(answer) = answer {
        world.provider.answer_next(200, "application/json", answer.to_string());
    }
    let mut socket = Socket::open(&world.app).await;
    let token = world.session(|_| {}).await;
    let page = world.sign_in(&token, &format!("&ws_client_id={}", socket.id)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let frame = socket.next().await.expect("the outcome");
    frame["connection_id"].as_str().expect("an id").to_owned()
}

async fn refresh(world: &World, id: &str, answers: &[Value]) -> Value {
    for answer in answers {
        world.provider.answer_next(200, "application/json", answer.to_string());
    }
    world.app.advance(TimeDelta::seconds(1));
    let integration = Arc::new(world.open_integration().await);
    let (connection, _) = world.connection(id).await;
    let fresh = fresh_credentials(&world.app.app, &integration, connection, Force::Yes).await;
    fresh.unwrap_or_else(|error| panic!("{error}")).credentials.to_json()
}

fn names(request: &Recorded) -> String {
    request.body.keys().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn exchanges_follow_the_dialect_of_their_provider() {
    run(async {
        let plain = json!({"access_token": "a", "expires_in": 60});
        for (name, extra, answer, check) in [
            (
                "stripe-app",
                "disable_pkce: true",
                plain.clone(),
                (|request| {
                    request.header("authorization") == "Basic czNjcmV0JnZhbHVlOg=="
                        && names(request) == "grant_type code redirect_uri"
                }) as fn(&Recorded) -> bool,
            ),
            ("jobber", "", plain.clone(), |request| {
                names(request) == "grant_type code code_verifier client_id client_secret"
            }),
            ("figma", "", plain.clone(), |request| {
                request.header("content-type") == "application/json"
                    && request.query.get("redirect_uri") == request.body.get("redirect_uri")
            }),
            ("tiktok-personal", "disable_pkce: true", plain.clone(), |request| {
                names(request) == "grant_type code redirect_uri client_secret client_key"
                    && request.param("client_key") == CLIENT_ID
            }),
            (
                "tiktok-ads",
                "token_params:\n  grant_type: authorization_code",
                json!({"code": 0, "data": {"access_token": "a"}}),
                |request| {
                    names(request) == "secret app_id auth_code" && request.param("secret") == CLIENT_SECRET
                },
            ),
            (
                "sentry-oauth",
                "",
                json!({"token": "a", "refreshToken": "r", "expiresAt": "2099-01-01T00:00:00Z"}),
                |request| request.header("content-type") == "application/json",
            ),
            ("mercury", "", plain.clone(), |request| {
                names(request) == "grant_type code redirect_uri code_verifier"
            }),
            ("heygen", "", plain.clone(), |request| {
                names(request) == "grant_type code redirect_uri code_verifier client_id"
            }),
            (
                "acme",
                "token_request:\n  headers:\n    x-own: '1'\ntoken_response:\n  at: inner",
                json!({"inner": {"access_token": "a"}}),
                |request| request.header("x-own") == "1",
            ),
        ] {
            let world = world(name, extra).await;
            let id = connect(&world, Some(answer)).await;
            assert_eq!(world.connection(&id).await.1.bearer_token(), Some("a"), "{name}");
            let request = world.provider.last_request();
            assert!(check(&request), "{name}: {request:?}");
        }
    });
}

#[test]
fn a_business_error_in_a_success_is_an_error() {
    run(async {
        let world = world("tiktok-ads", "").await;
        world.provider.answer_next(200, "application/json", r#"{"code":40105,"message":"Bad code"}"#);
        let token = world.session(|_| {}).await;
        let page = world.sign_in(&token, "").await;
        assert_eq!(page.status, 400);
        assert!(page.text().contains("Bad code"), "{}", page.text());
    });
}

#[test]
fn facebook_trades_its_access_token() {
    run(async {
        let world = world("facebook", "").await;
        let id = connect(&world, Some(json!({"access_token": "long-1", "expires_in": 5_184_000}))).await;
        let json = refresh(&world, &id, &[json!({"access_token": "long-2", "expires_in": 5_184_000})]).await;
        assert_eq!(json["access_token"], "long-2");
        let request = world.provider.last_request();
        assert!(request.body.is_empty());
        assert_eq!(
            (request.param("grant_type"), request.param("fb_exchange_token")),
            ("fb_exchange_token", "long-1")
        );
        assert!(!request.query.contains_key("refresh_token"));
        let integration = Arc::new(world.open_integration().await);
        for (days, asked) in [(45, 2), (6, 3)] {
            world.app.advance(TimeDelta::days(days));
            world.provider.answer_next(
                200,
                "application/json",
                r#"{"access_token":"long-3","expires_in":5184000}"#,
            );
            let (connection, _) = world.connection(&id).await;
            fresh_credentials(&world.app.app, &integration, connection, Force::No).await.expect("good");
            assert_eq!(world.provider.requests().len(), asked, "{days}");
        }
    });
}

#[test]
fn slack_renews_bot_and_user_token() {
    run(async {
        let world =
            world("slack", "disable_pkce: true\nalternate_access_token_response_path: authed_user").await;
        let answer = json!({"ok": true, "access_token": "bot-1", "refresh_token": "bot-r1", "expires_in": 43_200,
            "team": {"id": "T"}, "authed_user": {"id": "U", "access_token": "user-1", "refresh_token": "user-r1", "expires_in": 7_200}});
        let id = connect(&world, Some(answer)).await;
        let (_, credentials) = world.connection(&id).await;
        assert_eq!(credentials.expires_at(), Some(world.app.now() + TimeDelta::hours(2)));
        let bot =
            json!({"ok": true, "access_token": "bot-2", "refresh_token": "bot-r2", "expires_in": 43_200});
        let user =
            json!({"ok": true, "access_token": "user-2", "refresh_token": "user-r2", "expires_in": 43_200});
        let json = refresh(&world, &id, &[bot.clone(), user]).await;
        assert_eq!((&json["access_token"], &json["refresh_token"]), (&json!("bot-2"), &json!("bot-r2")));
        let kept = &json["raw"]["authed_user"];
        assert_eq!(
            (&kept["id"], &kept["access_token"], &kept["refresh_token"]),
            (&json!("U"), &json!("user-2"), &json!("user-r2"))
        );
        assert_eq!(json["raw"]["team"]["id"], "T");
        assert_eq!(world.provider.last_request().param("refresh_token"), "user-r1");
        let json = refresh(&world, &id, &[bot, json!({"ok": false, "error": "token_expired"})]).await;
        assert_eq!(
            (&json["access_token"], &json["raw"]["authed_user"]["access_token"]),
            (&json!("bot-2"), &json!("user-2"))
        );
    });
}

#[test]
fn sharepoint_keeps_a_token_of_its_own() {
    run(async {
        let world = world("one-drive", "disable_pkce: true").await;
        let id = connect(&world, None).await;
        sqlx::query("UPDATE connections SET connection_config = $2 WHERE environment_id = $1")
            .bind(world.app.environment_id.0)
            .bind(json!({"tenantId": "acme", "sharepointAccessToken": {"access_token": "s-1"}}))
            .execute(&world.app.app.db)
            .await
            .expect("changed");
        let plain = json!({"access_token": "a-2", "expires_in": 60});
        let json = refresh(&world, &id, &[plain, json!({"access_token": "s-2", "expires_in": 60})]).await;
        assert_eq!(json["access_token"], "a-2");
        let scope = "https://acme.sharepoint.com/Sites.Read.All";
        assert_eq!(world.provider.last_request().param("scope"), scope);
        let connection = world.connection(&id).await.0;
        assert!(!connection.connection_config.to_string().contains("s-2"), "the token is sealed");
        let config = hitchpost::connections::open_config(&world.app.app, &connection);
        assert_eq!(config["sharepointAccessToken"]["access_token"], "s-2");
        assert_eq!(config["tenantId"], "acme");
    });
}
