//! Operations of the log. Rows are written in batches; a later row of the same operation adds to an earlier one, and its state
//! only moves forward.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{AccountId, EnvironmentId};

/// One operation as it is stored.
#[derive(Debug, Clone)]
pub struct OperationRow {
    pub id: String,
    pub created_at: DateTime<Utc>,
    pub is_bulk: bool,
    pub account_id: i64,
    pub environment_id: Option<i64>,
    pub kind: String,
    pub state: String,
    pub level: String,
    pub message: String,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub data: Value,
    pub messages: Option<Value>,
    /// The text form of a `tsvector`, without the term of the state.
    pub terms: String,
}

/// Writes a batch; no id may be in it twice. The ranks of states are those of `logs::State`.
pub async fn upsert(db: impl PgExecutor<'_>, rows: &[OperationRow]) -> sqlx::Result<()> {
    let column = |get: fn(&OperationRow) -> &String| -> Vec<String> {
        rows.iter().map(|row| get(row).clone()).collect()
    };
    let time = |get: fn(&OperationRow) -> Option<DateTime<Utc>>| -> Vec<Option<DateTime<Utc>>> {
        rows.iter().map(get).collect()
    };
    sqlx::query!(
        "INSERT INTO log_operations AS o
             (id, created_at, is_bulk, account_id, environment_id, kind, state, level, message, updated_at, started_at,
              ended_at, expires_at, data, messages, terms)
         SELECT n.id, n.created_at, n.is_bulk, n.account_id, n.environment_id, n.kind, n.state, n.level, n.message,
                n.updated_at, n.started_at, n.ended_at, n.expires_at, n.data, n.messages,
                n.terms::tsvector || array_to_tsvector(ARRAY['=s:' || n.state])
         FROM unnest($1::text[], $2::timestamptz[], $3::boolean[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
                     $13::timestamptz[], $14::jsonb[], $15::jsonb[], $16::text[])
              AS n (id, created_at, is_bulk, account_id, environment_id, kind, state, level, message, updated_at,
                    started_at, ended_at, expires_at, data, messages, terms)
         ON CONFLICT (is_bulk, created_at, id) DO UPDATE SET
             state = CASE WHEN later_log_state(o.state, EXCLUDED.state) THEN EXCLUDED.state ELSE o.state END,
             level = EXCLUDED.level,
             message = CASE WHEN EXCLUDED.message = '' THEN o.message ELSE EXCLUDED.message END,
             environment_id = COALESCE(o.environment_id, EXCLUDED.environment_id),
             updated_at = GREATEST(o.updated_at, EXCLUDED.updated_at),
             started_at = COALESCE(o.started_at, EXCLUDED.started_at),
             ended_at = CASE WHEN later_log_state(o.state, EXCLUDED.state)
                             THEN COALESCE(EXCLUDED.ended_at, o.ended_at)
                             ELSE COALESCE(o.ended_at, EXCLUDED.ended_at) END,
             expires_at = COALESCE(EXCLUDED.expires_at, o.expires_at),
             data = o.data || EXCLUDED.data,
             messages = COALESCE(EXCLUDED.messages, o.messages),
             terms = ts_delete(o.terms || EXCLUDED.terms, ARRAY['=s:' || o.state, '=s:' || EXCLUDED.state])
                 || array_to_tsvector(ARRAY['=s:' || CASE WHEN later_log_state(o.state, EXCLUDED.state)
                                                          THEN EXCLUDED.state ELSE o.state END])",
        &column(|row| &row.id),
        &rows.iter().map(|row| row.created_at).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.is_bulk).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.account_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.environment_id).collect::<Vec<_>>() as &[Option<i64>],
        &column(|row| &row.kind),
        &column(|row| &row.state),
        &column(|row| &row.level),
        &column(|row| &row.message),
        &rows.iter().map(|row| row.updated_at).collect::<Vec<_>>(),
        &time(|row| row.started_at) as &[Option<DateTime<Utc>>],
        &time(|row| row.ended_at) as &[Option<DateTime<Utc>>],
        &time(|row| row.expires_at) as &[Option<DateTime<Utc>>],
        &rows.iter().map(|row| row.data.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.messages.clone()).collect::<Vec<_>>() as &[Option<Value>],
        &column(|row| &row.terms),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How far an operation was when it was stored the last time.
#[derive(Debug)]
pub struct EarlierState {
    pub id: String,
    pub has_environment: bool,
    pub state: String,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// The states of those of these operations, by id and creation, that are stored already. The rows are locked in one order.
pub async fn lock_states(
    db: impl PgExecutor<'_>,
    operations: &[(&str, DateTime<Utc>)],
) -> sqlx::Result<Vec<EarlierState>> {
    let (ids, times): (Vec<String>, Vec<DateTime<Utc>>) =
        operations.iter().map(|(id, time)| ((*id).to_owned(), *time)).unzip();
    sqlx::query_as!(
        EarlierState,
        r#"SELECT id AS "id!", environment_id IS NOT NULL AS "has_environment!", state AS "state!", started_at, ended_at
           FROM log_operations WHERE is_bulk = false AND created_at = ANY($2) AND id = ANY($1)
           ORDER BY created_at, id FOR UPDATE"#,
        &ids,
        &times
    )
    .fetch_all(db)
    .await
}

/// An operation that was abandoned.
#[derive(Debug)]
pub struct Abandoned {
    pub id: String,
    pub created_at: DateTime<Utc>,
    pub kind: String,
    pub environment_id: Option<EnvironmentId>,
}

/// Operations that have not ended though their time is over.
pub async fn list_abandoned(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Abandoned>> {
    sqlx::query_as!(
        Abandoned,
        r#"SELECT id, created_at, kind, environment_id AS "environment_id: EnvironmentId" FROM log_operations
           WHERE state IN ('waiting', 'running') AND expires_at < $1 ORDER BY expires_at LIMIT $2"#,
        now,
        limit
    )
    .fetch_all(db)
    .await
}

/// Whose environment it is.
#[derive(Debug, Clone)]
pub struct Owner {
    pub environment_id: EnvironmentId,
    pub environment_name: String,
    pub account_id: AccountId,
    pub account_name: String,
}

/// Owners of environments, deleted ones too.
pub async fn list_owners(db: impl PgExecutor<'_>, environments: &[i64]) -> sqlx::Result<Vec<Owner>> {
    sqlx::query_as!(
        Owner,
        r#"SELECT e.id AS "environment_id: EnvironmentId", e.name AS environment_name,
                  a.id AS "account_id: AccountId", a.name AS account_name
           FROM environments e JOIN accounts a ON a.id = e.account_id WHERE e.id = ANY($1)"#,
        environments
    )
    .fetch_all(db)
    .await
}
