//! Which events are told, in which shape.

use chrono::TimeDelta;
use hitchpost::webhooks::outgoing::{Forward, forward};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::World;
use crate::apps_world::{USER_APP, World as AppsWorld};
use crate::oauth_world::{KEY, World as PopupWorld};
use crate::support::receiver::{Receiver, assert_signed};
use crate::support::run;
use crate::support::token_endpoint::TokenEndpoint;
use crate::support::{Client, TestApp};

#[test]
fn an_import_is_told_as_creation_and_then_as_override() {
    run(async {
        let world = World::start().await;
        let key = world.app.webhook_signing_key().await;
        let body = json!({"provider_config_key": "acme", "connection_id": "c1", "tags": {"plan": "pro"},
                          "end_user": {"id": "u1", "email": "jane@acme.test"},
                          "credentials": {"type": "API_KEY", "apiKey": "key-0123456789"}});
        for operation in ["creation", "override"] {
            world.app.client().post("/connections", body.clone()).expect(201).await;
            world.app.settle_webhooks().await;
            let seen = world.receiver.seen().pop().expect("a webhook");
            let expected = format!(
                r#"{{"authMode":"API_KEY","connectionId":"c1","endUser":{{"endUserEmail":"jane@acme.test","endUserId":"u1","tags":{{}}}},"environment":"{}","from":"nango","operation":"{operation}","provider":"acme","providerConfigKey":"acme","success":true,"tags":{{"end_user_email":"jane@acme.test","end_user_id":"u1","plan":"pro"}},"type":"auth"}}"#,
                world.app.environment_name
            );
            assert_eq!(seen.text(), expected);
            assert_signed(&seen, &key);
            assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/hook"));
            assert_eq!(seen.header("content-type"), Some("application/json"));
            assert!(seen.header("user-agent").unwrap().starts_with("hitchpost/"));
            assert!(seen.header("x-hitchpost-delivery").unwrap().parse::<uuid::Uuid>().is_ok());
            assert_eq!(seen.header("x-nango-hmac-sha256-previous"), None);
        }
        assert_eq!(world.receiver.seen().len(), 2);
    });
}

#[test]
fn after_a_rotation_both_keys_sign_for_a_day() {
    run(async {
        let world = World::start().await;
        let old = world.app.webhook_signing_key().await;
        world.app.client().post("/environment/webhook-signing-key/rotate", json!({})).expect(200).await;
        let new = world.app.webhook_signing_key().await;
        world.import("c1").await;
        world.app.settle_webhooks().await;
        let seen = world.receiver.seen().pop().expect("a webhook");
        assert_signed(&seen, &new);
        let previous = hex::encode(hitchpost::crypto::hmac_sha256(old.as_bytes(), &seen.body));
        assert_eq!(seen.header("x-nango-hmac-sha256-previous"), Some(previous.as_str()));
        world.app.advance(TimeDelta::hours(25));
        world.import("c1").await;
        world.app.settle_webhooks().await;
        assert_eq!(world.receiver.seen().pop().unwrap().header("x-nango-hmac-sha256-previous"), None);
    });
}

#[test]
fn switches_and_addresses_decide_who_hears_what() {
    run(async {
        let world = World::start().await;
        let (second, own) = (Receiver::start().await, Receiver::start().await);
        let counts = || (world.receiver.seen().len(), second.seen().len(), own.seen().len());
        world.app.set_webhooks(json!({"on_auth_creation": false})).await;
        world.import("c1").await;
        world.app.settle_webhooks().await;
        assert_eq!(counts(), (0, 0, 0), "a creation, switched off");
        world.import("c1").await;
        world.app.settle_webhooks().await;
        assert_eq!(counts(), (1, 0, 0), "an override has no switch");
        let urls = json!({"on_auth_creation": true, "secondary_url": second.url("/")});
        world.app.set_webhooks(urls).await;
        world.import("c2").await;
        world.app.settle_webhooks().await;
        assert_eq!(counts(), (2, 1, 0), "both addresses");
        assert_eq!(world.receiver.last(), second.last());
        let patch = json!({"webhook_url_override": own.url("/own")});
        world.app.client().patch("/connections/c2?provider_config_key=acme", patch).expect(200).await;
        let before = world.receiver.seen().len();
        world.tell("c2", 1, Some(&own.url("/own"))).await;
        world.app.settle_webhooks().await;
        assert_eq!(
            (world.receiver.seen().len(), own.seen().len()),
            (before, 1),
            "the connection's own address"
        );
        world.app.client().delete("/connections/c2?provider_config_key=acme").expect(200).await;
        world.app.settle_webhooks().await;
        assert_eq!(counts(), (2, 1, 1), "a deletion is not told");
        world.app.set_webhooks(json!({"primary_url": null, "secondary_url": null})).await;
        world.import("c3").await;
        world.app.settle_webhooks().await;
        assert_eq!(counts(), (2, 1, 1), "no address");
    });
}

#[test]
fn a_popup_tells_how_it_ended() {
    run(async {
        let world = PopupWorld::start("").await;
        let receiver = Receiver::start().await;
        world.app.send_webhooks_to(&receiver.url("/")).await;
        let token = world.session(|_| {}).await;
        assert_eq!(world.sign_in(&token, "").await.status, 200);
        world.app.settle_webhooks().await;
        let told = receiver.last();
        assert_eq!((&told["operation"], &told["success"]), (&json!("creation"), &json!(true)));
        assert_eq!(told["authMode"], "OAUTH2");
        assert_eq!(told["providerConfigKey"], KEY);
        assert_eq!(told["endUser"], json!({"endUserId": "u1", "endUserEmail": "jane@acme.test", "tags": {}}));
        assert_eq!(told["tags"], json!({"end_user_id": "u1"}));

        world.provider.answer_next(200, "text/html", "<html>");
        failing_sign_in(&world).await;
        let told = receiver.last();
        assert_eq!((&told["operation"], &told["success"]), (&json!("creation"), &json!(false)));
        assert_eq!(told["error"]["type"], "unable_to_parse_token_response");
        assert_eq!(told["endUser"]["endUserId"], "u1");
        assert_eq!(told.get("tags"), None, "there is no connection");

        world.provider.answer_next(400, "application/json", r#"{"error":"invalid_grant"}"#);
        failing_sign_in(&world).await;
        let told = receiver.last();
        assert_eq!(told["error"]["type"], "unknown");
        assert!(told["error"]["description"].as_str().unwrap().contains("invalid_grant"), "{told}");

        let token = world.session(|_| {}).await;
        let begun = world.begin(&token, "").await;
        let mut target = world.provider.sign_in(begun.authorize.as_str()).await;
        let state = target.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        target.set_query(Some(&format!("state={state}&error=access_denied")));
        let without_cookie = world.callback_with("", &target).await;
        assert_eq!(without_cookie.status, 400);
        world.app.settle_webhooks().await;
        assert_eq!(receiver.seen().len(), 3, "a browser that did not start the sign-in");

        let token = world.session(|_| {}).await;
        let begun = world.begin(&token, "").await;
        let mut target = world.provider.sign_in(begun.authorize.as_str()).await;
        let state = target.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        target.set_query(Some(&format!("state={state}&error=access_denied")));
        assert_eq!(world.callback(&begun, &target).await.status, 400);
        world.app.settle_webhooks().await;
        assert_eq!(receiver.last()["error"]["type"], "invalid_callback");
        assert!(receiver.last()["error"]["description"].as_str().unwrap().contains("access_denied"));
    });
}

async fn failing_sign_in(world: &PopupWorld) {
    let token = world.session(|_| {}).await;
    assert_eq!(world.sign_in(&token, "").await.status, 400);
    world.app.settle_webhooks().await;
}

#[test]
fn an_installation_without_an_exchange_is_told_as_one_of_an_app() {
    run(async {
        let world = AppsWorld::start().await;
        let receiver = Receiver::start().await;
        world.app.send_webhooks_to(&receiver.url("/")).await;
        world.github.add_installation("77");
        for (operation, mode) in [("creation", "CUSTOM"), ("override", "APP")] {
            world.install_as_user("77").await;
            world.app.settle_webhooks().await;
            let told = receiver.last();
            assert_eq!((&told["operation"], &told["authMode"]), (&json!(operation), &json!(mode)));
            assert_eq!(told["providerConfigKey"], USER_APP);
        }
        assert_eq!(receiver.seen().len(), 2, "one for each login");
    });
}

const READ: &str = "/connections/c1?provider_config_key=machine&force_refresh=true";

struct RefreshWorld {
    app: TestApp,
    client: Client,
    endpoint: TokenEndpoint,
    receiver: Receiver,
}

async fn refresh_world() -> RefreshWorld {
    let endpoint = TokenEndpoint::start().await;
    let catalog = json!({"machine": {"display_name": "Machine", "auth_mode": "OAUTH2_CC", "docs": "https://example.com",
        "token_url": endpoint.url, "token_params": {"grant_type": "client_credentials"},
        "proxy": {"base_url": "https://machine.example"}}});
    let app = TestApp::with_catalog(catalog.to_string()).await;
    let client = app.client();
    client.post("/integrations", json!({"provider": "machine", "unique_key": "machine"})).expect(200).await;
    let body = json!({"provider_config_key": "machine", "connection_id": "c1", "tags": {"plan": "pro"},
        "credentials": {"type": "OAUTH2_CC", "token": "t", "client_id": "id", "client_secret": "s3cr3t"}});
    client.post("/connections", body).expect(201).await;
    let receiver = Receiver::start().await;
    app.send_webhooks_to(&receiver.url("/")).await;
    RefreshWorld { app, client, endpoint, receiver }
}

#[test]
fn failed_refreshes_are_told_once_a_day_until_the_connection_is_exhausted() {
    run(async {
        let world = refresh_world().await;
        let refused = json!({"error": "invalid_client"});
        world.endpoint.say(Some((401, refused)));
        for day in 1..=6 {
            for _ in 0..3 {
                world.client.get(READ).expect(400).await;
                world.app.advance(TimeDelta::seconds(31));
            }
            world.app.settle_webhooks().await;
            assert_eq!(world.receiver.seen().len(), day.min(4), "day {day}");
            world.app.advance(TimeDelta::days(1));
        }
        let told = world.receiver.last();
        let error = told["error"].clone();
        assert_eq!(
            told,
            json!({"from": "nango", "type": "auth", "operation": "refresh", "success": false, "authMode": "OAUTH2_CC",
                   "connectionId": "c1", "providerConfigKey": "machine", "provider": "machine",
                   "environment": world.app.environment_name, "tags": {"plan": "pro"}, "error": error})
        );
        assert_eq!(error["type"], "client_credentials_fetch_error");
        assert!(!told.to_string().contains("s3cr3t"));
        world.endpoint.say(None);
        world.client.get(READ).expect(200).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.receiver.seen().len(), 4, "a success is not told");
        world.endpoint.say(Some((401, json!({}))));
        world.app.set_webhooks(json!({"on_auth_refresh_error": false})).await;
        world.client.get(READ).expect(400).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.receiver.seen().len(), 4, "switched off");
    });
}

fn provider_headers() -> HeaderMap {
    HeaderMap::from_iter([
        ("x-acme-event".parse().unwrap(), HeaderValue::from_static("push")),
        ("x-nango-signature".parse().unwrap(), HeaderValue::from_static("forged")),
        ("content-type".parse().unwrap(), HeaderValue::from_static("text/plain")),
    ])
}

#[test]
fn a_providers_webhook_goes_to_each_connection_and_bare_when_there_is_none() {
    run(async {
        let world = World::start().await;
        let own = Receiver::start().await;
        world.import("c1").await;
        world.import("c2").await;
        let patch = json!({"webhook_url_override": own.url("/own")});
        world.app.client().patch("/connections/c2?provider_config_key=acme", patch).expect(200).await;
        world.app.settle_webhooks().await;
        let row = &world.integration.row;
        let db = &world.app.app.db;
        let connections =
            hitchpost::db::connections::list_of_integration(db, row.environment_id, row.id).await.unwrap();
        let (payload, headers): (Value, _) =
            (json!({"b": 1, "a": {"10": 1.0, "9": null}}), provider_headers());
        let plan = |connections| Forward {
            environment: row.environment_id,
            integration: row,
            connections,
            payload: &payload,
            headers: &headers,
            event: Some("push"),
        };
        forward(&world.app.app, plan(&connections)).await.unwrap();
        world.app.settle_webhooks().await;
        let expected = |id| {
            format!(
                r#"{{"connectionId":"{id}","from":"acme","payload":{{"a":{{"9":null,"10":1}},"b":1}},"providerConfigKey":"acme","type":"forward"}}"#
            )
        };
        let key = world.app.webhook_signing_key().await;
        for (receiver, id) in [(&world.receiver, "c1"), (&own, "c2")] {
            let seen = receiver.seen().pop().expect("a webhook");
            assert_eq!(seen.text(), expected(id));
            assert_signed(&seen, &key);
            assert_eq!(seen.header("x-acme-event"), Some("push"));
            assert_eq!(seen.header("content-type"), Some("application/json"));
        }
        forward(&world.app.app, plan(&[])).await.unwrap();
        world.app.settle_webhooks().await;
        let seen = world.receiver.seen().pop().expect("a webhook");
        assert_eq!(seen.text(), r#"{"a":{"9":null,"10":1},"b":1}"#);
        assert_signed(&seen, &key);

        let silent = hitchpost::db::integrations::Integration { forward_webhooks: false, ..row.clone() };
        let before = world.receiver.seen().len();
        forward(&world.app.app, Forward { integration: &silent, ..plan(&[]) }).await.unwrap();
        world.app.settle_webhooks().await;
        assert_eq!(world.receiver.seen().len(), before, "an integration that does not forward");
    });
}
