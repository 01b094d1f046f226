//! What waits for an endpoint, one queue for each connection, so that a connection's events arrive in their order.
//!
//! A replica sends from a queue while it holds its lease; the end of the lease and the time of the next attempt are one
//! column, so a queue whose replica died becomes due by itself. The number of waiting deliveries is kept in the row: whoever
//! adds one and whoever finishes one meet at its lock, and no wake-up is lost between them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{EnvironmentId, WebhookEndpointId, WebhookQueueId};

/// Adds one delivery to a queue, making the queue when it is new; it is then due at `due_at`.
pub async fn extend(
    db: impl PgExecutor<'_>,
    endpoint: WebhookEndpointId,
    name: &str,
    due_at: DateTime<Utc>,
) -> sqlx::Result<WebhookQueueId> {
    sqlx::query_scalar!(
        r#"INSERT INTO webhook_queues AS q (endpoint_id, name, waiting, due_at) VALUES ($1, $2, 1, $3)
           ON CONFLICT (endpoint_id, name) DO UPDATE SET waiting = q.waiting + 1
           RETURNING id AS "id: WebhookQueueId""#,
        endpoint as WebhookEndpointId,
        name,
        due_at
    )
    .fetch_one(db)
    .await
}

/// A queue that the caller may send from until its lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub id: WebhookQueueId,
    pub endpoint_id: WebhookEndpointId,
    pub environment_id: EnvironmentId,
}

/// What [`claim`] may take.
pub struct Claim<'a> {
    /// `None`: of every environment.
    pub environments: Option<&'a [EnvironmentId]>,
    pub owner: Uuid,
    pub lease_until: DateTime<Utc>,
    /// How many the caller may send from at a time, to one endpoint and altogether.
    pub per_endpoint: i64,
    pub in_total: i64,
    /// What the caller is sending already, as parallel lists.
    pub busy: (&'a [WebhookEndpointId], &'a [i64]),
    /// Breakers untouched since then count as closed.
    pub breakers_since: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// Takes leases of queues that are due: of each endpoint as many as have room, so that one with thousands waiting takes no
/// place of the others. Of an endpoint whose breaker was open and may be tried, a single one.
pub async fn claim(db: impl PgExecutor<'_>, claim: Claim<'_>) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as!(
        Claimed,
        r#"WITH tried AS (
               UPDATE webhook_endpoints SET paused_until = $3 WHERE id IN (
                   SELECT e.id FROM webhook_endpoints e
                   WHERE e.paused_until <= $8 AND e.updated_at >= $9 AND ($1::bigint[] IS NULL OR e.environment_id = ANY($1))
                     AND EXISTS (SELECT FROM webhook_queues q WHERE q.endpoint_id = e.id AND q.due_at <= $8)
                   FOR UPDATE SKIP LOCKED)
               RETURNING id),
           room AS (
               SELECT e.id, $4 - COALESCE(busy.queues, 0) AS free
               FROM webhook_endpoints e
               LEFT JOIN unnest($6::bigint[], $7::bigint[]) AS busy (id, queues) ON busy.id = e.id
               WHERE (e.paused_until IS NULL OR e.updated_at < $9)
                 AND ($1::bigint[] IS NULL OR e.environment_id = ANY($1))
               UNION ALL
               SELECT id, 1 FROM tried),
           picked AS (
               SELECT due.id FROM room CROSS JOIN LATERAL (
                   SELECT q.id FROM webhook_queues q WHERE q.endpoint_id = room.id AND q.due_at <= $8
                   ORDER BY q.due_at LIMIT GREATEST(room.free, 0) FOR UPDATE SKIP LOCKED) AS due
               LIMIT $5)
           UPDATE webhook_queues q SET due_at = $3, lease_owner = $2
           FROM picked, webhook_endpoints e WHERE q.id = picked.id AND e.id = q.endpoint_id
           RETURNING q.id AS "id: WebhookQueueId", e.id AS "endpoint_id: WebhookEndpointId",
               e.environment_id AS "environment_id: EnvironmentId""#,
        claim.environments as Option<&[EnvironmentId]>,
        claim.owner,
        claim.lease_until,
        claim.per_endpoint,
        claim.in_total,
        claim.busy.0 as &[WebhookEndpointId],
        claim.busy.1,
        claim.now,
        claim.breakers_since
    )
    .fetch_all(db)
    .await
}

/// Keeps the lease of a queue until then. `false`: it is somebody else's.
pub async fn renew(
    db: impl PgExecutor<'_>,
    id: WebhookQueueId,
    owner: Uuid,
    until: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE webhook_queues SET due_at = $3 WHERE id = $1 AND lease_owner = $2",
        id as WebhookQueueId,
        owner,
        until
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends the lease of a queue; it is due again at `due_at`.
pub async fn release(
    db: impl PgExecutor<'_>,
    id: WebhookQueueId,
    owner: Uuid,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_queues SET due_at = $3, lease_owner = NULL WHERE id = $1 AND lease_owner = $2",
        id as WebhookQueueId,
        owner,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends the lease of a queue whose first delivery is held; it is due when that is let go, which may have happened just now.
pub async fn release_held(
    db: impl PgExecutor<'_>,
    id: WebhookQueueId,
    owner: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_queues q SET lease_owner = NULL, due_at = GREATEST($3, (
             SELECT held_until FROM webhook_deliveries d WHERE d.queue_id = q.id ORDER BY d.id LIMIT 1))
         WHERE id = $1 AND lease_owner = $2",
        id as WebhookQueueId,
        owner,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes one finished delivery off a queue. A queue without any goes away.
pub async fn shorten(db: &mut PgConnection, id: WebhookQueueId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE webhook_queues SET waiting = waiting - 1 WHERE id = $1", id as WebhookQueueId)
        .execute(&mut *db)
        .await?;
    // A statement of its own: it sees what others added while this one waited for the row.
    sqlx::query!("DELETE FROM webhook_queues WHERE id = $1 AND waiting <= 0", id as WebhookQueueId)
        .execute(&mut *db)
        .await?;
    Ok(())
}

/// Makes a queue due now, unless somebody is sending from it, and gives its endpoint.
pub async fn hurry(
    db: impl PgExecutor<'_>,
    id: WebhookQueueId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<WebhookEndpointId>> {
    sqlx::query_scalar!(
        r#"UPDATE webhook_queues SET due_at = CASE WHEN lease_owner IS NULL THEN $2 ELSE due_at END
           WHERE id = $1 RETURNING endpoint_id AS "endpoint_id: WebhookEndpointId""#,
        id as WebhookQueueId,
        now
    )
    .fetch_optional(db)
    .await
}

/// Makes everything that waits in an environment due now.
pub async fn hurry_environment(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_queues q SET due_at = $2 FROM webhook_endpoints e
         WHERE e.id = q.endpoint_id AND e.environment_id = $1 AND q.lease_owner IS NULL AND q.due_at > $2",
        environment as EnvironmentId,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Frees every lease. Only for the embedded database, which no other process can be using.
pub async fn free_all(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_queues SET due_at = now(), lease_owner = NULL WHERE lease_owner IS NOT NULL"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the queues of an environment, whose deliveries were finished before.
pub async fn delete_of_environment(db: impl PgExecutor<'_>, environment: EnvironmentId) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM webhook_queues q USING webhook_endpoints e
         WHERE e.id = q.endpoint_id AND e.environment_id = $1",
        environment as EnvironmentId
    )
    .execute(db)
    .await?;
    Ok(())
}
