//! The customer's users on whose behalf connections exist. One row per connection.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{ConnectionRowId, EndUserId, EnvironmentId};

#[derive(Debug, Clone, PartialEq)]
pub struct EndUser {
    pub end_user_id: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub organization_id: Option<String>,
    pub organization_display_name: Option<String>,
    pub tags: Option<Value>,
}

pub async fn insert(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    user: &EndUser,
    now: DateTime<Utc>,
) -> sqlx::Result<EndUserId> {
    sqlx::query_scalar!(
        r#"INSERT INTO end_users (environment_id, end_user_id, email, display_name, organization_id,
               organization_display_name, tags, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) RETURNING id AS "id: EndUserId""#,
        environment as EnvironmentId,
        user.end_user_id,
        user.email,
        user.display_name,
        user.organization_id,
        user.organization_display_name,
        user.tags,
        now
    )
    .fetch_one(db)
    .await
}

pub async fn update(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: EndUserId,
    user: &EndUser,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE end_users SET end_user_id = $3, email = $4, display_name = $5, organization_id = $6,
             organization_display_name = $7, tags = $8, updated_at = $9
         WHERE environment_id = $1 AND id = $2",
        environment as EnvironmentId,
        id as EndUserId,
        user.end_user_id,
        user.email,
        user.display_name,
        user.organization_id,
        user.organization_display_name,
        user.tags,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The end user of a connection.
pub async fn find_by_connection(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    connection: ConnectionRowId,
) -> sqlx::Result<Option<EndUser>> {
    sqlx::query_as!(
        EndUser,
        "SELECT u.end_user_id, u.email, u.display_name, u.organization_id, u.organization_display_name, u.tags
         FROM end_users u JOIN connections c ON c.end_user_id = u.id
         WHERE c.environment_id = $1 AND c.id = $2",
        environment as EnvironmentId,
        connection as ConnectionRowId
    )
    .fetch_optional(db)
    .await
}

/// What an end user has connected after a moment: keys of integrations, the first connection first. Connections that still
/// wait for an approval do not count.
pub async fn list_connected_since(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    user: &EndUser,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT i.unique_key
           FROM end_users u JOIN connections c ON c.end_user_id = u.id JOIN integrations i ON i.id = c.integration_id
           WHERE u.environment_id = $1 AND u.end_user_id = $2 AND u.organization_id IS NOT DISTINCT FROM $3
               AND c.created_at >= $4 AND c.deleted_at IS NULL AND NOT c.connection_config @> '{"pending": true}'
           GROUP BY i.unique_key ORDER BY min(c.id)"#,
        environment as EnvironmentId,
        user.end_user_id,
        user.organization_id,
        since
    )
    .fetch_all(db)
    .await
}

/// Updates the connection's end user, or creates and links one.
pub async fn upsert_for_connection(
    db: &mut sqlx::PgConnection,
    environment: EnvironmentId,
    connection: ConnectionRowId,
    user: &EndUser,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let linked = sqlx::query_scalar!(
        r#"SELECT end_user_id AS "id: EndUserId" FROM connections WHERE environment_id = $1 AND id = $2"#,
        environment as EnvironmentId,
        connection as ConnectionRowId
    )
    .fetch_optional(&mut *db)
    .await?
    .flatten();
    if let Some(id) = linked {
        return update(db, environment, id, user, now).await;
    }
    let id = insert(&mut *db, environment, user, now).await?;
    sqlx::query!(
        "UPDATE connections SET end_user_id = $3 WHERE environment_id = $1 AND id = $2",
        environment as EnvironmentId,
        connection as ConnectionRowId,
        id as EndUserId
    )
    .execute(db)
    .await?;
    Ok(())
}
