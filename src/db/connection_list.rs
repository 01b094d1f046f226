//! The filtered list of connections.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor, Postgres, QueryBuilder};

use super::EnvironmentId;

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
    pub limit: i64,
    pub offset: i64,
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
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    filter: &Filter,
) -> sqlx::Result<Vec<Summary>> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT c.id, c.connection_id, i.unique_key AS provider_config_key, i.provider, c.tags, c.metadata, c.created_at,
             COALESCE((SELECT jsonb_agg(jsonb_build_object('type', e.type, 'log_id', e.log_id) ORDER BY e.type)
                       FROM connection_errors e WHERE e.connection_id = c.id), '[]'::jsonb) AS errors,
             u.end_user_id, u.email AS end_user_email, u.display_name AS end_user_display_name,
             u.tags AS end_user_tags, u.organization_id, u.organization_display_name
         FROM connections c
         JOIN integrations i ON i.id = c.integration_id
         LEFT JOIN end_users u ON u.id = c.end_user_id
         WHERE c.deleted_at IS NULL AND c.environment_id = ",
    );
    query.push_bind(environment.0);
    push_filters(&mut query, filter);
    query.push(" ORDER BY c.created_at DESC, c.id DESC LIMIT ").push_bind(filter.limit);
    query.push(" OFFSET ").push_bind(filter.offset);
    query.build_query_as().fetch_all(db).await
}

fn push_filters(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(id) = &filter.connection_id {
        query.push(" AND c.connection_id = ").push_bind(id.clone());
    }
    if let Some(keys) = &filter.integrations {
        query.push(" AND i.unique_key = ANY(").push_bind(keys.clone()).push(")");
    }
    if let Some(search) = &filter.search {
        let pattern = format!("%{}%", escape_like(search));
        query.push(" AND (c.connection_id ILIKE ").push_bind(pattern.clone());
        query.push(" OR u.display_name ILIKE ").push_bind(pattern.clone());
        query.push(" OR u.email ILIKE ").push_bind(pattern).push(")");
    }
    if let Some(id) = &filter.end_user_id {
        // The SDK's waitForConnection filters by user id even where sessions only carried tags.
        let tag = serde_json::json!({ "end_user_id": id });
        query.push(" AND (u.end_user_id = ").push_bind(id.clone());
        query.push(" OR (c.end_user_id IS NULL AND c.tags @> ").push_bind(tag).push("))");
    }
    if let Some(id) = &filter.organization_id {
        query.push(" AND u.organization_id = ").push_bind(id.clone());
    }
    if let Some(tags) = &filter.tags {
        query.push(" AND c.tags @> ").push_bind(tags.clone());
    }
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
