//! Texts that providers sent to be shown to the operator, who confirms them there: the last one of each integration.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::IntegrationId;

/// Keeps a text instead of the one before.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    integration: IntegrationId,
    sealed_token: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_handshakes (integration_id, token, received_at) VALUES ($1, $2, $3)
         ON CONFLICT (integration_id) DO UPDATE SET token = EXCLUDED.token, received_at = EXCLUDED.received_at",
        integration as IntegrationId,
        sealed_token,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The sealed text.
pub async fn find(db: impl PgExecutor<'_>, integration: IntegrationId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT token FROM webhook_handshakes WHERE integration_id = $1",
        integration as IntegrationId
    )
    .fetch_optional(db)
    .await
}
