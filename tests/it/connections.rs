//! `/connections*` and its aliases.

use chrono::TimeDelta;
use hitchpost::db::{self, ConnectionRowId};
use serde_json::{Value, json};

use crate::support::catalog::{issue_lines, without};
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
fn bad_credentials_are_told_with_every_field() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let long = "x".repeat(16_385);
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!({"type": "OAUTH2"}), vec!["invalid_type credentials.access_token"]),
            (
                json!({"type": "OAUTH2", "access_token": long, "refresh_token": "", "expires_at": "soon",
                       "config_override": {"client_id": "", "client_secret": "x".repeat(2049), "x": 1}, "y": 1}),
                vec![
                    "too_big credentials.access_token",
                    "too_small credentials.refresh_token",
                    "invalid_type credentials.expires_at",
                    "too_small credentials.config_override.client_id",
                    "too_big credentials.config_override.client_secret",
                    "unrecognized_keys credentials.config_override",
                    "unrecognized_keys credentials",
                ],
            ),
            (
                json!({"type": "OAUTH2_CC"}),
                vec![
                    "invalid_type credentials.token",
                    "invalid_type credentials.client_id",
                    "invalid_type credentials.client_secret",
                ],
            ),
            (
                json!({"type": "OAUTH1", "oauth_token": ""}),
                vec!["too_small credentials.oauth_token", "invalid_type credentials.oauth_token_secret"],
            ),
            (json!({"type": "API_KEY", "apiKey": ""}), vec!["too_small credentials.apiKey"]),
            (
                json!({"type": "API_KEY", "api_key": "a"}),
                vec!["invalid_type credentials.apiKey", "unrecognized_keys credentials"],
            ),
            (
                json!({"type": "BASIC", "username": 1}),
                vec!["invalid_type credentials.username", "invalid_type credentials.password"],
            ),
            (json!({"type": "NONE", "a": 1}), vec!["unrecognized_keys credentials"]),
            (
                json!({"type": "TBA"}),
                vec!["invalid_type credentials.token_id", "invalid_type credentials.token_secret"],
            ),
            (
                json!({"type": "APP"}),
                vec!["invalid_type credentials.app_id", "invalid_type credentials.installation_id"],
            ),
            (
                json!({"type": "CUSTOM", "app_id": "", "installation_id": ""}),
                vec!["too_small credentials.app_id", "too_small credentials.installation_id"],
            ),
            (json!({"type": "JWT"}), vec!["invalid_union credentials.type"]),
            (json!({}), vec!["invalid_union credentials.type"]),
            (json!("x"), vec!["invalid_type credentials"]),
        ];
        for (credentials, expected) in cases {
            let body = json!({"provider_config_key": "a", "credentials": credentials});
            let error = client.post("/connections", body).expect(400).await;
            assert_eq!(error["error"]["code"], "invalid_body");
            assert_eq!(issue_lines(&error), expected, "{credentials}");
        }
    });
}

#[test]
fn a_bad_import_is_told_with_every_field() {
    run(async {
        let app = TestApp::with_providers().await;
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!({}), vec!["invalid_type provider_config_key", "invalid_type credentials"]),
            (
                json!({
                    "provider_config_key": "a", "connection_id": "", "credentials": {"type": "NONE"}, "metadata": [],
                    "connection_config": {"oauth_scopes_override": ["a", 1], "free": 1}, "webhook_url_override": "nowhere",
                    "end_user": {"email": "x"}, "tags": {"1a": "b", "c": ""}, "z": 1,
                }),
                vec![
                    "invalid_format connection_id",
                    "invalid_type metadata",
                    "invalid_type connection_config.oauth_scopes_override.1",
                    "invalid_union webhook_url_override",
                    "invalid_type end_user.id",
                    "invalid_format end_user.email",
                    "too_small end_user.email",
                    "invalid_key tags.1a",
                    "too_small tags.c",
                    "unrecognized_keys",
                ],
            ),
            (
                json!({"provider_config_key": "a", "credentials": {"type": "NONE"}, "webhook_url_override": "https://api.nango.dev/x"}),
                vec!["custom webhook_url_override"],
            ),
            (
                json!({"provider_config_key": "a", "credentials": {"type": "NONE"}, "tags": {"A": "1", "a": "2"}}),
                vec!["custom tags"],
            ),
            (
                json!({"provider_config_key": "a", "credentials": {"type": "NONE"}, "end_user": {"id": "u", "email": "u@example.com"},
                       "tags": {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1", "g": "1", "h": "1", "i": "1"}}),
                vec!["custom tags"],
            ),
        ];
        for (body, expected) in cases {
            let error = app.client().post("/connections", body.clone()).expect(400).await;
            assert_eq!(issue_lines(&error), expected, "{body}");
        }
    });
}

#[test]
fn every_kind_of_credentials_can_be_imported_and_read_back() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let raw = |mut value: Value| {
            let shown = value.clone();
            value["raw"] = shown;
            value
        };
        let oauth2 = json!({"type": "OAUTH2", "access_token": "tok"});
        let oauth1 = json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s"});
        let cases = [
            ("acme", oauth2.clone(), raw(oauth2)),
            ("acme-one", oauth1.clone(), raw(oauth1)),
            (
                "acme-cc",
                json!({"type": "OAUTH2_CC", "token": "t", "client_id": "c", "client_secret": "s", "client_private_key": "p"}),
                json!({"type": "OAUTH2_CC", "token": "t", "client_id": "c", "client_secret": "s", "client_private_key": "p",
                       "raw": {"type": "OAUTH2_CC", "token": "t", "client_id": "c"}}),
            ),
            ("plain-key", api_key(), api_key()),
            (
                "plain-basic",
                json!({"type": "BASIC", "username": "", "password": ""}),
                json!({"type": "BASIC", "username": "", "password": ""}),
            ),
            ("open-door", json!({"type": "NONE"}), json!({})),
        ];
        for (provider, credentials, expected) in cases {
            client.integration(provider, provider).await;
            let created = client.post("/connections", import(provider, "c", credentials)).expect(201).await;
            assert_eq!(created["credentials"], expected, "{provider}");
            let read = client.get(format!("/connections/c?provider_config_key={provider}")).expect(200).await;
            assert_eq!(read["credentials"], expected, "{provider}");
            assert_eq!(read["provider"], provider);
        }
    });
}

#[test]
fn an_imported_connection_is_shown_whole() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("acme", "acme-prod").await;
        let body = json!({
            "provider_config_key": "acme-prod",
            "connection_id": "c-78",
            "credentials": {"type": "OAUTH2", "access_token": "tok", "refresh_token": "ref", "expires_at": "2099-01-01T00:00:00Z",
                            "config_override": {"client_id": "own", "client_secret": "hidden"}},
            "metadata": {"plan": "pro"},
            "connection_config": {"subdomain": "una", "oauth_scopes_override": ["a"]},
            "webhook_url_override": "https://hooks.example.com/in",
            "end_user": {"id": "123", "display_name": "Jo", "tags": {"projectId": "9"}},
            "tags": {"Plan": "gold"},
        });
        let created = client.post("/connections", body).expect(201).await;
        let now = hitchpost::time_format::format_millis_z(app.now());
        assert_eq!(
            without(&created, &["id"]),
            json!({
                "connection_id": "c-78", "provider_config_key": "acme-prod", "provider": "acme", "errors": [],
                "end_user": {"id": "123", "display_name": "Jo", "email": null, "tags": {"projectId": "9"}, "organization": null},
                "tags": {"end_user_id": "123", "end_user_display_name": "Jo", "projectid": "9", "plan": "gold"},
                "metadata": {"plan": "pro"},
                "connection_config": {"subdomain": "una", "oauth_scopes_override": ["a"]},
                "webhook_url_override": "https://hooks.example.com/in",
                "created_at": now, "updated_at": now, "last_fetched_at": now,
                "credentials": {
                    "type": "OAUTH2", "access_token": "tok", "refresh_token": "ref", "expires_at": "2099-01-01T00:00:00.000Z",
                    "config_override": {"client_id": "own", "client_secret": "hidden"},
                    "raw": {"type": "OAUTH2", "access_token": "tok", "refresh_token": "ref", "expires_at": "2099-01-01T00:00:00Z"},
                },
            })
        );
        app.advance(TimeDelta::seconds(2));
        let read = client
            .get("/connections/c-78?provider_config_key=acme-prod&refresh_token=true")
            .expect(200)
            .await;
        assert_eq!(read["credentials"], created["credentials"]);
        let offset = |time: &str| time.replace('Z', "+00:00");
        assert_eq!(read["created_at"], offset(&now));
        let fetched = hitchpost::time_format::format_millis_offset(app.now());
        assert_eq!(read["last_fetched_at"], fetched);
        let dates = ["created_at", "updated_at", "last_fetched_at", "credentials"];
        assert_eq!(without(&read, &dates), without(&created, &dates));
    });
}

#[test]
fn connection_ids_and_expiry_dates_have_their_forms() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("acme", "acme").await;
        for (expires_at, expected) in [
            (json!("2099-01-01"), "2099-01-01T00:00:00.000Z"),
            (json!("2099-01-01T10:00:00.5+02:00"), "2099-01-01T08:00:00.500Z"),
            (json!(4_070_908_800_i64), "2099-01-01T00:00:00.000Z"),
            (json!(4_070_908_800_123_i64), "2099-01-01T00:00:00.123Z"),
        ] {
            let body = json!({
                "provider_config_key": "acme",
                "credentials": {"type": "OAUTH2", "access_token": "t", "expires_at": expires_at},
            });
            let created = client.post("/connections", body).expect(201).await;
            assert_eq!(created["credentials"]["expires_at"], expected);
            let id: uuid::Uuid = created["connection_id"].as_str().unwrap().parse().unwrap();
            assert_eq!(id.get_version_num(), 4);
        }
        let odd = "a,b;c:d=e+f~g[h]|i@j${k}\"'\\/_ -";
        client
            .post("/connections", import("acme", odd, json!({"type": "OAUTH2", "access_token": "t"})))
            .expect(201)
            .await;
        let path = "a,b;c:d=e+f~g%5Bh%5D%7Ci@j$%7Bk%7D%22'%5C%2F_%20-";
        let read = client.get(format!("/connections/{path}?provider_config_key=acme")).expect(200).await;
        assert_eq!(read["connection_id"], odd);
    });
}

#[test]
fn importing_again_replaces_everything() {
    run(async {
        let app = app_with_keys(&[]).await;
        let client = app.client();
        let mut first = import("plain", "c1", api_key());
        first["metadata"] = json!({"a": 1});
        first["tags"] = json!({"b": "2"});
        first["connection_config"] = json!({"c": 3});
        first["webhook_url_override"] = json!("https://hooks.example.com/in");
        let created = client.post("/connections", first).expect(201).await;
        app.advance(TimeDelta::seconds(3));
        let again = json!({"type": "API_KEY", "apiKey": "newer"});
        let replaced = client.post("/connections", import("plain", "c1", again)).expect(201).await;
        assert_eq!(replaced["id"], created["id"]);
        assert_eq!(replaced["created_at"], created["created_at"]);
        assert_ne!(replaced["updated_at"], created["updated_at"]);
        assert_eq!(replaced["credentials"]["apiKey"], "newer");
        for (member, empty) in [
            ("metadata", json!({})),
            ("tags", json!({})),
            ("connection_config", json!({})),
            ("webhook_url_override", Value::Null),
        ] {
            assert_eq!(replaced[member], empty, "{member}");
        }
        assert_eq!(ids(&client, "").await, ["c1"]);
    });
}

#[test]
fn some_imports_need_more_than_credentials() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("net-books", "books").await;
        let tba = json!({"type": "TBA", "token_id": "i", "token_secret": "s", "config_override": {"client_id": "c"}});
        let mut body = import("books", "c1", tba.clone());
        let error = client.post("/connections", body.clone()).expect(400).await;
        assert_eq!(error["error"]["code"], "invalid_body");
        assert_eq!(error["error"].get("errors"), None);
        body["connection_config"] = json!({"accountId": "1"});
        assert_eq!(client.post("/connections", body).expect(201).await["credentials"], tba);
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nTUlJ\n-----END RSA PRIVATE KEY-----";
        let forge = json!({"provider": "forge-app", "unique_key": "forge", "credentials":
            {"type": "APP", "app_id": "7", "app_link": "https://forge.example", "private_key": pem}});
        client.post("/integrations", forge).expect(200).await;
        let app_import = import("forge", "c1", json!({"type": "APP", "app_id": "7", "installation_id": "8"}));
        assert_eq!(
            client.post("/connections", app_import).expect(500).await["error"]["code"],
            "server_error"
        );
        let wrong = import("forge", "c1", json!({"type": "CUSTOM", "app_id": "7", "installation_id": "8"}));
        assert_eq!(client.post("/connections", wrong).expect(400).await["error"]["code"], "invalid_body");
    });
}

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
fn the_list_shows_summaries_newest_first() {
    run(async {
        let app = app_with_keys(&[]).await;
        let client = app.client();
        assert_eq!(client.get("/connections").expect(200).await, json!({"connections": []}));
        let created_at = app.now();
        client.key_connection("plain", "c1").await;
        let list = client.get("/connections").expect(200).await;
        assert_eq!(
            without(&list["connections"][0], &["id"]),
            json!({
                "connection_id": "c1", "provider_config_key": "plain", "provider": "plain-key", "errors": [],
                "end_user": null, "tags": {}, "metadata": {},
                "created": hitchpost::time_format::format_micros_offset(created_at),
            })
        );
        app.advance(TimeDelta::seconds(1));
        client.key_connection("plain", "c2").await;
        client.key_connection("plain", "c3").await;
        for path in ["", "/", "?page=0", "?limit=2000"] {
            assert_eq!(ids(&client, path).await, ["c3", "c2", "c1"], "{path}");
        }
        assert_eq!(client.get("/connection").expect(200).await, client.get("/connections").expect(200).await);
        assert_eq!(ids(&client, "?limit=2").await, ["c3", "c2"]);
        assert_eq!(ids(&client, "?limit=2&page=1").await, ["c1"]);
        assert_eq!(ids(&client, "?limit=2&page=2").await, Vec::<String>::new());
        assert_eq!(ids(&client, "?limit=2000&page=9007199254740991").await, Vec::<String>::new());
        assert_eq!(ids(&app.stranger().await, "").await, Vec::<String>::new());
    });
}

#[test]
fn the_list_can_be_filtered() {
    run(async {
        let app = app_with_keys(&[]).await;
        let client = app.client();
        client.integration("plain-key", "other").await;
        let people = [
            (
                "plain",
                "a_1",
                json!({"end_user": {"id": "u1", "email": "ann@example.com", "display_name": "Ann 100%"}}),
            ),
            ("plain", "ab1", json!({"tags": {"end_user_id": "u1", "plan": "a:b,c"}})),
            ("other", "c1", json!({"end_user": {"id": "u2"}, "tags": {"plan": "pro", "end_user_id": "u1"}})),
        ];
        for (integration, id, extra) in people {
            let mut body = import(integration, id, api_key());
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            client.post("/connections", body).expect(201).await;
            app.advance(TimeDelta::seconds(1));
        }
        let c1 = client.get("/connections?connectionId=c1").expect(200).await["connections"][0]["id"].clone();
        let user = db::end_users::EndUser {
            end_user_id: "u2".into(),
            email: None,
            display_name: None,
            organization_id: Some("o1".into()),
            organization_display_name: None,
            tags: None,
        };
        let mut database = app.app.db.acquire().await.unwrap();
        let id = ConnectionRowId(c1.as_i64().unwrap());
        db::end_users::upsert_for_connection(&mut database, app.environment_id, id, &user, app.now())
            .await
            .unwrap();
        drop(database);
        for (query, expected) in [
            ("?connectionId=c1", vec!["c1"]),
            ("?connectionId=C1", vec![]),
            ("?integrationId=plain", vec!["ab1", "a_1"]),
            ("?integrationId=plain,%20other", vec!["c1", "ab1", "a_1"]),
            ("?integrationId=nope", vec![]),
            ("?search=ANN@", vec!["a_1"]),
            ("?search=100%25", vec!["a_1"]),
            ("?search=a_", vec!["a_1"]),
            ("?search=%25", vec!["a_1"]),
            ("?search=1", vec!["c1", "ab1", "a_1"]),
            ("?endUserId=u1", vec!["ab1", "a_1"]),
            ("?endUserId=u2", vec!["c1"]),
            ("?endUserId=u3", vec![]),
            ("?endUserOrganizationId=o1", vec!["c1"]),
            ("?endUserOrganizationId=o2", vec![]),
            ("?tags[plan]=pro", vec!["c1"]),
            ("?tags%5BPLAN%5D=pro", vec!["c1"]),
            ("?tags[plan]=a:b,c", vec!["ab1"]),
            ("?tags[end_user_id]=u1", vec!["c1", "ab1", "a_1"]),
            ("?tags[end_user_id]=u1&tags[plan]=pro", vec!["c1"]),
            ("?tags[end_user_id]=u2&tags[plan]=a:b,c", vec![]),
            ("?tags[end_user_id]=u1&integrationId=plain&search=ab", vec!["ab1"]),
        ] {
            assert_eq!(ids(&client, query).await, expected, "{query}");
        }
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
fn webhook_overrides_obey_the_outbound_policy() {
    run(async {
        let app =
            crate::support::app::TestSettings::default().set("NANGO_OUTBOUND_URL_POLICY", "{}").start().await;
        let body = json!({"provider_config_key": "a", "credentials": {"type": "NONE"}, "webhook_url_override": "http://127.0.0.1/x"});
        let error = app.client().post("/connections", body).expect(400).await;
        assert_eq!(issue_lines(&error), ["custom webhook_url_override"]);
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
