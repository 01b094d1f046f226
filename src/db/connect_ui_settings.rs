//! How the Connect UI looks for an environment, as JSON in the form of the API.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::EnvironmentId;

/// What was stored for an environment, if anything.
pub async fn find(db: impl PgExecutor<'_>, environment: EnvironmentId) -> sqlx::Result<Option<Value>> {
    sqlx::query_scalar!(
        "SELECT settings FROM connect_ui_settings WHERE environment_id = $1",
        environment as EnvironmentId
    )
    .fetch_optional(db)
    .await
}

pub async fn upsert(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    settings: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO connect_ui_settings (environment_id, settings, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (environment_id) DO UPDATE SET settings = EXCLUDED.settings, updated_at = EXCLUDED.updated_at",
        environment as EnvironmentId,
        settings,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}
