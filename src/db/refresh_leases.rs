//! The refresh lease of a connection: whoever holds it is the only one that asks the provider for new
//! credentials and the only one whose answer is saved.
//!
//! The save checks the owner, not the end time: when the time is over and nobody took the lease, the answer is
//! still the newest truth, and dropping it would lose a rotated refresh token.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{ConnectionRowId, EnvironmentId};

/// Takes the lease if it is free or has run out.
pub async fn take(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: ConnectionRowId,
    owner: Uuid,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE connections SET refresh_lease_owner = $3, refresh_lease_until = $4
         WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL
           AND (refresh_lease_until IS NULL OR refresh_lease_until <= $5)",
        environment as EnvironmentId,
        id as ConnectionRowId,
        owner,
        until,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Gives the lease back without a result.
pub async fn give_back(db: impl PgExecutor<'_>, id: ConnectionRowId, owner: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET refresh_lease_owner = NULL, refresh_lease_until = NULL
         WHERE id = $1 AND refresh_lease_owner = $2",
        id as ConnectionRowId,
        owner
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Frees every lease. Only for the embedded database, which no other process can be using.
pub async fn free_all(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET refresh_lease_owner = NULL, refresh_lease_until = NULL
         WHERE refresh_lease_owner IS NOT NULL"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The outcome of a successful refresh.
pub struct Refreshed<'a> {
    pub id: ConnectionRowId,
    pub owner: Uuid,
    pub sealed_credentials: &'a [u8],
    /// Keys merged into the connection config.
    pub connection_config: &'a Value,
    pub credentials_expires_at: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// Saves new credentials and ends the lease. `false`: the lease is somebody else's, nothing was saved.
pub async fn save_success(db: impl PgExecutor<'_>, refreshed: Refreshed<'_>) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE connections SET credentials = $3, connection_config = connection_config || $4::jsonb,
             credentials_expires_at = $5, last_fetched_at = $6, last_refresh_success = $6, last_refresh_failure = NULL,
             refresh_attempts = NULL, refresh_exhausted = false, refresh_ended_at = $6, refresh_error = NULL,
             refresh_lease_owner = NULL, refresh_lease_until = NULL, updated_at = $6
         WHERE id = $1 AND refresh_lease_owner = $2 AND deleted_at IS NULL",
        refreshed.id as ConnectionRowId,
        refreshed.owner,
        refreshed.sealed_credentials,
        refreshed.connection_config,
        refreshed.credentials_expires_at,
        refreshed.now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Notes that credentials which cannot be refreshed still work, and ends the lease. `false`: it is somebody else's.
pub async fn save_test_success(
    db: impl PgExecutor<'_>,
    id: ConnectionRowId,
    owner: Uuid,
    credentials_expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE connections SET credentials_expires_at = $3, last_refresh_success = $4, last_refresh_failure = NULL,
             refresh_attempts = NULL, refresh_exhausted = false, refresh_ended_at = $4, refresh_error = NULL,
             refresh_lease_owner = NULL, refresh_lease_until = NULL
         WHERE id = $1 AND refresh_lease_owner = $2 AND deleted_at IS NULL",
        id as ConnectionRowId,
        owner,
        credentials_expires_at,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The outcome of a failed refresh.
pub struct Failed<'a> {
    pub id: ConnectionRowId,
    pub owner: Uuid,
    /// Read back by callers on other replicas that waited for this refresh.
    pub error: &'a Value,
    pub attempts: i16,
    pub exhausted: bool,
    pub now: DateTime<Utc>,
}

/// Counts a failure and ends the lease. `false`: the lease is somebody else's.
pub async fn save_failure(db: impl PgExecutor<'_>, failed: Failed<'_>) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE connections SET last_refresh_failure = $3, last_refresh_success = NULL, refresh_attempts = $4,
             refresh_exhausted = $5, refresh_ended_at = $3, refresh_error = $6,
             refresh_lease_owner = NULL, refresh_lease_until = NULL
         WHERE id = $1 AND refresh_lease_owner = $2 AND deleted_at IS NULL",
        failed.id as ConnectionRowId,
        failed.owner,
        failed.now,
        failed.attempts,
        failed.exhausted,
        failed.error
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}
