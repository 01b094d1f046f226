//! Fingerprints of the keys that sealed values of this database may name.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("SELECT fingerprint FROM encryption_keys ORDER BY created_at").fetch_all(db).await
}

/// Remembers a key that is now in use.
pub async fn insert(db: impl PgExecutor<'_>, fingerprint: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO encryption_keys (fingerprint, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        fingerprint,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}
