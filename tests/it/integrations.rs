//! `/integrations*`.

use hitchpost::db;
use serde_json::{Value, json};

use crate::support::catalog::{issue_lines, without};
use crate::support::{Case, Client, TestApp, check, run};

const PKCS1: &str = "-----BEGIN RSA PRIVATE KEY-----\nTUlJ\n-----END RSA PRIVATE KEY-----";
const PKCS8: &str = "\n-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----\n";
const DATES: [&str; 2] = ["created_at", "updated_at"];

fn oauth2(key: &str) -> Value {
    json!({
        "provider": "acme", "unique_key": key,
        "credentials": {"type": "OAUTH2", "client_id": "abc", "client_secret": "s3cret"},
    })
}

async fn credentials(client: &Client, key: &str) -> Value {
    let shown = client.get(format!("/integrations/{key}?include=credentials")).expect(200).await;
    shown["data"]["credentials"].clone()
}

#[test]
fn integrations_refuse() {
    run(async {
        let app = TestApp::with_providers().await;
        let (client, nobody) = (app.client(), app.anonymous());
        let session = client.session(json!({"tags": {}})).await;
        let stranger = app.stranger().await;
        client.integration("plain-key", "plain").await;
        let create = |body: Value| client.post("/integrations", body);
        let change = |body: Value| client.patch("/integrations/plain", body);
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("list without key", nobody.get("/integrations"), 401, "missing_auth_header"),
            case("read without key", nobody.get("/integrations/plain"), 401, "missing_auth_header"),
            case("create without key", nobody.post("/integrations", json!({})), 401, "missing_auth_header"),
            case(
                "quickstart without key",
                nobody.post("/integrations/quickstart", json!({})),
                401,
                "missing_auth_header",
            ),
            case(
                "change without key",
                nobody.patch("/integrations/plain", json!({})),
                401,
                "missing_auth_header",
            ),
            case("delete without key", nobody.delete("/integrations/plain"), 401, "missing_auth_header"),
            case("read by an end user", session.get("/integrations/plain"), 401, "invalid_secret_key_format"),
            case(
                "list with a parameter",
                client.get("/integrations?include=webhook"),
                400,
                "invalid_query_params",
            ),
            case("read with a parameter", client.get("/integrations/plain?a=b"), 400, "invalid_query_params"),
            case(
                "read with another include",
                client.get("/integrations/plain?include=x"),
                400,
                "invalid_query_params",
            ),
            case(
                "read: query before path",
                client.get("/integrations/a%2Fb?a=b"),
                400,
                "invalid_query_params",
            ),
            case(
                "read a key of the wrong form",
                client.get("/integrations/a%2Fb"),
                400,
                "invalid_uri_params",
            ),
            case("read unknown", client.get("/integrations/nope"), 404, "not_found"),
            case("read another environment's", stranger.get("/integrations/plain"), 404, "not_found"),
            case(
                "create with a parameter",
                client.post("/integrations?a=b", json!({})),
                400,
                "invalid_query_params",
            ),
            case("create without body", client.ask("POST", "/integrations"), 400, "invalid_body"),
            case(
                "wrong type of credentials",
                create(json!({
                "provider": "acme", "unique_key": "a",
                "credentials": {"type": "OAUTH1", "client_id": "a", "client_secret": "b"}})),
                400,
                "invalid_body",
            ),
            case(
                "missing credentials",
                create(json!({"provider": "acme", "unique_key": "a"})),
                400,
                "invalid_body",
            ),
            case(
                "config of a provider without",
                create(json!({
                "provider": "plain-key", "unique_key": "a", "integration_config": {"a": "b"}})),
                400,
                "invalid_body",
            ),
            case(
                "custom of a provider with config",
                create(json!({
                "provider": "two-step", "unique_key": "a", "custom": {"a": "b"}})),
                400,
                "invalid_body",
            ),
            case(
                "unknown field of the config",
                create(json!({
                "provider": "two-step", "unique_key": "a", "integration_config": {"nope": "b"}})),
                400,
                "invalid_body",
            ),
            case(
                "missing field of the config",
                create(json!({"provider": "generic-key", "unique_key": "a"})),
                400,
                "invalid_body",
            ),
            case("change: unknown", client.patch("/integrations/nope", json!({})), 404, "not_found"),
            case(
                "change another environment's",
                stranger.patch("/integrations/plain", json!({})),
                404,
                "not_found",
            ),
            case("change without body", client.ask("PATCH", "/integrations/plain"), 400, "invalid_body"),
            case(
                "change: query before body",
                client.patch("/integrations/plain?a=b", json!([])),
                400,
                "invalid_query_params",
            ),
            case(
                "change: body before path",
                client.patch("/integrations/a%2Fb", json!([])),
                400,
                "invalid_body",
            ),
            case("change: path", client.patch("/integrations/a%2Fb", json!({})), 400, "invalid_uri_params"),
            case("change: empty name", change(json!({"display_name": ""})), 400, "invalid_body"),
            case("change: provider", change(json!({"provider": "acme"})), 400, "invalid_body"),
            case(
                "change: wrong credentials",
                change(json!({
                "credentials": {"type": "OAUTH2", "client_id": "a", "client_secret": "b"}})),
                400,
                "invalid_body",
            ),
            case(
                "change: config of a provider without",
                change(json!({"integration_config": {"a": "b"}})),
                400,
                "invalid_body",
            ),
            case(
                "delete with a parameter",
                client.delete("/integrations/plain?a=b"),
                400,
                "invalid_query_params",
            ),
            case("delete unknown", client.delete("/integrations/nope"), 404, "not_found"),
            case("delete another environment's", stranger.delete("/integrations/plain"), 404, "not_found"),
        ])
        .await;
        client.get("/integrations/plain").expect(200).await;
    });
}

#[test]
fn a_bad_integration_is_told_with_every_field() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("acme", "taken").await;
        let app_client = |private_key: &str| {
            json!({
            "type": "APP", "app_id": "1", "app_link": "https://x", "private_key": private_key})
        };
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!({}), vec!["invalid_type provider", "invalid_type unique_key"]),
            (
                json!({"provider": "acme", "unique_key": "a/b", "display_name": "", "credentials": {"type": "NONE"}}),
                vec!["invalid_format unique_key", "too_small display_name", "invalid_union credentials.type"],
            ),
            (
                json!({"provider": "acme", "unique_key": "a", "x": 1, "forward_webhooks": "yes"}),
                vec!["invalid_type forward_webhooks", "unrecognized_keys"],
            ),
            (
                json!({"provider": "acme", "unique_key": "a", "credentials": {
                    "type": "OAUTH2", "client_id": "", "client_secret": "", "scopes": "a b", "webhook_secret": "x".repeat(256), "y": 1}}),
                vec![
                    "too_small credentials.client_id",
                    "too_small credentials.client_secret",
                    "invalid_union credentials.scopes",
                    "too_big credentials.webhook_secret",
                    "unrecognized_keys credentials",
                ],
            ),
            (
                json!({"provider": "forge-app", "unique_key": "a", "credentials": app_client("no key")}),
                vec!["invalid_format credentials.private_key"],
            ),
            (
                json!({"provider": "generic-key", "unique_key": "a", "integration_config": {"baseUrl": "x".repeat(8193)}}),
                vec!["too_big integration_config.baseUrl"],
            ),
            (json!({"provider": "nobody", "unique_key": "a"}), vec!["invalid_string provider"]),
            (oauth2("taken"), vec!["invalid_string uniqueKey"]),
        ];
        for (body, expected) in cases {
            let error = client.post("/integrations", body.clone()).expect(400).await;
            assert_eq!(error["error"]["code"], "invalid_body");
            assert_eq!(issue_lines(&error), expected, "{body}");
        }
    });
}

#[test]
fn a_created_integration_is_shown_and_keeps_its_client() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let created = client.post("/integrations", oauth2("acme-prod")).expect(200).await;
        let now = hitchpost::time_format::format_millis_z(app.now());
        assert_eq!(
            created,
            json!({"data": {
                "unique_key": "acme-prod", "provider": "acme", "display_name": "Acme CRM",
                "logo": format!("{}/images/template-logos/acme.svg", app.url()), "forward_webhooks": true,
                "created_at": now, "updated_at": now,
            }})
        );
        assert_eq!(client.get("/integrations/acme-prod").expect(200).await, created);
        assert_eq!(client.get("/integrations").expect(200).await, json!({"data": [created["data"]]}));
        assert_eq!(
            credentials(&client, "acme-prod").await,
            json!({"type": "OAUTH2", "client_id": "abc", "client_secret": "s3cret", "scopes": "read,write", "webhook_secret": null})
        );
        let mut own = oauth2("own");
        own["display_name"] = json!("Mine");
        own["forward_webhooks"] = json!(false);
        own["credentials"]["scopes"] = json!("a:b,c.d");
        own["credentials"]["webhook_secret"] = json!("hook");
        own["custom"] = json!({"region": "eu"});
        let created = client.post("/integrations", own).expect(200).await;
        assert_eq!(created["data"]["display_name"], "Mine");
        assert_eq!(created["data"]["forward_webhooks"], false);
        let stored = credentials(&client, "own").await;
        assert_eq!((&stored["scopes"], &stored["webhook_secret"]), (&json!("a:b,c.d"), &json!("hook")));
    });
}

#[test]
fn app_keys_are_kept_in_both_forms_of_pem() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let installed = json!({
            "provider": "forge-app", "unique_key": "app",
            "credentials": {"type": "APP", "app_id": "7", "app_link": "https://forge.example/apps/x", "private_key": PKCS1},
        });
        client.post("/integrations", installed).expect(200).await;
        assert_eq!(
            credentials(&client, "app").await,
            json!({"type": "APP", "app_id": "7", "private_key": PKCS1, "app_link": "https://forge.example/apps/x"})
        );
        let custom = json!({
            "provider": "forge-custom", "unique_key": "custom",
            "credentials": {"type": "CUSTOM", "client_id": "c", "client_secret": "s", "app_id": "7",
                "app_link": "https://forge.example/apps/x", "private_key": PKCS8},
        });
        client.post("/integrations", custom).expect(200).await;
        assert_eq!(
            credentials(&client, "custom").await,
            json!({"type": "CUSTOM", "client_id": "c", "client_secret": "s", "app_id": "7",
                "app_link": "https://forge.example/apps/x", "private_key": PKCS8.trim()})
        );
        client.integration("plain-key", "plain").await;
        assert_eq!(credentials(&client, "plain").await, Value::Null);
    });
}

#[test]
fn operator_values_follow_the_schema_of_the_provider() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let generic = json!({
            "provider": "generic-key", "unique_key": "generic",
            "integration_config": {"baseUrl": "https://api.example", "keyLabel": "Token"},
        });
        let created = client.post("/integrations", generic).expect(200).await;
        assert_eq!(created["data"]["credentials_label"], json!({"apiKey": "Token"}));
        let patch =
            |config: Value| client.patch("/integrations/generic", json!({"integration_config": config}));
        let error = patch(json!({"baseUrl": "nowhere", "placement": "body"})).expect(400).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("baseUrl") && message.contains("placement"), "{message}");
        let changed = patch(json!({"keyLabel": ""})).expect(200).await;
        assert_eq!(changed["data"].get("credentials_label"), None);
        let two_step = json!({
            "provider": "two-step", "unique_key": "two", "integration_config": {"clientId": "x", "scope": ""},
        });
        let created = client.post("/integrations", two_step).expect(200).await;
        assert_eq!(created["data"]["preconfigured_credentials"], json!(["clientId"]));
    });
}

#[test]
fn the_webhook_address_is_told_when_the_provider_sends_webhooks() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.post("/integrations", oauth2("a b@c~d")).expect(200).await;
        client.integration("plain-key", "plain").await;
        let environment = db::environments::find(&app.app.db, app.environment_id).await.unwrap().unwrap();
        let shown =
            client.get("/integrations/a%20b@c~d?include=webhook&include=credentials").expect(200).await;
        let expected = format!("{}/webhook/{}/a%20b%40c~d", app.url(), environment.uuid);
        assert_eq!(shown["data"]["webhook_url"], expected);
        assert_eq!(shown["data"]["credentials"]["client_id"], "abc");
        let plain = client.get("/integrations/plain?include=webhook").expect(200).await;
        assert_eq!(plain["data"]["webhook_url"], Value::Null);
        assert_eq!(plain["data"].get("credentials"), None);
    });
}

#[test]
fn a_change_keeps_what_it_does_not_name() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let mut new = oauth2("acme-prod");
        new["credentials"]["scopes"] = json!("one");
        new["credentials"]["webhook_secret"] = json!("hook");
        let created = client.post("/integrations", new).expect(200).await;
        app.advance(chrono::TimeDelta::seconds(5));
        let patch = |body: Value| client.patch("/integrations/acme-prod", body);
        let touched = patch(json!({})).expect(200).await;
        assert_eq!(without(&touched["data"], &DATES), without(&created["data"], &DATES));
        assert_eq!(touched["data"]["created_at"], created["data"]["created_at"]);
        assert_ne!(touched["data"]["updated_at"], created["data"]["updated_at"]);
        let renewed = json!({"type": "OAUTH2", "client_id": "new", "client_secret": "newer"});
        patch(json!({"credentials": renewed, "display_name": "Named", "forward_webhooks": false}))
            .expect(200)
            .await;
        assert_eq!(
            credentials(&client, "acme-prod").await,
            json!({"type": "OAUTH2", "client_id": "new", "client_secret": "newer", "scopes": "one", "webhook_secret": "hook"})
        );
        let mut cleared = renewed.clone();
        cleared["webhook_secret"] = json!("");
        let changed = patch(json!({"credentials": cleared})).expect(200).await;
        assert_eq!(
            (&changed["data"]["display_name"], &changed["data"]["forward_webhooks"]),
            (&json!("Named"), &json!(false))
        );
        assert_eq!(credentials(&client, "acme-prod").await["webhook_secret"], Value::Null);
    });
}

#[test]
fn a_rename_needs_a_free_key_and_no_connections() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "one").await;
        client.integration("plain-key", "two").await;
        let rename =
            |from: &str, to: &str| client.patch(format!("/integrations/{from}"), json!({"unique_key": to}));
        assert_eq!(rename("one", "two").send().await.code(), "invalid_body");
        assert_eq!(rename("one", "one").expect(200).await["data"]["unique_key"], "one");
        assert_eq!(rename("one", "first").expect(200).await["data"]["unique_key"], "first");
        client.get("/integrations/one").expect(404).await;
        client.key_connection("first", "c1").await;
        assert_eq!(rename("first", "one").send().await.code(), "invalid_body");
        client.delete("/connections/c1?provider_config_key=first").expect(200).await;
        rename("first", "one").expect(200).await;
    });
}

#[test]
fn deleting_an_integration_deletes_its_connections_and_frees_the_key() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "gone").await;
        client.integration("plain-key", "kept").await;
        client.key_connection("gone", "c1").await;
        client.key_connection("kept", "c1").await;
        let before =
            db::changes::list_since(&app.app.db, app.now() - chrono::TimeDelta::seconds(1)).await.unwrap();
        assert_eq!(client.delete("/integrations/gone").expect(200).await, json!({"success": true}));
        let after =
            db::changes::list_since(&app.app.db, app.now() - chrono::TimeDelta::seconds(1)).await.unwrap();
        let own = |changes: &[db::changes::Change]| {
            changes.iter().filter(|change| change.environment_id == app.environment_id).count()
        };
        assert_eq!(own(&after) - own(&before), 2, "one change of the integration, one of its connection");
        client.get("/integrations/gone").expect(404).await;
        let left = client.get("/connections").expect(200).await;
        assert_eq!(left["connections"].as_array().unwrap().len(), 1);
        assert_eq!(left["connections"][0]["provider_config_key"], "kept");
        client.integration("plain-key", "gone").await;
        client.get("/connections/c1?provider_config_key=gone").expect(404).await;
    });
}

#[test]
fn the_list_is_ordered_by_provider_and_then_by_age() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        assert_eq!(client.get("/integrations").expect(200).await, json!({"data": []}));
        for (provider, key) in [("plain-key", "b"), ("acme", "z"), ("plain-key", "a")] {
            client.integration(provider, key).await;
            app.advance(chrono::TimeDelta::seconds(1));
        }
        let keys = async |client: &Client| {
            let list = client.get("/integrations").expect(200).await;
            list["data"].as_array().unwrap().iter().map(|one| one["unique_key"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(keys(&client).await, ["z", "b", "a"]);
        assert_eq!(keys(&client.session(json!({"tags": {}})).await).await, ["z", "b", "a"]);
        let limited = client.session(json!({"tags": {}, "allowed_integrations": ["a"]})).await;
        assert_eq!(keys(&limited).await, ["a"]);
        assert_eq!(keys(&app.stranger().await).await, Vec::<Value>::new());
    });
}

#[test]
fn a_provider_that_left_the_catalog_is_listed_but_not_found() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "plain").await;
        app.app.catalog.replace(hitchpost::catalog::Catalog::default());
        let list = client.get("/integrations").expect(200).await;
        assert_eq!(list["data"][0]["display_name"], "plain-key");
        client.get("/integrations/plain").expect(404).await;
        client.patch("/integrations/plain", json!({})).expect(404).await;
        client.delete("/integrations/plain").expect(200).await;
    });
}

#[test]
fn quickstart_has_no_shared_apps_and_shadows_only_its_own_method() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        let quick = |body: Value| client.post("/integrations/quickstart", body);
        let unknown = quick(json!({"provider": "nobody", "unique_key": "q"})).expect(400).await;
        assert_eq!(issue_lines(&unknown), ["invalid_string provider"]);
        let mut with_credentials = oauth2("q");
        with_credentials["custom"] = json!({});
        let error = quick(with_credentials).expect(400).await;
        assert_eq!(issue_lines(&error), ["unrecognized_keys"]);
        let error = quick(json!({"provider": "acme", "unique_key": "q"})).expect(400).await;
        assert_eq!(error["error"]["code"], "invalid_body");
        assert!(error["error"]["message"].is_string());
        client.integration("plain-key", "quickstart").await;
        assert_eq!(
            client.get("/integrations/quickstart").expect(200).await["data"]["unique_key"],
            "quickstart"
        );
        client.patch("/integrations/quickstart", json!({"display_name": "Q"})).expect(200).await;
        client.delete("/integrations/quickstart").expect(200).await;
    });
}

#[test]
fn scopes_decide_what_a_key_may_do_with_integrations() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("acme", "a").await;
        let forbidden = |name, request| Case { name, request, status: 403, code: "forbidden" };
        let reader = app.client_with(&["integrations:read", "integrations:list"]).await;
        let other = app.client_with(&["connections:*"]).await;
        check(vec![
            forbidden("create", reader.post("/integrations", oauth2("b"))),
            forbidden("quickstart", reader.post("/integrations/quickstart", json!({}))),
            forbidden("change", reader.patch("/integrations/a", json!({}))),
            forbidden("delete", reader.delete("/integrations/a")),
            forbidden("list", other.get("/integrations")),
            forbidden("read", other.get("/integrations/a")),
            forbidden("account key", app.account_client().await.get("/integrations")),
        ])
        .await;
        reader.get("/integrations").expect(200).await;
        let shown = reader.get("/integrations/a?include=credentials").expect(200).await;
        assert_eq!(shown["data"].get("credentials"), None, "left out without the scope");
        let insider = app.client_with(&["integrations:read_credentials"]).await;
        assert_eq!(credentials(&insider, "a").await["client_secret"], "s3cret");
        app.client_with(&["integrations:list_credentials"]).await.get("/integrations").expect(200).await;
        app.client_with(&["integrations:*"]).await.delete("/integrations/a").expect(200).await;
    });
}

#[test]
fn client_secrets_are_sealed_in_the_database() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("acme", "a").await;
        let row = db::integrations::find(&app.app.db, app.environment_id, "a").await.unwrap().unwrap();
        let sealed = row.oauth_client_secret.unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
        assert_eq!(app.app.cipher.open_text(&sealed).unwrap().expose(), "s3cret");
    });
}
