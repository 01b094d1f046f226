//! `GET /connections/{connection_id}`.

use chrono::TimeDelta;
use hitchpost::db::{self, ConnectionRowId};
use serde_json::json;

use super::{api_key, app_with_keys, ids, import};
use crate::support::{Case, TestApp, check, run};

#[test]
fn refresh_tokens_are_hidden_unless_asked_for() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("acme", "acme").await;
        let mut body =
            import("acme", "c1", json!({"type": "OAUTH2", "access_token": "t", "refresh_token": "r"}));
        body["connection_config"] = json!({"nested": {"refreshToken": "r", "refresh_token_expires_in": 5}});
        client.post("/connections", body).expect(201).await;
        let hidden =
            client.get("/connections/c1?provider_config_key=acme&refresh_token=no").expect(200).await;
        assert_eq!(
            hidden["credentials"],
            json!({"type": "OAUTH2", "access_token": "t", "raw": {"type": "OAUTH2", "access_token": "t"}})
        );
        assert_eq!(hidden["connection_config"], json!({"nested": {"refresh_token_expires_in": 5}}));
        let shown = client.get("/connections/c1?provider_config_key=acme&refresh_token=1").expect(200).await;
        assert_eq!(shown["credentials"]["refresh_token"], "r");
        assert_eq!(shown["credentials"]["raw"]["refresh_token"], "r");
        assert_eq!(shown["connection_config"]["nested"]["refreshToken"], "r");
    });
}

#[test]
fn credentials_need_their_own_scope() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("acme", "acme").await;
        let mut body =
            import("acme", "c1", json!({"type": "OAUTH2", "access_token": "t", "refresh_token": "r"}));
        body["connection_config"] = json!({"refresh_token": "r", "kept": 1});
        app.client().post("/connections", body).expect(201).await;
        let reader = app.client_with(&["connections:read"]).await;
        let path = "/connections/c1?provider_config_key=acme";
        let shown = reader.get(format!("{path}&force_refresh=false&refresh_token=false")).expect(200).await;
        assert_eq!(shown["credentials"], json!({}));
        assert_eq!(shown["connection_config"], json!({"kept": 1}));
        let forbidden = |name, request| Case { name, request, status: 403, code: "forbidden" };
        check(vec![
            forbidden("force", reader.get(format!("{path}&force_refresh=true"))),
            forbidden("refresh token", reader.get(format!("{path}&refresh_token=true"))),
            forbidden("app token", reader.get(format!("{path}&refresh_github_app_jwt_token=true"))),
            forbidden(
                "before the integration is looked for",
                reader.get("/connections/c1?provider_config_key=x&refresh_token=on"),
            ),
            forbidden("list", reader.get("/connections")),
            forbidden("import", reader.post("/connections", json!({}))),
            forbidden("change", reader.patch(path, json!({}))),
            forbidden("delete", reader.delete(path)),
            forbidden("metadata", reader.post("/connections/metadata", json!({}))),
            forbidden("read", app.client_with(&["connections:list", "integrations:*"]).await.get(path)),
        ])
        .await;
        let insider = app.client_with(&["connections:read_credentials"]).await;
        assert_eq!(insider.get(path).expect(200).await["credentials"]["access_token"], "t");
        let lister = app.client_with(&["connections:list_credentials"]).await;
        let list = lister.get("/connections").expect(200).await;
        assert_eq!(list["connections"][0].get("credentials"), None);
        app.client_with(&["connections:delete"]).await.delete(path).expect(200).await;
    });
}

#[test]
fn secrets_of_the_connection_config_are_credentials_too() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("vault", "vault").await;
        let mut body = import("vault", "c1", api_key());
        body["connection_config"] = json!({"region": "eu", "pin": "1234"});
        let created = app.client().post("/connections", body.clone()).expect(201).await;
        assert_eq!(created["connection_config"], body["connection_config"]);
        let path = "/connections/c1?provider_config_key=vault";
        assert_eq!(app.client().get(path).expect(200).await["connection_config"], body["connection_config"]);
        let reader = app.client_with(&["connections:read"]).await;
        assert_eq!(reader.get(path).expect(200).await["connection_config"], json!({"region": "eu"}));
    });
}

#[test]
fn a_failed_refresh_names_its_reason_and_shows_the_connection() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("acme", "acme").await;
        let token = json!({"type": "OAUTH2", "access_token": "t", "refresh_token": "r", "expires_at": "2000-01-01T00:00:00Z"});
        let created = client.post("/connections", import("acme", "c1", token)).expect(201).await;
        let id = ConnectionRowId(created["id"].as_i64().unwrap());
        let owner = app.app.rng.uuid();
        let now = app.now();
        let until = now + TimeDelta::seconds(40);
        let taken =
            db::refresh_leases::take(&app.app.db, app.environment_id, id, owner, until, now).await.unwrap();
        assert!(taken);
        let failed = db::refresh_leases::Failed {
            id,
            owner,
            error: &json!({"kind": "refresh_token_external_error", "message": "no"}),
            attempts: 4,
            exhausted: true,
            now,
        };
        assert!(db::refresh_leases::save_failure(&app.app.db, failed).await.unwrap());
        db::connection_errors::insert_auth(&app.app.db, id, "log_1", now).await.unwrap();
        let error = client.get("/connections/c1?provider_config_key=acme").expect(424).await["error"].clone();
        assert_eq!(error["code"], "invalid_credentials");
        assert!(error["message"].is_string());
        assert_eq!(error["payload"]["type"], "connection_refresh_exhausted");
        let shown = &error["payload"]["connection"];
        assert_eq!(shown["id"], created["id"]);
        assert_eq!(shown["credentials"], json!({}));
        assert_eq!(shown["errors"], json!([{"type": "auth", "log_id": "log_1"}]));
        let list = client.get("/connections").expect(200).await;
        assert_eq!(list["connections"][0]["errors"], json!([{"type": "auth", "log_id": "log_1"}]));
    });
}

#[test]
fn a_forced_refresh_that_fails_is_told_and_listed() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("silent", "silent").await;
        let token = json!({"type": "OAUTH2", "access_token": "t", "refresh_token": "r"});
        let mut body = import("silent", "c1", token);
        body["connection_config"] = json!({"refresh_token": "r"});
        client.post("/connections", body).expect(201).await;
        let path = "/connections/c1?provider_config_key=silent";
        client.get(path).expect(200).await;
        let error =
            client.get(format!("{path}&force_refresh=true&refresh_token=true")).expect(400).await["error"]
                .clone();
        assert_eq!(error["code"], "invalid_credentials");
        assert_eq!(error["payload"]["type"], "refresh_token_external_error");
        let shown = &error["payload"]["connection"];
        assert_eq!(shown["errors"][0]["type"], "auth");
        assert_eq!((&shown["credentials"], &shown["connection_config"]), (&json!({}), &json!({})));
        let soon = client.get(path).expect(424).await;
        assert_eq!(soon["error"]["payload"]["type"], "connection_refresh_backoff");
        let reader = app.client_with(&["connections:read"]).await;
        assert_eq!(
            reader.get(path).expect(200).await["errors"],
            shown["errors"],
            "reading without credentials goes on"
        );
    });
}

#[test]
fn the_same_id_may_exist_under_two_integrations() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        let client = app.client();
        client.integration("plain-key", "other").await;
        client
            .post("/connections", import("other", "c1", json!({"type": "API_KEY", "apiKey": "z"})))
            .expect(201)
            .await;
        let key = async |integration: &str| {
            let path = format!("/connections/c1?provider_config_key={integration}");
            client.get(path).expect(200).await["credentials"]["apiKey"].clone()
        };
        assert_eq!((key("plain").await, key("other").await), (json!("k"), json!("z")));
        assert_eq!(ids(&client, "?integrationId=other").await, ["c1"]);
    });
}

#[test]
fn a_connection_may_be_called_metadata() {
    run(async {
        let app = app_with_keys(&["metadata"]).await;
        for base in ["/connections", "/connection"] {
            let path = format!("{base}/metadata?provider_config_key=plain");
            assert_eq!(app.client().get(path).expect(200).await["connection_id"], "metadata");
        }
        app.client().delete("/connections/metadata?provider_config_key=plain").expect(200).await;
    });
}

#[test]
fn connections_of_a_vanished_provider_are_still_read() {
    run(async {
        let app = app_with_keys(&["c1"]).await;
        app.app.catalog.replace(hitchpost::catalog::Catalog::default());
        let read = app.client().get("/connections/c1?provider_config_key=plain").expect(200).await;
        assert_eq!(read["credentials"]["apiKey"], "k");
        let error = app.client().post("/connections", import("plain", "c2", api_key())).expect(404).await;
        assert_eq!(error["error"]["code"], "not_found");
    });
}

#[test]
fn a_warm_read_asks_no_database_and_follows_every_change() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "pk").await;
        let id = client.key_connection("pk", "c1").await["id"].as_i64().unwrap();
        let read = async || client.get("/connections/c1?provider_config_key=pk").expect(200).await;
        assert_eq!(read().await["metadata"], json!({}));
        // Behind the server's back, where only the database would show it.
        sqlx::query("UPDATE connections SET metadata = '{\"unseen\":1}' WHERE id = $1")
            .bind(id)
            .execute(&app.app.db)
            .await
            .unwrap();
        assert_eq!(read().await["metadata"], json!({}), "answered from memory");
        let change = json!({"connection_id": "c1", "provider_config_key": "pk", "metadata": {"seen": 1}});
        client.patch("/connections/metadata", change).expect(200).await;
        assert_eq!(read().await["metadata"], json!({"unseen": 1, "seen": 1}));
        client.patch("/connections/c1?provider_config_key=pk", json!({"tags": {"a": "b"}})).expect(200).await;
        assert_eq!(read().await["tags"], json!({"a": "b"}));
        let before = read().await["last_fetched_at"].clone();
        app.advance(chrono::TimeDelta::seconds(5));
        assert_ne!(read().await["last_fetched_at"], before, "every read is a use");
        client.delete("/connections/c1?provider_config_key=pk").expect(200).await;
        client.get("/connections/c1?provider_config_key=pk").expect(404).await;
    });
}

#[test]
fn another_replica_forgets_what_it_remembers() {
    run(async {
        let app = TestApp::with_providers().await;
        let (client, other) = (app.client(), app.replica().await);
        client.integration("plain-key", "pk").await;
        client.key_connection("pk", "c1").await;
        let read = async || other.client().get("/connections/c1?provider_config_key=pk").expect(200).await;
        assert_eq!(read().await["tags"], json!({}));
        client.patch("/connections/c1?provider_config_key=pk", json!({"tags": {"a": "b"}})).expect(200).await;
        let seen = async {
            while read().await["tags"] != json!({"a": "b"}) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), seen).await.expect("within five seconds");
    });
}
