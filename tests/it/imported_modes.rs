//! Connections that were made elsewhere, of every kind that can be imported but apps (`apps_import`): their calls carry the
//! imported credentials, and those that end are renewed again and again, each time with what the last renewal brought.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::support::run;
use crate::support::target::{Seen, Target, World, WorldPlan, answer};

/// What is imported, and what the provider sees of it.
struct Kind {
    entry: Value,
    credentials: Value,
    config: Value,
    /// The start of the `Authorization` of the first call; none for calls that carry none.
    first: Option<&'static str>,
    /// Whether a call that finds the credentials ended makes new ones.
    is_renewed: bool,
}

fn kinds() -> Vec<(&'static str, Kind)> {
    let lasting = |credentials: Value, first| Kind {
        entry: json!({}),
        credentials,
        config: json!({}),
        first,
        is_renewed: false,
    };
    let renewed = |credentials: Value| Kind {
        entry: json!({"authorization_url": "https://login.test/a", "token_url": "TARGET/token"}),
        credentials,
        config: json!({}),
        first: Some("Bearer imported"),
        is_renewed: true,
    };
    vec![
        (
            "OAUTH2",
            renewed(
                json!({"access_token": "imported", "refresh_token": "again-0", "expires_at": "IN AN HOUR"}),
            ),
        ),
        (
            "OAUTH2_CC",
            renewed(
                json!({"token": "imported", "client_id": "id-1", "client_secret": "secret-1", "expires_at": "IN AN HOUR"}),
            ),
        ),
        (
            "OAUTH1",
            lasting(
                json!({"oauth_token": "t-1", "oauth_token_secret": "s-1"}),
                Some("OAuth oauth_consumer_key="),
            ),
        ),
        (
            "TBA",
            Kind {
                config: json!({"accountId": "42-sb1"}),
                ..lasting(json!({"token_id": "t-1", "token_secret": "s-1"}), Some("OAuth realm=\"42_SB1\""))
            },
        ),
        (
            "API_KEY",
            Kind {
                entry: json!({"proxy": {"base_url": "TARGET", "headers": {"authorization": "Key ${apiKey}"}}}),
                ..lasting(json!({"apiKey": "key-1"}), Some("Key key-1"))
            },
        ),
        ("BASIC", lasting(json!({"username": "ada", "password": "pw"}), Some("Basic YWRhOnB3"))),
        ("NONE", lasting(json!({}), None)),
    ]
}

/// A provider that gives `new-1`, `new-2` ..., and refuses a refresh token that is not the newest.
async fn provider() -> Target {
    let given = Arc::new(AtomicUsize::new(0));
    Target::start(move |seen| {
        let json = [("content-type", "application/json")];
        if seen.target != "/token" {
            return answer(200, &json, "{}");
        }
        let refresh_token = form_urlencoded::parse(&seen.body).find(|(name, _)| name == "refresh_token");
        let newest = given.load(Ordering::SeqCst);
        if refresh_token.is_some_and(|(_, token)| token != format!("again-{newest}")) {
            return answer(400, &json, r#"{"error": "invalid_grant"}"#);
        }
        let number = given.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({"access_token": format!("new-{number}"), "refresh_token": format!("again-{number}"),
            "expires_in": 3600});
        answer(200, &json, body.to_string())
    })
    .await
}

/// A call through the proxy, as the provider saw it.
async fn called(world: &World, target: &Target) -> Seen {
    let ask = world.app.client().get("/proxy/x").header("provider-config-key", "acme");
    let reply = ask.header("connection-id", "imported").send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    target.last()
}

async fn check(mode: &str, kind: Kind) {
    let target = provider().await;
    let mut entry = json!({"auth_mode": mode, "proxy": {"base_url": "TARGET"}});
    entry.as_object_mut().unwrap().extend(kind.entry.as_object().unwrap().clone());
    let entry = serde_json::from_str(&entry.to_string().replace("TARGET", &target.url())).unwrap();
    // The connection of the world itself is of no interest here.
    let world = WorldPlan::new(target.url()).provider(entry).build().await;
    let in_an_hour = (world.app.now() + TimeDelta::hours(1)).to_rfc3339();
    let mut credentials: Value =
        serde_json::from_str(&kind.credentials.to_string().replace("IN AN HOUR", &in_an_hour)).unwrap();
    credentials["type"] = mode.into();
    let body = json!({"provider_config_key": "acme", "connection_id": "imported", "credentials": credentials,
        "connection_config": kind.config});
    let made = world.app.client().post("/connections", body).expect(201).await;
    // Wire: there is nothing to tell of no credentials.
    let shown = &made["credentials"];
    assert!(shown["type"] == mode || (mode == "NONE" && *shown == json!({})), "{mode}: {shown}");
    let first = called(&world, &target).await;
    let authorization = first.header("authorization");
    match kind.first {
        Some(start) => {
            assert!(authorization.is_some_and(|text| text.starts_with(start)), "{mode}: {authorization:?}")
        }
        None => assert_eq!(authorization, None, "{mode}"),
    }
    for number in 1..=2 {
        world.app.advance(TimeDelta::hours(2));
        let seen = called(&world, &target).await;
        if kind.is_renewed {
            assert_eq!(seen.header("authorization"), Some(&*format!("Bearer new-{number}")), "{mode}");
        } else {
            // A signature is another one each time.
            let start = kind.first.unwrap_or_default();
            assert!(seen.header("authorization").unwrap_or_default().starts_with(start), "{mode}");
        }
    }
    let asked = target.seen().iter().filter(|seen| seen.target == "/token").count();
    assert_eq!(asked, if kind.is_renewed { 2 } else { 0 }, "{mode}");
}

#[test]
fn imported_connections_work_and_are_renewed_twice() {
    run(async {
        for (mode, kind) in kinds() {
            check(mode, kind).await;
        }
    });
}
