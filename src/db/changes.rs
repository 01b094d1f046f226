//! The change feed: what other replicas must drop from their caches.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{ConnectionRowId, EnvironmentId, IntegrationId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    ApiKey,
    Environment,
    Integration,
    Connection,
    /// A provider that an administrator defined; it belongs to no environment.
    CustomProvider,
}

impl ChangeKind {
    fn as_str(self) -> &'static str {
        match self {
            ChangeKind::ApiKey => "api_key",
            ChangeKind::Environment => "environment",
            ChangeKind::Integration => "integration",
            ChangeKind::Connection => "connection",
            ChangeKind::CustomProvider => "custom_provider",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        let all = [
            ChangeKind::ApiKey,
            ChangeKind::Environment,
            ChangeKind::Integration,
            ChangeKind::Connection,
            ChangeKind::CustomProvider,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub id: i64,
    pub kind: ChangeKind,
    pub environment_id: EnvironmentId,
    /// The row id of the changed key, integration or connection.
    pub subject_id: i64,
}

pub async fn insert(
    db: impl PgExecutor<'_>,
    kind: ChangeKind,
    environment: EnvironmentId,
    subject: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO changes (kind, environment_id, subject_id, created_at) VALUES ($1, $2, $3, $4)",
        kind.as_str(),
        environment as EnvironmentId,
        subject,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a provider of the whole server changed.
pub async fn insert_custom_provider(
    db: impl PgExecutor<'_>,
    subject: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // No environment has this id.
    insert(db, ChangeKind::CustomProvider, EnvironmentId(0), subject, now).await
}

/// Notes that several integrations changed at once.
pub async fn insert_integrations(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    integrations: &[IntegrationId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let subjects: Vec<i64> = integrations.iter().map(|id| id.0).collect();
    insert_all(db, ChangeKind::Integration, environment, &subjects, now).await
}

/// Notes that several connections changed at once.
pub async fn insert_connections(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    connections: &[ConnectionRowId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let subjects: Vec<i64> = connections.iter().map(|id| id.0).collect();
    insert_all(db, ChangeKind::Connection, environment, &subjects, now).await
}

async fn insert_all(
    db: impl PgExecutor<'_>,
    kind: ChangeKind,
    environment: EnvironmentId,
    subjects: &[i64],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO changes (kind, environment_id, subject_id, created_at)
         SELECT $1, $2, changed.id, $4 FROM unnest($3::bigint[]) AS changed (id)",
        kind.as_str(),
        environment as EnvironmentId,
        subjects,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Changes written since `since`. Ids are no safe cursor, because transactions commit out of order: readers ask
/// for a window that overlaps their last one.
pub async fn list_since(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query!(
        r#"SELECT id, kind, environment_id AS "environment_id: EnvironmentId", subject_id
           FROM changes WHERE created_at > $1 ORDER BY id"#,
        since
    )
    .fetch_all(db)
    .await?;
    let change = |kind, id, environment_id, subject_id| Change { id, kind, environment_id, subject_id };
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            ChangeKind::from_str(&row.kind)
                .map(|kind| change(kind, row.id, row.environment_id, row.subject_id))
        })
        .collect())
}

/// Removes changes that every replica has seen long ago.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!("DELETE FROM changes WHERE created_at < $1", before).execute(db).await?;
    Ok(result.rows_affected())
}
