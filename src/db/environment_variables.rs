//! Environment variables: named values that functions read. Values are sealed.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::EnvironmentId;

/// A variable as it is stored.
#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    /// Sealed.
    pub value: Vec<u8>,
}

/// All variables of an environment by name, in the order of their bytes.
pub async fn list(db: impl PgExecutor<'_>, environment: EnvironmentId) -> sqlx::Result<Vec<Variable>> {
    sqlx::query_as!(
        Variable,
        r#"SELECT name, value FROM environment_variables WHERE environment_id = $1 ORDER BY name COLLATE "C""#,
        environment as EnvironmentId
    )
    .fetch_all(db)
    .await
}

/// Creates a variable or replaces its value.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    name: &str,
    sealed_value: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO environment_variables (environment_id, name, value, updated_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (environment_id, name) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at",
        environment as EnvironmentId,
        name,
        sealed_value,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a variable; `false` when there is none of this name.
pub async fn delete(db: impl PgExecutor<'_>, environment: EnvironmentId, name: &str) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM environment_variables WHERE environment_id = $1 AND name = $2",
        environment as EnvironmentId,
        name
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Removes every variable of an environment whose name is not among `names`.
pub async fn delete_except(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    names: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM environment_variables WHERE environment_id = $1 AND name <> ALL($2)",
        environment as EnvironmentId,
        names
    )
    .execute(db)
    .await?;
    Ok(())
}
