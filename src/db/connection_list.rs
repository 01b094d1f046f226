//! The filtered list of connections, as fast over a million rows as over a thousand.
//!
//! A page is found first, from indexes alone where possible, and then dressed with what is shown. Filters that may match
//! half of the rows or three of them are tried on the newest rows; only when those do not fill the page are the indexes of
//! the filters asked.

mod marks;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};

use self::marks::Mark;
pub use self::marks::PageMarks;
use super::{EnvironmentId, IntegrationId, integrations};

/// The newest rows on which a filter is tried before its index is asked.
const NEWEST: i64 = 2_000;
/// Shorter texts are in no index of parts.
const TRIGRAM: usize = 3;
const NEWEST_FIRST: &str = " ORDER BY c.created_at DESC, c.id DESC LIMIT ";
const OLDEST_FIRST: &str = " ORDER BY c.created_at, c.id LIMIT ";

/// Filters of the list; all given ones must match.
#[derive(Debug, Default)]
pub struct Filter {
    pub connection_id: Option<String>,
    pub integrations: Option<Vec<String>>,
    /// Part of the connection id, or of the end user's name or e-mail; literal, case does not matter.
    pub search: Option<String>,
    pub end_user_id: Option<String>,
    pub organization_id: Option<String>,
    /// A JSON object of tags that must all be present.
    pub tags: Option<Value>,
    /// Whether there is an unsolved problem.
    pub has_errors: Option<bool>,
    pub limit: i64,
    pub offset: i64,
    /// Where the page begins, for those who do not count with `offset`.
    pub cursor: Option<Cursor>,
}

/// Where a page begins, by a row beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Rows older than this one.
    After(Position),
    /// The rows just before this one.
    Before(Position),
}

/// The place of a row in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub created_at: DateTime<Utc>,
    pub id: i64,
}

/// One row of the list.
#[derive(Debug, FromRow)]
pub struct Summary {
    pub id: i64,
    pub connection_id: String,
    pub provider_config_key: String,
    pub provider: String,
    pub tags: Value,
    pub metadata: Option<Value>,
    pub created_at: DateTime<Utc>,
    /// `[{"type", "log_id"}]`
    pub errors: Value,
    pub end_user_id: Option<String>,
    pub end_user_email: Option<String>,
    pub end_user_display_name: Option<String>,
    pub end_user_tags: Option<Value>,
    pub organization_id: Option<String>,
    pub organization_display_name: Option<String>,
}

/// Live connections, newest first.
pub async fn list(
    db: &PgPool,
    marks: &PageMarks,
    environment: EnvironmentId,
    filter: &Filter,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Summary>> {
    let integrations = match &filter.integrations {
        Some(keys) => Some(integrations::list_ids(db, environment, keys).await?),
        None => None,
    };
    if integrations.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let page = Page { environment, filter, integrations: integrations.as_deref(), mark: None };
    if filter.is_of_unknown_size() {
        let newest = page.query(Reach::Newest).build_query_as().fetch_all(db).await?;
        if i64::try_from(newest.len()).unwrap_or(i64::MAX) >= filter.limit {
            return Ok(newest);
        }
        return page.query(Reach::Matching).build_query_as().fetch_all(db).await;
    }
    if filter.cursor.is_some() {
        return page.query(Reach::Ordered).build_query_as().fetch_all(db).await;
    }
    let key = (environment, filter.name());
    let (mark, generation) = marks.before(&key, filter.offset, now);
    let page = Page { mark, ..page };
    let rows: Vec<Summary> = page.query(Reach::Ordered).build_query_as().fetch_all(db).await?;
    marks.note(key, generation, filter.offset, &rows, now);
    Ok(rows)
}

/// Live connections whose id, or whose end user's name or e-mail, contains a text, newest first: all of them where an index
/// knows the parts of texts, else only such among the newest. Quick however many there are.
pub async fn find_parts(
    db: &PgPool,
    environment: EnvironmentId,
    text: &str,
    limit: i64,
) -> sqlx::Result<Vec<Summary>> {
    let filter = Filter { search: Some(text.to_owned()), limit, ..Filter::default() };
    let page = Page { environment, filter: &filter, integrations: None, mark: None };
    let newest: Vec<Summary> = page.query(Reach::Newest).build_query_as().fetch_all(db).await?;
    let is_full = i64::try_from(newest.len()).unwrap_or(i64::MAX) >= limit;
    if is_full || text.chars().count() < TRIGRAM || !knows_parts(db).await? {
        return Ok(newest);
    }
    page.query(Reach::Matching).build_query_as().fetch_all(db).await
}

/// Whether the migration could make the index of parts of texts.
async fn knows_parts(db: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT to_regclass('connections_id_trigrams') IS NOT NULL AS "exists!""#)
        .fetch_one(db)
        .await
}

impl Filter {
    /// The same for every page of a list, and for no other list.
    fn name(&self) -> String {
        format!("{:?}", (&self.connection_id, &self.integrations, &self.end_user_id, self.has_errors))
    }

    /// May the filter match any share of the rows? Ids match few of them, an integration is read in order.
    fn is_of_unknown_size(&self) -> bool {
        let has_one_id = self.connection_id.is_some() || self.end_user_id.is_some();
        let may_match_few = self.search.is_some()
            || self.organization_id.is_some()
            || self.tags.is_some()
            || self.has_errors == Some(true);
        !has_one_id && may_match_few
    }

    /// A page that ends at a row is read backwards.
    fn order(&self) -> &'static str {
        if matches!(self.cursor, Some(Cursor::Before(_))) { OLDEST_FIRST } else { NEWEST_FIRST }
    }
}

/// Where the rows of a page are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Along the index of the order.
    Ordered,
    /// The same, no further than the newest rows.
    Newest,
    /// Among everything that matches, sorted afterwards.
    Matching,
}

struct Page<'a> {
    environment: EnvironmentId,
    filter: &'a Filter,
    integrations: Option<&'a [IntegrationId]>,
    /// Where to start counting.
    mark: Option<Mark>,
}

impl Page<'_> {
    fn query(&self, reach: Reach) -> QueryBuilder<Postgres> {
        let mut query =
            QueryBuilder::<Postgres>::new("WITH page AS MATERIALIZED (SELECT c.id, c.created_at FROM ");
        match self.integrations {
            None => {
                query.push("(");
                self.push_rows(&mut query, reach, false);
                query.push(") c");
            }
            // Each integration has its rows in order, all of them together do not.
            Some(ids) => {
                let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
                query.push("unnest(").push_bind(ids).push("::bigint[]) AS wanted (id) CROSS JOIN LATERAL (");
                self.push_rows(&mut query, reach, true);
                query.push(") c");
            }
        }
        query
            .push(self.filter.order())
            .push_bind(self.filter.limit)
            .push(" OFFSET ")
            .push_bind(self.skipped());
        query.push(
            ") SELECT c.id, c.connection_id, i.unique_key AS provider_config_key, i.provider, c.tags, c.metadata, c.created_at,
                 COALESCE((SELECT jsonb_agg(jsonb_build_object('type', e.type, 'log_id', e.log_id) ORDER BY e.type)
                           FROM connection_errors e WHERE e.connection_id = c.id), '[]'::jsonb) AS errors,
                 u.end_user_id, u.email AS end_user_email, u.display_name AS end_user_display_name,
                 u.tags AS end_user_tags, u.organization_id, u.organization_display_name
             FROM page JOIN connections c ON c.id = page.id
             JOIN integrations i ON i.id = c.integration_id
             LEFT JOIN end_users u ON u.id = c.end_user_id
             ORDER BY page.created_at DESC, page.id DESC",
        );
        query
    }

    /// Rows between the mark, or the beginning, and the page.
    fn skipped(&self) -> i64 {
        self.filter.offset - self.mark.map_or(0, |mark| mark.offset)
    }

    /// Ids and times of rows that match, at least as many as the page can need.
    fn push_rows(&self, query: &mut QueryBuilder<Postgres>, reach: Reach, of_one_integration: bool) {
        let end = self.skipped().saturating_add(self.filter.limit);
        let live = |query: &mut QueryBuilder<Postgres>, columns: &str| {
            query.push(format!(
                "SELECT {columns} FROM connections c WHERE c.deleted_at IS NULL AND c.environment_id = "
            ));
            query.push_bind(self.environment.0);
            if of_one_integration {
                query.push(" AND c.integration_id = wanted.id");
            }
            self.push_cursor(query);
        };
        match reach {
            Reach::Ordered => {
                live(query, "c.id, c.created_at");
                self.push_filters(query, reach);
                if let Some(mark) = self.mark {
                    query.push(" AND (c.created_at, c.id) <= (").push_bind(mark.created_at);
                    query.push(", ").push_bind(mark.id).push(")");
                }
                query.push(self.filter.order()).push_bind(end);
            }
            Reach::Newest => {
                query.push("SELECT c.id, c.created_at FROM (");
                live(query, "c.id, c.created_at, c.connection_id, c.tags, c.end_user_id");
                // LIMIT 1 keeps the look-ups one by one: hashing all end users would cost more than the page.
                query.push(self.filter.order()).push_bind(NEWEST).push(
                    ") c LEFT JOIN LATERAL (SELECT * FROM end_users u WHERE u.id = c.end_user_id LIMIT 1) u ON true
                     WHERE true",
                );
                self.push_filters(query, reach);
                query.push(self.filter.order()).push_bind(end);
            }
            Reach::Matching => {
                live(query, "c.id, c.created_at");
                self.push_filters(query, reach);
                // Keeps the planner from walking along the order until enough rows match, which may be never.
                query.push(" OFFSET 0");
            }
        }
    }

    fn push_cursor(&self, query: &mut QueryBuilder<Postgres>) {
        let (comparison, position) = match self.filter.cursor {
            None => return,
            Some(Cursor::After(position)) => (" AND (c.created_at, c.id) < (", position),
            Some(Cursor::Before(position)) => (" AND (c.created_at, c.id) > (", position),
        };
        query.push(comparison).push_bind(position.created_at).push(", ");
        query.push_bind(position.id).push(")");
    }

    fn push_filters(&self, query: &mut QueryBuilder<Postgres>, reach: Reach) {
        let filter = self.filter;
        if let Some(id) = &filter.connection_id {
            query.push(" AND c.connection_id = ").push_bind(id.clone());
        }
        if let Some(search) = &filter.search {
            let pattern = format!("%{}%", escape_like(search));
            query.push(" AND (c.connection_id ILIKE ").push_bind(pattern.clone()).push(" OR ");
            self.push_user(query, reach, |query| {
                query.push("(u.display_name ILIKE ").push_bind(pattern.clone());
                query.push(" OR u.email ILIKE ").push_bind(pattern.clone()).push(")");
            });
            query.push(")");
        }
        if let Some(id) = &filter.end_user_id {
            // The SDK's waitForConnection filters by user id even where sessions only carried tags.
            let tag = serde_json::json!({ "end_user_id": id });
            query.push(" AND (");
            self.push_user(query, reach, |query| {
                query.push("u.end_user_id = ").push_bind(id.clone());
            });
            query.push(" OR (c.end_user_id IS NULL AND c.tags @> ").push_bind(tag).push("))");
        }
        if let Some(id) = &filter.organization_id {
            query.push(" AND ");
            self.push_user(query, reach, |query| {
                query.push("u.organization_id = ").push_bind(id.clone());
            });
        }
        if let Some(tags) = &filter.tags {
            query.push(" AND c.tags @> ").push_bind(tags.clone());
        }
        match filter.has_errors {
            Some(true) => {
                query.push(" AND c.id IN (SELECT e.connection_id FROM connection_errors e)");
            }
            Some(false) => {
                query.push(" AND NOT EXISTS (SELECT FROM connection_errors e WHERE e.connection_id = c.id)");
            }
            None => {}
        }
    }

    /// A condition on the end user: judged row by row among the newest, found by the users' own indexes otherwise.
    fn push_user(
        &self,
        query: &mut QueryBuilder<Postgres>,
        reach: Reach,
        condition: impl Fn(&mut QueryBuilder<Postgres>),
    ) {
        if reach == Reach::Newest {
            condition(query);
            return;
        }
        query.push("c.end_user_id = ANY(ARRAY(SELECT u.id FROM end_users u WHERE u.environment_id = ");
        query.push_bind(self.environment.0).push(" AND ");
        condition(query);
        query.push("))");
    }
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
