//! Environments: the tenants' walls. Every other table hangs below one.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{AccountId, EnvironmentId};

#[derive(Debug, Clone)]
pub struct Environment {
    pub id: EnvironmentId,
    pub account_id: AccountId,
    pub uuid: Uuid,
    pub name: String,
    pub is_production: bool,
    pub callback_url: Option<String>,
    pub hmac_enabled: bool,
    /// Sealed.
    pub hmac_key: Option<Vec<u8>>,
}

/// A new environment; its keys are stored separately.
pub struct NewEnvironment<'a> {
    pub account_id: AccountId,
    pub uuid: Uuid,
    pub name: &'a str,
    pub is_production: bool,
    pub public_key: Uuid,
    pub callback_url: Option<&'a str>,
    pub hmac_enabled: bool,
    pub sealed_hmac_key: Option<&'a [u8]>,
    pub slack_notifications: bool,
    pub otlp_endpoint: Option<&'a str>,
    /// Sealed JSON object.
    pub sealed_otlp_headers: Option<&'a [u8]>,
    pub now: DateTime<Utc>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: NewEnvironment<'_>) -> sqlx::Result<EnvironmentId> {
    sqlx::query_scalar!(
        r#"INSERT INTO environments (account_id, uuid, name, is_production, public_key, callback_url, hmac_enabled,
               hmac_key, slack_notifications, otlp_endpoint, otlp_headers, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) RETURNING id AS "id: EnvironmentId""#,
        new.account_id as AccountId,
        new.uuid,
        new.name,
        new.is_production,
        new.public_key,
        new.callback_url,
        new.hmac_enabled,
        new.sealed_hmac_key,
        new.slack_notifications,
        new.otlp_endpoint,
        new.sealed_otlp_headers,
        new.now
    )
    .fetch_one(db)
    .await
}

/// A live environment by id.
pub async fn find(db: impl PgExecutor<'_>, id: EnvironmentId) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE id = $1 AND deleted_at IS NULL"#,
        id as EnvironmentId
    )
    .fetch_optional(db)
    .await
}

/// A live environment by the id that addresses carry.
pub async fn find_by_uuid(db: impl PgExecutor<'_>, uuid: Uuid) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE uuid = $1 AND deleted_at IS NULL"#,
        uuid
    )
    .fetch_optional(db)
    .await
}

/// A live environment by its public key.
pub async fn find_by_public_key(
    db: impl PgExecutor<'_>,
    public_key: Uuid,
) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE public_key = $1 AND deleted_at IS NULL"#,
        public_key
    )
    .fetch_optional(db)
    .await
}

/// A live environment by name, within the oldest account.
pub async fn find_by_name(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE name = $1 AND deleted_at IS NULL ORDER BY account_id LIMIT 1"#,
        name
    )
    .fetch_optional(db)
    .await
}

/// A live environment of this account.
pub async fn find_of_account(
    db: impl PgExecutor<'_>,
    account: AccountId,
    id: EnvironmentId,
) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL"#,
        account as AccountId,
        id as EnvironmentId
    )
    .fetch_optional(db)
    .await
}

/// Makes others who change the environment's keys wait until the transaction ends; `false` when the environment is gone.
pub async fn lock(db: impl PgExecutor<'_>, id: EnvironmentId) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "SELECT id FROM environments WHERE id = $1 AND deleted_at IS NULL FOR UPDATE",
        id as EnvironmentId
    )
    .fetch_optional(db)
    .await?;
    Ok(row.is_some())
}

/// Soft-deletes an environment; `false` when it was gone already.
pub async fn delete(db: impl PgExecutor<'_>, id: EnvironmentId, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE environments SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL",
        id as EnvironmentId,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// All live environments, oldest first.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE deleted_at IS NULL ORDER BY id"#
    )
    .fetch_all(db)
    .await
}

/// Everything of an environment that its operator may change, and what it is known by.
#[derive(Debug, Clone)]
pub struct EnvironmentSettings {
    pub uuid: Uuid,
    pub name: String,
    pub is_production: bool,
    pub public_key: Uuid,
    pub callback_url: Option<String>,
    pub hmac_enabled: bool,
    /// Sealed.
    pub hmac_key: Option<Vec<u8>>,
    pub slack_notifications: bool,
    pub otlp_endpoint: Option<String>,
    /// Sealed JSON object.
    pub otlp_headers: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
}

/// The settings of a live environment.
pub async fn find_settings(
    db: impl PgExecutor<'_>,
    id: EnvironmentId,
) -> sqlx::Result<Option<EnvironmentSettings>> {
    sqlx::query_as!(
        EnvironmentSettings,
        "SELECT uuid, name, is_production, public_key, callback_url, hmac_enabled, hmac_key, slack_notifications,
                otlp_endpoint, otlp_headers, created_at
         FROM environments WHERE id = $1 AND deleted_at IS NULL",
        id as EnvironmentId
    )
    .fetch_optional(db)
    .await
}

/// Writes every changeable value of `changed`.
pub async fn update_settings(
    db: impl PgExecutor<'_>,
    id: EnvironmentId,
    changed: &EnvironmentSettings,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE environments SET name = $2, is_production = $3, callback_url = $4, hmac_enabled = $5, hmac_key = $6,
             slack_notifications = $7, otlp_endpoint = $8, otlp_headers = $9, updated_at = $10
         WHERE id = $1 AND deleted_at IS NULL",
        id as EnvironmentId,
        changed.name,
        changed.is_production,
        changed.callback_url,
        changed.hmac_enabled,
        changed.hmac_key,
        changed.slack_notifications,
        changed.otlp_endpoint,
        changed.otlp_headers,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A live environment of this account by name.
pub async fn find_named(
    db: impl PgExecutor<'_>,
    account: AccountId,
    name: &str,
) -> sqlx::Result<Option<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE account_id = $1 AND name = $2 AND deleted_at IS NULL"#,
        account as AccountId,
        name
    )
    .fetch_optional(db)
    .await
}

/// The live environments of this account, oldest first.
pub async fn list_of_account(db: impl PgExecutor<'_>, account: AccountId) -> sqlx::Result<Vec<Environment>> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", account_id AS "account_id: AccountId", uuid, name, is_production,
                  callback_url, hmac_enabled, hmac_key
           FROM environments WHERE account_id = $1 AND deleted_at IS NULL ORDER BY id"#,
        account as AccountId
    )
    .fetch_all(db)
    .await
}

/// Removes environments that were deleted before `before` and hold neither integrations nor connections any more, with what
/// else belongs to them.
// Every table that refers to environments is named here; a test looks.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "WITH gone AS MATERIALIZED (
             SELECT id FROM environments e WHERE e.deleted_at < $1
               AND NOT EXISTS (SELECT 1 FROM integrations i WHERE i.environment_id = e.id)
               AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.environment_id = e.id)
               AND NOT EXISTS (SELECT 1 FROM connect_sessions s WHERE s.environment_id = e.id)
               AND NOT EXISTS (SELECT 1 FROM oauth_sessions o WHERE o.environment_id = e.id)
             LIMIT 100),
         keys AS (DELETE FROM api_keys WHERE environment_id IN (SELECT id FROM gone)),
         users AS (DELETE FROM end_users WHERE environment_id IN (SELECT id FROM gone)),
         variables AS (DELETE FROM environment_variables WHERE environment_id IN (SELECT id FROM gone)),
         counts AS (DELETE FROM connection_counts WHERE environment_id IN (SELECT id FROM gone)),
         hours AS (DELETE FROM log_hours WHERE environment_id IN (SELECT id FROM gone)),
         runs AS (DELETE FROM post_connection_runs WHERE environment_id IN (SELECT id FROM gone)),
         partings AS (DELETE FROM pre_deletion_runs WHERE environment_id IN (SELECT id FROM gone)),
         deliveries AS (DELETE FROM webhook_deliveries WHERE environment_id IN (SELECT id FROM gone)),
         queues AS (DELETE FROM webhook_queues WHERE endpoint_id IN (
             SELECT id FROM webhook_endpoints WHERE environment_id IN (SELECT id FROM gone))),
         endpoints AS (DELETE FROM webhook_endpoints WHERE environment_id IN (SELECT id FROM gone)),
         webhooks AS (DELETE FROM webhook_settings WHERE environment_id IN (SELECT id FROM gone)),
         looks AS (DELETE FROM connect_ui_settings WHERE environment_id IN (SELECT id FROM gone))
         DELETE FROM environments WHERE id IN (SELECT id FROM gone)",
        before
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}

/// Where an environment wants its traces.
#[derive(Clone, PartialEq, Eq)]
pub struct Collector {
    pub environment_id: EnvironmentId,
    pub endpoint: String,
    /// Sealed JSON object.
    pub sealed_headers: Option<Vec<u8>>,
}

/// The collectors of all live environments that have one.
pub async fn list_collectors(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Collector>> {
    sqlx::query_as!(
        Collector,
        r#"SELECT id AS "environment_id: EnvironmentId", otlp_endpoint AS "endpoint!", otlp_headers AS sealed_headers
           FROM environments WHERE otlp_endpoint IS NOT NULL AND deleted_at IS NULL"#
    )
    .fetch_all(db)
    .await
}
