//! What operators set through `/api/v1`, in the shapes that scripts send.

use chrono::TimeDelta;
use hitchpost::db::api_keys::{self, KeyKind};
use hitchpost::db::changes::{self, ChangeKind};
use hitchpost::db::{environment_variables, environments};
use serde_json::{Value, json};

use crate::support::catalog::issue_lines;
use crate::support::{Case, Client, TestApp, check, run};

/// An account's client, and the query that names the test's environment.
async fn operator(app: &TestApp) -> (Client, String) {
    (app.account_client().await, format!("?env={}", app.environment_name))
}

#[test]
fn keys_are_made_listed_and_revoked_by_name() {
    run(async {
        let app = TestApp::start().await;
        let (account, env) = operator(&app).await;
        let path = format!("/api/v1/environment/api-keys{env}");
        let scopes = json!(["environment:integrations:list"]);
        let body = json!({"display_name": "ci", "scopes": scopes});
        let made = account.post(&path, body.clone()).expect(200).await["data"].clone();
        let client = app.anonymous().with_secret(made["secret"].as_str().unwrap());
        client.get("/integrations").expect(200).await;
        client.get("/connections").expect(403).await;
        let listed = account.get(&path).expect(200).await;
        let found =
            listed["data"].as_array().unwrap().iter().find(|key| key["display_name"] == "ci").unwrap();
        assert_eq!(
            found,
            &json!({"id": made["id"], "display_name": "ci", "scopes": scopes, "last_used_at": null,
                "created_at": made["created_at"]})
        );
        check(vec![Case {
            name: "twice",
            request: account.post(&path, body),
            status: 409,
            code: "conflict",
        }])
        .await;
        let one = format!("/api/v1/environment/api-keys/{}{env}", made["id"]);
        assert_eq!(account.delete(&one).expect(200).await, json!({"success": true}));
        account.delete(&one).expect(404).await;
        assert_eq!(client.get("/integrations").send().await.code(), "unknown_account");
        let error = account.post(&path, json!({"scopes": ["account:*"], "more": 1})).expect(400).await;
        assert_eq!(
            issue_lines(&error),
            ["invalid_type display_name", "invalid_value scopes.0", "unrecognized_keys"]
        );
    });
}

#[test]
fn keys_of_the_account_are_made_listed_and_revoked() {
    run(async {
        let app = TestApp::start().await;
        let (account, _) = operator(&app).await;
        let path = "/api/v1/account/api-keys";
        let name = app.app.rng.alphanumeric(12);
        let made = account.post(path, json!({"display_name": name})).expect(200).await["data"].clone();
        assert_eq!(made["scopes"], json!(["account:*"]));
        let other = app.anonymous().with_secret(made["secret"].as_str().unwrap());
        let listed = other.get(path).expect(200).await;
        let keys = listed["data"].as_array().unwrap();
        assert!(keys.iter().any(|key| key["display_name"] == json!(name) && key.get("secret").is_none()));
        account.delete(format!("{path}/{}", made["id"])).expect(200).await;
        assert_eq!(other.get(path).send().await.code(), "unknown_account");
        let error = account.post(path, json!({"scopes": ["environment:*"]})).expect(400).await;
        assert_eq!(issue_lines(&error), ["invalid_type display_name", "invalid_value scopes.0"]);
    });
}

#[test]
fn a_revoked_account_key_ends_on_other_replicas_too() {
    run(async {
        let app = TestApp::start().await;
        let replica = app.replica().await;
        let (account, _) = operator(&app).await;
        let name = app.app.rng.alphanumeric(12);
        let made = account.post("/api/v1/account/api-keys", json!({"display_name": name})).expect(200).await;
        let there = replica.anonymous().with_secret(made["data"]["secret"].as_str().unwrap());
        there.get("/api/v1/environments").expect(200).await;
        account.delete(format!("/api/v1/account/api-keys/{}", made["data"]["id"])).expect(200).await;
        for _ in 0..100 {
            if there.get("/api/v1/environments").send().await.status == 401 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the other replica still accepts the key after five seconds");
    });
}

#[test]
fn variables_are_replaced_as_a_whole_and_sealed() {
    run(async {
        let app = TestApp::start().await;
        let (account, env) = operator(&app).await;
        let path = format!("/api/v1/environments/variables{env}");
        let list = |pairs: &[(&str, &str)]| -> Vec<Value> {
            pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
        };
        let first = list(&[("REGION", "eu"), ("TOKEN", "s3cret")]);
        let answer = account.post(&path, json!({"variables": first})).expect(200).await;
        assert_eq!(answer, json!({"data": first}));
        assert_eq!(app.client().get("/environment-variables").expect(200).await, json!(first));
        let stored = environment_variables::list(&app.app.db, app.environment_id).await.unwrap();
        assert!(stored.iter().all(|one| !String::from_utf8_lossy(&one.value).contains("s3cret")));
        let second = list(&[("TOKEN", ""), ("ZONE", "1")]);
        account.post(&path, json!({"variables": second})).expect(200).await;
        assert_eq!(account.get(&path).expect(200).await, json!({"data": second}));
        assert_eq!(app.client().get("/environment-variables").expect(200).await, json!(second));
        let bad = json!({"variables": [{"name": "", "value": 1}, {"name": "A", "value": "1"},
            {"name": "A", "value": "2", "more": 1}]});
        assert_eq!(
            issue_lines(&account.post(&path, bad).expect(400).await),
            [
                "too_small variables.0.name",
                "invalid_type variables.0.value",
                "unrecognized_keys variables.2",
                "custom variables.2"
            ]
        );
        assert_eq!(
            issue_lines(&account.post(&path, json!({})).expect(400).await),
            ["invalid_type variables"]
        );
        assert_eq!(account.get(&path).expect(200).await, json!({"data": second}), "nothing was stored");
    });
}

#[test]
fn webhook_settings_change_member_by_member() {
    run(async {
        let app = TestApp::start().await;
        let (account, env) = operator(&app).await;
        let path = format!("/api/v1/environments/webhook{env}");
        let defaults = json!({"primary_url": null, "secondary_url": null, "on_sync_completion_always": true,
            "on_auth_creation": true, "on_auth_refresh_error": true, "on_sync_error": true,
            "on_async_action_completion": true});
        assert_eq!(account.get(&path).expect(200).await, json!({"data": defaults}));
        let patch = json!({"primary_url": " https://hooks.example.com/in ", "on_sync_error": false});
        let mut expected = defaults.clone();
        expected["primary_url"] = json!("https://hooks.example.com/in");
        expected["on_sync_error"] = json!(false);
        assert_eq!(account.patch(&path, patch).expect(200).await, json!({"data": expected}));
        assert_eq!(account.get(&path).expect(200).await, json!({"data": expected}));
        for cleared in [json!(""), json!(null)] {
            let again = json!({"primary_url": "https://hooks.example.com", "secondary_url": "https://two.example.com"});
            account.patch(&path, again).expect(200).await;
            let answer = account.patch(&path, json!({"primary_url": cleared})).expect(200).await;
            assert_eq!(answer["data"]["primary_url"], json!(null));
            assert_eq!(answer["data"]["secondary_url"], "https://two.example.com");
        }
        let long = format!("https://hooks.example.com/{}", "x".repeat(255));
        let bad = json!({"primary_url": "nowhere", "secondary_url": long, "on_sync_error": "no", "url": 1});
        assert_eq!(
            issue_lines(&account.patch(&path, bad).expect(400).await),
            [
                "invalid_union primary_url",
                "too_big secondary_url",
                "invalid_type on_sync_error",
                "unrecognized_keys"
            ]
        );
    });
}

#[test]
fn an_environment_changes_and_shows_everything() {
    run(async {
        let app = TestApp::start().await;
        let (account, env) = operator(&app).await;
        let path = format!("/api/v1/environments{env}");
        let current = format!("/api/v1/environments/current{env}");
        let before = account.get(&current).expect(200).await["data"].clone();
        assert_eq!(before["hmac_enabled"], false);
        let patch = json!({"hmac_enabled": true, "hmac_key": "k", "callback_url": "https://app.example.com/cb",
            "is_production": true, "slack_notifications": true, "otlp_endpoint": "https://otlp.example.com",
            "otlp_headers": [{"name": "a", "value": "1"}]});
        let mut expected = before.clone();
        for (name, value) in patch.as_object().unwrap() {
            expected[name] = value.clone();
        }
        assert_eq!(account.patch(&path, patch).expect(200).await, json!({"data": expected}));
        assert_eq!(account.get(&current).expect(200).await, json!({"data": expected}));
        let row = environments::find(&app.app.db, app.environment_id).await.unwrap().unwrap();
        assert_eq!(app.app.cipher.open_text(&row.hmac_key.unwrap()).unwrap().expose(), "k");
        let cleared = json!({"hmac_key": "", "callback_url": null, "otlp_endpoint": "", "otlp_headers": []});
        let after = account.patch(&path, cleared).expect(200).await["data"].clone();
        for name in ["hmac_key", "callback_url", "otlp_endpoint"] {
            assert_eq!(after[name], json!(null), "{name}");
        }
        assert_eq!((&after["otlp_headers"], &after["is_production"]), (&json!([]), &json!(true)));
        let sealed = api_keys::find_secret(&app.app.db, app.environment_id, KeyKind::WebhookSigning).await;
        let signing_key = app.app.cipher.open_text(&sealed.unwrap().unwrap()).unwrap();
        assert_eq!(after["webhook_signing_key"], signing_key.expose());
        let rotated = account.ask("POST", format!("/api/v1/environment/webhook-signing-key/rotate{env}"));
        let rotated = rotated.expect(200).await["data"]["webhook_signing_key"].clone();
        let now = account.get(&current).expect(200).await["data"]["webhook_signing_key"].clone();
        assert!(now == rotated && now != after["webhook_signing_key"]);
        let recent = changes::list_since(&app.app.db, app.now() - TimeDelta::seconds(1)).await.unwrap();
        let is_own = |one: &&changes::Change| {
            one.environment_id == app.environment_id && one.kind == ChangeKind::Environment
        };
        assert_eq!(recent.iter().filter(is_own).count(), 2, "one for each change");
    });
}

#[test]
fn an_environment_is_renamed_made_and_deleted() {
    run(async {
        let app = TestApp::start().await;
        let (account, env) = operator(&app).await;
        let name = format!("r{}", app.app.rng.alphanumeric(12).to_lowercase());
        let path = format!("/api/v1/environments{env}");
        account.patch(&path, json!({"name": name})).expect(200).await;
        account.patch(&path, json!({})).expect(404).await;
        app.client().get("/connections").expect(200).await;
        let made =
            account.post("/api/v1/environments", json!({"name": app.environment_name})).expect(200).await;
        assert_eq!(made["data"]["name"], app.environment_name);
        let case = |name, request, status, code| Case { name, request, status, code };
        let prod = "/api/v1/environments?env=prod";
        check(vec![
            case("name taken", account.patch(&path, json!({"name": name})), 409, "conflict"),
            case("name of the wrong form", account.patch(&path, json!({"name": "Up"})), 400, "invalid_body"),
            case("unknown member", account.patch(&path, json!({"colour": 1})), 400, "invalid_body"),
            case("prod renamed", account.patch(prod, json!({"name": name})), 400, "invalid_body"),
            case(
                "prod unflagged",
                account.patch(prod, json!({"is_production": false})),
                400,
                "invalid_is_prod_flag",
            ),
            case("prod deleted", account.delete(prod), 400, "cannot_delete_prod_environment"),
            case("no env", account.patch("/api/v1/environments", json!({})), 400, "invalid_query_params"),
            case(
                "other parameter",
                account.get(format!("/api/v1/environments/webhook{env}&x=1")),
                400,
                "invalid_query_params",
            ),
            case(
                "unknown environment",
                account.get("/api/v1/environments/webhook?env=nope"),
                404,
                "not_found",
            ),
        ])
        .await;
        let deleted = account.delete(&path).send().await;
        assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
        account.delete(&path).expect(404).await;
    });
}

#[test]
fn signed_calls_are_demanded_as_soon_as_hmac_is_on() {
    run(async {
        let app = TestApp::with_providers().await;
        let (account, env) = operator(&app).await;
        app.client().integration("plain-key", "k").await;
        let path = format!("/api/v1/environments{env}");
        let current = account.get(format!("/api/v1/environments/current{env}")).expect(200).await;
        let public_key = current["data"]["public_key"].as_str().unwrap().to_owned();
        let nobody = app.anonymous();
        let connect = |hmac: &str| {
            let query = format!("public_key={public_key}&connection_id=c1{hmac}");
            nobody.post(format!("/api-auth/api-key/k?{query}"), json!({"apiKey": "abc"}))
        };
        assert_eq!(connect("").send().await.code(), "deprecated_authentication");
        account.patch(&path, json!({"hmac_enabled": true, "hmac_key": "my-hmac-key"})).expect(200).await;
        assert_eq!(connect("").send().await.code(), "missing_hmac");
        assert_eq!(connect("&hmac=00").send().await.code(), "invalid_hmac");
        let digest = hex::encode(hitchpost::crypto::hmac_sha256(b"my-hmac-key", b"k:c1"));
        let signed = connect(&format!("&hmac={digest}")).expect(200).await;
        assert_eq!(signed["connectionId"], "c1");
        account.patch(&path, json!({"hmac_key": "another"})).expect(200).await;
        assert_eq!(connect(&format!("&hmac={digest}")).send().await.code(), "invalid_hmac");
        account.patch(&path, json!({"hmac_enabled": false})).expect(200).await;
        assert_eq!(connect("").send().await.code(), "deprecated_authentication");
    });
}

#[test]
fn connect_ui_settings_are_stored_whole_and_shown_to_the_session() {
    run(async {
        let app = TestApp::start().await;
        let (account, env) = operator(&app).await;
        let path = format!("/api/v1/connect-ui-settings{env}");
        let theme = |light: &str| json!({"light": {"primary": light}, "dark": {"primary": "#00B2E3"}});
        let defaults = json!({"theme": theme("#00B2E3"), "defaultTheme": "system", "showWatermark": false});
        assert_eq!(account.get(&path).expect(200).await, json!({"data": defaults}));
        let own = json!({"theme": theme("rgb(1, 2, 3)"), "defaultTheme": "dark", "showWatermark": true,
            "logo": "https://example.com/logo.svg", "borderRadius": "4px"});
        let put = |body: Value| account.ask("PUT", &path).json(&body);
        assert_eq!(put(own.clone()).expect(200).await, json!({"data": own}));
        assert_eq!(account.get(&path).expect(200).await, json!({"data": own}));
        let session = app.client().session(json!({"tags": {}})).await;
        let shown = session.get("/connect/session").expect(200).await;
        assert_eq!(shown["data"]["connectUISettings"], own);
        let bad = json!({"theme": {"light": {"primary": "red;}"}, "dark": {"primary": "url(x)"}},
            "showWatermark": null, "defaultTheme": "pink", "logo": "http://x", "fontFamily": "a}", "x": 1});
        assert_eq!(
            issue_lines(&put(bad).expect(400).await),
            [
                "invalid_format theme.light.primary",
                "invalid_format theme.dark.primary",
                "invalid_value defaultTheme",
                "invalid_type showWatermark",
                "invalid_union logo",
                "invalid_union fontFamily",
                "unrecognized_keys"
            ]
        );
        assert_eq!(
            issue_lines(&put(json!({"theme": theme("red")})).expect(400).await),
            ["invalid_value defaultTheme", "invalid_type showWatermark"]
        );
    });
}

#[test]
fn an_operators_session_marks_its_end_user() {
    run(async {
        let app = TestApp::with_providers().await;
        let (account, env) = operator(&app).await;
        app.client().integration("plain-key", "k").await;
        let path = format!("/api/v1/connect/sessions{env}");
        let body =
            json!({"end_user": {"id": "me", "email": "me@example.com"}, "allowed_integrations": ["k"]});
        let opened = account.post(&path, body).expect(201).await;
        let token = opened["data"]["token"].as_str().unwrap();
        let shown = app.anonymous().with_secret(token).get("/connect/session").expect(200).await;
        assert_eq!(shown["data"]["endUser"]["tags"], json!({"origin": "nango_dashboard"}));
        let connect = app
            .anonymous()
            .post(format!("/api-auth/api-key/k?connect_session_token={token}"), json!({"apiKey": "abc"}));
        let id = connect.expect(200).await["connectionId"].as_str().unwrap().to_owned();
        let connection =
            app.client().get(format!("/connections/{id}?provider_config_key=k")).expect(200).await;
        assert_eq!(connection["tags"]["origin"], "nango_dashboard");
        assert_eq!(connection["tags"]["end_user_id"], "me");
        let bad = json!({"tags": {}, "allowed_integrations": ["nope"]});
        assert_eq!(
            issue_lines(&account.post(&path, bad).expect(400).await),
            ["invalid_type end_user", "unrecognized_keys"]
        );
    });
}
