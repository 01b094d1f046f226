//! `POST /connection`, `POST`/`PATCH /connection/{id}/metadata` and `GET /config/{key}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use hitchpost::crypto::sha256;
use hitchpost::db;
use hitchpost::time_format::format_millis_z;
use serde_json::{Value, json};

use crate::support::catalog::without;
use crate::support::{Case, Client, TestApp, check, run};

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----";

/// A server with one integration of every kind, called like its provider.
async fn world() -> (TestApp, Client) {
    let app = TestApp::with_providers().await;
    let client = app.client();
    for provider in
        ["acme", "acme-cc", "acme-one", "plain-key", "plain-basic", "open-door", "net-books", "vault"]
    {
        client.integration(provider, provider).await;
    }
    let installed = json!({
        "provider": "forge-app", "unique_key": "forge-app",
        "credentials": {"type": "APP", "app_id": "7", "app_link": "https://forge.example/x", "private_key": PEM},
    });
    client.post("/integrations", installed).expect(200).await;
    client.post("/integrations", json!({"provider": "two-step", "unique_key": "two-step"})).expect(200).await;
    (app, client)
}

async fn credentials(client: &Client, key: &str, id: &str) -> Value {
    let path = format!("/connections/{id}?provider_config_key={key}&refresh_token=true");
    client.get(path).expect(200).await["credentials"].clone()
}

#[test]
fn the_flat_import_refuses() {
    run(async {
        let (app, client) = world().await;
        let post = |body: Value| client.post("/connection", body);
        let case = |name, request, status, code| Case { name, request, status, code };
        let of = |key: &str| post(json!({"provider_config_key": key}));
        check(vec![
            case("no key", app.anonymous().post("/connection", json!({})), 401, "missing_auth_header"),
            case(
                "other scope",
                app.client_with(&["connections:read"]).await.post("/connection", json!({})),
                403,
                "forbidden",
            ),
            case("no body", client.ask("POST", "/connection"), 400, "missing_provider_config"),
            case("a list", post(json!([])), 400, "missing_provider_config"),
            case("no integration", post(json!({"api_key": "k"})), 400, "missing_provider_config"),
            case("unknown integration", of("nope"), 400, "unknown_provider_config"),
            case(
                "bad override",
                post(json!({"provider_config_key": "open-door", "webhook_url_override": "x"})),
                400,
                "invalid_body",
            ),
            case(
                "an id of the wrong form",
                post(json!({"provider_config_key": "open-door", "connection_id": "a#b"})),
                400,
                "invalid_body",
            ),
            case("OAUTH2", of("acme"), 400, "missing_access_token"),
            case(
                "OAUTH2 without expiry",
                post(json!({"provider_config_key": "acme", "access_token": "t"})),
                400,
                "missing_expires_at",
            ),
            case(
                "OAUTH2 with an unreadable expiry",
                post(json!({"provider_config_key": "acme", "access_token": "t", "expires_at": "soon"})),
                400,
                "missing_expires_at",
            ),
            case("OAUTH2_CC", of("acme-cc"), 400, "missing_access_token"),
            case("OAUTH1", of("acme-one"), 400, "missing_oauth_token"),
            case(
                "OAUTH1 without secret",
                post(json!({"provider_config_key": "acme-one", "oauth_token": "t"})),
                400,
                "missing_oauth_token_secret",
            ),
            case("BASIC", of("plain-basic"), 400, "missing_basic_username"),
            case("API_KEY", of("plain-key"), 400, "missing_api_key"),
            case("APP", of("forge-app"), 400, "missing_app_id"),
            case(
                "APP without installation",
                post(json!({"provider_config_key": "forge-app", "app_id": "7"})),
                400,
                "missing_installation_id",
            ),
            case("TBA", of("net-books"), 400, "missing_account_id"),
            case(
                "TBA without tokens",
                post(json!({"provider_config_key": "net-books", "connection_config": {"accountId": "1"}})),
                400,
                "invalid_body",
            ),
            case("other", of("two-step"), 400, "unknown_oauth_type"),
        ])
        .await;
    });
}

#[test]
fn refusals_of_the_flat_import_have_the_old_envelope() {
    run(async {
        let (app, client) = world().await;
        let error = client.post("/connection", json!({"provider_config_key": "nope"})).expect(400).await;
        let payload = json!({"providerConfigKey": "nope", "environmentName": app.environment_name});
        assert_eq!(error["error"]["payload"], payload);
        let error = client.post("/connection", json!({"provider_config_key": "acme"})).expect(400).await;
        assert_eq!(error["error"]["payload"], json!({}));
        let error = client.post("/connection", json!({"provider_config_key": "net-books"})).expect(400).await;
        assert_eq!(error["error"].get("payload"), None);
        let bad = json!({"provider_config_key": "open-door", "webhook_url_override": "https://x.nango.dev"});
        let error = client.post("/connection", bad).expect(400).await;
        assert_eq!(error["error"]["errors"][0]["path"], json!([]));
        app.app.catalog.replace(hitchpost::catalog::Catalog::default());
        let request = client.post("/connection", json!({"provider_config_key": "acme"}));
        let error = request.expect(404).await;
        assert_eq!(error["error"]["code"], "unknown_provider_template");
        assert_eq!(error["error"].get("payload"), None);
    });
}

#[test]
fn flat_credentials_of_every_kind_are_stored() {
    run(async {
        let (app, client) = world().await;
        let end = format_millis_z(app.now() + TimeDelta::hours(1));
        let cases = [
            (
                json!({"provider_config_key": "acme", "connection_id": "a", "access_token": "t",
                    "refresh_token": "r", "expires_in": 3600, "oauth_client_id_override": "i",
                    "oauth_client_secret_override": "s", "raw": {"scope": "x"}}),
                json!({"type": "OAUTH2", "access_token": "t", "refresh_token": "r", "expires_at": end,
                    "raw": {"scope": "x"}, "config_override": {"client_id": "i", "client_secret": "s"}}),
            ),
            (
                json!({"provider_config_key": "acme", "connection_id": "b", "access_token": "t",
                    "no_expiration": true, "oauth_client_secret_override": "s"}),
                json!({"type": "OAUTH2", "access_token": "t", "config_override": {"client_secret": "s"},
                    "raw": {"provider_config_key": "acme", "connection_id": "b", "access_token": "t",
                        "no_expiration": true}}),
            ),
            (
                json!({"provider_config_key": "acme-cc", "connection_id": "c", "access_token": "t",
                    "expires_at": (app.now() + TimeDelta::hours(1)).timestamp_millis(),
                    "oauth_client_id_override": "i", "oauth_client_secret_override": "s", "raw": {}}),
                json!({"type": "OAUTH2_CC", "token": "t", "client_id": "i", "client_secret": "s",
                    "expires_at": end, "raw": {}}),
            ),
            (
                json!({"provider_config_key": "acme-one", "connection_id": "d", "oauth_token": "t",
                    "oauth_token_secret": "s", "raw": {}}),
                json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s", "raw": {}}),
            ),
            (
                json!({"provider_config_key": "plain-basic", "connection_id": "e", "username": "u"}),
                json!({"type": "BASIC", "username": "u", "password": ""}),
            ),
            (
                json!({"provider_config_key": "plain-key", "connection_id": "f", "api_key": "k"}),
                json!({"type": "API_KEY", "apiKey": "k"}),
            ),
            (
                json!({"provider_config_key": "net-books", "connection_id": "g", "token_id": "i",
                    "token_secret": "s", "connection_config": {"accountId": "1"}}),
                json!({"type": "TBA", "token_id": "i", "token_secret": "s"}),
            ),
            (json!({"provider_config_key": "open-door", "connection_id": "h"}), json!({})),
        ];
        for (body, expected) in cases {
            client.post("/connection?anything=1", body.clone()).expect(201).await;
            let key = body["provider_config_key"].as_str().unwrap();
            let stored = credentials(&client, key, body["connection_id"].as_str().unwrap()).await;
            assert_eq!(stored, expected, "{body}");
        }
        let unreadable = json!({"provider_config_key": "acme-cc", "access_token": "t", "expires_at": "soon"});
        client.post("/connection", unreadable).expect(201).await;
    });
}

#[test]
fn the_answer_of_the_flat_import_has_no_secrets() {
    run(async {
        let (_app, client) = world().await;
        let body = json!({
            "provider_config_key": "acme", "access_token": "t0ken", "refresh_token": "r3fresh",
            "expires_in": "3600", "oauth_client_id_override": "i", "oauth_client_secret_override": "s3cret",
            "raw": {"access_token": "t0ken"}, "metadata": {"a": 1}, "unknown": "x",
            "connection_config": {"oauth_scopes_override": "a, b,"},
        });
        let answer = client.post("/connection", body).expect(201).await;
        let id = answer["connection_id"].as_str().unwrap().to_owned();
        assert_eq!(
            answer,
            json!({"provider_config_key": "acme", "expires_in": "3600", "oauth_client_id_override": "i",
                "metadata": {"a": 1}, "connection_config": {"oauth_scopes_override": ["a", "b"]},
                "connection_id": id})
        );
        let vault = json!({"provider_config_key": "vault", "api_key": "k",
            "connection_config": {"pin": "1234", "other": 1}});
        let answer = client.post("/connection", vault).expect(201).await;
        assert_eq!(answer["connection_config"], json!({"other": 1}));
    });
}

#[test]
fn importing_again_keeps_tags_and_for_some_kinds_metadata() {
    run(async {
        let (_app, client) = world().await;
        for (key, secret, kept) in
            [("plain-key", json!({"api_key": "k"}), Value::Null), ("open-door", json!({}), json!({"a": 1}))]
        {
            let mut body = json!({"provider_config_key": key, "connection_id": "c"});
            body.as_object_mut().unwrap().extend(secret.as_object().unwrap().clone());
            let mut first = body.clone();
            first["metadata"] = json!({"a": 1});
            first["connection_config"] = json!({"x": 1});
            first["webhook_url_override"] = json!("https://hooks.example.com/in");
            client.post("/connection", first).expect(201).await;
            let path = format!("/connections/c?provider_config_key={key}");
            client.patch(path.clone(), json!({"tags": {"plan": "pro"}})).expect(200).await;
            client.post("/connection", body).expect(201).await;
            let shown = client.get(path).expect(200).await;
            assert_eq!(shown["tags"], json!({"plan": "pro"}), "{key}");
            assert_eq!(shown["metadata"], kept, "{key}");
            assert_eq!(shown["connection_config"], json!({}), "{key}");
            assert_eq!(shown["webhook_url_override"], Value::Null, "{key}");
            let merged = json!({"b": 2});
            client
                .patch(format!("/connection/c/metadata?provider_config_key={key}"), merged)
                .expect(200)
                .await;
        }
    });
}

#[test]
fn the_metadata_of_one_connection_is_replaced_and_merged() {
    run(async {
        let (app, client) = world().await;
        client.key_connection("plain-key", "c 1").await;
        let path = "/connection/c%201/metadata";
        let asked = format!("{path}?provider_config_key=plain-key&other=1");
        assert_eq!(client.post(asked.clone(), json!({"a": 1})).expect(201).await, json!({"a": 1}));
        let merge = client.patch(path, json!({"b": null})).header("provider-config-key", "plain-key");
        assert_eq!(merge.expect(200).await, json!({"b": null}));
        let shown = client.get("/connections/c%201?provider_config_key=plain-key").expect(200).await;
        assert_eq!(shown["metadata"], json!({"a": 1, "b": null}));
        let case = |name, request, status, code| Case { name, request, status, code };
        let unknown = "/connection/nope/metadata?provider_config_key=plain-key";
        check(vec![
            case("no key", app.anonymous().post(path, json!({})), 401, "missing_auth_header"),
            case(
                "other scope",
                app.client_with(&["connections:read"]).await.post(path, json!({})),
                403,
                "forbidden",
            ),
            case("no integration", client.post(path, json!({})), 400, "missing_provider_config"),
            case("no object", client.post(asked.clone(), json!([])), 400, "invalid_body"),
            case("no body", client.ask("PATCH", asked.clone()), 400, "invalid_body"),
            case("unknown connection", client.post(unknown, json!({})), 404, "unknown_connection"),
            case(
                "unknown integration",
                client.patch(format!("{path}?provider_config_key=nope"), json!({})),
                404,
                "unknown_connection",
            ),
            case(
                "another environment's",
                app.stranger().await.post(asked, json!({})),
                404,
                "unknown_connection",
            ),
        ])
        .await;
        let error = client.post(unknown, json!({})).expect(404).await;
        assert_eq!(
            error["error"]["payload"],
            json!({"connectionId": "nope", "providerConfigKey": "plain-key", "environmentName": app.environment_name})
        );
    });
}

#[test]
fn the_old_form_of_an_integration_shows_secrets_on_request_only() {
    run(async {
        let (app, client) = world().await;
        client
            .post(
                "/connection",
                json!({"provider_config_key": "acme", "connection_id": "c",
            "access_token": "t", "no_expiration": true, "connection_config": {"x": 1}}),
            )
            .expect(201)
            .await;
        let short = json!({"config": {"unique_key": "acme", "provider": "acme", "syncs": [], "actions": []}});
        for path in ["/config/acme", "/config/acme?include_creds=false", "/config/acme?a=b"] {
            assert_eq!(client.get(path).expect(200).await, short, "{path}");
        }
        let form = client.get("/config/acme").header("content-type", "text/plain");
        assert_eq!(form.expect(200).await, short, "no content-type guard");
        let shown = client.get("/config/acme?include_creds=true").expect(200).await["config"].clone();
        let environment = db::environments::find(&app.app.db, app.environment_id).await.unwrap().unwrap();
        assert_eq!(
            without(&shown, &["connections"]),
            json!({"unique_key": "acme", "provider": "acme", "syncs": [], "actions": [],
                "client_id": "abc", "client_secret": "s3cret", "custom": null, "scopes": "read,write",
                "app_link": null, "auth_mode": "OAUTH2", "created_at": format_millis_z(app.now()),
                "has_webhook": true, "webhook_secret": null, "docs": "https://docs.example/acme",
                "connection_count": 1, "has_webhook_user_defined_secret": false,
                "webhook_url": format!("{}/webhook/{}/acme", app.url(), environment.uuid)})
        );
        assert_eq!(
            without(&shown["connections"][0], &["id"]),
            json!({"connection_config": {"x": 1}, "connection_id": "c", "environment_id": app.environment_id,
                "provider_config_key": "acme"})
        );
        let installed = client.get("/config/forge-app?include_creds=true").expect(200).await;
        let signed = format!("7{}https://forge.example/x", STANDARD.encode(PEM));
        let expected: String = sha256(signed.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(installed["config"]["webhook_secret"], expected);
    });
}

#[test]
fn the_old_form_of_an_integration_refuses() {
    run(async {
        let (app, client) = world().await;
        let reader = app.client_with(&["integrations:read"]).await;
        reader.get("/config/acme").expect(200).await;
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no key", app.anonymous().get("/config/acme"), 401, "missing_auth_header"),
            case("other scope", app.client_with(&["proxy"]).await.get("/config/acme"), 403, "forbidden"),
            case("secrets", reader.get("/config/acme?include_creds=true"), 403, "forbidden"),
            case("unknown", client.get("/config/nope"), 400, "unknown_provider_config"),
        ])
        .await;
        let error = client.get("/config/nope").expect(400).await;
        assert_eq!(error["error"]["payload"], json!({}));
        app.app.catalog.replace(hitchpost::catalog::Catalog::default());
        let gone = client.get("/config/acme");
        check(vec![case("provider gone", gone, 400, "unknown_provider_template")]).await;
    });
}
