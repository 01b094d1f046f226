//! `POST /connections`.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{api_key, app_with_keys, ids, import};
use crate::support::catalog::{issue_lines, without};
use crate::support::provider::Provider;
use crate::support::{TestApp, run};

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
fn credentials_are_tried_before_they_are_stored() {
    run(async {
        let provider = Provider::start().await;
        let base = provider.url();
        let proxy = format!(
            "proxy: {{ base_url: '{base}', headers: {{ x-key: 'key ${{apiKey}}' }}, \
             verification: {{ method: GET, endpoints: [/me] }} }}"
        );
        let entry = |name: &str, mode: &str| {
            let head = "display_name: Tried\n  docs: https://docs.example";
            format!("{name}:\n  {head}\n  auth_mode: {mode}\n  {proxy}\n")
        };
        let app = TestApp::with_catalog(entry("tried", "API_KEY") + &entry("untried", "OAUTH2_CC")).await;
        let client = app.client();
        client.integration("tried", "tried").await;
        client.integration("untried", "untried").await;
        provider.answer_next(401, "text/plain", "wrong key");
        let error = client.post("/connections", import("tried", "c1", api_key())).expect(400).await;
        assert_eq!(error["error"]["code"], "connection_test_failed");
        assert!(error["error"]["message"].as_str().unwrap().contains("401"), "{error}");
        assert_eq!(ids(&client, "").await, Vec::<String>::new());
        provider.answer_next(200, "text/plain", "welcome");
        client.post("/connections", import("tried", "c1", api_key())).expect(201).await;
        let asked: Vec<(String, String)> = provider
            .requests()
            .iter()
            .map(|ask| (ask.path.clone(), ask.header("x-key").to_owned()))
            .collect();
        let expected = ("/me".to_owned(), "key k".to_owned());
        assert_eq!(asked, [expected.clone(), expected]);
        let token = json!({"type": "OAUTH2_CC", "token": "t", "client_id": "c", "client_secret": "s"});
        client.post("/connections", import("untried", "c2", token)).expect(201).await;
        assert_eq!(provider.requests().len(), 2, "tokens are taken as they are");
    });
}
