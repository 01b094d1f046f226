//! Links that work once: the first account, invitations, new passwords. Found by keyed hash; a used link is deleted.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{AccountId, LinkId, MemberId};

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Makes the first administrator.
    Setup,
    Invitation,
    /// Sets a new password.
    Reset,
}

impl LinkKind {
    pub fn as_str(self) -> &'static str {
        match self {
            LinkKind::Setup => "setup",
            LinkKind::Invitation => "invitation",
            LinkKind::Reset => "reset",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Link {
    pub id: LinkId,
    pub account_id: AccountId,
    pub member_id: Option<MemberId>,
    pub email: Option<String>,
    pub role_name: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

pub struct NewLink<'a> {
    pub account_id: AccountId,
    pub kind: LinkKind,
    pub token_hash: &'a [u8],
    pub member_id: Option<MemberId>,
    pub email: Option<&'a str>,
    pub role_name: Option<&'a str>,
    pub now: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: NewLink<'_>) -> sqlx::Result<LinkId> {
    sqlx::query_scalar!(
        r#"INSERT INTO member_links (account_id, kind, token_hash, member_id, email, role, created_at, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id AS "id: LinkId""#,
        new.account_id as AccountId,
        new.kind.as_str(),
        new.token_hash,
        new.member_id as Option<MemberId>,
        new.email,
        new.role_name,
        new.now,
        new.expires_at
    )
    .fetch_one(db)
    .await
}

/// The link with one of these hashes, while it works.
pub async fn find(
    db: impl PgExecutor<'_>,
    kind: LinkKind,
    hashes: &[Vec<u8>],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Link>> {
    sqlx::query_as!(
        Link,
        r#"SELECT id AS "id: LinkId", account_id AS "account_id: AccountId", member_id AS "member_id: MemberId", email,
                  role AS role_name, created_at, expires_at
           FROM member_links
           WHERE kind = $1 AND token_hash = ANY($2) AND (expires_at IS NULL OR expires_at > $3)"#,
        kind.as_str(),
        hashes,
        now
    )
    .fetch_optional(db)
    .await
}

/// The invitations that nobody accepted yet, oldest first.
pub async fn list_invitations(
    db: impl PgExecutor<'_>,
    account: AccountId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Link>> {
    sqlx::query_as!(
        Link,
        r#"SELECT id AS "id: LinkId", account_id AS "account_id: AccountId", member_id AS "member_id: MemberId", email,
                  role AS role_name, created_at, expires_at
           FROM member_links WHERE account_id = $1 AND kind = 'invitation' AND expires_at > $2 ORDER BY id"#,
        account as AccountId,
        now
    )
    .fetch_all(db)
    .await
}

/// Uses a link up, or takes it back; `false` when it is gone already.
pub async fn delete(db: impl PgExecutor<'_>, account: AccountId, id: LinkId) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM member_links WHERE account_id = $1 AND id = $2",
        account as AccountId,
        id as LinkId
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes back the links that another one replaces: those of this kind for the same member or address.
pub async fn delete_replaced(
    db: impl PgExecutor<'_>,
    account: AccountId,
    kind: LinkKind,
    member: Option<MemberId>,
    email: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM member_links WHERE account_id = $1 AND kind = $2 AND member_id IS NOT DISTINCT FROM $3
             AND email IS NOT DISTINCT FROM $4",
        account as AccountId,
        kind.as_str(),
        member as Option<MemberId>,
        email
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes links that stopped working.
pub async fn delete_expired(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let deleted = sqlx::query!("DELETE FROM member_links WHERE expires_at <= $1", now).execute(db).await?;
    Ok(deleted.rows_affected())
}
