//! What people see of hooks in the log of operations, so that they learn why a value is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use hitchpost::hooks::look_for_due;
use serde_json::{Value, json};

use crate::support::logged::{Logged, logged, of_kind};
use crate::support::run;
use crate::support::target::{Target, World, WorldPlan, answer, ok_json};

const KEY: &str = "key-0123456789";

/// An API-key provider with these steps around a connection, whose first hooks have ended.
async fn world(target: &Target, entry: Value) -> World {
    let world = WorldPlan::new(target.url()).provider(entry).build().await;
    world.app.hooks_settled(world.connection).await;
    world
}

fn asks_for_site() -> Value {
    json!({"post_connection": [
        {"request": {"url": "/site"}, "set": {"site": {"path": "id"}, "region": {"path": "region"}}},
        {"when": {"set": "region"}, "request": {"url": "/region"}},
    ]})
}

/// The operations of a kind, once there are so many that have ended.
async fn ended(world: &World, kind: &str, action: &str, count: usize) -> Vec<Logged> {
    for _ in 0..250 {
        let mut all = logged(&world.app).await;
        let wanted: Vec<String> =
            of_kind(&all, kind, action).iter().map(|one| one.text("id").to_owned()).collect();
        all.retain(|one| wanted.iter().any(|id| id == one.text("id")) && one.text("state") != "running");
        if all.len() >= count {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("fewer than {count} operations {kind}:{action}");
}

fn check_no_secret(one: &Logged) {
    let all = format!("{}{}", one.operation, Value::Array(one.messages.clone()));
    assert!(!all.contains(KEY), "{all}");
}

#[test]
fn a_step_after_a_connection_is_an_operation_that_says_what_it_found_and_what_not() {
    run(async {
        let target = Target::start(|_| ok_json(r#"{"id": "s-1"}"#)).await;
        let world = world(&target, asks_for_site()).await;
        let all = ended(&world, "auth", "post_connection", 1).await;
        let one = &all[0];
        assert_eq!((all.len(), one.text("state"), one.text("connectionName")), (1, "success", "c1"));
        assert_eq!(one.text("integrationName"), "acme");
        assert_eq!(one.exchanges(), [("GET".to_owned(), json!(200))]);
        assert_eq!(one.messages[0]["request"]["headers"]["x-api-key"], "REDACTED");
        assert_eq!(
            one.texts()[1..],
            [
                "GET /site: no value for `region`.",
                "GET /region: left out, because its condition does not hold.",
                "The connection learned more about itself.",
            ]
        );
        assert_eq!(one.messages[3]["meta"]["connection_config"], json!(["site"]));
        check_no_secret(one);
    });
}

#[test]
fn a_refusal_is_told_in_the_providers_words_with_advice() {
    run(async {
        let target =
            Target::start(|_| answer(403, &[], format!("the key {KEY} lacks the scope sites:read"))).await;
        let world = world(&target, asks_for_site()).await;
        let all = ended(&world, "auth", "post_connection", 1).await;
        let one = &all[0];
        assert_eq!(one.text("state"), "failed");
        assert_eq!(one.exchanges(), [("GET".to_owned(), json!(403))]);
        let error = &one.operation["error"];
        assert_eq!(error["name"], "post_connection_failed");
        assert_eq!(error["message"], "GET /site answered 403: the key REDACTED lacks the scope sites:read");
        let last = one.messages.last().unwrap();
        assert!(last["meta"]["advice"].as_str().unwrap().contains("scope"), "{last}");
        assert!(!one.texts().iter().any(|text| text.contains("tried again")), "{:?}", one.texts());
        check_no_secret(one);
    });
}

#[test]
fn every_attempt_is_an_operation_and_says_when_the_next_one_is() {
    run(async {
        let is_up = Arc::new(AtomicBool::new(false));
        let state = is_up.clone();
        let target = Target::start(move |_| match state.load(Ordering::SeqCst) {
            true => ok_json(r#"{"id": "s-1", "region": "eu"}"#),
            false => answer(503, &[], "later"),
        })
        .await;
        let world = world(&target, asks_for_site()).await;
        let first = ended(&world, "auth", "post_connection", 1).await;
        assert_eq!(first[0].text("state"), "failed");
        assert!(first[0].texts().contains(&"It is tried again in 30 seconds."), "{:?}", first[0].texts());
        is_up.store(true, Ordering::SeqCst);
        world.app.advance(TimeDelta::seconds(31));
        look_for_due(&world.app.app).await;
        let all = ended(&world, "auth", "post_connection", 2).await;
        assert_eq!((all[0].text("state"), all[1].text("state")), ("failed", "success"));
        assert_eq!(all[1].texts()[0], "This is attempt 2.");
        assert_eq!(all[1].exchanges(), [("GET".to_owned(), json!(200)), ("GET".to_owned(), json!(200))]);
    });
}

#[test]
fn a_provider_that_is_never_reached_is_told_too() {
    run(async {
        let world = WorldPlan::new("http://127.0.0.1:1").provider(asks_for_site()).build().await;
        let all = ended(&world, "auth", "post_connection", 1).await;
        let message = all[0].operation["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("GET /site: "), "{message}");
        assert_eq!(all[0].exchanges(), [("GET".to_owned(), Value::Null)]);
    });
}

#[test]
fn what_precedes_a_deletion_is_an_operation_and_so_is_the_deletion() {
    run(async {
        for (status, state) in [(200, "success"), (400, "failed")] {
            let target = Target::start(move |_| answer(status, &[], format!("about {KEY}"))).await;
            let entry = json!({"pre_deletion": [{"request": {"method": "POST", "url": "/revoke"}}]});
            let world = world(&target, entry).await;
            let path = "/connections/c1?provider_config_key=acme";
            assert_eq!(world.app.client().delete(path).expect(200).await, json!({"success": true}));
            let all = ended(&world, "events", "pre_connection_deletion", 1).await;
            let one = &all[0];
            assert_eq!((all.len(), one.text("state")), (1, state));
            assert_eq!((one.text("connectionName"), one.text("integrationName")), ("c1", "acme"));
            assert_eq!(one.exchanges(), [("POST".to_owned(), json!(status))]);
            check_no_secret(one);
            if status == 400 {
                assert_eq!(one.operation["error"]["name"], "pre_deletion_failed");
                assert_eq!(one.operation["error"]["message"], "POST /revoke answered 400: about REDACTED");
                assert!(one.messages.last().unwrap()["meta"]["advice"].is_string());
            }
            assert_eq!(ended(&world, "admin", "connection_delete", 1).await[0].text("state"), "success");
        }
    });
}

/// The caller waits for ten seconds at most, so that the provider's answer is not waited for.
#[test]
fn a_request_that_nobody_waits_for_any_longer_is_seen_all_the_same() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let entry = json!({"pre_deletion": [{"request": {"method": "POST", "url": "/revoke"}}]});
        let world = WorldPlan::new(format!("http://{address}")).provider(entry).build().await;
        world.app.client().delete("/connections/c1?provider_config_key=acme").expect(200).await;
        let all = ended(&world, "events", "pre_connection_deletion", 1).await;
        assert_eq!(all[0].text("state"), "failed");
        assert_eq!(all[0].operation["error"]["message"], "the provider took too long");
        assert_eq!(all[0].exchanges(), [("POST".to_owned(), Value::Null)]);
        let told = &all[0].messages[0]["error"]["message"];
        assert!(told.as_str().unwrap().ends_with("nobody waited for the answer any longer"), "{told}");
        drop(listener);
    });
}
