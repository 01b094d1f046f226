//! Deliveries of providers that were accepted, so that none is accepted twice.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::IntegrationId;

/// What is known of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing; it is the caller's now.
    Never,
    InProgress,
    Done,
}

/// Claims a delivery until `until`, unless it is known.
pub async fn claim(
    db: impl PgExecutor<'_>,
    integration: IntegrationId,
    id_hash: &[u8],
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Seen> {
    let row = sqlx::query!(
        r#"WITH claimed AS (
               INSERT INTO seen_webhooks AS s (integration_id, id_hash, is_done, expires_at)
               VALUES ($1, $2, false, $3)
               ON CONFLICT (integration_id, id_hash) DO UPDATE SET is_done = false, expires_at = EXCLUDED.expires_at
               WHERE s.expires_at <= $4
               RETURNING 1
           )
           SELECT EXISTS (SELECT FROM claimed) AS "is_ours!",
                  EXISTS (SELECT FROM seen_webhooks WHERE integration_id = $1 AND id_hash = $2 AND is_done) AS "is_done!""#,
        integration as IntegrationId,
        id_hash,
        until,
        now
    )
    .fetch_one(db)
    .await?;
    Ok(match row {
        row if row.is_ours => Seen::Never,
        row if row.is_done => Seen::Done,
        _ => Seen::InProgress,
    })
}

/// Remembers a claimed delivery until `until`.
pub async fn settle(
    db: impl PgExecutor<'_>,
    integration: IntegrationId,
    id_hash: &[u8],
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE seen_webhooks SET is_done = true, expires_at = $3 WHERE integration_id = $1 AND id_hash = $2",
        integration as IntegrationId,
        id_hash,
        until
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets a claimed delivery.
pub async fn release(
    db: impl PgExecutor<'_>,
    integration: IntegrationId,
    id_hash: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM seen_webhooks WHERE integration_id = $1 AND id_hash = $2 AND NOT is_done",
        integration as IntegrationId,
        id_hash
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets what was remembered long enough.
pub async fn purge(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let purged = sqlx::query!("DELETE FROM seen_webhooks WHERE expires_at <= $1", now).execute(db).await?;
    Ok(purged.rows_affected())
}
