//! `GET /connections` (`spec` http-api, section 8.2).

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::view::SummaryBody;
use crate::api::extract::{IntoApiError, QueryTree, SecretKey};
use crate::api::input::tags::read_tags;
use crate::api::input::{ObjectReader, ROW_ID, TextRule, read_object};
use crate::api::scope::ConnectionsList;
use crate::app::SharedApp;
use crate::db::connection_list::{Filter, list};
use crate::error::ApiError;

const TEXT: TextRule = TextRule::length(1, 255);
// Wire: larger than the largest limit that can be asked for, for clients that never page.
const DEFAULT_LIMIT: i64 = 10_000;
const MAX_LIMIT: i64 = 2_000;

/// The answer.
#[derive(Serialize, ToSchema)]
pub struct ConnectionList {
    connections: Vec<SummaryBody>,
}

/// Live connections, newest first, without credentials.
pub async fn list_connections(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsList>,
    QueryTree(query): QueryTree,
) -> Result<Json<ConnectionList>, ApiError> {
    let filter = read_object(Some(&query), read_filter).in_query()?;
    let found = list(&app.db, &app.page_marks, key.environment.id, &filter, app.clock.now()).await?;
    Ok(Json(ConnectionList { connections: found.into_iter().map(SummaryBody::from).collect() }))
}

pub fn read_filter(query: &mut ObjectReader<'_>) -> Filter {
    let mut filter = Filter {
        connection_id: query.optional_text("connectionId", &TEXT),
        integrations: query.optional_text("integrationId", &TextRule::NOT_EMPTY).map(|keys| split(&keys)),
        search: query.optional_text("search", &TEXT),
        end_user_id: query.optional_text("endUserId", &TEXT),
        organization_id: query.optional_text("endUserOrganizationId", &TEXT),
        tags: read_tags(query, "tags").map(|tags| json!(tags)),
        limit: query.integer_text("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT),
        ..Filter::default()
    };
    let page = query.integer_text("page", 0..=*ROW_ID.end()).unwrap_or(0);
    filter.offset = page.saturating_mul(filter.limit);
    filter
}

fn split(keys: &str) -> Vec<String> {
    keys.split(',').map(|key| key.trim().to_owned()).collect()
}
