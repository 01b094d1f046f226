//! What the audit trail says of what was tried in the dashboard and did not happen, and of what was looked at or sent again.

use hitchpost::access::Role;
use hitchpost::db::AccountId;
use hitchpost::environments::settings::{self, EnvironmentPatch};
use serde_json::json;

use crate::dashboard_accounts::own_account;
use crate::support::browser::hidden;
use crate::support::member::PASSWORD;
use crate::support::{Browser, Person, TestApp, run};

/// Resource, action and outcome of every event that `condition` finds, oldest first.
async fn events(app: &TestApp, condition: &str, value: i64) -> Vec<String> {
    let select = format!(
        "SELECT resource || ' ' || action || ' ' || outcome FROM audit_events WHERE {condition} = $1 ORDER BY seq"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(select)).bind(value).fetch_all(&app.app.db).await.unwrap()
}

async fn of_environment(app: &TestApp) -> Vec<String> {
    events(app, "environment_id", app.environment_id.0).await
}

async fn of_account(app: &TestApp, account: AccountId) -> Vec<String> {
    events(app, "account_id", account.0).await
}

#[test]
fn what_a_role_forbids_is_recorded_as_denied() {
    run(async {
        let app = TestApp::start().await;
        let support = Person::with_role(&app, Role::ProductionSupport).await;
        let patch = EnvironmentPatch { is_production: Some(true), ..EnvironmentPatch::default() };
        settings::change(&app.app, app.environment_id, patch).await.unwrap();
        let before = of_environment(&app).await.len();
        let token = hidden(&support.browser.get("/me").await, "csrf").unwrap();
        let below = format!("/env/{}", app.environment_name);
        assert_eq!(support.browser.get(&format!("{below}/api-keys")).await.status, 403);
        assert_eq!(of_environment(&app).await.len(), before, "looking changes nothing");
        for path in
            ["/api-keys", "/settings/variables", "/integrations/x/delete", "/connections/1/credentials"]
        {
            let reply = support.browser.post(&format!("{below}{path}"), vec![("csrf", &*token)]).await;
            assert_eq!(reply.status, 403, "{path}");
        }
        let expected = [
            "api_key created denied",
            "environment variables_changed denied",
            "integration deleted denied",
            "connection credentials_revealed denied",
        ];
        assert_eq!(of_environment(&app).await[before..], expected);
        let told: (String, String) = sqlx::query_as(
            "SELECT actor->>'display', metadata->>'path' FROM audit_events WHERE environment_id = $1 ORDER BY seq DESC LIMIT 1",
        )
        .bind(app.environment_id.0)
        .fetch_one(&app.app.db)
        .await
        .unwrap();
        assert_eq!(told, (support.email.clone(), format!("{below}/connections/1/credentials")));

        let account = own_account(&app).await;
        let developer = Person::of(&app, account, Role::DevelopmentFullAccess).await;
        let token = hidden(&developer.browser.get("/me").await, "csrf").unwrap();
        developer.browser.post("/settings/team", vec![("csrf", &*token), ("email", "x@acme.test")]).await;
        assert_eq!(of_account(&app, account).await.last().map(String::as_str), Some("member invited denied"));
    });
}

#[test]
fn failed_logins_and_wrong_passwords_are_recorded() {
    run(async {
        let app = TestApp::start().await;
        let account = own_account(&app).await;
        let ada = Person::of(&app, account, Role::Administrator).await;
        ada.log_in("wrong wrong wrong").await;
        let fields = [("current", "wrong wrong wrong"), ("password", "another long password")];
        assert_eq!(ada.browser.submit("/me", "/me/password", &fields).await.status, 422);
        let told = of_account(&app, account).await;
        assert_eq!(told[told.len() - 2..], ["app_auth login failure", "app_auth password_changed failure"]);
        assert!(!json!(told).to_string().contains("wrong wrong"));

        let stranger = format!("{}@nobody.test", app.app.rng.alphanumeric(12).to_lowercase());
        let count = "SELECT count(*) FROM audit_events WHERE action = 'login' AND outcome = 'failure' AND actor->>'type' = 'anonymous'";
        let failures = || sqlx::query_scalar::<_, i64>(count).fetch_one(&app.app.db);
        let before = failures().await.unwrap();
        crate::support::member::log_in(&Browser::new(&app), &stranger, PASSWORD).await;
        assert!(failures().await.unwrap() > before, "nobody of this name");
        let kept = "SELECT count(*) FROM audit_events WHERE audit_events::text LIKE '%' || $1 || '%'";
        let kept: i64 = sqlx::query_scalar(kept).bind(&stranger).fetch_one(&app.app.db).await.unwrap();
        assert_eq!(kept, 0, "what strangers type is not kept");
    });
}

#[test]
fn revealed_values_are_recorded() {
    run(async {
        let app = crate::dashboard::with_password().await;
        let browser = crate::dashboard::operator(&app);
        let page = format!("/env/{}/settings", app.environment_name);
        let fields = [("name", "REGION"), ("value", "v4lue")];
        browser.submit(&page, &format!("{page}/variables"), &fields).await;
        browser.submit(&page, &format!("{page}/variables/show"), &[("name", "REGION")]).await;
        browser.submit(&page, &format!("{page}/signing-key/show"), &[]).await;
        let told = of_environment(&app).await;
        let expected =
            ["environment variable_revealed success", "environment webhook_signing_key_revealed success"];
        assert_eq!(told[told.len() - 2..], expected);
    });
}
