//! `/connections*` and its aliases.

mod import;
mod list;
mod metadata;
mod read;

use chrono::TimeDelta;
use hitchpost::db;
use serde_json::{Value, json};

use crate::support::catalog::issue_lines;
use crate::support::{Case, Client, TestApp, check, run};

fn import(key: &str, id: &str, credentials: Value) -> Value {
    json!({"provider_config_key": key, "connection_id": id, "credentials": credentials})
}

fn api_key() -> Value {
    json!({"type": "API_KEY", "apiKey": "k"})
}

async fn ids(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(format!("/connections{query}")).expect(200).await;
    let connections = list["connections"].as_array().unwrap().iter();
    connections.map(|one| one["connection_id"].as_str().unwrap().to_owned()).collect()
}

async fn app_with_keys(ids: &[&str]) -> TestApp {
    let app = TestApp::with_providers().await;
    app.client().integration("plain-key", "plain").await;
    for id in ids {
        app.client().key_connection("plain", id).await;
        app.advance(TimeDelta::seconds(1));
    }
    app
}

#[test]
fn connections_refuse() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let (client, nobody, stranger) = (app.client(), app.anonymous(), app.stranger().await);
        stranger.integration("plain-key", "plain").await;
        let session = client.session(json!({"tags": {}})).await;
        let own = "?provider_config_key=plain";
        let one = |suffix: &str| format!("/connections/c1{suffix}");
        let metadata =
            |id: Value, key: &str| json!({"connection_id": id, "provider_config_key": key, "metadata": {}});
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("list without key", nobody.get("/connections"), 401, "missing_auth_header"),
            case("old list without key", nobody.get("/connection"), 401, "missing_auth_header"),
            case("read without key", nobody.get(one(own)), 401, "missing_auth_header"),
            case("import without key", nobody.post("/connections", json!({})), 401, "missing_auth_header"),
            case("change without key", nobody.patch(one(own), json!({})), 401, "missing_auth_header"),
            case("delete without key", nobody.delete(one(own)), 401, "missing_auth_header"),
            case(
                "metadata without key",
                nobody.post("/connections/metadata", json!({})),
                401,
                "missing_auth_header",
            ),
            case("list by an end user", session.get("/connections"), 401, "invalid_secret_key_format"),
            case("account key", app.account_client().await.get("/connections"), 403, "forbidden"),
            case(
                "wrong content type",
                client.get("/connections").header("content-type", "text/html"),
                415,
                "invalid_content_type",
            ),
            case("list: unknown parameter", client.get("/connections?a=b"), 400, "invalid_query_params"),
            case("list: limit 0", client.get("/connections?limit=0"), 400, "invalid_query_params"),
            case("list: limit 2001", client.get("/connections?limit=2001"), 400, "invalid_query_params"),
            case("list: half a limit", client.get("/connections?limit=1.5"), 400, "invalid_query_params"),
            case("list: negative page", client.get("/connections?page=-1"), 400, "invalid_query_params"),
            case("list: empty search", client.get("/connections?search="), 400, "invalid_query_params"),
            case(
                "list: long id",
                client.get(format!("/connections?connectionId={}", "x".repeat(256))),
                400,
                "invalid_query_params",
            ),
            case("list: bad tag", client.get("/connections?tags[1a]=b"), 400, "invalid_query_params"),
            case(
                "list: tags that are no object",
                client.get("/connections?tags=b"),
                400,
                "invalid_query_params",
            ),
            case("read without integration", client.get(one("")), 400, "invalid_query_params"),
            case(
                "read: flag of the wrong form",
                client.get(one("?provider_config_key=plain&force_refresh=maybe")),
                400,
                "invalid_query_params",
            ),
            case(
                "read: empty flag",
                client.get(one("?provider_config_key=plain&refresh_token=")),
                400,
                "invalid_query_params",
            ),
            case("read: query before path", client.get("/connections/%3C"), 400, "invalid_query_params"),
            case(
                "read: id of the wrong form",
                client.get("/connections/%3C?provider_config_key=plain"),
                400,
                "invalid_uri_params",
            ),
            case(
                "read: unknown integration",
                client.get(one("?provider_config_key=nope")),
                400,
                "unknown_provider_config",
            ),
            case(
                "read: unknown connection",
                client.get("/connections/c2?provider_config_key=plain"),
                404,
                "not_found",
            ),
            case("read: another environment's", stranger.get(one(own)), 404, "not_found"),
            case("change without integration", client.patch(one(""), json!({})), 400, "invalid_query_params"),
            case("change without body", client.ask("PATCH", one(own)), 400, "invalid_body"),
            case(
                "change: body before path",
                client.patch("/connections/%3C?provider_config_key=plain", json!([])),
                400,
                "invalid_body",
            ),
            case(
                "change: path",
                client.patch("/connections/%3C?provider_config_key=plain", json!({})),
                400,
                "invalid_uri_params",
            ),
            case(
                "change: unknown integration",
                client.patch(one("?provider_config_key=nope"), json!({})),
                400,
                "unknown_provider_config",
            ),
            case(
                "change: unknown connection",
                client.patch("/connections/c2?provider_config_key=plain", json!({})),
                404,
                "not_found",
            ),
            case("change: another environment's", stranger.patch(one(own), json!({})), 404, "not_found"),
            case(
                "change: no alias",
                client.patch("/connection/c1?provider_config_key=plain", json!({})),
                404,
                "not_found",
            ),
            case("delete: path before query", client.delete("/connections/%3C"), 400, "invalid_uri_params"),
            case("delete without integration", client.delete(one("")), 400, "invalid_query_params"),
            case(
                "delete: unknown integration",
                client.delete(one("?provider_config_key=nope")),
                400,
                "unknown_connection",
            ),
            case(
                "delete: unknown connection",
                client.delete("/connections/c2?provider_config_key=plain"),
                400,
                "unknown_connection",
            ),
            case("delete: another environment's", stranger.delete(one(own)), 400, "unknown_connection"),
            case(
                "metadata with a parameter",
                client.post("/connections/metadata?a=b", json!({})),
                400,
                "invalid_query_params",
            ),
            case(
                "metadata of an unknown one",
                client.post("/connections/metadata", metadata(json!("c2"), "plain")),
                404,
                "unknown_connection",
            ),
            case(
                "metadata of an unknown integration",
                client.post("/connections/metadata", metadata(json!("c1"), "nope")),
                404,
                "unknown_connection",
            ),
            case(
                "metadata of another environment's",
                stranger.patch("/connections/metadata", metadata(json!("c1"), "plain")),
                404,
                "unknown_connection",
            ),
            case(
                "import with a parameter",
                client.post("/connections?a=b", json!({})),
                400,
                "invalid_query_params",
            ),
            case("import without body", client.ask("POST", "/connections"), 400, "invalid_body"),
            case(
                "import: unknown integration",
                client.post("/connections", import("nope", "x", api_key())),
                404,
                "not_found",
            ),
            case(
                "import: another environment's",
                app.stranger().await.post("/connections", import("plain", "x", api_key())),
                404,
                "not_found",
            ),
            case(
                "import: wrong type",
                client.post("/connections", import("plain", "x", json!({"type": "NONE"}))),
                400,
                "invalid_body",
            ),
        ])
        .await;
        client.get(one(own)).expect(200).await;
    });
}

#[test]
fn a_change_replaces_tags_and_end_user() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let client = app.client();
        let path = "/connections/c1?provider_config_key=plain";
        let patch = async |body: Value| {
            assert_eq!(client.patch(path, body).expect(200).await, json!({"success": true}));
            let shown = client.get(path).expect(200).await;
            (shown["tags"].clone(), shown["end_user"].clone(), shown["webhook_url_override"].clone())
        };
        let user = json!({"id": "u1", "display_name": null, "email": "u1@example.com", "tags": null, "organization": null});
        let derived = json!({"end_user_id": "u1", "end_user_email": "u1@example.com"});
        let hook = json!("https://hooks.example.com/in");
        assert_eq!(
            patch(json!({"tags": {"Plan": "pro plan"}, "webhook_url_override": hook})).await,
            (json!({"plan": "pro plan"}), Value::Null, hook.clone())
        );
        assert_eq!(patch(json!({})).await, (json!({"plan": "pro plan"}), Value::Null, hook.clone()));
        assert_eq!(
            patch(json!({"end_user": {"id": "u1", "email": "u1@example.com"}})).await,
            (derived.clone(), user.clone(), hook.clone())
        );
        let mut both = derived.clone();
        both["plan"] = json!("x");
        assert_eq!(
            patch(json!({"end_user": {"id": "u1", "email": "u1@example.com"}, "tags": {"plan": "x"}})).await,
            (both, user.clone(), hook.clone())
        );
        assert_eq!(
            patch(json!({"tags": {}, "webhook_url_override": ""})).await,
            (json!({}), user, Value::Null)
        );
    });
}

#[test]
fn a_refused_change_leaves_everything_as_it_was() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let client = app.client();
        let path = "/connections/c1?provider_config_key=plain";
        let nine: Value =
            (0..9).map(|n| (format!("t{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        let user = json!({"id": "u1", "email": "u1@example.com"});
        let error = client.patch(path, json!({"end_user": user, "tags": nine})).expect(400).await;
        assert_eq!(error["error"]["code"], "invalid_body");
        assert_eq!(error["error"].get("errors"), None);
        assert_eq!(client.get(path).expect(200).await["end_user"], Value::Null);
        for (body, expected) in [
            (json!({"tags": {"1": "a"}}), vec!["invalid_key tags.1"]),
            (json!({"tags": {"end_user_email": "nobody"}}), vec!["custom tags"]),
            (json!({"end_user": {}, "x": 1}), vec!["invalid_type end_user.id", "unrecognized_keys"]),
            (json!({"webhook_url_override": "ftp://example.com"}), vec!["custom webhook_url_override"]),
            (json!({"webhook_url_override": 5}), vec!["invalid_union webhook_url_override"]),
        ] {
            let error = client.patch(path, body.clone()).expect(400).await;
            assert_eq!(issue_lines(&error), expected, "{body}");
        }
    });
}

#[test]
fn a_deleted_connection_is_gone_with_its_credentials() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let client = app.client();
        let path = "/connection/c1?provider_config_key=plain";
        let integration =
            db::integrations::find(&app.app.db, app.environment_id, "plain").await.unwrap().unwrap();
        let row = db::connections::find(&app.app.db, app.environment_id, integration.id, "c1")
            .await
            .unwrap()
            .unwrap();
        client.get(path).expect(200).await;
        assert_eq!(
            client.delete(path).header("content-type", "application/json").expect(200).await,
            json!({"success": true})
        );
        client.get(path).expect(404).await;
        let again = client.delete(path).expect(400).await;
        assert_eq!(again["error"]["code"], "unknown_connection");
        assert!(again["error"]["message"].is_string());
        assert_eq!(ids(&client, "").await, Vec::<String>::new());
        let left: Option<Vec<u8>> = sqlx::query_scalar("SELECT credentials FROM connections WHERE id = $1")
            .bind(row.id.0)
            .fetch_one(&app.app.db)
            .await
            .unwrap();
        assert_eq!(left, None);
        let created = client.key_connection("plain", "c1").await;
        assert_ne!(created["id"], json!(row.id.0), "the id may be used again at once");
    });
}

#[test]
fn texts_that_the_database_cannot_hold_are_refused() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let client = app.client();
        let metadata =
            json!({"connection_id": "c1", "provider_config_key": "plain", "metadata": {"a": "x\0y"}});
        let mut imported = import("plain", "c2", api_key());
        imported["connection_config"] = json!({"a\0": 1});
        let case = |name, request| Case { name, request, status: 400, code: "invalid_body" };
        check(vec![
            case("metadata", client.patch("/connections/metadata", metadata)),
            case(
                "tags",
                client.patch("/connections/c1?provider_config_key=plain", json!({"tags": {"a": "\0"}})),
            ),
            case("connection config", client.post("/connections", imported)),
            case("name", client.patch("/integrations/plain", json!({"display_name": "a\0"}))),
            case("end user", client.post("/connect/sessions", json!({"end_user": {"id": "\0"}}))),
        ])
        .await;
        assert_eq!(ids(&client, "").await, ["c1"]);
    });
}
