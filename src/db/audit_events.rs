//! The audit trail. Append-only: a trigger refuses everything but inserts, and deletes by retention.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{AccountId, ApiKeyId, EnvironmentId};

/// Rows that one statement of retention deletes.
const PURGE_BATCH: i64 = 1_000;
/// Events that one page of a search reads, so that one for a word that nobody wrote ends soon.
pub const SEARCHED: i64 = 20_000;
const COLUMNS: &str = "seq, id, occurred_at, account_id, environment_id, environment_name, actor, targets, context, outcome, \
                       resource, action, metadata";

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
#[derive(Debug, Clone, FromRow)]
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
    /// Included.
    pub to: Option<DateTime<Utc>>,
    /// The name that the environment had at the time.
    pub environment: Option<String>,
    pub resources: Option<Vec<String>>,
    pub actions: Option<Vec<String>>,
    pub outcome: Option<String>,
    /// Part of the actor's name or id, whatever its case.
    pub actor: Option<String>,
    /// Part of anything that the event tells, whatever its case.
    pub text: Option<String>,
}

impl Filter {
    /// Whether every event has to be read to know if it is wanted.
    fn searches(&self) -> bool {
        self.actor.is_some() || self.text.is_some()
    }
}

/// A page of the trail.
#[derive(Debug)]
pub struct Found {
    /// The newest first.
    pub events: Vec<AuditEvent>,
    /// Below what the next page begins; `None` at the end. A search may find nothing in one page, and more in the next.
    pub next: Option<i64>,
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

/// Events of an account from the one after `below`, at most `limit`. Texts are looked for in the next [`SEARCHED`] events.
pub async fn list(
    db: &PgPool,
    account: AccountId,
    filter: &Filter,
    below: Option<i64>,
    limit: i64,
) -> sqlx::Result<Found> {
    let reach = if filter.searches() { SEARCHED } else { limit + 1 };
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM (SELECT * FROM audit_events WHERE "));
    push_bounds(&mut query, account, filter, below);
    query.push(" ORDER BY seq DESC LIMIT ").push_bind(reach).push(") AS newest WHERE true");
    push_search(&mut query, filter);
    query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit + 1);
    let mut events: Vec<AuditEvent> = query.build_query_as().fetch_all(db).await?;
    let has_more = i64::try_from(events.len()).unwrap_or(i64::MAX) > limit;
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = match events.last() {
        Some(last) if has_more => Some(last.seq),
        _ if filter.searches() => edge(db, account, filter, below).await?,
        _ => None,
    };
    Ok(Found { events, next })
}

/// The last event that a search reads; `None` when it reads to the end.
async fn edge(
    db: &PgPool,
    account: AccountId,
    filter: &Filter,
    below: Option<i64>,
) -> sqlx::Result<Option<i64>> {
    let mut query = QueryBuilder::new("SELECT seq FROM audit_events WHERE ");
    push_bounds(&mut query, account, filter, below);
    query.push(" ORDER BY seq DESC LIMIT 1 OFFSET ").push_bind(SEARCHED - 1);
    query.build_query_scalar().fetch_optional(db).await
}

fn push_bounds(query: &mut QueryBuilder<Postgres>, account: AccountId, filter: &Filter, below: Option<i64>) {
    query.push("account_id = ").push_bind(account.0);
    if let Some(below) = below {
        query.push(" AND seq < ").push_bind(below);
    }
    if let Some(from) = filter.from {
        query.push(" AND occurred_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND occurred_at <= ").push_bind(to);
    }
    if let Some(resources) = &filter.resources {
        query.push(" AND resource = ANY(").push_bind(resources.clone()).push(")");
    }
    if let Some(actions) = &filter.actions {
        query.push(" AND action = ANY(").push_bind(actions.clone()).push(")");
    }
    if let Some(environment) = &filter.environment {
        query.push(" AND environment_name = ").push_bind(environment.clone());
    }
    if let Some(outcome) = &filter.outcome {
        // What failed is rare and has an index of its own.
        let is_rare = if outcome == "success" { "" } else { " AND outcome <> 'success'" };
        query.push(is_rare).push(" AND outcome = ").push_bind(outcome.clone());
    }
}

fn push_search(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(actor) = &filter.actor {
        query.push(" AND strpos(lower(concat_ws(' ', actor->>'display', actor->>'id')), ");
        query.push_bind(actor.to_lowercase()).push(") > 0");
    }
    if let Some(text) = &filter.text {
        query.push(" AND strpos(words, ").push_bind(text.to_lowercase()).push(") > 0");
    }
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
