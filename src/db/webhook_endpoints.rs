//! The addresses that outgoing webhooks go to, each with its circuit breaker: after too many failures in a short time nothing
//! is sent there for a while, and then one delivery tries. The state is a row, so that all replicas share it.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{EnvironmentId, WebhookEndpointId};

/// When a circuit breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRule {
    /// More failures than this within the window open it.
    pub threshold: i32,
    pub window: TimeDelta,
    pub cooldown: TimeDelta,
    /// A breaker that nothing happened to for this long is forgotten.
    pub reset_after: TimeDelta,
}

/// The endpoint of an address, made when it is new. It cannot go away before the caller's transaction ends.
pub async fn find_or_insert(
    db: &mut PgConnection,
    environment: EnvironmentId,
    url: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<WebhookEndpointId> {
    loop {
        if let Some(id) = find_kept(&mut *db, environment, url).await? {
            return Ok(id);
        }
        // Nothing is inserted when somebody else was faster; then it is there now.
        sqlx::query!(
            "INSERT INTO webhook_endpoints (environment_id, url, updated_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            environment as EnvironmentId,
            url,
            now
        )
        .execute(&mut *db)
        .await?;
    }
}

async fn find_kept(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    url: &str,
) -> sqlx::Result<Option<WebhookEndpointId>> {
    // By the digest alone, as the unique index has it, so that the loop above must end.
    sqlx::query_scalar!(
        r#"SELECT id AS "id: WebhookEndpointId" FROM webhook_endpoints
           WHERE environment_id = $1 AND md5(url) = md5($2) FOR KEY SHARE"#,
        environment as EnvironmentId,
        url
    )
    .fetch_optional(db)
    .await
}

/// Counts a failure and opens the breaker when there were too many, or when this was the delivery that tried.
pub async fn note_failure(
    db: impl PgExecutor<'_>,
    id: WebhookEndpointId,
    rule: BreakerRule,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET
             failures = CASE WHEN window_started_at > $2 THEN failures + 1 ELSE 1 END,
             window_started_at = CASE WHEN window_started_at > $2 THEN window_started_at ELSE $4 END,
             paused_until = CASE
                 WHEN (paused_until IS NOT NULL AND updated_at >= $6) OR (window_started_at > $2 AND failures >= $3)
                 THEN $5::timestamptz END,
             updated_at = $4
         WHERE id = $1",
        id as WebhookEndpointId,
        now - rule.window,
        rule.threshold,
        now,
        now + rule.cooldown,
        now - rule.reset_after
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Closes the breaker: the receiver answers again.
pub async fn note_success(
    db: impl PgExecutor<'_>,
    id: WebhookEndpointId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET failures = 0, window_started_at = NULL, paused_until = NULL, updated_at = $2
         WHERE id = $1 AND paused_until IS NOT NULL",
        id as WebhookEndpointId,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets one delivery try now, breaker or not.
pub async fn allow_trial(
    db: impl PgExecutor<'_>,
    id: WebhookEndpointId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET paused_until = $2 WHERE id = $1 AND paused_until > $2",
        id as WebhookEndpointId,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Closes every breaker of an environment: its addresses were changed.
pub async fn close_all(db: impl PgExecutor<'_>, environment: EnvironmentId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET failures = 0, window_started_at = NULL, paused_until = NULL
         WHERE environment_id = $1 AND paused_until IS NOT NULL",
        environment as EnvironmentId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes endpoints that nothing waits for and nothing happened to since `before`, a thousand at most. In a transaction: they
/// are locked first and looked at again then, because something may have been queued for one meanwhile.
pub async fn purge(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<()> {
    let unused = sqlx::query_scalar!(
        "SELECT id FROM webhook_endpoints e
         WHERE e.updated_at < $1 AND NOT EXISTS (SELECT FROM webhook_queues q WHERE q.endpoint_id = e.id)
         LIMIT 1000 FOR UPDATE SKIP LOCKED",
        before
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "DELETE FROM webhook_endpoints e
         WHERE e.id = ANY($1) AND NOT EXISTS (SELECT FROM webhook_queues q WHERE q.endpoint_id = e.id)",
        &unused
    )
    .execute(&mut *db)
    .await?;
    Ok(())
}
