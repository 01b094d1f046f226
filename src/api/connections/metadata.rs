//! `POST` and `PATCH /connections/metadata` (`spec` http-api, section 8.7).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use crate::api::extract::{IntoApiError, JsonBody, QueryTree, SecretKey};
use crate::api::input::formats::{CONNECTION_ID, PROVIDER_CONFIG_KEY};
use crate::api::input::{ObjectReader, read_nothing, read_object};
use crate::api::scope::ConnectionsUpdate;
use crate::app::{App, SharedApp};
use crate::audit::{self, Action, Event, Target};
use crate::db::connections as rows;
use crate::db::{ConnectionRowId, EnvironmentId, changes, integrations};
use crate::error::ApiError;
use crate::fanout::Wake;

/// New metadata for several connections of one integration.
pub struct MetadataChange {
    connection_ids: Vec<String>,
    provider_config_key: String,
    metadata: Value,
}

impl MetadataChange {
    pub fn read(body: &mut ObjectReader<'_>) -> Self {
        MetadataChange {
            connection_ids: body.required_text_or_list("connection_id", &CONNECTION_ID, usize::MAX),
            provider_config_key: body.required_text("provider_config_key", &PROVIDER_CONFIG_KEY),
            metadata: Value::Object(body.required_object("metadata").clone()),
        }
    }
}

#[derive(Clone, Copy)]
pub enum Write {
    Replace,
    Merge,
}

/// Replaces the metadata; the body comes back.
pub async fn set_metadata(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsUpdate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Option<Value>>), ApiError> {
    read_nothing(Some(&query)).in_query()?;
    change_metadata(&app, key.environment.id, body.as_ref(), Write::Replace).await?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// Merges top-level keys into the metadata; the body comes back.
pub async fn merge_metadata(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsUpdate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Option<Value>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    change_metadata(&app, key.environment.id, body.as_ref(), Write::Merge).await?;
    Ok(Json(body))
}

async fn change_metadata(
    app: &App,
    environment: EnvironmentId,
    body: Option<&Value>,
    write: Write,
) -> Result<(), ApiError> {
    let change = read_object(body, MetadataChange::read).in_body()?;
    let found = find_all(app, environment, &change).await?;
    store(app, environment, &found, &change.metadata, write).await
}

/// Writes the metadata of these connections, all or none.
pub async fn store(
    app: &App,
    environment: EnvironmentId,
    found: &[(ConnectionRowId, String)],
    metadata: &Value,
    write: Write,
) -> Result<(), ApiError> {
    let targets = found.iter().map(|(row, connection_id)| Target::connection_row(*row, connection_id));
    let event = Event::of_environment(environment, Action::ConnectionMetadataUpdated).targets(targets);
    let rows_found: Vec<ConnectionRowId> = found.iter().map(|(row, _)| *row).collect();
    let mut transaction = app.db.begin().await?;
    match write {
        Write::Replace => rows::set_metadata(&mut *transaction, environment, &rows_found, metadata).await?,
        Write::Merge => rows::merge_metadata(&mut *transaction, environment, &rows_found, metadata).await?,
    }
    changes::insert_connections(&mut *transaction, environment, &rows_found, app.clock.now()).await?;
    if !found.is_empty() {
        audit::record(app, &mut *transaction, event).await?;
    }
    transaction.commit().await?;
    rows_found.into_iter().for_each(|id| app.forget_connection(id));
    app.fanout.call(Wake::Feed).await;
    Ok(())
}

/// The rows of all named connections; nothing is changed when one is missing.
async fn find_all(
    app: &App,
    environment: EnvironmentId,
    change: &MetadataChange,
) -> Result<Vec<(ConnectionRowId, String)>, ApiError> {
    let wanted = &change.connection_ids;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let integration = integrations::find(&app.db, environment, &change.provider_config_key).await?;
    let found = match integration {
        Some(integration) => rows::list_rows(&app.db, environment, integration.id, wanted).await?,
        None => Vec::new(),
    };
    let is_found = |id: &String| found.iter().any(|(_, connection_id)| connection_id == id);
    if wanted.iter().all(is_found) {
        return Ok(found);
    }
    let message = match wanted.len() {
        1 => "There is no such connection for this integration.",
        _ => "One or more of the connections do not exist for this integration; nothing was changed.",
    };
    Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_connection", message))
}
