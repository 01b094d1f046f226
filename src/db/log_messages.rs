//! Messages of operations, in the order in which they arrived.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

/// One message as it is stored.
#[derive(Debug, Clone)]
pub struct MessageRow {
    pub operation_id: String,
    pub operation_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub level: String,
    pub body: Value,
}

/// Writes a batch.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[MessageRow]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO log_messages (operation_id, operation_at, created_at, level, body)
         SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::jsonb[])",
        &rows.iter().map(|row| row.operation_id.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.operation_at).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.created_at).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.level.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.body.clone()).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}
