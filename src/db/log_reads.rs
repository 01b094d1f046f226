//! Reading the log: pages of operations under filters, their messages, names and counts.
//!
//! Filters may match almost everything or three operations of last week, and PostgreSQL's statistics do not tell which. So
//! a page is first looked for among the newest operations, which holds what is frequent; only when they do not fill it are the
//! days before asked one by one: their newest operations again, and then the index of terms.

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor, PgPool, Postgres, QueryBuilder};

use super::EnvironmentId;

/// The newest operations on which filters are tried, and of which names are counted.
const NEWEST: i64 = 20_000;
/// The newest operations of a day on which filters are tried, for each row of the page: what is rarer than one in twenty is
/// the index's.
const TRIED_PER_ROW: i64 = 20;
/// The newest operations whose names are suggested.
const RECENT: i64 = 1_000;
/// Matches are counted up to this number.
pub const COUNTED: i64 = 1000;
const COLUMNS: &str = "id, created_at, account_id, environment_id, kind, state, level, message, updated_at, started_at, \
                       ended_at, expires_at, data, messages";
const ORDER: &str = " ORDER BY created_at DESC, id DESC LIMIT ";

/// Which operations of an environment.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// The text form of a `tsquery` over `logs::Terms`; empty for all.
    pub terms: String,
    pub from: Option<DateTime<Utc>>,
    /// Included.
    pub to: Option<DateTime<Utc>>,
    /// Only what comes after this operation in the list.
    pub after: Option<(DateTime<Utc>, String)>,
    pub day: Option<NaiveDate>,
    pub limit: i64,
}

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

/// The newest matching operations.
pub async fn list_operations(
    db: &PgPool,
    environment: EnvironmentId,
    filter: &OperationFilter,
) -> sqlx::Result<Vec<StoredOperation>> {
    let mut page: Vec<StoredOperation> =
        newest(environment, filter, NEWEST, filter.limit).build_query_as().fetch_all(db).await?;
    if filter.terms.is_empty() || missing(&page, filter.limit) == 0 {
        return Ok(page);
    }
    let Some(edge) = edge_of_newest(db, environment, filter).await? else { return Ok(page) };
    let older = OperationFilter { after: Some(edge), ..filter.clone() };
    for day in list_days(db, &older).await? {
        let (of_day, rest) = (within(&older, day), missing(&page, filter.limit));
        let mut tried = newest(environment, &of_day, rest * TRIED_PER_ROW, rest);
        let mut found: Vec<StoredOperation> = tried.build_query_as().fetch_all(db).await?;
        if missing(&found, rest) > 0 {
            found = matching(environment, &of_day, rest).build_query_as().fetch_all(db).await?;
        }
        page.extend(found);
        if missing(&page, filter.limit) == 0 {
            break;
        }
    }
    Ok(page)
}

fn missing(page: &[StoredOperation], limit: i64) -> i64 {
    limit.saturating_sub(i64::try_from(page.len()).unwrap_or(limit)).max(0)
}

/// What matches among the `reach` newest operations.
fn newest(
    environment: EnvironmentId,
    filter: &OperationFilter,
    reach: i64,
    limit: i64,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM (SELECT * FROM log_operations WHERE "));
    push_bounds(&mut query, environment, filter);
    let reach = if filter.terms.is_empty() { limit } else { reach };
    query.push(ORDER).push_bind(reach).push(") newest");
    if !filter.terms.is_empty() {
        query.push(" WHERE terms @@ ").push_bind(filter.terms.clone()).push("::tsquery");
    }
    query.push(ORDER).push_bind(limit);
    query
}

/// What the index of terms finds. Materialized, because PostgreSQL would otherwise rather read all operations in their order,
/// hoping to fill the page soon.
fn matching(environment: EnvironmentId, filter: &OperationFilter, limit: i64) -> QueryBuilder<Postgres> {
    let mut query = hits(environment, filter, COLUMNS);
    query.push(format!("SELECT {COLUMNS} FROM hits")).push(ORDER).push_bind(limit);
    query
}

fn hits(environment: EnvironmentId, filter: &OperationFilter, columns: &str) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new(format!("WITH hits AS MATERIALIZED (SELECT {columns} FROM log_operations WHERE "));
    push_bounds(&mut query, environment, filter);
    query.push(" AND terms @@ ").push_bind(filter.terms.clone()).push("::tsquery) ");
    query
}

/// The last of the newest operations, behind which the index is asked; `None` when there are no more.
async fn edge_of_newest(
    db: &PgPool,
    environment: EnvironmentId,
    filter: &OperationFilter,
) -> sqlx::Result<Option<(DateTime<Utc>, String)>> {
    let mut query = QueryBuilder::new("SELECT created_at, id FROM log_operations WHERE ");
    push_bounds(&mut query, environment, filter);
    query.push(ORDER).push("1 OFFSET ").push_bind(NEWEST - 1);
    query.build_query_as().fetch_optional(db).await
}

/// The same filter for one day. A day's partition is named by constants, so that the others are not even opened.
fn within(filter: &OperationFilter, day: NaiveDate) -> OperationFilter {
    OperationFilter { day: Some(day), ..filter.clone() }
}

fn push_bounds(query: &mut QueryBuilder<Postgres>, environment: EnvironmentId, filter: &OperationFilter) {
    query.push("environment_id = ").push_bind(environment.0);
    if let Some(from) = filter.from {
        query.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND created_at <= ").push_bind(to);
    }
    if let Some(day) = filter.day {
        query.push(format!(
            " AND created_at >= '{day} 00:00:00+00' AND created_at < '{} 00:00:00+00'",
            next(day)
        ));
    }
    if let Some((created_at, id)) = &filter.after {
        query.push(" AND (created_at, id) < (").push_bind(*created_at).push(", ");
        query.push_bind(id.clone()).push(")");
    }
}

fn next(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

fn starts(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

fn touches(day: NaiveDate, filter: &OperationFilter) -> bool {
    let is_too_old = filter.from.is_some_and(|from| starts(next(day)) <= from);
    let last = [filter.to, filter.after.as_ref().map(|(time, _)| *time)].into_iter().flatten().min();
    !is_too_old && last.is_none_or(|last| starts(day) <= last)
}

/// Days of which there may be operations that the filter wants, the newest first.
async fn list_days(db: &PgPool, filter: &OperationFilter) -> sqlx::Result<Vec<NaiveDate>> {
    let names = sqlx::query_scalar!(
        r#"SELECT DISTINCT right(child.relname::text, 8) AS "day!" FROM pg_inherits i
           JOIN pg_class child ON child.oid = i.inhrelid
           WHERE i.inhparent IN (to_regclass('log_operations_kept'), to_regclass('log_operations_bulk'))
           ORDER BY 1 DESC"#
    )
    .fetch_all(db)
    .await?;
    let days = names.iter().filter_map(|name| NaiveDate::parse_from_str(name, "%Y%m%d").ok());
    Ok(days.filter(|day| touches(*day, filter)).collect())
}

/// How many operations match, counted up to [`COUNTED`].
pub async fn count_operations(
    db: &PgPool,
    environment: EnvironmentId,
    filter: &OperationFilter,
) -> sqlx::Result<i64> {
    let everywhere = OperationFilter { after: None, ..filter.clone() };
    let mut counted: i64 = count_newest(environment, &everywhere).build_query_scalar().fetch_one(db).await?;
    if filter.terms.is_empty() || counted >= COUNTED {
        return Ok(counted);
    }
    let edge = edge_of_newest(db, environment, &everywhere).await?;
    let Some(edge) = edge else { return Ok(counted) };
    let older = OperationFilter { after: Some(edge), ..everywhere };
    for day in list_days(db, &older).await? {
        let mut query = hits(environment, &within(&older, day), "id");
        query.push("SELECT count(*) FROM hits");
        let of_day: i64 = query.build_query_scalar().fetch_one(db).await?;
        counted += of_day;
        if counted >= COUNTED {
            return Ok(COUNTED);
        }
    }
    Ok(counted)
}

fn count_newest(environment: EnvironmentId, filter: &OperationFilter) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new("SELECT count(*) FROM (SELECT FROM (SELECT terms FROM log_operations WHERE ");
    push_bounds(&mut query, environment, filter);
    query.push(ORDER).push_bind(if filter.terms.is_empty() { COUNTED } else { NEWEST }).push(") newest");
    if !filter.terms.is_empty() {
        query.push(" WHERE terms @@ ").push_bind(filter.terms.clone()).push("::tsquery");
    }
    query.push(" LIMIT ").push_bind(COUNTED).push(") found");
    query
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
