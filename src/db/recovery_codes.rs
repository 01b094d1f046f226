//! Recovery codes of members, each good for one login. Found by keyed hash; a used code is deleted.

use sqlx::PgExecutor;

use super::MemberId;

/// Stores new codes.
pub async fn insert(db: impl PgExecutor<'_>, member: MemberId, hashes: &[Vec<u8>]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO member_recovery_codes (member_id, code_hash) SELECT $1, unnest($2::bytea[])",
        member as MemberId,
        hashes
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses a code up; `false` when there is none like it.
pub async fn use_up(db: impl PgExecutor<'_>, member: MemberId, hashes: &[Vec<u8>]) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM member_recovery_codes WHERE member_id = $1 AND code_hash = ANY($2)",
        member as MemberId,
        hashes
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// How many codes are left.
pub async fn count(db: impl PgExecutor<'_>, member: MemberId) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        "SELECT count(*) FROM member_recovery_codes WHERE member_id = $1",
        member as MemberId
    )
    .fetch_one(db)
    .await?;
    Ok(count.unwrap_or_default())
}

/// Makes every code worthless.
pub async fn delete_all(db: impl PgExecutor<'_>, member: MemberId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM member_recovery_codes WHERE member_id = $1", member as MemberId)
        .execute(db)
        .await?;
    Ok(())
}
