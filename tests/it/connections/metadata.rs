//! `POST` and `PATCH /connections/metadata`.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::app_with_keys;
use crate::support::catalog::issue_lines;
use crate::support::{TestApp, run};

#[test]
fn metadata_is_replaced_or_merged() {
    run(async {
        let app = app_with_keys(&["c1", "c2"]).await;
        let client = app.client();
        let body = |id: Value, metadata: Value| json!({"metadata": metadata, "connection_id": id, "provider_config_key": "plain"});
        let shown = async |id: &str| {
            let read = client.get(format!("/connections/{id}?provider_config_key=plain")).expect(200).await;
            (read["metadata"].clone(), read["updated_at"].clone())
        };
        let (_, updated_at) = shown("c1").await;
        app.advance(TimeDelta::seconds(1));
        let first = body(json!("c1"), json!({"a": {"x": 1}, "b": 2}));
        assert_eq!(client.post("/connections/metadata", first.clone()).expect(201).await, first);
        assert_eq!(shown("c1").await, (json!({"a": {"x": 1}, "b": 2}), updated_at));
        let second = body(json!(["c1", "c2"]), json!({"a": {"y": 1}, "c": null}));
        assert_eq!(client.patch("/connection/metadata", second.clone()).expect(200).await, second);
        assert_eq!(shown("c1").await.0, json!({"a": {"y": 1}, "b": 2, "c": null}));
        assert_eq!(shown("c2").await.0, json!({"a": {"y": 1}, "c": null}));
        client.post("/connection/metadata", body(json!("c2"), json!({}))).expect(201).await;
        assert_eq!(shown("c2").await.0, json!({}));
        client.post("/connections/metadata", body(json!([]), json!({"z": 1}))).expect(201).await;
        let one_missing = body(json!(["c1", "nope"]), json!({"z": 1}));
        let several = client.post("/connections/metadata", one_missing).expect(404).await;
        let single = client.post("/connections/metadata", body(json!("nope"), json!({}))).expect(404).await;
        assert_ne!(several["error"]["message"], single["error"]["message"]);
        assert_eq!(shown("c1").await.0.get("z"), None, "nothing changes when one is missing");
    });
}

#[test]
fn bad_metadata_is_told_with_every_field() {
    run(async {
        let app = TestApp::with_providers().await;
        for (body, expected) in [
            (
                json!({}),
                vec![
                    "invalid_union connection_id",
                    "invalid_type provider_config_key",
                    "invalid_type metadata",
                ],
            ),
            (
                json!({"connection_id": "", "provider_config_key": "", "metadata": [], "x": 1}),
                vec![
                    "invalid_union connection_id",
                    "invalid_format provider_config_key",
                    "invalid_type metadata",
                    "unrecognized_keys",
                ],
            ),
            (
                json!({"connection_id": ["a", "<"], "provider_config_key": "a", "metadata": {}}),
                vec!["invalid_union connection_id"],
            ),
        ] {
            for method in ["POST", "PATCH"] {
                let ask = app.client().ask(method, "/connections/metadata").json(&body);
                assert_eq!(issue_lines(&ask.expect(400).await), expected, "{method} {body}");
            }
        }
    });
}

#[test]
fn patches_at_the_same_time_keep_each_others_keys() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let client = app.client();
        let patches = (0..20).map(|n| {
            let body = json!({"connection_id": "c1", "provider_config_key": "plain", "metadata": {format!("k{n}"): n}});
            client.patch("/connections/metadata", body).expect(200)
        });
        futures_util::future::join_all(patches).await;
        let read = client.get("/connections/c1?provider_config_key=plain").expect(200).await;
        assert_eq!(read["metadata"].as_object().unwrap().len(), 20);
    });
}
