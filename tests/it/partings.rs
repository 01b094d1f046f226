//! Connections that are deleted with their integration or environment: their providers are told, nobody waits for that, and
//! nothing of them is kept once it is done or given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use hitchpost::environments;
use hitchpost::hooks::tell_due;
use hitchpost::integrations::{self, OpenIntegration};
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::app::TestSettings;
use crate::support::logged::{logged, of_kind};
use crate::support::target::{Target, World, WorldPlan, answer, insert_connection, insert_integration};
use crate::support::{TestApp, run};

/// A provider that answers with a status that can be changed.
async fn provider() -> (Target, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let told = status.clone();
    (Target::start(move |_| answer(told.load(Ordering::SeqCst), &[], "")).await, status)
}

/// A world whose provider hears of deletions, with these connections besides `c1`.
async fn world(target: &Target, connections: usize) -> World {
    let entry = json!({"pre_deletion": [{"request": {"method": "POST", "url": "/revoke"}}]});
    let world = WorldPlan::new(target.url()).provider(entry).build().await;
    let integration = acme(&world.app).await;
    for number in 0..connections {
        let credentials = json!({"type": "API_KEY", "apiKey": format!("key-{number}")});
        insert_connection(&world.app, &integration, &format!("more-{number}"), credentials, json!({})).await;
    }
    world
}

async fn acme(app: &TestApp) -> OpenIntegration {
    integrations::find(&app.app, app.environment_id, "acme").await.expect("readable").expect("there")
}

async fn left(app: &TestApp) -> i64 {
    let count = sqlx::query("SELECT count(*) FROM pre_deletion_runs WHERE environment_id = $1");
    count.bind(app.environment_id.0).fetch_one(&app.app.db).await.expect("the database answers").get(0)
}

/// Waits until no more than so many are left to be told.
async fn settled(app: &TestApp, wanted: i64) {
    for _ in 0..500 {
        if left(app).await <= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the providers are not told");
}

/// Waits until the provider was asked so many times.
async fn asked(target: &Target, times: usize) {
    for _ in 0..500 {
        if target.seen().len() >= times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("asked {} times only", target.seen().len());
}

/// Credentials that are stored anywhere of this environment's connections.
async fn stored_credentials(app: &TestApp) -> i64 {
    let count = "SELECT count(*) FROM connections WHERE environment_id = $1 AND credentials IS NOT NULL";
    let count = sqlx::query(count).bind(app.environment_id.0).fetch_one(&app.app.db).await;
    count.expect("the database answers").get(0)
}

#[test]
fn deleting_an_integration_tells_the_provider_of_each_connection() {
    run(async {
        let (target, _) = provider().await;
        let world = world(&target, 20).await;
        world.app.client().delete("/integrations/acme").expect(200).await;
        world.app.client().get("/integrations/acme").expect(404).await;
        assert_eq!(stored_credentials(&world.app).await, 0, "erased at once");
        settled(&world.app, 0).await;
        let mut keys: Vec<String> = target
            .seen()
            .iter()
            .map(|seen| seen.header("x-api-key").unwrap_or_default().to_owned())
            .collect();
        keys.sort_unstable();
        let mut expected: Vec<String> = (0..20).map(|number| format!("key-{number}")).collect();
        expected.push("key-0123456789".to_owned());
        expected.sort_unstable();
        assert_eq!(keys, expected);
        let all = logged(&world.app).await;
        let operations = of_kind(&all, "events", "pre_connection_deletion");
        assert_eq!(operations.len(), 21);
        assert!(operations.iter().all(|one| one.text("state") == "success" && one.exchanges().len() == 1));
    });
}

#[test]
fn deleting_an_environment_tells_the_providers_that_want_to_hear_of_it() {
    run(async {
        let (target, _) = provider().await;
        let revokes = json!([{"request": {"method": "POST", "url": "/revoke"}}]);
        let entry = |hooks: Value| {
            json!({"display_name": "Acme", "docs": "https://docs.test", "auth_mode": "API_KEY",
                "proxy": {"base_url": target.url(), "headers": {"x-api-key": "${apiKey}"}}, "pre_deletion": hooks})
        };
        let catalog = json!({"told": entry(revokes), "quiet": entry(json!([]))}).to_string();
        let app = TestSettings::default().catalog(catalog).start().await;
        for name in ["told", "quiet"] {
            let integration = insert_integration(&app, name, None).await;
            let credentials = json!({"type": "API_KEY", "apiKey": format!("key-of-{name}")});
            insert_connection(&app, &integration, "c1", credentials, json!({})).await;
        }
        assert!(environments::delete(&app.app, app.environment_id).await.expect("deleted"));
        asked(&target, 1).await;
        settled(&app, 0).await;
        let seen = target.seen();
        assert_eq!((seen.len(), seen[0].header("x-api-key")), (1, Some("key-of-told")));
        assert_eq!(stored_credentials(&app).await, 0);
    });
}

#[test]
fn a_provider_in_trouble_is_told_later_and_given_up_in_the_end() {
    run(async {
        let (target, status) = provider().await;
        status.store(503, Ordering::SeqCst);
        let world = world(&target, 0).await;
        let (app, environment) = (&world.app, Some(world.app.environment_id));
        app.client().delete("/integrations/acme").expect(200).await;
        for (attempt, pause) in [(1, 31), (2, 301)] {
            asked(&target, attempt).await;
            // The row is put off once the answer was noted.
            tokio::time::sleep(Duration::from_millis(200)).await;
            tell_due(&app.app, environment).await;
            assert_eq!(target.seen().len(), attempt, "not before the pause is over");
            assert_eq!(left(app).await, 1);
            app.advance(TimeDelta::seconds(pause));
            tell_due(&app.app, environment).await;
        }
        assert_eq!((target.seen().len(), left(app).await), (3, 0));
        let all = logged(app).await;
        let operations = of_kind(&all, "events", "pre_connection_deletion");
        assert!(operations.iter().all(|one| one.text("state") == "failed"));
        let again = |one: &&crate::support::logged::Logged| {
            one.texts().iter().any(|text| text.starts_with("It is tried again in "))
        };
        assert_eq!((operations.len(), operations.iter().copied().filter(again).count()), (3, 2));
    });
}

#[test]
fn a_provider_that_refuses_is_not_asked_again() {
    run(async {
        let (target, status) = provider().await;
        status.store(403, Ordering::SeqCst);
        let world = world(&target, 2).await;
        world.app.client().delete("/integrations/acme").expect(200).await;
        settled(&world.app, 0).await;
        assert_eq!(target.seen().len(), 3);
    });
}

#[test]
fn what_a_process_that_died_has_left_is_told_by_another_one_but_not_for_ever() {
    run(async {
        let (target, _) = provider().await;
        let world = world(&target, 0).await;
        let (app, environment) = (&world.app, Some(world.app.environment_id));
        // As the transaction leaves it when nobody rings: the process died after its commit.
        let keep = "INSERT INTO pre_deletion_runs (connection_row_id, environment_id, credentials, connection_config, attempts, due_at)
            SELECT id, environment_id, credentials, connection_config, $2, $3 FROM connections WHERE id = $1";
        let keep = |attempts: i16| {
            let now = app.now();
            async move {
                let kept = sqlx::query(keep).bind(world.connection.0).bind(attempts).bind(now);
                kept.execute(&app.app.db).await.expect("stored");
            }
        };
        keep(0).await;
        tell_due(&app.app, environment).await;
        assert_eq!((target.seen().len(), left(app).await), (1, 0));
        // Every attempt so far took its process down.
        keep(3).await;
        tell_due(&app.app, environment).await;
        assert_eq!((target.seen().len(), left(app).await), (1, 0));
    });
}

#[test]
fn a_token_that_has_ended_is_renewed_before_it_is_revoked() {
    run(async {
        let target = Target::start(|seen| match seen.target.as_str() {
            "/token" => crate::support::target::ok_json(
                r#"{"access_token": "renewed-1", "refresh_token": "again-2", "expires_in": 3600}"#,
            ),
            _ => answer(200, &[], ""),
        })
        .await;
        let entry = json!({"acme": {"display_name": "Acme", "docs": "https://docs.test", "auth_mode": "OAUTH2",
            "authorization_url": "https://login.test/a", "token_url": format!("{}/token", target.url()),
            "proxy": {"base_url": target.url()}, "pre_deletion": [{"request": {"method": "POST", "url": "/revoke"}}]}});
        let app = TestSettings::default().catalog(entry.to_string()).start().await;
        let integration = insert_integration(&app, "acme", None).await;
        let ended = (app.now() - TimeDelta::hours(1)).to_rfc3339();
        let credentials =
            json!({"type": "OAUTH2", "access_token": "old", "refresh_token": "again-1", "expires_at": ended});
        insert_connection(&app, &integration, "c1", credentials, json!({})).await;
        app.client().delete("/integrations/acme").expect(200).await;
        settled(&app, 0).await;
        let seen = target.seen();
        let targets: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
        assert_eq!(targets, ["/token", "/revoke"]);
        assert_eq!(seen[1].header("authorization"), Some("Bearer renewed-1"));
    });
}
