//! The account: one per installation.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::AccountId;

/// The oldest account, if there is one.
pub async fn find_first(db: impl PgExecutor<'_>) -> sqlx::Result<Option<AccountId>> {
    sqlx::query_scalar!(r#"SELECT id AS "id: AccountId" FROM accounts ORDER BY id LIMIT 1"#)
        .fetch_optional(db)
        .await
}

/// The name of an account.
pub async fn find_name(db: impl PgExecutor<'_>, id: AccountId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT name FROM accounts WHERE id = $1", id as AccountId).fetch_optional(db).await
}

pub async fn insert(
    db: impl PgExecutor<'_>,
    uuid: Uuid,
    name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<AccountId> {
    sqlx::query_scalar!(
        r#"INSERT INTO accounts (uuid, name, created_at) VALUES ($1, $2, $3) RETURNING id AS "id: AccountId""#,
        uuid,
        name,
        now
    )
    .fetch_one(db)
    .await
}

/// Makes others who change the account's keys wait until the transaction ends.
pub async fn lock(db: impl PgExecutor<'_>, id: AccountId) -> sqlx::Result<()> {
    sqlx::query!("SELECT id FROM accounts WHERE id = $1 FOR UPDATE", id as AccountId).fetch_one(db).await?;
    Ok(())
}

/// What names this installation among others; none before the first start has made an account.
pub async fn find_first_uuid(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!("SELECT uuid FROM accounts ORDER BY id LIMIT 1").fetch_optional(db).await
}
