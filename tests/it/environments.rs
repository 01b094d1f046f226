//! `/environments`, `/environment/api-keys`, `/environment-variables` and the rotation of the signing key.

use chrono::TimeDelta;
use hitchpost::db::api_keys::{self, KeyKind};
use hitchpost::db::changes::{self, ChangeKind};
use hitchpost::db::{self, EnvironmentId, environment_variables};
use hitchpost::keys::{KeyOwner, NewApiKey, create_api_key};
use serde_json::{Value, json};

use crate::support::catalog::issue_lines;
use crate::support::{Case, Client, TestApp, check, run};

impl TestApp {
    /// A name that no other test uses.
    fn fresh_name(&self) -> String {
        format!("e{}", self.app.rng.alphanumeric(12).to_lowercase())
    }
}

async fn create(account: &Client, name: &str) -> EnvironmentId {
    let created = account.post("/environments", json!({"name": name})).expect(200).await;
    EnvironmentId(created["data"]["id"].as_i64().expect("an id"))
}

async fn create_key(account: &Client, environment: EnvironmentId, name: &str) -> Value {
    let body = json!({"environment_id": environment, "display_name": name});
    account.post("/environment/api-keys", body).expect(200).await["data"].clone()
}

#[test]
fn environments_refuse() {
    run(async {
        let app = TestApp::start().await;
        let (client, nobody, account) = (app.client(), app.anonymous(), app.account_client().await);
        let creator = app.account_client_with(&["environments:create"]).await;
        let deleter = app.account_client_with(&["environments:delete"]).await;
        let name = app.fresh_name();
        create(&account, &name).await;
        let post = |body: Value| account.post("/environments", body);
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no key", nobody.post("/environments", json!({})), 401, "missing_auth_header"),
            case(
                "unknown key",
                nobody.with_secret(app.app.rng.uuid().to_string()).post("/environments", json!({})),
                401,
                "unknown_account",
            ),
            case("environment key", client.post("/environments", json!({})), 403, "forbidden"),
            case("other scope", deleter.post("/environments", json!({"name": "x"})), 403, "forbidden"),
            case("a parameter", account.post("/environments?a=b", json!({})), 400, "invalid_query_params"),
            case("no body", account.ask("POST", "/environments"), 400, "invalid_body"),
            case("a name of the wrong form", post(json!({"name": "Staging"})), 400, "invalid_body"),
            case(
                "production without its scope",
                creator.post("/environments", json!({"name": name, "is_production": true})),
                403,
                "forbidden",
            ),
            case(
                "prod without the scope of production",
                creator.post("/environments", json!({"name": "prod"})),
                403,
                "forbidden",
            ),
            case(
                "prod that is not production",
                post(json!({"name": "prod", "is_production": false})),
                400,
                "invalid_is_prod_flag",
            ),
            case("name taken", post(json!({"name": name})), 409, "conflict"),
            case("delete without key", nobody.delete("/environments/1"), 401, "missing_auth_header"),
            case("delete with environment key", client.delete("/environments/1"), 403, "forbidden"),
            case("delete with other scope", creator.delete("/environments/1"), 403, "forbidden"),
            case("delete with parameter", account.delete("/environments/1?a=b"), 400, "invalid_query_params"),
            case("delete: id is no number", account.delete("/environments/x"), 400, "invalid_uri_params"),
            case("delete: id is zero", account.delete("/environments/0"), 400, "invalid_uri_params"),
            case("delete: fraction", account.delete("/environments/1.5"), 400, "invalid_uri_params"),
            case("delete unknown", account.delete("/environments/999999999"), 404, "not_found"),
        ])
        .await;
    });
}

#[test]
fn every_member_of_a_new_environment_is_judged() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let body = json!({
            "name": "", "is_production": "yes", "callback_url": "nowhere", "hmac_key": "x".repeat(1001),
            "hmac_enabled": 1, "slack_notifications": null, "otlp_endpoint": "nowhere",
            "otlp_headers": [{"name": "", "value": "v", "more": 1}, {"name": "n", "value": "v".repeat(4001)}],
            "colour": "red",
        });
        let error = account.post("/environments", body).expect(400).await;
        assert_eq!(
            issue_lines(&error),
            [
                "invalid_format name",
                "invalid_type is_production",
                "invalid_format callback_url",
                "too_big hmac_key",
                "invalid_type hmac_enabled",
                "invalid_type slack_notifications",
                "invalid_union otlp_endpoint",
                "too_small otlp_headers.0.name",
                "unrecognized_keys otlp_headers.0",
                "too_big otlp_headers.1.value",
                "unrecognized_keys",
            ]
        );
    });
}

#[test]
fn a_new_environment_has_its_settings_and_three_keys() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let name = app.fresh_name();
        let body = json!({
            "name": name, "is_production": true, "callback_url": " https://app.example.com/back ",
            "hmac_key": "h4sh", "hmac_enabled": true, "slack_notifications": true,
            "otlp_endpoint": "", "otlp_headers": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}],
        });
        let created = account.post("/environments", body).expect(200).await;
        let id = EnvironmentId(created["data"]["id"].as_i64().unwrap());
        assert_eq!(created, json!({"data": {"id": id, "name": name}}));
        let row = db::environments::find(&app.app.db, id).await.unwrap().unwrap();
        assert_eq!(row.callback_url.as_deref(), Some("https://app.example.com/back"));
        assert!(row.is_production && row.hmac_enabled);
        let hmac_key = app.app.cipher.open_text(&row.hmac_key.unwrap()).unwrap();
        assert_eq!(hmac_key.expose(), "h4sh");
        for kind in [KeyKind::Api, KeyKind::WebhookSigning, KeyKind::Internal] {
            assert!(api_keys::find_secret(&app.app.db, id, kind).await.unwrap().is_some(), "{kind:?}");
        }
        let sealed = api_keys::find_secret(&app.app.db, id, KeyKind::Api).await.unwrap().unwrap();
        let secret = app.app.cipher.open_text(&sealed).unwrap().expose().to_owned();
        app.anonymous().with_secret(secret).get("/connections").expect(200).await;
    });
}

#[test]
fn a_deleted_environment_takes_everything_along() {
    run(async {
        let app = TestApp::with_providers().await;
        let account = app.account_client().await;
        let name = app.fresh_name();
        let id = create(&account, &name).await;
        let key = create_key(&account, id, "ci").await;
        let client = app.anonymous().with_secret(key["secret"].as_str().unwrap());
        client.integration("plain-key", "k").await;
        client.key_connection("k", "c1").await;
        let session = client.session(json!({"tags": {}})).await;
        let reply = account.delete(format!("/environments/{id}", id = id.0)).send().await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
        check(vec![
            Case { name: "its key", request: client.get("/connections"), status: 403, code: "forbidden" },
            Case {
                name: "its session",
                request: session.get("/connect/session"),
                status: 401,
                code: "unknown_account",
            },
            Case {
                name: "deleted twice",
                request: account.delete(format!("/environments/{}", id.0)),
                status: 404,
                code: "not_found",
            },
        ])
        .await;
        assert!(db::integrations::list(&app.app.db, id).await.unwrap().is_empty());
        let recent = changes::list_since(&app.app.db, app.now() - TimeDelta::seconds(1)).await.unwrap();
        let kinds: Vec<ChangeKind> =
            recent.iter().filter(|change| change.environment_id == id).map(|change| change.kind).collect();
        for kind in [ChangeKind::Environment, ChangeKind::Integration, ChangeKind::Connection] {
            assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
        }
        create(&account, &name).await;
    });
}

#[test]
fn the_environment_called_prod_stays() {
    run(async {
        let app = TestApp::start().await;
        let prod = db::environments::find_by_name(&app.app.db, "prod").await.unwrap().unwrap();
        let request = app.account_client().await.delete(format!("/environments/{}", prod.id.0));
        let (status, code) = (400, "cannot_delete_prod_environment");
        check(vec![Case { name: "prod", request, status, code }]).await;
    });
}

#[test]
fn api_keys_refuse() {
    run(async {
        let app = TestApp::start().await;
        let (client, nobody, account) = (app.client(), app.anonymous(), app.account_client().await);
        let creator = app.account_client_with(&["environments:api_keys:create"]).await;
        let deleter = app.account_client_with(&["environments:api_keys:delete"]).await;
        let id = app.environment_id;
        let path = "/environment/api-keys";
        let remove = |body: Value| account.delete(path).json(&body);
        let stranger = create(&account, &app.fresh_name()).await;
        let other_key = create_key(&account, stranger, "theirs").await["id"].clone();
        create_key(&account, id, "mine").await;
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no key", nobody.post(path, json!({})), 401, "missing_auth_header"),
            case("environment key", client.post(path, json!({})), 403, "forbidden"),
            case("other scope", deleter.post(path, json!({})), 403, "forbidden"),
            case("a parameter", account.post(format!("{path}?a=b"), json!({})), 400, "invalid_query_params"),
            case("no body", account.ask("POST", path), 400, "invalid_body"),
            case(
                "unknown environment",
                account.post(path, json!({"environment_id": 999_999_999, "display_name": "x"})),
                404,
                "not_found",
            ),
            case(
                "name taken",
                account.post(path, json!({"environment_id": id, "display_name": "mine"})),
                409,
                "conflict",
            ),
            case("delete without key", nobody.delete(path), 401, "missing_auth_header"),
            case("delete with environment key", client.delete(path), 403, "forbidden"),
            case("delete with other scope", creator.delete(path), 403, "forbidden"),
            case("delete without body", account.delete(path), 400, "invalid_body"),
            case(
                "delete in an unknown environment",
                remove(json!({"environment_id": 999_999_999, "key_id": 1})),
                404,
                "not_found",
            ),
            case(
                "delete an unknown key",
                remove(json!({"environment_id": id, "key_id": 999_999_999})),
                404,
                "not_found",
            ),
            case(
                "delete another environment's key",
                remove(json!({"environment_id": id, "key_id": other_key})),
                404,
                "not_found",
            ),
        ])
        .await;
        let error = account.post(path, json!({"environment_id": 0, "display_name": "", "scopes": []}));
        assert_eq!(
            issue_lines(&error.expect(400).await),
            ["too_small environment_id", "too_small display_name", "too_small scopes"]
        );
        let foreign = json!({"environment_id": id, "display_name": "x", "scopes": ["environment:proxy", "account:*", 1]});
        assert_eq!(
            issue_lines(&account.post(path, foreign).expect(400).await),
            ["invalid_value scopes.1", "invalid_value scopes.2"]
        );
        let error = remove(json!({"environment_id": 1.5, "more": 1})).expect(400).await;
        assert_eq!(
            issue_lines(&error),
            ["invalid_type environment_id", "invalid_type key_id", "unrecognized_keys"]
        );
    });
}

#[test]
fn a_made_key_works_until_it_is_deleted() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let id = app.environment_id;
        let body = json!({"environment_id": id.0.to_string(), "display_name": "ci"});
        let created = account.post("/environment/api-keys", body).expect(200).await;
        let secret = created["data"]["secret"].as_str().unwrap().to_owned();
        let now = hitchpost::time_format::format_millis_z(app.now());
        assert_eq!(
            created,
            json!({"data": {"id": created["data"]["id"], "display_name": "ci", "scopes": ["environment:*"],
                "secret": secret, "created_at": now}})
        );
        let client = app.anonymous().with_secret(secret);
        client.get("/integrations").expect(200).await;
        let removal = json!({"environment_id": id, "key_id": created["data"]["id"]});
        let deleted = account.delete("/environment/api-keys").json(&removal).expect(200).await;
        assert_eq!(deleted, json!({"success": true}));
        assert_eq!(client.get("/integrations").send().await.code(), "unknown_account");
        let recent = changes::list_since(&app.app.db, app.now() - TimeDelta::seconds(1)).await.unwrap();
        let own = recent.iter().filter(|one| one.environment_id == id && one.kind == ChangeKind::ApiKey);
        assert_eq!(own.count(), 2, "one for the creation, one for the deletion");
        create_key(&account, id, "ci").await;
    });
}

#[test]
fn a_key_may_have_fewer_scopes() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let scopes = json!(["environment:integrations:list", "environment:proxy"]);
        let body = json!({"environment_id": app.environment_id, "display_name": "ci", "scopes": scopes});
        let created = account.post("/environment/api-keys", body).expect(200).await;
        assert_eq!(created["data"]["scopes"], scopes);
        let client = app.anonymous().with_secret(created["data"]["secret"].as_str().unwrap());
        client.get("/integrations").expect(200).await;
        client.get("/connections").expect(403).await;
    });
}

#[test]
fn an_environment_has_at_most_fifty_keys() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        // One came with the environment.
        for number in 1..50 {
            create_key(&account, app.environment_id, &format!("key {number}")).await;
        }
        let body = |name: &str| json!({"environment_id": app.environment_id, "display_name": name});
        check(vec![
            Case {
                name: "one too many",
                request: account.post("/environment/api-keys", body("key 50")),
                status: 400,
                code: "resource_capped",
            },
            Case {
                name: "a taken name is told first",
                request: account.post("/environment/api-keys", body("key 1")),
                status: 409,
                code: "conflict",
            },
        ])
        .await;
    });
}

#[test]
fn the_command_line_makes_keys_of_the_account() {
    run(async {
        let app = TestApp::start().await;
        let account_id = db::accounts::find_first(&app.app.db).await.unwrap().unwrap();
        let owner = KeyOwner { account_id, environment_id: None };
        let name = app.fresh_name();
        let scopes = ["account:environments:create".to_owned()];
        let new = || NewApiKey { display_name: &name, scopes: &scopes, secret: None };
        let created = create_api_key(&app.app, owner, new()).await.unwrap();
        let client = app.anonymous().with_secret(created.secret.expose());
        let id = create(&client, &app.fresh_name()).await;
        client.delete(format!("/environments/{}", id.0)).expect(403).await;
        let again = create_api_key(&app.app, owner, new()).await;
        assert!(again.is_err_and(|error| error.to_string() == "Another key has this name."));
    });
}

#[test]
fn variables_are_listed_by_name_with_their_values() {
    run(async {
        let app = TestApp::start().await;
        let client = app.client();
        assert_eq!(client.get("/environment-variables").expect(200).await, json!([]));
        for (name, value) in [("b", "2"), ("B", "1"), ("a", ""), ("b", "3")] {
            let sealed = app.app.cipher.seal_text(value).unwrap();
            let stored =
                environment_variables::upsert(&app.app.db, app.environment_id, name, &sealed, app.now());
            stored.await.unwrap();
        }
        let expected =
            json!([{"name": "B", "value": "1"}, {"name": "a", "value": ""}, {"name": "b", "value": "3"}]);
        assert_eq!(client.get("/environment-variables").json(&json!({})).expect(200).await, expected);
        assert_eq!(app.stranger().await.get("/environment-variables").expect(200).await, json!([]));
        assert!(environment_variables::delete(&app.app.db, app.environment_id, "a").await.unwrap());
        assert!(!environment_variables::delete(&app.app.db, app.environment_id, "a").await.unwrap());
        let case = |name, request, status, code| Case { name, request, status, code };
        let path = "/environment-variables";
        check(vec![
            case("no key", app.anonymous().get(path), 401, "missing_auth_header"),
            case("other scope", app.client_with(&["proxy"]).await.get(path), 403, "forbidden"),
            case("account key", app.account_client().await.get(path), 403, "forbidden"),
            case("a parameter", client.get(format!("{path}?a=b")), 400, "invalid_query_params"),
            case("a body", client.get(path).json(&json!({"a": 1})), 400, "invalid_body"),
            case("other method", client.post(path, json!({})), 404, "not_found"),
        ])
        .await;
    });
}

#[test]
fn a_replaced_signing_key_signs_beside_the_new_one_for_a_day() {
    run(async {
        let app = TestApp::start().await;
        let (client, path) = (app.client(), "/environment/webhook-signing-key/rotate");
        let id = app.environment_id;
        let open = |sealed: Vec<u8>| app.app.cipher.open_text(&sealed).unwrap().expose().to_owned();
        let find = || api_keys::find_secret(&app.app.db, id, KeyKind::WebhookSigning);
        let old = open(find().await.unwrap().unwrap());
        assert!(api_keys::find_retired_secret(&app.app.db, id, app.now()).await.unwrap().is_none());
        let rotated = client.post(path, json!({"anything": 1})).expect(200).await;
        let new = rotated["data"]["webhook_signing_key"].as_str().unwrap();
        assert_eq!(open(find().await.unwrap().unwrap()), new);
        assert_ne!(new, old);
        let retired = async |hours| {
            let then = app.now() + TimeDelta::hours(hours);
            api_keys::find_retired_secret(&app.app.db, id, then).await.unwrap().map(open)
        };
        assert_eq!(retired(23).await, Some(old));
        assert_eq!(retired(24).await, None);
        client.ask("POST", path).expect(200).await;
        assert_eq!(retired(1).await.as_deref(), Some(new), "the last replaced one");
    });
}

#[test]
fn the_rotation_refuses() {
    run(async {
        let app = TestApp::start().await;
        let path = "/environment/webhook-signing-key/rotate";
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no key", app.anonymous().post(path, json!({})), 401, "missing_auth_header"),
            case("other scope", app.client_with(&["proxy"]).await.post(path, json!({})), 403, "forbidden"),
            case(
                "a parameter",
                app.client().post(format!("{path}?a=b"), json!({})),
                400,
                "invalid_query_params",
            ),
        ])
        .await;
        let signing = api_keys::list_signing_keys(&app.app.db, app.environment_id).await.unwrap();
        let now = app.now();
        api_keys::retire(&app.app.db, app.environment_id, signing[0], now, now).await.unwrap();
        let request = app.client().post(path, json!({}));
        check(vec![case("no signing key", request, 404, "not_found")]).await;
        for _ in 0..2 {
            app.signing_key().await;
        }
        let request = app.client().post(path, json!({}));
        check(vec![case("several signing keys", request, 409, "multiple_webhook_signing_keys")]).await;
    });
}
