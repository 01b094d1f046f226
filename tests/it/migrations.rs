//! Every migration applies to tables that hold rows, not only to empty ones.

use std::fs;
use std::path::Path;

use hitchpost::db::MIGRATOR;
use sqlx::raw_sql;

use crate::support::{TestApp, run};

#[test]
fn migrations_apply_over_the_rows_of_the_ones_before() {
    run(async {
        let app = TestApp::start().await;
        // In one transaction that is thrown away, in a schema of its own.
        let mut transaction = app.app.db.begin().await.unwrap();
        let schema = "CREATE SCHEMA migration_test; SET LOCAL search_path TO migration_test";
        raw_sql(schema).execute(&mut *transaction).await.unwrap();
        for migration in MIGRATOR.iter() {
            let name = format!("{} {}", migration.version, migration.description);
            raw_sql(migration.sql.clone())
                .execute(&mut *transaction)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let rows = sample_rows(migration.version);
            raw_sql(sqlx::AssertSqlSafe(rows))
                .execute(&mut *transaction)
                .await
                .unwrap_or_else(|error| panic!("rows of {name}: {error}"));
        }
        transaction.rollback().await.unwrap();
    });
}

fn sample_rows(version: i64) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/migrations/{version}.sql"));
    fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is missing: give every migration sample rows", path.display()))
}
