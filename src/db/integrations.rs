//! Integrations: a provider of the catalog with the customer's own client credentials.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{EnvironmentId, IntegrationId};

#[derive(Debug, Clone)]
pub struct Integration {
    pub id: IntegrationId,
    pub environment_id: EnvironmentId,
    pub unique_key: String,
    pub provider: String,
    pub display_name: Option<String>,
    pub oauth_client_id: Option<String>,
    /// Sealed.
    pub oauth_client_secret: Option<Vec<u8>>,
    /// Comma separated.
    pub oauth_scopes: Option<String>,
    pub app_link: Option<String>,
    /// Sealed JSON object.
    pub custom: Option<Vec<u8>>,
    pub forward_webhooks: bool,
    /// Also those that prove nothing, and those that the catalog does not describe.
    pub accept_unverified_webhooks: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Inserts the values of `new`; its id and dates of creation and change are ignored.
pub async fn insert(
    db: impl PgExecutor<'_>,
    new: &Integration,
    now: DateTime<Utc>,
) -> sqlx::Result<Integration> {
    sqlx::query_as!(
        Integration,
        r#"INSERT INTO integrations (environment_id, unique_key, provider, display_name, oauth_client_id,
               oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
           RETURNING id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at"#,
        new.environment_id as EnvironmentId,
        new.unique_key,
        new.provider,
        new.display_name,
        new.oauth_client_id,
        new.oauth_client_secret,
        new.oauth_scopes,
        new.app_link,
        new.custom,
        new.forward_webhooks,
        new.accept_unverified_webhooks,
        now
    )
    .fetch_one(db)
    .await
}

/// Writes every changeable value of `changed`.
pub async fn update(
    db: impl PgExecutor<'_>,
    changed: &Integration,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Integration>> {
    sqlx::query_as!(
        Integration,
        r#"UPDATE integrations SET unique_key = $3, display_name = $4, oauth_client_id = $5, oauth_client_secret = $6,
               oauth_scopes = $7, app_link = $8, custom = $9, forward_webhooks = $10,
               accept_unverified_webhooks = $11, updated_at = $12
           WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL
           RETURNING id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at"#,
        changed.environment_id as EnvironmentId,
        changed.id as IntegrationId,
        changed.unique_key,
        changed.display_name,
        changed.oauth_client_id,
        changed.oauth_client_secret,
        changed.oauth_scopes,
        changed.app_link,
        changed.custom,
        changed.forward_webhooks,
        changed.accept_unverified_webhooks,
        now
    )
    .fetch_optional(db)
    .await
}

/// What an authorization server gave this server when it registered as a client.
pub struct NewClient<'a> {
    pub id: &'a str,
    pub sealed_secret: Option<&'a [u8]>,
    /// `None` keeps the stored values.
    pub sealed_custom: Option<&'a [u8]>,
}

/// Gives an integration its client, unless it has one; `None` when it has, or is gone.
pub async fn set_client_if_absent(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: IntegrationId,
    client: NewClient<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Integration>> {
    sqlx::query_as!(
        Integration,
        r#"UPDATE integrations SET oauth_client_id = $3, oauth_client_secret = $4, custom = COALESCE($5, custom),
               updated_at = $6
           WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL AND oauth_client_id IS NULL
           RETURNING id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at"#,
        environment as EnvironmentId,
        id as IntegrationId,
        client.id,
        client.sealed_secret,
        client.sealed_custom,
        now
    )
    .fetch_optional(db)
    .await
}

pub async fn find(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    unique_key: &str,
) -> sqlx::Result<Option<Integration>> {
    sqlx::query_as!(
        Integration,
        r#"SELECT id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at
           FROM integrations WHERE environment_id = $1 AND unique_key = $2 AND deleted_at IS NULL"#,
        environment as EnvironmentId,
        unique_key
    )
    .fetch_optional(db)
    .await
}

pub async fn find_by_id(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: IntegrationId,
) -> sqlx::Result<Option<Integration>> {
    sqlx::query_as!(
        Integration,
        r#"SELECT id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at
           FROM integrations WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL"#,
        environment as EnvironmentId,
        id as IntegrationId
    )
    .fetch_optional(db)
    .await
}

/// An integration whether it was deleted or not.
pub async fn find_even_deleted(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: IntegrationId,
) -> sqlx::Result<Option<Integration>> {
    sqlx::query_as!(
        Integration,
        r#"SELECT id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at
           FROM integrations WHERE environment_id = $1 AND id = $2"#,
        environment as EnvironmentId,
        id as IntegrationId
    )
    .fetch_optional(db)
    .await
}

/// All live integrations, ordered by provider, then age.
pub async fn list(db: impl PgExecutor<'_>, environment: EnvironmentId) -> sqlx::Result<Vec<Integration>> {
    sqlx::query_as!(
        Integration,
        r#"SELECT id AS "id: IntegrationId", environment_id AS "environment_id: EnvironmentId", unique_key, provider,
               display_name, oauth_client_id, oauth_client_secret, oauth_scopes, app_link, custom, forward_webhooks,
               accept_unverified_webhooks, created_at, updated_at
           FROM integrations WHERE environment_id = $1 AND deleted_at IS NULL ORDER BY provider, created_at, id"#,
        environment as EnvironmentId
    )
    .fetch_all(db)
    .await
}

/// How many live integrations of the whole server each of these providers has; those without any are left out.
pub async fn count_by_provider(
    db: impl PgExecutor<'_>,
    providers: &[String],
) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT provider, count(*) AS "count!" FROM integrations
           WHERE provider = ANY($1) AND deleted_at IS NULL GROUP BY provider"#,
        providers
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.provider, row.count)).collect())
}

/// Those of `keys` that are live integrations.
pub async fn list_existing_keys(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    keys: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT unique_key FROM integrations
         WHERE environment_id = $1 AND unique_key = ANY($2) AND deleted_at IS NULL",
        environment as EnvironmentId,
        keys
    )
    .fetch_all(db)
    .await
}

/// Row ids of the live integrations with these keys.
pub async fn list_ids(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    keys: &[String],
) -> sqlx::Result<Vec<IntegrationId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: IntegrationId" FROM integrations
           WHERE environment_id = $1 AND unique_key = ANY($2) AND deleted_at IS NULL"#,
        environment as EnvironmentId,
        keys
    )
    .fetch_all(db)
    .await
}

/// Soft-deletes an integration; `false` when it was gone already.
pub async fn delete(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: IntegrationId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE integrations SET deleted_at = $3 WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL",
        environment as EnvironmentId,
        id as IntegrationId,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Soft-deletes every integration of an environment and returns their ids.
pub async fn delete_of_environment(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<IntegrationId>> {
    sqlx::query_scalar!(
        r#"UPDATE integrations SET deleted_at = $2 WHERE environment_id = $1 AND deleted_at IS NULL
           RETURNING id AS "id: IntegrationId""#,
        environment as EnvironmentId,
        now
    )
    .fetch_all(db)
    .await
}

/// Removes integrations that were deleted before `before` and have no connections left.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM integrations WHERE id IN (
             SELECT i.id FROM integrations i
             WHERE i.deleted_at < $1
               AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.integration_id = i.id)
               AND NOT EXISTS (SELECT 1 FROM oauth_sessions o WHERE o.integration_id = i.id)
             LIMIT 1000)",
        before
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}
