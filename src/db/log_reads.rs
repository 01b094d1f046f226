//! Reading the log: one operation, its messages, names and counts. Pages of operations are in `log_search`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor, PgPool, Postgres, QueryBuilder};

use super::EnvironmentId;

/// The newest operations, of which names are counted.
const NEWEST: i64 = 20_000;
/// The newest operations whose names are suggested.
const RECENT: i64 = 1_000;

/// An operation as it is read.
#[derive(Debug, FromRow)]
pub struct StoredOperation {
    pub id: String,
    pub created_at: DateTime<Utc>,
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
}

/// One operation of an environment. `created_at` is the time in its id: only that day's partition is asked.
pub async fn find_operation(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: &str,
    created_at: DateTime<Utc>,
) -> sqlx::Result<Option<StoredOperation>> {
    sqlx::query_as!(
        StoredOperation,
        r#"SELECT id AS "id!", created_at AS "created_at!", account_id AS "account_id!", environment_id, kind AS "kind!",
               state AS "state!", level AS "level!", message AS "message!", updated_at AS "updated_at!", started_at,
               ended_at, expires_at, data AS "data!", messages
           FROM log_operations WHERE is_bulk IN (true, false) AND created_at = $3 AND id = $2 AND environment_id = $1"#,
        environment.0,
        id,
        created_at
    )
    .fetch_optional(db)
    .await
}

/// Which messages of an operation.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Part of the text, whatever its case.
    pub search: Option<String>,
    /// Empty for all.
    pub levels: Vec<String>,
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

/// Where in an operation's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePage {
    Newest,
    /// Those that came after this one: the oldest of them, so that whoever follows misses none.
    NewerThan(i64),
    OlderThan(i64),
}

/// A message as it is read.
#[derive(Debug, FromRow)]
pub struct StoredMessage {
    pub seq: i64,
    pub body: Value,
}

/// Messages of an operation, the newest first.
pub async fn list_messages(
    db: &PgPool,
    operation: (&str, DateTime<Utc>),
    filter: &MessageFilter,
    page: MessagePage,
    limit: i64,
) -> sqlx::Result<Vec<StoredMessage>> {
    let mut query = QueryBuilder::new("SELECT seq, body FROM log_messages WHERE ");
    push_message_filter(&mut query, operation, filter);
    match page {
        MessagePage::Newest => query.push(" ORDER BY seq DESC"),
        MessagePage::NewerThan(seq) => query.push(" AND seq > ").push_bind(seq).push(" ORDER BY seq"),
        MessagePage::OlderThan(seq) => query.push(" AND seq < ").push_bind(seq).push(" ORDER BY seq DESC"),
    };
    query.push(" LIMIT ").push_bind(limit);
    let mut found: Vec<StoredMessage> = query.build_query_as().fetch_all(db).await?;
    if matches!(page, MessagePage::NewerThan(_)) {
        found.reverse();
    }
    Ok(found)
}

/// How many messages of an operation match.
pub async fn count_messages(
    db: &PgPool,
    operation: (&str, DateTime<Utc>),
    filter: &MessageFilter,
) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM log_messages WHERE ");
    push_message_filter(&mut query, operation, filter);
    query.build_query_scalar().fetch_one(db).await
}

fn push_message_filter(
    query: &mut QueryBuilder<Postgres>,
    (id, created_at): (&str, DateTime<Utc>),
    filter: &MessageFilter,
) {
    query.push("operation_id = ").push_bind(id.to_owned());
    query.push(" AND operation_at = ").push_bind(created_at);
    if let Some(search) = &filter.search {
        query.push(
            " AND strpos(lower(concat_ws(' ', body->>'message', body->'error', body->'response'->>'code')), ",
        );
        query.push_bind(search.to_lowercase()).push(") > 0");
    }
    if !filter.levels.is_empty() {
        query.push(" AND level = ANY(").push_bind(filter.levels.clone()).push(")");
    }
    if let Some(from) = filter.from {
        query.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND created_at <= ").push_bind(to);
    }
}

/// A name and how many of the newest operations have it.
#[derive(Debug, PartialEq, Eq)]
pub struct NameCount {
    pub name: String,
    pub count: i64,
}

/// The most frequent values of a member of the newest operations; `search` is a part of the name, whatever its case.
pub async fn count_names(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    member: &str,
    search: &str,
    limit: i64,
) -> sqlx::Result<Vec<NameCount>> {
    sqlx::query_as!(
        NameCount,
        r#"SELECT data->>$2 AS "name!", count(*) AS "count!"
           FROM (SELECT data FROM log_operations WHERE environment_id = $1 ORDER BY created_at DESC, id DESC LIMIT $5) newest
           WHERE data->>$2 IS NOT NULL AND strpos(lower(data->>$2), lower($3)) > 0
           GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $4"#,
        environment.0,
        member,
        search,
        limit,
        NEWEST
    )
    .fetch_all(db)
    .await
}

/// The newest operations since `from` that failed. Read from an index of their own.
pub async fn list_failed(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    from: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<StoredOperation>> {
    sqlx::query_as!(
        StoredOperation,
        r#"SELECT id AS "id!", created_at AS "created_at!", account_id AS "account_id!", environment_id, kind AS "kind!",
               state AS "state!", level AS "level!", message AS "message!", updated_at AS "updated_at!", started_at,
               ended_at, expires_at, data AS "data!", messages
           FROM log_operations WHERE environment_id = $1 AND state = 'failed' AND created_at >= $2
           ORDER BY created_at DESC, id DESC LIMIT $3"#,
        environment.0,
        from,
        limit
    )
    .fetch_all(db)
    .await
}

/// Values of a member that the newest operations have, at most `limit`. A look at a few operations, for lists of suggestions.
pub async fn list_recent_names(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    member: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT data->>$2 AS "name!"
           FROM (SELECT data FROM log_operations WHERE environment_id = $1 ORDER BY created_at DESC, id DESC LIMIT $4) newest
           WHERE data->>$2 IS NOT NULL ORDER BY 1 LIMIT $3"#,
        environment.0,
        member,
        limit,
        RECENT
    )
    .fetch_all(db)
    .await
}
