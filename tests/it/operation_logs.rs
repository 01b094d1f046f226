//! Operation logs: what is stored of an operation, in whatever order its parts arrive.

use chrono::TimeDelta;
use hitchpost::db::log_partitions::{self, LogTable};
use hitchpost::egress::OutgoingRequest;
use hitchpost::logs::{self, Kind, LogError, NewOperation, Operation};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::{TestApp, run};

fn start(app: &TestApp, kind: Kind) -> Operation {
    app.app.logs.start(NewOperation::new(kind, app.environment_id))
}

/// State, message and data of an operation as they are stored.
async fn stored(app: &TestApp, id: &str) -> (String, String, Value) {
    app.app.logs.flush(&app.app.db).await;
    sqlx::query_as("SELECT state, message, data FROM log_operations WHERE id = $1")
        .bind(id)
        .fetch_one(&app.app.db)
        .await
        .unwrap()
}

async fn messages(app: &TestApp, id: &str) -> Vec<Value> {
    app.app.logs.flush(&app.app.db).await;
    sqlx::query_scalar("SELECT body FROM log_messages WHERE operation_id = $1 ORDER BY seq")
        .bind(id)
        .fetch_all(&app.app.db)
        .await
        .unwrap()
}

#[test]
fn an_operation_is_stored_with_its_messages() {
    run(async {
        let app = TestApp::start().await;
        let operation = start(&app, Kind::AuthRefreshToken);
        operation.hide("s3cret-value");
        operation.about_connection(Some(7), "cust-42");
        operation.info("asking with s3cret-value");
        assert_eq!(stored(&app, operation.id()).await.0, "running");
        operation.fail(&LogError::new("invalid_grant", "The provider said s3cret-value."));
        let (state, message, data) = stored(&app, operation.id()).await;
        assert_eq!((state.as_str(), message.as_str()), ("failed", "Token refresh"));
        assert_eq!(data["connectionName"], "cust-42");
        assert_eq!(data["environmentName"], json!(app.environment_name));
        assert_eq!(data["error"], json!({"name": "invalid_grant", "message": "The provider said REDACTED."}));
        let texts: Vec<Value> = messages(&app, operation.id()).await;
        let texts: Vec<&Value> = texts.iter().map(|message| &message["message"]).collect();
        assert_eq!(texts, ["asking with REDACTED", "The provider said REDACTED."]);
    });
}

#[test]
fn states_only_move_forward() {
    run(async {
        let app = TestApp::start().await;
        let operation = start(&app, Kind::AuthCreateConnection);
        let id = operation.id().to_owned();
        operation.leave_open();
        drop(operation);
        let again =
            || app.app.logs.resume(&id, NewOperation::new(Kind::AuthCreateConnection, app.environment_id));
        again().leave_open();
        assert_eq!(stored(&app, &id).await.0, "running");
        again().fail(&LogError::new("token_err", "no"));
        assert_eq!(stored(&app, &id).await.0, "failed");
        again().leave_open();
        assert_eq!(stored(&app, &id).await.0, "failed");
        // The end user tried again in the same session.
        again().succeed();
        assert_eq!(stored(&app, &id).await.0, "success");
        again().fail(&LogError::new("token_err", "late"));
        assert_eq!(stored(&app, &id).await.0, "success");
    });
}

#[test]
fn an_operation_that_nobody_ends_is_not_lost() {
    run(async {
        let app = TestApp::start().await;
        let operation = start(&app, Kind::AuthConnectionTest);
        let id = operation.id().to_owned();
        drop(operation);
        let (state, _, data) = stored(&app, &id).await;
        assert_eq!((state.as_str(), &data["error"]["name"]), ("cancelled", &json!("interrupted")));
    });
}

#[test]
fn operations_outlast_a_database_that_does_not_answer() {
    run(async {
        let app = TestApp::start().await;
        let operation = start(&app, Kind::ProxyCall);
        operation.fail(&LogError::new("proxy_timeout", "Nobody answered."));
        let gone = sqlx::PgPool::connect_lazy("postgres://127.0.0.1:1/none").unwrap();
        gone.close().await;
        for _ in 0..20 {
            app.app.logs.flush(&gone).await;
        }
        assert_eq!(stored(&app, operation.id()).await.0, "failed");
        assert_eq!(app.app.logs.stats().unwritable, 0);
    });
}

#[test]
fn operations_of_a_process_that_died_are_ended_after_their_time() {
    run(async {
        let app = TestApp::start().await;
        let mut ids = Vec::new();
        let over = app.now() - TimeDelta::minutes(1);
        for kind in [Kind::AuthCreateConnection, Kind::ProxyCall, Kind::AuthRefreshToken] {
            let new = NewOperation::new(kind, app.environment_id).waiting_until(over);
            let operation = app.app.logs.start(new);
            ids.push(operation.id().to_owned());
            // A process that is killed drops nothing.
            std::mem::forget(operation);
        }
        let running = start(&app, Kind::ProxyCall);
        app.app.logs.flush(&app.app.db).await;
        logs::end_abandoned(&app.app).await.unwrap();
        assert_eq!(stored(&app, running.id()).await.0, "running");
        let mut states = Vec::new();
        for id in &ids {
            states.push(stored(&app, id).await.0);
        }
        assert_eq!(states, ["cancelled", "timeout", "timeout"]);
    });
}

#[test]
fn exchanges_with_servers_become_messages() {
    run(async {
        let app = TestApp::start().await;
        let operation = start(&app, Kind::AuthConnectionTest);
        operation.hide("s3cret-value");
        let mut headers = HeaderMap::new();
        headers.insert("x-thing", HeaderValue::from_static("s3cret-value"));
        let request = OutgoingRequest {
            method: Method::GET,
            url: format!("{}/health?api_key=abcdef&page=2", app.url()).parse().unwrap(),
            headers,
            body: Default::default(),
            follow: false,
        };
        operation.watch(app.app.egress.webhooks.send(request)).await.map(|_| ()).unwrap();
        operation.succeed();
        let messages = messages(&app, operation.id()).await;
        assert_eq!(messages.len(), 1);
        let url = format!("{}/health?api_key=REDACTED&page=2", app.url());
        assert_eq!(
            messages[0]["request"],
            json!({"url": url, "method": "GET", "headers": {"x-thing": "REDACTED"}})
        );
        assert_eq!(messages[0]["response"]["code"], 200);
        assert_eq!((&messages[0]["type"], &messages[0]["level"]), (&json!("http"), &json!("info")));
    });
}

#[test]
fn partitions_are_made_ahead_and_dropped_when_they_are_over() {
    run(async {
        let app = TestApp::start().await;
        let today = app.now().date_naive();
        let old = today - TimeDelta::days(400);
        for table in LogTable::ALL {
            log_partitions::ensure(&app.app.db, table, old).await.unwrap();
            log_partitions::ensure(&app.app.db, table, old).await.unwrap();
        }
        logs::roll_partitions(&app.app).await.unwrap();
        let days: Vec<_> = log_partitions::list(&app.app.db).await.unwrap();
        let count = |day| days.iter().filter(|partition| partition.day == day).count();
        assert_eq!(count(old), 0);
        assert_eq!((count(today), count(today + TimeDelta::days(1))), (3, 3));
    });
}

#[test]
fn nothing_is_stored_when_logs_are_off() {
    run(async {
        let app = TestSettings::default().set("NANGO_LOGS_ENABLED", "false").start().await;
        let operation = start(&app, Kind::AuthConnectionTest);
        operation.info("nobody reads this");
        operation.succeed();
        app.app.logs.flush(&app.app.db).await;
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM log_operations WHERE id = $1")
            .bind(operation.id())
            .fetch_one(&app.app.db)
            .await
            .unwrap();
        assert_eq!((found, app.app.logs.stats().operations), (0, 0));
    });
}
