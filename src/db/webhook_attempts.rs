//! What came of each time that an outgoing webhook was sent.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::WebhookDeliveryId;

#[derive(Debug, Clone)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i32,
    pub status: Option<i16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// How the answer begins.
    pub sealed_answer: Option<Vec<u8>>,
}

pub async fn insert(
    db: impl PgExecutor<'_>,
    delivery: WebhookDeliveryId,
    attempt: &Attempt,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_attempts (delivery_id, number, started_at, duration_ms, status, error, answer)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        delivery as WebhookDeliveryId,
        attempt.number,
        attempt.started_at,
        attempt.duration_ms,
        attempt.status,
        attempt.error,
        attempt.sealed_answer
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The attempts of a delivery, the first one first.
pub async fn list(db: impl PgExecutor<'_>, delivery: WebhookDeliveryId) -> sqlx::Result<Vec<Attempt>> {
    sqlx::query_as!(
        Attempt,
        "SELECT number, started_at, duration_ms, status, error, answer AS sealed_answer
         FROM webhook_attempts WHERE delivery_id = $1 ORDER BY number",
        delivery as WebhookDeliveryId
    )
    .fetch_all(db)
    .await
}
