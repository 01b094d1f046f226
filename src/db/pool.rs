//! Connecting, waiting for PostgreSQL, and migrating under a lock that a transaction-mode pooler respects.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection, PgPool};

use super::MIGRATOR;
use crate::config::DatabaseConfig;

/// Any constant: it only has to be the same in every replica.
const MIGRATION_LOCK: i64 = 0x4869_7463_6870_6f73;

/// SQLSTATE of a prepared statement whose name another session of the same server connection took.
const DUPLICATE_STATEMENT: &str = "42P05";
/// SQLSTATE of a prepared statement that was prepared on another server connection.
const UNKNOWN_STATEMENT: &str = "26000";

/// Why the database cannot be used, as sentences for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("The database URL cannot be used: {0}.")]
    Url(sqlx::Error),
    #[error("PostgreSQL refused the connection: {0}.")]
    Refused(sqlx::Error),
    #[error("PostgreSQL did not answer within {} seconds. The last error was: {last}.", waited.as_secs())]
    Unreachable { waited: Duration, last: sqlx::Error },
    #[error(
        "The schema `{0}` is not on the connection's search path. A pooler in front of PostgreSQL probably drops the \
         `options` parameter: set NANGO_DB_SCHEMA=public, or run ALTER ROLE ... SET search_path = {0}."
    )]
    SearchPath(String),
    #[error("The migrations failed: {0}.")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error(
        "A pooler in front of PostgreSQL mixes up prepared statements ({0}). Transaction mode needs one that keeps them \
         apart, such as PgBouncer 1.21 or later with `max_prepared_statements`; otherwise use session mode."
    )]
    StatementsMixedUp(sqlx::Error),
    #[error("The database answered with an error: {0}.")]
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some(DUPLICATE_STATEMENT | UNKNOWN_STATEMENT) => DatabaseError::StatementsMixedUp(error),
            _ => DatabaseError::Sql(error),
        }
    }
}

/// How to reach the database `url` with these settings.
pub fn connect_options(config: &DatabaseConfig, url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(DatabaseError::Url)?;
    let options = if talks_to_this_machine(url) { options.ssl_mode(PgSslMode::Disable) } else { options };
    let options = options.application_name(&config.application_name);
    if config.schema == "public" && config.additional_schemas.is_empty() {
        return Ok(options);
    }
    Ok(options.options([("search_path", search_path(config))]))
}

/// A loopback address without an explicit `sslmode`: encryption would protect nothing there, and preparing it costs
/// every connection a tenth of a second of reading certificates.
fn talks_to_this_machine(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    is_loopback && !url.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode"))
}

fn search_path(config: &DatabaseConfig) -> String {
    let mut schemas = vec![config.schema.as_str(), "public"];
    schemas.extend(config.additional_schemas.iter().map(String::as_str));
    schemas.join(",")
}

/// A pool; `single` for the embedded database's one connection.
pub fn lazy_pool(config: &DatabaseConfig, options: PgConnectOptions, single: bool) -> PgPool {
    let max = if single { 1 } else { config.pool_max.max(1) };
    PgPoolOptions::new()
        .min_connections(config.pool_min.min(max))
        .max_connections(max)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(!single)
        .connect_lazy_with(options)
}

/// Waits until PostgreSQL answers, saying every few seconds how long it will go on waiting.
pub async fn wait_until_ready(options: &PgConnectOptions, patience: Duration) -> Result<(), DatabaseError> {
    let mut waited = Duration::ZERO;
    loop {
        let last = match PgConnection::connect_with(options).await {
            Ok(connection) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Err(error) => error,
        };
        if !is_worth_waiting(&last) {
            return Err(DatabaseError::Refused(last));
        }
        if waited >= patience {
            return Err(DatabaseError::Unreachable { waited, last });
        }
        let left = patience.saturating_sub(waited).as_secs();
        tracing::warn!(error = %last, "PostgreSQL does not answer yet; giving up in {left} s");
        let pause = Duration::from_secs(2);
        tokio::time::sleep(pause).await;
        waited += pause;
    }
}

/// A wrong password does not become right by waiting.
fn is_worth_waiting(error: &sqlx::Error) -> bool {
    const STARTING_UP: &str = "57P03";
    const TOO_MANY_CONNECTIONS: &str = "53300";
    match error {
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some(STARTING_UP | TOO_MANY_CONNECTIONS))
        }
        sqlx::Error::Configuration(_) => false,
        _ => true,
    }
}

/// Creates the schema and applies every pending migration in one transaction, one process at a time.
pub async fn migrate(pool: &PgPool, config: &DatabaseConfig) -> Result<(), DatabaseError> {
    migrate_with(&MIGRATOR, pool, config).await
}

/// The same with other migrations.
pub async fn migrate_with(
    migrator: &Migrator,
    pool: &PgPool,
    config: &DatabaseConfig,
) -> Result<(), DatabaseError> {
    let mut transaction = pool.begin().await?;
    lock_in_transaction(&mut transaction, MIGRATION_LOCK).await?;
    let schema = &config.schema;
    if !schema_exists(&mut transaction, schema).await? {
        // The name was checked to be a plain identifier.
        let statement = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *transaction).await?;
    }
    check_search_path(&mut transaction, schema).await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

/// Waits for a lock that is released with the transaction, so that it holds behind a pooler that moves sessions
/// around.
pub async fn lock_in_transaction(transaction: &mut PgConnection, key: i64) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(transaction).await?;
    Ok(())
}

async fn schema_exists(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_namespace WHERE nspname = $1")
        .bind(schema)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

async fn check_search_path(connection: &mut PgConnection, schema: &str) -> Result<(), DatabaseError> {
    let current: Option<String> =
        sqlx::query_scalar("SELECT current_schema()::text").fetch_one(connection).await?;
    if current.as_deref() == Some(schema) {
        Ok(())
    } else {
        Err(DatabaseError::SearchPath(schema.to_owned()))
    }
}

/// Names of the migrations that the database lacks.
pub async fn pending_migrations(pool: &PgPool) -> Result<Vec<String>, DatabaseError> {
    pending_of(&MIGRATOR, pool).await
}

/// The same of other migrations.
pub async fn pending_of(migrator: &Migrator, pool: &PgPool) -> Result<Vec<String>, DatabaseError> {
    let table: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text").fetch_one(pool).await?;
    let applied: Vec<i64> = match table {
        Some(_) => {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(pool).await?
        }
        None => Vec::new(),
    };
    let pending = migrator.iter().filter(|migration| !applied.contains(&migration.version));
    Ok(pending.map(|migration| format!("{} {}", migration.version, migration.description)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_without_a_word_about_tls_goes_without_it() {
        for (url, expected) in [
            ("postgresql://u:p@localhost:5432/x", true),
            ("postgresql://u@127.0.0.1/x?application_name=a", true),
            ("postgresql://u@[::1]/x", true),
            ("postgresql://u@localhost/x?sslmode=require", false),
            ("postgresql://u@db.example/x", false),
            ("postgresql://u@localhost.example/x", false),
        ] {
            assert_eq!(talks_to_this_machine(url), expected, "{url}");
        }
    }
}
