//! The audit trail. Append-only: a trigger refuses everything but inserts, and deletes by retention.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::{AccountId, ApiKeyId, EnvironmentId};

/// Rows that one statement of retention deletes.
const PURGE_BATCH: i64 = 1_000;

/// An event to be stored. One of account and environment is known; names are read while storing.
pub struct NewEvent<'a> {
    pub id: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub account_id: Option<AccountId>,
    pub environment_id: Option<EnvironmentId>,
    /// The key whose name becomes the actor's.
    pub actor_key: Option<ApiKeyId>,
    pub actor: &'a Value,
    pub targets: &'a Value,
    pub context: &'a Value,
    pub outcome: &'a str,
    pub resource: &'a str,
    pub action: &'a str,
    pub metadata: Option<Value>,
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    pub seq: i64,
    pub id: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub account_id: AccountId,
    pub environment_id: Option<EnvironmentId>,
    pub environment_name: Option<String>,
    pub actor: Value,
    pub targets: Value,
    pub context: Value,
    pub outcome: String,
    pub resource: String,
    pub action: String,
    pub metadata: Option<Value>,
}

/// Which events are wanted; `None` is no condition.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
    /// The name that the environment had at the time.
    pub environment: Option<String>,
    pub resources: Option<Vec<String>>,
    pub actions: Option<Vec<String>>,
}

/// Appends an event; nothing happens when its environment never existed.
pub async fn insert(db: impl PgExecutor<'_>, new: NewEvent<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_events (id, occurred_at, account_id, environment_id, environment_name, actor, targets, context,
             outcome, resource, action, metadata)
         SELECT $1, $2, owner.account_id, $4, owner.environment_name,
             $6::jsonb || COALESCE((SELECT jsonb_build_object('display', k.display_name) FROM api_keys k WHERE k.id = $5), '{}'),
             $7, $8, $9, $10, $11, $12
         FROM (SELECT $3::bigint AS account_id, NULL::text AS environment_name WHERE $3::bigint IS NOT NULL
               UNION ALL SELECT e.account_id, e.name FROM environments e WHERE e.id = $4) AS owner",
        new.id,
        new.occurred_at,
        new.account_id as Option<AccountId>,
        new.environment_id as Option<EnvironmentId>,
        new.actor_key as Option<ApiKeyId>,
        new.actor,
        new.targets,
        new.context,
        new.outcome,
        new.resource,
        new.action,
        new.metadata
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Events of an account, newest first, from the one after `below` in that order.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    filter: &Filter,
    below: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<AuditEvent>> {
    sqlx::query_as!(
        AuditEvent,
        r#"SELECT seq, id, occurred_at, account_id AS "account_id: AccountId",
                  environment_id AS "environment_id: EnvironmentId", environment_name, actor, targets, context, outcome,
                  resource, action, metadata
           FROM audit_events
           WHERE account_id = $1 AND ($2::bigint IS NULL OR seq < $2)
             AND ($3::timestamptz IS NULL OR occurred_at >= $3) AND ($4::timestamptz IS NULL OR occurred_at <= $4)
             AND ($5::text[] IS NULL OR resource = ANY($5)) AND ($6::text[] IS NULL OR action = ANY($6))
             AND ($7::text IS NULL OR environment_name = $7)
           ORDER BY seq DESC LIMIT $8"#,
        account as AccountId,
        below,
        filter.from,
        filter.to,
        filter.resources.as_deref(),
        filter.actions.as_deref(),
        filter.environment.as_deref(),
        limit
    )
    .fetch_all(db)
    .await
}

/// Removes events from before `before`, a batch at a time.
pub async fn purge(pool: &PgPool, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut transaction = pool.begin().await?;
    // Ends with the transaction.
    sqlx::query!("SELECT set_config('hitchpost.audit_retention', 'on', true)")
        .fetch_one(&mut *transaction)
        .await?;
    let result = sqlx::query!(
        "DELETE FROM audit_events WHERE seq IN (
             SELECT seq FROM audit_events WHERE occurred_at < $1 ORDER BY occurred_at LIMIT $2)",
        before,
        PURGE_BATCH
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(result.rows_affected())
}
