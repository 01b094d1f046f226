//! Where an environment's webhooks go, and which events are worth one. Most environments have no row: the defaults.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::EnvironmentId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookSettings {
    pub primary_url: Option<String>,
    pub secondary_url: Option<String>,
    /// Also when a sync found nothing new.
    pub on_sync_completion_always: bool,
    pub on_auth_creation: bool,
    pub on_auth_refresh_error: bool,
    pub on_sync_error: bool,
    pub on_async_action_completion: bool,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        WebhookSettings {
            primary_url: None,
            secondary_url: None,
            on_sync_completion_always: true,
            on_auth_creation: true,
            on_auth_refresh_error: true,
            on_sync_error: true,
            on_async_action_completion: true,
        }
    }
}

/// The settings of an environment; the defaults when none were stored.
pub async fn find(db: impl PgExecutor<'_>, environment: EnvironmentId) -> sqlx::Result<WebhookSettings> {
    let stored = sqlx::query_as!(
        WebhookSettings,
        "SELECT primary_url, secondary_url, on_sync_completion_always, on_auth_creation, on_auth_refresh_error,
                on_sync_error, on_async_action_completion
         FROM webhook_settings WHERE environment_id = $1",
        environment as EnvironmentId
    )
    .fetch_optional(db)
    .await?;
    Ok(stored.unwrap_or_default())
}

/// Stores all of them.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    settings: &WebhookSettings,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_settings (environment_id, primary_url, secondary_url, on_sync_completion_always,
             on_auth_creation, on_auth_refresh_error, on_sync_error, on_async_action_completion, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (environment_id) DO UPDATE SET primary_url = EXCLUDED.primary_url,
             secondary_url = EXCLUDED.secondary_url, on_sync_completion_always = EXCLUDED.on_sync_completion_always,
             on_auth_creation = EXCLUDED.on_auth_creation, on_auth_refresh_error = EXCLUDED.on_auth_refresh_error,
             on_sync_error = EXCLUDED.on_sync_error,
             on_async_action_completion = EXCLUDED.on_async_action_completion, updated_at = EXCLUDED.updated_at",
        environment as EnvironmentId,
        settings.primary_url,
        settings.secondary_url,
        settings.on_sync_completion_always,
        settings.on_auth_creation,
        settings.on_auth_refresh_error,
        settings.on_sync_error,
        settings.on_async_action_completion,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}
