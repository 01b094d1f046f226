//! Sessions of members: one per browser. Found by keyed hash, never by value.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{MemberId, SessionId};

#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    pub member_id: MemberId,
    pub user_agent: Option<String>,
    pub address: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
}

pub struct NewSession<'a> {
    pub member_id: MemberId,
    pub token_hash: &'a [u8],
    pub user_agent: Option<&'a str>,
    pub address: Option<&'a str>,
    pub now: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: NewSession<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO member_sessions (member_id, token_hash, user_agent, address, created_at, last_seen_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $5, $6)",
        new.member_id as MemberId,
        new.token_hash,
        new.user_agent,
        new.address,
        new.now,
        new.expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The session with one of these hashes (one for each key of the encryption ring), while it lasts.
pub async fn find(
    db: impl PgExecutor<'_>,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Session>> {
    sqlx::query_as!(
        Session,
        r#"SELECT id AS "id: SessionId", member_id AS "member_id: MemberId", user_agent, address, created_at, last_seen_at
           FROM member_sessions WHERE token_hash = ANY($1) AND expires_at > $2"#,
        hashes,
        now
    )
    .fetch_optional(db)
    .await
}

/// The sessions of a member, the last used first.
pub async fn list(
    db: impl PgExecutor<'_>,
    member: MemberId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as!(
        Session,
        r#"SELECT id AS "id: SessionId", member_id AS "member_id: MemberId", user_agent, address, created_at, last_seen_at
           FROM member_sessions WHERE member_id = $1 AND expires_at > $2 ORDER BY last_seen_at DESC, id DESC"#,
        member as MemberId,
        now
    )
    .fetch_all(db)
    .await
}

/// Notes that a session is used, which makes it last longer.
pub async fn touch(
    db: impl PgExecutor<'_>,
    id: SessionId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE member_sessions SET last_seen_at = $2, expires_at = $3 WHERE id = $1",
        id as SessionId,
        now,
        expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends a session of this member; `false` when there was none.
pub async fn delete(db: impl PgExecutor<'_>, member: MemberId, id: SessionId) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM member_sessions WHERE member_id = $1 AND id = $2",
        member as MemberId,
        id as SessionId
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends the sessions of a member, except one.
pub async fn delete_others(
    db: impl PgExecutor<'_>,
    member: MemberId,
    kept: Option<SessionId>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM member_sessions WHERE member_id = $1 AND id IS DISTINCT FROM $2",
        member as MemberId,
        kept as Option<SessionId>
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes sessions that are over.
pub async fn delete_expired(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let deleted = sqlx::query!("DELETE FROM member_sessions WHERE expires_at <= $1", now).execute(db).await?;
    Ok(deleted.rows_affected())
}
