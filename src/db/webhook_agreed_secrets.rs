//! Secrets that providers' handshakes agreed on, with which they sign what they send to an address.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::IntegrationId;

/// Secrets that are kept for an address; older ones go. Each costs a digest of every body.
const KEPT: i64 = 20;

/// Adds a sealed secret to those of an address.
pub async fn insert(
    db: &mut PgConnection,
    integration: IntegrationId,
    address_hash: &[u8],
    sealed_secret: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_agreed_secrets (integration_id, address_hash, secret, agreed_at) VALUES ($1, $2, $3, $4)",
        integration as IntegrationId,
        address_hash,
        sealed_secret,
        now
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "DELETE FROM webhook_agreed_secrets WHERE id IN (
             SELECT id FROM webhook_agreed_secrets WHERE integration_id = $1 AND address_hash = $2
             ORDER BY id DESC OFFSET $3)",
        integration as IntegrationId,
        address_hash,
        KEPT
    )
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// The sealed secrets of an address, the newest first.
pub async fn list(
    db: impl sqlx::PgExecutor<'_>,
    integration: IntegrationId,
    address_hash: &[u8],
) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT secret FROM webhook_agreed_secrets WHERE integration_id = $1 AND address_hash = $2 ORDER BY id DESC",
        integration as IntegrationId,
        address_hash
    )
    .fetch_all(db)
    .await
}
