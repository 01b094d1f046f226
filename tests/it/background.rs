//! Background jobs: what is deleted when, who runs them, and how they went.

use chrono::TimeDelta;
use hitchpost::db::{connections, environments, job_runs};
use hitchpost::jobs;
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::{TestApp, run};

/// Its own name in the leases: tests of one process share the table.
async fn job(app: &TestApp, name: &str) -> Value {
    let listed = app.account_client().await.get("/api/v1/jobs").expect(200).await;
    let jobs = listed["data"].as_array().unwrap().clone();
    jobs.into_iter().find(|job| job["name"] == name).unwrap_or_else(|| panic!("no job {name}"))
}

async fn connection(app: &TestApp, id: &str) {
    let import = json!({"provider_config_key": "k", "connection_id": id,
        "connection_config": {"region": "eu"}, "credentials": {"type": "API_KEY", "apiKey": "secret"}});
    app.client().post("/connections", import).expect(201).await;
}

/// Credentials and connection config of the newest connection, deleted or not.
async fn stored(app: &TestApp) -> Option<(Option<Vec<u8>>, Value)> {
    sqlx::query_as(
        "SELECT credentials, connection_config FROM connections WHERE environment_id = $1 ORDER BY id DESC",
    )
    .bind(app.environment_id)
    .fetch_optional(&app.app.db)
    .await
    .unwrap()
}

#[test]
fn credentials_are_erased_at_once_unless_there_is_an_undo_window() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("plain-key", "k").await;
        connection(&app, "c1").await;
        app.client().delete("/connections/c1?provider_config_key=k").expect(200).await;
        assert_eq!(stored(&app).await, Some((None, json!({}))));
        let settings = TestSettings::default().set("CRON_DELETE_OLD_CONNECTIONS_MAX_DAYS", "3");
        let undo = settings.catalog(crate::support::catalog::ENTRIES).start().await;
        undo.client().integration("plain-key", "k").await;
        connection(&undo, "c2").await;
        undo.client().delete("/connections/c2?provider_config_key=k").expect(200).await;
        let (credentials, config) = stored(&undo).await.unwrap();
        assert!(credentials.is_some() && config == json!({"region": "eu"}));
        let old = undo.now() - TimeDelta::days(3);
        connections::purge(&undo.app.db, old - TimeDelta::days(1000)).await.unwrap();
        assert!(stored(&undo).await.is_some(), "not yet");
        connections::purge(&undo.app.db, undo.now() + TimeDelta::seconds(1)).await.unwrap();
        assert!(stored(&undo).await.is_none(), "gone for good");
    });
}

#[test]
fn a_deleted_environment_goes_with_everything_in_it() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("plain-key", "k").await;
        connection(&app, "c1").await;
        let account = app.account_client().await;
        let env = format!("?env={}", app.environment_name);
        let variables = json!({"variables": [{"name": "A", "value": "1"}]});
        account.post(format!("/api/v1/environments/variables{env}"), variables).expect(200).await;
        let hooks = json!({"primary_url": "https://hooks.example.com"});
        account.patch(format!("/api/v1/environments/webhook{env}"), hooks).expect(200).await;
        account.delete(format!("/api/v1/environments{env}")).send().await;
        let exists = async || {
            let found: Option<i64> = sqlx::query_scalar("SELECT id FROM environments WHERE id = $1")
                .bind(app.environment_id)
                .fetch_optional(&app.app.db)
                .await
                .unwrap();
            found.is_some()
        };
        let soon = app.now() + TimeDelta::seconds(1);
        environments::purge(&app.app.db, soon).await.unwrap();
        assert!(exists().await, "its connections are still there");
        connections::purge(&app.app.db, soon).await.unwrap();
        hitchpost::db::integrations::purge(&app.app.db, soon).await.unwrap();
        environments::purge(&app.app.db, soon).await.unwrap();
        assert!(!exists().await);
    });
}

#[test]
fn every_table_below_environments_is_emptied_with_one() {
    run(async {
        let app = TestApp::start().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT c.conrelid::regclass::text FROM pg_constraint c
             WHERE c.contype = 'f' AND c.confrelid = 'environments'::regclass AND c.confdeltype <> 'c'",
        )
        .fetch_all(&app.app.db)
        .await
        .unwrap();
        assert!(tables.len() > 5, "{tables:?}");
        let source = include_str!("../../src/db/environments.rs");
        let purge = source.split("pub async fn purge").nth(1).unwrap();
        for table in tables {
            let name = table.rsplit('.').next().unwrap();
            assert!(purge.contains(&format!("FROM {name} ")), "{name} refers to environments and stays");
        }
    });
}

#[test]
fn a_run_is_told_with_its_numbers_and_its_failure() {
    run(async {
        let app = TestApp::start().await;
        jobs::clean_up(&app.app).await.unwrap();
        let job = job(&app, "delete old data").await;
        assert_eq!(job["every_minutes"], 10);
        // Other tests of this process run it too; whoever holds the lease tells of it.
        let run = &job["last_run"];
        assert!(
            run["result"]["connections"].is_number() || run["error"].is_string() || run.is_null(),
            "{job}"
        );
        let listed = job_runs::list(&app.app.db).await.unwrap();
        let own = listed.iter().find(|run| run.replica == app.app.replica);
        if let Some(run) = own {
            assert!(run.error.is_none() && run.last_success_at.is_some(), "{run:?}");
        }
        let new = |result, error| job_runs::NewRun {
            name: "a test's job",
            replica: app.app.replica,
            started_at: app.now(),
            duration_ms: 5,
            result,
            error,
            last_success_at: result.map(|_| app.now()),
        };
        let numbers = json!({"rows": 1});
        job_runs::upsert(&app.app.db, new(Some(&numbers), None)).await.unwrap();
        job_runs::upsert(&app.app.db, new(None, Some("no such table"))).await.unwrap();
        let runs = job_runs::list(&app.app.db).await.unwrap();
        let run = runs.iter().find(|run| run.name == "a test's job").unwrap();
        assert_eq!((run.runs, run.failures, run.result.as_ref()), (2, 1, None));
        assert_eq!(run.error.as_deref(), Some("no such table"));
        assert!(run.last_success_at.is_some(), "the last success is remembered");
    });
}

#[test]
fn one_replica_runs_a_job_for_all() {
    run(async {
        let app = TestApp::start().await;
        let other = app.replica().await;
        let name = "a test's lease";
        let ours = jobs::Run::start(&app.app, name).await.unwrap().expect("the lease is free");
        assert!(jobs::Run::start(&other.app, name).await.unwrap().is_none());
        ours.finish(&app.app, Ok(json!({}))).await.unwrap();
        assert!(jobs::Run::start(&other.app, name).await.unwrap().is_none(), "the one that lives goes on");
        app.advance(TimeDelta::minutes(16));
        assert!(jobs::Run::start(&other.app, name).await.unwrap().is_some(), "it seems to have died");
        let failed = jobs::Run::start(&other.app, name).await.unwrap().unwrap();
        failed.finish(&other.app, Err(sqlx::Error::PoolTimedOut)).await.unwrap_err();
        let runs = job_runs::list(&app.app.db).await.unwrap();
        let run = runs.iter().find(|run| run.name == name).unwrap();
        assert_eq!((run.replica, run.failures), (other.app.replica, 1));
    });
}
