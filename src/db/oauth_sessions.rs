//! OAuth sessions: one attempt to sign in through a popup, from the redirect to its stored outcome.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{ConnectSessionId, EnvironmentId, IntegrationId};

#[derive(Debug, Clone)]
pub struct OAuthSession {
    /// The `state` sent to the provider.
    pub id: String,
    pub environment_id: EnvironmentId,
    pub integration_id: IntegrationId,
    pub connection_id: String,
    pub connect_session_id: Option<ConnectSessionId>,
    pub ws_client_id: Option<String>,
    /// Sealed JSON.
    pub payload: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: &OAuthSession) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO oauth_sessions
             (id, environment_id, integration_id, connection_id, connect_session_id, ws_client_id, payload, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id,
        new.environment_id as EnvironmentId,
        new.integration_id as IntegrationId,
        new.connection_id,
        new.connect_session_id as Option<ConnectSessionId>,
        new.ws_client_id,
        new.payload,
        new.created_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Claims an unused session that was created after `created_after`: it is marked used and its secrets are wiped,
/// so that a second callback with the same state finds nothing. The returned value still has the payload.
pub async fn claim(
    db: impl PgExecutor<'_>,
    id: &str,
    created_after: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<OAuthSession>> {
    sqlx::query_as!(
        OAuthSession,
        r#"WITH claimed AS (
               SELECT id, payload FROM oauth_sessions
               WHERE id = $1 AND used_at IS NULL AND created_at > $2 FOR UPDATE)
           UPDATE oauth_sessions o SET used_at = $3, payload = NULL FROM claimed
           WHERE o.id = claimed.id
           RETURNING o.id, o.environment_id AS "environment_id: EnvironmentId",
               o.integration_id AS "integration_id: IntegrationId", o.connection_id,
               o.connect_session_id AS "connect_session_id: ConnectSessionId", o.ws_client_id, claimed.payload,
               o.created_at"#,
        id,
        created_after,
        now
    )
    .fetch_optional(db)
    .await
}

/// Stores the message for the websocket.
pub async fn store_outcome(db: impl PgExecutor<'_>, id: &str, outcome: &Value) -> sqlx::Result<()> {
    sqlx::query!("UPDATE oauth_sessions SET outcome = $2 WHERE id = $1", id, outcome).execute(db).await?;
    Ok(())
}

/// Outcomes that are ready for any of these sockets.
pub async fn list_outcomes(
    db: impl PgExecutor<'_>,
    ws_client_ids: &[String],
) -> sqlx::Result<Vec<(String, Value)>> {
    let rows = sqlx::query!(
        r#"SELECT ws_client_id AS "ws_client_id!", outcome AS "outcome!" FROM oauth_sessions
           WHERE ws_client_id = ANY($1) AND outcome IS NOT NULL ORDER BY created_at"#,
        ws_client_ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.ws_client_id, row.outcome)).collect())
}

/// Removes sessions created before `before`.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM oauth_sessions WHERE id IN (SELECT id FROM oauth_sessions WHERE created_at < $1 LIMIT 1000)",
        before
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}
