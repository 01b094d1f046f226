//! Providers that administrators define: entries of the catalog that belong to the whole server.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A provider as it is stored.
#[derive(Debug, Clone)]
pub struct CustomProvider {
    pub id: i64,
    pub name: String,
    /// The catalog's grammar, as it was typed.
    pub definition: String,
    /// Whether an entry of this name in the catalog's files is meant to be replaced.
    pub replaces_entry: bool,
    /// Counts the changes.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What is written of a provider.
pub struct Written<'a> {
    pub name: &'a str,
    pub definition: &'a str,
    pub replaces_entry: bool,
    pub now: DateTime<Utc>,
}

/// All of them, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CustomProvider>> {
    sqlx::query_as!(
        CustomProvider,
        "SELECT id, name, definition, replaces_entry, revision, created_at, updated_at FROM custom_providers ORDER BY name"
    )
    .fetch_all(db)
    .await
}

pub async fn find(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<CustomProvider>> {
    sqlx::query_as!(
        CustomProvider,
        "SELECT id, name, definition, replaces_entry, revision, created_at, updated_at FROM custom_providers
         WHERE name = $1",
        name
    )
    .fetch_optional(db)
    .await
}

/// Adds a provider; fails on the constraint `custom_providers_name` when there is one of this name.
pub async fn insert(db: impl PgExecutor<'_>, new: Written<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "INSERT INTO custom_providers (name, definition, replaces_entry, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $4) RETURNING id",
        new.name,
        new.definition,
        new.replaces_entry,
        new.now
    )
    .fetch_one(db)
    .await
}

/// Changes a provider that still is what somebody saw; `None` when it is not.
pub async fn update(
    db: impl PgExecutor<'_>,
    changed: Written<'_>,
    seen_revision: i64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "UPDATE custom_providers SET definition = $2, replaces_entry = $3, revision = revision + 1, updated_at = $4
         WHERE name = $1 AND revision = $5 RETURNING id",
        changed.name,
        changed.definition,
        changed.replaces_entry,
        changed.now,
        seen_revision
    )
    .fetch_optional(db)
    .await
}

/// Removes a provider. Unless `even_if_used`, it stays while a live integration has it.
pub async fn delete(db: impl PgExecutor<'_>, name: &str, even_if_used: bool) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "DELETE FROM custom_providers WHERE name = $1 AND ($2 OR NOT EXISTS (
             SELECT FROM integrations i WHERE i.provider = $1 AND i.deleted_at IS NULL)) RETURNING id",
        name,
        even_if_used
    )
    .fetch_optional(db)
    .await
}
