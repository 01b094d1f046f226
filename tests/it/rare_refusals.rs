//! Refusals that need something unusual: odd bytes, an environment that vanishes half-way, an entry that lacks a part.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use chrono::TimeDelta;
use hitchpost::api::edge;
use hitchpost::catalog::Catalog;
use hitchpost::db::api_keys;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::oauth_world::{KEY, World};
use crate::support::app::TestSettings;
use crate::support::target::{Target, WorldPlan, answer, insert_connection};
use crate::support::{Case, TestApp, check, run};

const CATALOG: &str = r#"
machine:
  display_name: Machine
  auth_mode: OAUTH2_CC
  docs: https://example.com
  token_url: https://machine.example/token
tokenless:
  display_name: Tokenless
  auth_mode: OAUTH2_CC
  docs: https://example.com
"#;

#[test]
fn a_credential_that_is_not_text_is_malformed() {
    run(async {
        let app = TestApp::start().await;
        let request = app.anonymous().get("/integrations").header_bytes("authorization", b"Bearer caf\xe9");
        check(vec![Case { name: "latin-1", request, status: 401, code: "malformed_auth_header" }]).await;
    });
}

async fn panics(_: Request) -> Response {
    panic!("on purpose")
}

#[test]
fn a_panic_is_answered_with_the_id_to_quote() {
    run(async {
        let app = TestApp::start().await;
        let request = Request::get("/connections").header("x-request-id", "r-1").body(Body::empty()).unwrap();
        let response = edge::around(&app.app, "/nowhere", request, panics).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(parts.status, 500);
        assert_eq!(
            (&error["error"]["code"], &error["error"]["payload"]),
            (&json!("generic_error_support"), &json!("r-1"))
        );
        assert!(!error.to_string().contains("on purpose"));
    });
}

#[test]
fn public_keys_need_an_environment_with_hmac() {
    run(async {
        let app = TestApp::start().await;
        let key = public_key(&app).await;
        let case = |name, path: String| Case {
            name,
            request: app.anonymous().post(path, json!({})),
            status: 401,
            code: "deprecated_authentication",
        };
        check(vec![
            case("basic", format!("/api-auth/basic/x?public_key={key}")),
            case("client credentials", format!("/oauth2/auth/x?public_key={key}")),
        ])
        .await;
        let popup = app.anonymous().get(format!("/oauth/connect/x?public_key={key}")).send().await;
        assert_eq!((popup.status.as_u16(), popup.code().as_str()), (401, "deprecated_authentication"));
        // Wire: this one has the standard envelope.
        assert_eq!(popup.json()["error"].get("payload"), None);
    });
}

#[test]
fn a_public_key_that_the_operator_fixed_is_that_of_its_environment() {
    const FIXED: &str = "5d2f1c8e-0b7a-4c53-9e41-7f3f0c2b6a10";
    run(async {
        let app = TestSettings::default().set("NANGO_PUBLIC_KEY_DEV", FIXED).start().await;
        let ask = |key: &str| app.anonymous().post(format!("/api-auth/basic/x?public_key={key}"), json!({}));
        let codes =
            [ask(FIXED).send().await.code(), ask("5d2f1c8e-0b7a-4c53-9e41-7f3f0c2b6a11").send().await.code()];
        // `dev` is known, and has no HMAC.
        assert_eq!(codes, ["deprecated_authentication", "unknown_account"]);
    });
}

async fn public_key(app: &TestApp) -> Uuid {
    let query = sqlx::query_scalar("SELECT public_key FROM environments WHERE id = $1");
    query.bind(app.environment_id.0).fetch_one(&app.app.db).await.expect("a key")
}

#[test]
fn client_credentials_need_a_secret_and_a_token_url() {
    run(async {
        let app = TestApp::with_catalog(CATALOG).await;
        for provider in ["machine", "tokenless"] {
            let body = json!({"provider": provider, "unique_key": provider});
            app.client().post("/integrations", body).expect(200).await;
        }
        let answer = app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
        let token = answer["data"]["token"].as_str().unwrap();
        let post = |key: &str, body| {
            app.anonymous().post(format!("/oauth2/auth/{key}?connect_session_token={token}"), body)
        };
        let whole = json!({"client_id": "c", "client_secret": "s"});
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no secret", post("machine", json!({"client_id": "c"})), 400, "missing_client_secret"),
            case("no token URL", post("tokenless", whole.clone()), 400, "missing_token_url"),
        ])
        .await;
        app.app.replace_catalog(Catalog::default());
        let request = post("machine", whole);
        check(vec![case("a vanished provider", request, 404, "unknown_provider_template")]).await;
    });
}

#[test]
fn an_environment_that_vanishes_ends_its_sign_ins() {
    run(async {
        let world = World::start("").await;
        let token = world.session(|_| ()).await;
        let begun = world.begin(&token, "").await;
        let target = world.provider.sign_in(begun.authorize.as_str()).await;
        let delete = sqlx::query("UPDATE environments SET deleted_at = now() WHERE id = $1");
        delete.bind(world.app.environment_id.0).execute(&world.app.app.db).await.expect("deleted");
        let page = world.callback(&begun, &target).await;
        assert_eq!(page.status, 400);
        let text = page.text();
        assert!(text.contains("account_or_environment_retrieval_err"), "{text}");
    });
}

#[test]
fn an_empty_refresh_token_is_none() {
    run(async {
        let world = World::start("").await;
        let ended = hitchpost::time_format::format_millis_z(world.app.now() - TimeDelta::hours(1));
        let credentials =
            json!({"type": "OAUTH2", "access_token": "t", "refresh_token": "", "expires_at": ended});
        let integration = world.open_integration().await;
        insert_connection(&world.app, &integration, "c1", credentials, json!({})).await;
        let path = format!("/connections/c1?provider_config_key={KEY}");
        let error = world.app.client().get(path).expect(400).await;
        assert_eq!(
            (&error["error"]["code"], &error["error"]["payload"]["type"]),
            (&json!("invalid_credentials"), &json!("missing_refresh_token"))
        );
    });
}

#[test]
fn a_base_that_is_no_url_is_told() {
    run(async {
        let world = WorldPlan::new("nonsense").build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "missing_api_url"));
    });
}

#[test]
fn a_connection_that_vanishes_between_two_attempts_is_told() {
    run(async {
        let target = Target::start(|_| answer(500, &[("x-wait", "3")], "no")).await;
        let world = WorldPlan::new(target.url()).proxy(json!({"retry": {"after": ["x-wait"]}})).build().await;
        let call = world.get("/r").header("retries", "1").send();
        let delete = async {
            while target.seen().is_empty() {
                tokio::task::yield_now().await;
            }
            world.app.client().delete("/connections/c1?provider_config_key=acme").expect(200).await;
        };
        let (reply, ()) = tokio::join!(call, delete);
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "failed_to_get_connection"));
        assert_eq!(target.seen().len(), 1);
    });
}

#[test]
fn a_rotation_that_fails_keeps_the_old_key() {
    run(async {
        let app = TestApp::start().await;
        let environment = app.environment_id.0;
        let before = api_keys::list_signing_keys(&app.app.db, app.environment_id).await.unwrap();
        // The database takes no further key of this environment.
        let forbid = format!(
            "ALTER TABLE api_keys ADD CONSTRAINT no_more_{environment} CHECK (environment_id <> {environment}) NOT VALID"
        );
        sqlx::query(sqlx::AssertSqlSafe(forbid)).execute(&app.app.db).await.expect("forbidden");
        let request = app.client().post("/environment/webhook-signing-key/rotate", json!({}));
        let reply = request.send().await;
        let allow = format!("ALTER TABLE api_keys DROP CONSTRAINT no_more_{environment}");
        sqlx::query(sqlx::AssertSqlSafe(allow)).execute(&app.app.db).await.expect("allowed");
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (500, "rotation_failed"));
        assert!(!reply.text().contains("no_more"), "{}", reply.text());
        let after = api_keys::list_signing_keys(&app.app.db, app.environment_id).await.unwrap();
        assert_eq!(after, before);
    });
}

#[test]
fn no_text_holds_the_character_nul() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("vault", "vault").await;
        let metadata =
            json!({"connection_id": [], "provider_config_key": "vault", "metadata": {"a": "\u{0}"}});
        let case = |name, request, code| Case { name, request, status: 400, code };
        check(vec![
            case("a query", client.get("/connections?search=a%00b"), "invalid_query_params"),
            case("a tag of a query", client.get("/connections?tags[a]=%00"), "invalid_query_params"),
            case("a path", client.get("/config/a%00b"), "invalid_uri_params"),
            case(
                "a body",
                client.post("/connect/sessions", json!({"end_user": {"id": "\u{0}"}})),
                "invalid_body",
            ),
            case("free metadata", client.post("/connections/metadata", metadata), "invalid_body"),
        ])
        .await;
        let token = app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
        let token = token["data"]["token"].as_str().unwrap();
        let popup = app.anonymous().get(format!("/oauth/connect/a%00b?connect_session_token={token}"));
        assert!(popup.send().await.text().contains("provider_config_err"));
    });
}

#[test]
fn numbers_are_stored_if_they_can_be_read_back() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("vault", "vault").await;
        client.key_connection("vault", "c1").await;
        let change = |number: &str| {
            let body = format!(
                r#"{{"connection_id": "c1", "provider_config_key": "vault", "metadata": {{"n": [{number}]}}}}"#
            );
            client
                .ask("PATCH", "/connections/metadata")
                .header("content-type", "application/json")
                .bytes(body)
        };
        for number in ["1.6e308", "-1.6e308", "5e-324", "18446744073709551615", "0.1"] {
            change(number).expect(200).await;
            let read = client.get("/connections/c1?provider_config_key=vault").expect(200).await;
            let (found, sent) = (read["metadata"]["n"][0].as_f64().unwrap(), number.parse::<f64>().unwrap());
            assert!((found - sent).abs() <= sent.abs() * 1e-15, "{number}: {found}");
        }
        let case = |name, number| Case { name, request: change(number), status: 400, code: "invalid_json" };
        check(vec![
            case("the largest", "1.7976931348623157e308"),
            case("the smallest", "-1.7976931348623157e308"),
            case("beyond", "1e309"),
        ])
        .await;
        client.get("/connections/c1?provider_config_key=vault").expect(200).await;
    });
}
