//! Taking over installations that were made elsewhere.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::apps_world::{APP, USER_APP, World};
use crate::support::github::Canned;
use crate::support::run;

fn import(key: &str, kind: &str, config: Value) -> Value {
    json!({"provider_config_key": key, "connection_id": "c1", "connection_config": config,
        "credentials": {"type": kind, "app_id": "12345", "installation_id": "77"}})
}

#[test]
fn an_imported_installation_has_a_token_and_keeps_renewing_it() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        for (key, kind) in [(APP, "APP"), (USER_APP, "CUSTOM")] {
            let body = import(key, kind, json!({"region": "eu"}));
            let made = world.app.client().post("/connections", body).expect(201).await;
            let token = made["credentials"]["access_token"].clone();
            assert_eq!(made["credentials"]["type"], "APP");
            assert_eq!(
                made["connection_config"],
                json!({"region": "eu", "app_id": "12345", "installation_id": "77",
                    "jwtToken": made["credentials"]["jwtToken"]})
            );
            let mut tokens = vec![token];
            for _ in 0..2 {
                world.app.advance(TimeDelta::minutes(46));
                let call = world.app.client().get("/proxy/installation/repositories");
                call.header("provider-config-key", key).header("connection-id", "c1").expect(200).await;
                let token = world.read(key, "c1").await["credentials"]["access_token"].clone();
                assert!(!tokens.contains(&token), "{kind}");
                tokens.push(token);
            }
        }
    });
}

#[test]
fn the_deprecated_import_takes_installations_too() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        for (key, installation) in [(APP, json!("77")), (USER_APP, json!(77))] {
            let body = json!({"provider_config_key": key, "connection_id": "c1", "app_id": 12345,
                "installation_id": installation, "connection_config": {"region": "eu"}});
            let echoed = world.app.client().post("/connection", body.clone()).expect(201).await;
            assert_eq!(echoed, body, "nothing secret in the echo");
            let read = world.read(key, "c1").await;
            assert_eq!(read["credentials"]["type"], "APP");
            assert_eq!(read["connection_config"]["installation_id"], "77");
            assert_eq!(read["connection_config"]["app_id"], "12345");
        }
    });
}

#[test]
fn an_import_without_a_token_is_a_failure_with_the_words_of_the_provider() {
    run(async {
        let world = World::start().await;
        let client = world.app.client();
        let flat = json!({"provider_config_key": APP, "app_id": "12345", "installation_id": "77"});
        for (path, body) in [("/connections", import(APP, "APP", json!({}))), ("/connection", flat)] {
            let error = client.post(path, body.clone()).expect(500).await;
            assert_eq!(error["error"]["code"], "server_error");
            assert!(error["error"]["message"].as_str().unwrap_or_default().contains("Not Found"), "{error}");
            world.github.answer_next("installation", Canned::new(200, "text/html", "<html>"));
            client.post(path, body).expect(500).await;
        }
        let nowhere = json!({"provider_config_key": APP, "connection_id": "c1",
            "credentials": {"type": "APP", "app_id": "12345", "installation_id": ".."}});
        let error = client.post("/connections", nowhere).expect(500).await;
        assert!(error["error"]["message"].as_str().unwrap_or_default().contains("path of dots"), "{error}");
        assert_eq!(world.count().await, 0);
    });
}
