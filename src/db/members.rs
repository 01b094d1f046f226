//! Members: the people who may use the dashboard. E-mail addresses are stored in lower case.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{AccountId, MemberId};
use crate::access::Role;

#[derive(Debug, Clone)]
pub struct Member {
    pub id: MemberId,
    pub account_id: AccountId,
    pub email: String,
    pub name: String,
    /// The name of the role; [`Member::role`] reads it.
    pub role_name: String,
    pub password_hash: Option<String>,
    /// Sealed.
    pub totp_secret: Option<Vec<u8>>,
    pub totp_confirmed: bool,
    pub created_at: DateTime<Utc>,
    pub last_login_at: Option<DateTime<Utc>>,
}

impl Member {
    /// What they may do. A name that nobody knows any more allows the least.
    pub fn role(&self) -> Role {
        Role::find(&self.role_name).unwrap_or(Role::DevelopmentFullAccess)
    }
}

pub struct NewMember<'a> {
    pub account_id: AccountId,
    pub email: &'a str,
    pub name: &'a str,
    pub role: Role,
    pub password_hash: Option<&'a str>,
    pub identity: Option<&'a str>,
    pub now: DateTime<Utc>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: NewMember<'_>) -> sqlx::Result<MemberId> {
    sqlx::query_scalar!(
        r#"INSERT INTO members (account_id, email, name, role, password_hash, identity, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id AS "id: MemberId""#,
        new.account_id as AccountId,
        new.email,
        new.name,
        new.role.as_str(),
        new.password_hash,
        new.identity,
        new.now
    )
    .fetch_one(db)
    .await
}

pub async fn find(db: impl PgExecutor<'_>, id: MemberId) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Member,
        r#"SELECT id AS "id: MemberId", account_id AS "account_id: AccountId", email, name, role AS role_name,
                  password_hash, totp_secret, totp_confirmed, created_at, last_login_at
           FROM members WHERE id = $1"#,
        id as MemberId
    )
    .fetch_optional(db)
    .await
}

/// The member with an e-mail address in lower case.
pub async fn find_by_email(db: impl PgExecutor<'_>, email: &str) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Member,
        r#"SELECT id AS "id: MemberId", account_id AS "account_id: AccountId", email, name, role AS role_name,
                  password_hash, totp_secret, totp_confirmed, created_at, last_login_at
           FROM members WHERE email = $1"#,
        email
    )
    .fetch_optional(db)
    .await
}

/// The member whom an OpenID provider knows as this.
pub async fn find_by_identity(db: impl PgExecutor<'_>, identity: &str) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Member,
        r#"SELECT id AS "id: MemberId", account_id AS "account_id: AccountId", email, name, role AS role_name,
                  password_hash, totp_secret, totp_confirmed, created_at, last_login_at
           FROM members WHERE identity = $1"#,
        identity
    )
    .fetch_optional(db)
    .await
}

/// The members of an account, oldest first.
pub async fn list(db: impl PgExecutor<'_>, account: AccountId) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as!(
        Member,
        r#"SELECT id AS "id: MemberId", account_id AS "account_id: AccountId", email, name, role AS role_name,
                  password_hash, totp_secret, totp_confirmed, created_at, last_login_at
           FROM members WHERE account_id = $1 ORDER BY id"#,
        account as AccountId
    )
    .fetch_all(db)
    .await
}

/// Whether the account has any member.
pub async fn exist(db: impl PgExecutor<'_>, account: AccountId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "SELECT EXISTS (SELECT 1 FROM members WHERE account_id = $1)",
        account as AccountId
    )
    .fetch_one(db)
    .await?;
    Ok(found.unwrap_or_default())
}

pub async fn update_role(db: impl PgExecutor<'_>, id: MemberId, role: Role) -> sqlx::Result<()> {
    sqlx::query!("UPDATE members SET role = $2 WHERE id = $1", id as MemberId, role.as_str())
        .execute(db)
        .await?;
    Ok(())
}

pub async fn update_name(db: impl PgExecutor<'_>, id: MemberId, name: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE members SET name = $2 WHERE id = $1", id as MemberId, name).execute(db).await?;
    Ok(())
}

pub async fn update_password(db: impl PgExecutor<'_>, id: MemberId, hash: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE members SET password_hash = $2 WHERE id = $1", id as MemberId, hash)
        .execute(db)
        .await?;
    Ok(())
}

/// Ties a member to what an OpenID provider knows them as.
pub async fn update_identity(db: impl PgExecutor<'_>, id: MemberId, identity: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE members SET identity = $2 WHERE id = $1", id as MemberId, identity)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn touch_login(db: impl PgExecutor<'_>, id: MemberId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE members SET last_login_at = $2 WHERE id = $1", id as MemberId, now)
        .execute(db)
        .await?;
    Ok(())
}

/// Sets or takes away the authenticator's secret; a new one waits for its confirmation.
pub async fn update_totp(db: impl PgExecutor<'_>, id: MemberId, sealed: Option<&[u8]>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE members SET totp_secret = $2, totp_confirmed = false, totp_step = 0 WHERE id = $1",
        id as MemberId,
        sealed
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn confirm_totp(db: impl PgExecutor<'_>, id: MemberId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE members SET totp_confirmed = true WHERE id = $1", id as MemberId)
        .execute(db)
        .await?;
    Ok(())
}

/// Uses up the codes until a time step; `false` when that step was used before.
pub async fn use_totp_step(db: impl PgExecutor<'_>, id: MemberId, step: i64) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE members SET totp_step = $2 WHERE id = $1 AND totp_step < $2",
        id as MemberId,
        step
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Removes a member with sessions, links and codes.
pub async fn delete(db: impl PgExecutor<'_>, id: MemberId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM members WHERE id = $1", id as MemberId).execute(db).await?;
    Ok(())
}
