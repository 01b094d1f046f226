//! Operation logs in a database of their own.

use hitchpost::db::log_migrator;
use hitchpost::db::pool;
use hitchpost::logs::{self, Kind, NameCategory, NewOperation, OperationQuery};
use serde_json::json;
use sqlx::PgPool;

use crate::support::app::database_config;
use crate::support::{TestApp, run, test_setting};

const SCHEMA: &str = "hitchpost_test_logs";

/// Another schema, which stands for another database: the pools have nothing in common.
async fn open_logs(url: &str) -> PgPool {
    let config = database_config(&[("NANGO_DB_SCHEMA", SCHEMA), ("HITCHPOST_LOGS_DATABASE_URL", url)]);
    let options = pool::connect_options(&config, config.logs_url.as_ref().unwrap().expose()).unwrap();
    let logs = pool::lazy_pool(&config, options, false);
    let statement = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&logs).await.unwrap();
    for _ in 0..2 {
        pool::migrate_with(&log_migrator(), &logs, &config).await.unwrap();
    }
    assert!(pool::pending_of(&log_migrator(), &logs).await.unwrap().is_empty());
    logs
}

async fn count(db: &PgPool, table: &str) -> i64 {
    let statement = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(db).await.unwrap()
}

#[test]
fn operations_are_written_to_and_read_from_their_own_database() {
    run(async {
        let Some(url) = test_setting("TEST_DATABASE_URL") else {
            eprintln!("SKIPPED: logs in a database of their own, because TEST_DATABASE_URL is not set");
            return;
        };
        let app = TestApp::start().await;
        let database = open_logs(&url).await;
        app.app.logs.keep_in(database.clone());
        logs::roll_partitions(&app.app).await.unwrap();
        let new = NewOperation::new(Kind::AuthConnectionTest, app.environment_id);
        let operation = app.app.logs.start(new.with("integrationName", "acme"));
        operation.info("said in private");
        operation.succeed();
        app.app.logs.flush(&app.app.db).await;
        assert_eq!(
            (count(&database, "log_operations").await, count(&database, "log_messages").await),
            (1, 1)
        );
        let in_main: i64 = sqlx::query_scalar("SELECT count(*) FROM log_operations WHERE id = $1")
            .bind(operation.id())
            .fetch_one(&app.app.db)
            .await
            .unwrap();
        assert_eq!(in_main, 0);
        let search = Some("private".to_owned());
        let query = OperationQuery { search, limit: 10, ..OperationQuery::default() };
        let page = logs::list_operations(&app.app, app.environment_id, &query).await.unwrap();
        assert_eq!((page.operations[0]["id"].as_str(), page.total), (Some(operation.id()), 1));
        assert_eq!(
            page.operations[0]["environmentName"],
            json!(app.environment_name),
            "which the main one knows"
        );
        let path = format!("/api/v1/logs/messages?env={}", app.environment_name);
        let body = json!({"operationId": operation.id()});
        let messages = app.account_client().await.post(path, body).expect(200).await;
        assert_eq!(messages["data"][0]["message"], "said in private");
        let names =
            logs::count_names(&app.app, app.environment_id, NameCategory::Integration, "").await.unwrap();
        assert_eq!(names[0].name, "acme");
    });
}
