//! The audit trail: every administrative change tells who, what, from where and what was different; nobody rewrites it.

use chrono::TimeDelta;
use hitchpost::db::audit_events;
use hitchpost::jobs;
use hitchpost::settings_file::{Plan, PlanOptions, SettingsFile};
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::catalog::issue_lines;
use crate::support::{Case, Client, TestApp, check, run};

const SECRET: &str = "pl4nted-s3cret";

/// What the trail says of the test's environment, newest first.
async fn trail(app: &TestApp) -> Vec<Value> {
    let account = app.account_client().await;
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/audit-trail?env={}{cursor}", app.environment_name);
        let page = account.get(path).expect(200).await;
        events.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["pagination"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

/// `resource action` of each event, oldest first.
fn told(events: &[Value]) -> Vec<String> {
    let tell = |event: &Value| {
        format!("{} {}", event["resource"].as_str().unwrap(), event["action"].as_str().unwrap())
    };
    events.iter().rev().map(tell).collect()
}

/// Changes everything that can be changed, with secrets wherever one fits.
async fn change_everything(app: &TestApp, account: &Client) {
    let env = format!("?env={}", app.environment_name);
    let client = app.client();
    let credentials = json!({"type": "OAUTH2", "client_id": "id", "client_secret": SECRET, "scopes": "a"});
    let new = json!({"provider": "silent", "unique_key": "o", "credentials": credentials});
    client.post("/integrations", new).expect(200).await;
    client.patch("/integrations/o", json!({"display_name": "Shown"})).expect(200).await;
    client.integration("plain-key", "k").await;
    let import = json!({"provider_config_key": "k", "connection_id": "c1",
        "credentials": {"type": "API_KEY", "apiKey": SECRET}});
    client.post("/connections", import.clone()).expect(201).await;
    client.post("/connections", import).expect(201).await;
    client
        .post(
            "/connections/metadata",
            json!({"connection_id": "c1", "provider_config_key": "k", "metadata": {"x": SECRET}}),
        )
        .expect(201)
        .await;
    client.patch("/connections/c1?provider_config_key=k", json!({"tags": {"t": "v"}})).expect(200).await;
    client.delete("/connections/c1?provider_config_key=k").expect(200).await;
    client.delete("/integrations/k").expect(200).await;
    let variables = json!({"variables": [{"name": "TOKEN", "value": SECRET}]});
    account.post(format!("/api/v1/environments/variables{env}"), variables).expect(200).await;
    let hooks = json!({"primary_url": format!("https://hooks.example.com/in?key={SECRET}")});
    account.patch(format!("/api/v1/environments/webhook{env}"), hooks).expect(200).await;
    let patch = json!({"hmac_key": SECRET, "otlp_headers": [{"name": "authorization", "value": SECRET}]});
    account.patch(format!("/api/v1/environments{env}"), patch).expect(200).await;
    let theme = json!({"light": {"primary": "#000000"}, "dark": {"primary": "#ffffff"}});
    let ui = json!({"theme": theme, "defaultTheme": "dark", "showWatermark": false});
    account.ask("PUT", format!("/api/v1/connect-ui-settings{env}")).json(&ui).expect(200).await;
    account.ask("POST", format!("/api/v1/environment/webhook-signing-key/rotate{env}")).expect(200).await;
    let keys = "/api/v1/environment/api-keys";
    let made = account.post(format!("{keys}{env}"), json!({"display_name": "ci"})).expect(200).await;
    account.delete(format!("{keys}/{}{env}", made["data"]["id"])).expect(200).await;
}

const EVERYTHING: [&str; 17] = [
    "integration created",
    "integration updated",
    "integration created",
    "connection created",
    "connection updated",
    "connection metadata_updated",
    "connection updated",
    "connection deleted",
    "integration deleted",
    "environment variables_changed",
    "environment webhook_urls_changed",
    "environment updated",
    "environment updated",
    "environment webhook_signing_key_rotated",
    "api_key created",
    "api_key deleted",
    "environment deleted",
];

#[test]
fn every_change_is_told_without_secrets() {
    run(async {
        let app = TestApp::with_providers().await;
        let account = app.account_client().await;
        change_everything(&app, &account).await;
        account.delete(format!("/api/v1/environments?env={}", app.environment_name)).send().await;
        let events = trail(&app).await;
        assert_eq!(told(&events), EVERYTHING);
        assert!(!json!(events).to_string().contains(SECRET), "{}", json!(events));
        for event in &events {
            assert_eq!((&event["version"], &event["outcome"]), (&json!("2026-07-16"), &json!("success")));
            assert_eq!(event["actor"]["type"], "api_key");
            assert!(event["actor"]["display"].is_string(), "{event}");
            assert_eq!(
                event["environment"],
                json!({"id": app.environment_id, "display": app.environment_name})
            );
        }
        let renamed = &events[events.len() - 2]["metadata"];
        assert_eq!(renamed, &json!({"before": {"display_name": null}, "after": {"display_name": "Shown"}}));
        let found = |name: &str| events.iter().find(|event| event["action"] == name).unwrap();
        let hooks = &found("webhook_urls_changed")["metadata"]["after"];
        assert_eq!(hooks["primary_url"], "https://hooks.example.com/in?[redacted]");
        assert_eq!(found("variables_changed")["metadata"], json!({"set": ["TOKEN"], "removed": []}));
        assert_eq!(found("metadata_updated")["targets"][0]["display"], "c1");
    });
}

#[test]
fn an_event_says_who_and_from_where() {
    run(async {
        let settings = TestSettings::default()
            .set("NANGO_DASHBOARD_USERNAME", "ops")
            .set("NANGO_DASHBOARD_PASSWORD", "pw");
        let app = settings.start().await;
        let env = format!("?env={}", app.environment_name);
        let path = format!("/api/v1/environments{env}");
        let by_password = app.anonymous().patch(&path, json!({"hmac_enabled": true}));
        by_password
            .header("authorization", "Basic b3BzOnB3")
            .header("user-agent", "script/1")
            .header("x-forwarded-for", "203.0.113.9")
            .expect(200)
            .await;
        let yaml = format!("environments:\n  {}:\n    hmac_enabled: false\n", app.environment_name);
        let file = SettingsFile::read("x.yaml", &yaml, &|_| None, |_| true).unwrap();
        let plan = Plan::build(&app.app, &file, PlanOptions::default()).await.unwrap();
        plan.run(&app.app, &mut |_| Ok(())).await.unwrap();
        let events = trail(&app).await;
        assert_eq!(events[1]["actor"], json!({"type": "user", "id": "ops", "display": "ops"}));
        let context = json!({"interface": "api", "ip": "203.0.113.9", "userAgent": "script/1"});
        assert_eq!(events[1]["context"], context);
        assert_eq!(
            events[1]["metadata"],
            json!({"before": {"hmac_enabled": false}, "after": {"hmac_enabled": true}})
        );
        assert_eq!((&events[0]["actor"]["type"], &events[0]["context"]), (&json!("unknown"), &json!({})));
    });
}

#[test]
fn end_users_appear_by_their_connect_session() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("plain-key", "k").await;
        let session = app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
        let token = session["data"]["token"].as_str().unwrap();
        let path = format!("/api-auth/api-key/k?connect_session_token={token}");
        app.anonymous().post(path, json!({"apiKey": "abc"})).expect(200).await;
        assert_eq!(trail(&app).await[0]["actor"]["type"], "connect_session");
    });
}

#[test]
fn pages_filters_and_refusals() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let env = format!("env={}", app.environment_name);
        for number in 0..30 {
            let variables = json!({"variables": [{"name": "N", "value": number.to_string()}]});
            account.post(format!("/api/v1/environments/variables?{env}"), variables).expect(200).await;
        }
        account
            .patch(format!("/api/v1/environments/webhook?{env}"), json!({"on_sync_error": false}))
            .expect(200)
            .await;
        let first = account.get(format!("/api/v1/audit-trail?{env}")).expect(200).await;
        assert_eq!(first["data"].as_array().unwrap().len(), 25);
        let events = trail(&app).await;
        assert_eq!(events.len(), 31);
        let ids: std::collections::BTreeSet<String> =
            events.iter().map(|event| event["id"].to_string()).collect();
        assert_eq!(ids.len(), 31, "no event twice");
        let narrow = "resources=environment&actions=webhook_urls_changed,deleted";
        let found = account.get(format!("/api/v1/audit-trail?{env}&{narrow}")).expect(200).await;
        assert_eq!(found["data"].as_array().unwrap().len(), 1);
        let later = (app.now() + TimeDelta::seconds(1)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let none = account.get(format!("/api/v1/audit-trail?{env}&from={later}")).expect(200).await;
        assert_eq!(none, json!({"data": [], "pagination": {"nextCursor": null}}));
        let bad = account
            .get("/api/v1/audit-trail?resources=nope&actions=created&cursor=x&limit=3")
            .expect(400)
            .await;
        assert_eq!(issue_lines(&bad), ["invalid_value resources.0", "custom cursor", "unrecognized_keys"]);
        let bad = account.get("/api/v1/audit-trail?actions=created").expect(400).await;
        assert_eq!(issue_lines(&bad), ["custom actions"]);
        let off = TestSettings::default().set("FLAG_AUDIT_TRAIL_ENABLED", "false").start().await;
        let there = off.account_client().await;
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("a key of an environment", app.client().get("/api/v1/audit-trail"), 403, "forbidden"),
            case("nobody", app.anonymous().get("/api/v1/audit-trail/export"), 401, "missing_auth_header"),
            case("switched off", there.get("/api/v1/audit-trail"), 403, "feature_disabled"),
            case("switched off", there.get("/api/v1/audit-trail/export"), 403, "feature_disabled"),
        ])
        .await;
        there
            .patch(
                format!("/api/v1/environments?env={}", off.environment_name),
                json!({"hmac_enabled": true}),
            )
            .expect(200)
            .await;
        assert!(trail_is_empty(&app, &off.environment_name).await);
    });
}

async fn trail_is_empty(app: &TestApp, environment: &str) -> bool {
    let found = app.account_client().await.get(format!("/api/v1/audit-trail?env={environment}"));
    found.expect(200).await["data"] == json!([])
}

#[test]
fn exports_are_csv_or_json_lines() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let env = format!("env={}", app.environment_name);
        let keys = format!("/api/v1/environment/api-keys?{env}");
        account
            .post(keys, json!({"display_name": "=HYPERLINK(\"x\")"}))
            .header("user-agent", "=cmd()")
            .expect(200)
            .await;
        let reply = account.get(format!("/api/v1/audit-trail/export?{env}")).send().await;
        assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
        let text = reply.text();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().next_back(), Some("metadata"));
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0][2], &rows[0][3], &rows[0][8]),
            ("api_key", "created", app.environment_name.as_str())
        );
        assert_eq!(&rows[0][11], "'=cmd()");
        let lines = account.get(format!("/api/v1/audit-trail/export?{env}&format=jsonl")).send().await;
        assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
        let event: Value = serde_json::from_str(lines.text().trim()).unwrap();
        assert_eq!(event["targets"][0]["display"], "=HYPERLINK(\"x\")");
        let told =
            account.get("/api/v1/audit-trail?resources=audit_trail&actions=exported").expect(200).await;
        assert!(!told["data"].as_array().unwrap().is_empty());
    });
}

#[test]
fn the_trail_can_be_neither_changed_nor_emptied_and_ends_by_retention() {
    run(async {
        let app = TestApp::start().await;
        let account = app.account_client().await;
        let path = format!("/api/v1/environments/webhook?env={}", app.environment_name);
        account.patch(path, json!({"on_sync_error": false})).expect(200).await;
        for statement in [
            "UPDATE audit_events SET outcome = 'failure'",
            "DELETE FROM audit_events",
            "TRUNCATE audit_events",
        ] {
            let refused = sqlx::query(statement).execute(&app.app.db).await.unwrap_err();
            assert!(refused.to_string().contains("neither be changed nor deleted"), "{refused}");
        }
        assert_eq!(trail(&app).await.len(), 1);
        audit_events::purge(&app.app.db, app.now() - TimeDelta::days(1)).await.unwrap();
        assert_eq!(trail(&app).await.len(), 1, "it is young");
        let retained = TestSettings::default().set("HITCHPOST_AUDIT_RETENTION_DAYS", "0").start().await;
        jobs::clean_up(&retained.app).await.unwrap();
        assert_eq!(trail(&app).await.len(), 1, "for ever");
    });
}
