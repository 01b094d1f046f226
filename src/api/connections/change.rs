//! `PATCH` and `DELETE /connections/{connection_id}` (`spec` http-api, sections 8.5 and 8.6).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use url::Url;

use super::{end_user_row, find_connection};
use crate::api::body::Done;
use crate::api::extract::{IntoApiError, JsonBody, QueryTree, SecretKey};
use crate::api::input::formats::{CONNECTION_ID, PROVIDER_CONFIG_KEY};
use crate::api::input::tags::{EndUser, Tags, derived_tags, read_tags};
use crate::api::input::{ObjectReader, read_object};
use crate::api::last_segment::LastSegment;
use crate::api::scope::{ConnectionsDelete, ConnectionsUpdate};
use crate::app::{App, SharedApp};
use crate::connections::announce_change;
use crate::db::changes::{self, ChangeKind};
use crate::db::connections::{self as rows, Connection};
use crate::db::{EnvironmentId, end_users, integrations};
use crate::error::ApiError;
use crate::fanout::Wake;

pub struct ConnectionPatch {
    end_user: Option<EndUser>,
    tags: Option<Tags>,
    webhook_url_override: Option<String>,
}

impl ConnectionPatch {
    pub fn read(body: &mut ObjectReader<'_>, is_allowed: impl Fn(&Url) -> bool) -> Self {
        ConnectionPatch {
            end_user: body.optional_nested("end_user", EndUser::read),
            tags: read_tags(body, "tags"),
            webhook_url_override: body.webhook_url("webhook_url_override", is_allowed),
        }
    }

    /// The connection's tags after the patch, when it says anything about them. They are replaced, not merged.
    fn new_tags(&self) -> Result<Option<Value>, ApiError> {
        if self.tags.is_none() && self.end_user.is_none() {
            return Ok(None);
        }
        match derived_tags(self.end_user.as_ref(), None, self.tags.as_ref()) {
            Ok(tags) => Ok(Some(json!(tags))),
            Err(error) => Err(ApiError::bad_request("invalid_body", format!("tags: {error}."))),
        }
    }
}

pub fn read_key(query: &mut ObjectReader<'_>) -> String {
    query.required_text("provider_config_key", &PROVIDER_CONFIG_KEY)
}

/// Changes end user, tags and webhook override of a connection.
pub async fn update_connection(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsUpdate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
    segment: LastSegment,
) -> Result<Json<Done>, ApiError> {
    let integration_key = read_object(Some(&query), read_key).in_query()?;
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    let patch = read_object(body.as_ref(), |body| ConnectionPatch::read(body, is_allowed)).in_body()?;
    let connection_id = segment.read("connectionId", &CONNECTION_ID)?;
    let (_, connection) = find_connection(&app, key.environment.id, &integration_key, &connection_id).await?;
    store_patch(&app, &connection, patch).await?;
    Ok(Json(Done::YES))
}

async fn store_patch(app: &App, connection: &Connection, patch: ConnectionPatch) -> Result<(), ApiError> {
    let tags = patch.new_tags()?;
    let now = app.clock.now();
    let (environment, id) = (connection.environment_id, connection.id);
    let mut transaction = app.db.begin().await?;
    if let Some(user) = &patch.end_user {
        let user = end_user_row(user);
        end_users::upsert_for_connection(&mut transaction, environment, id, &user, now).await?;
    }
    let webhook = patch.webhook_url_override.as_deref();
    rows::update_tags_and_override(&mut *transaction, environment, id, tags.as_ref(), webhook, now).await?;
    changes::insert(&mut *transaction, ChangeKind::Connection, environment, id.0, now).await?;
    transaction.commit().await?;
    app.forget_connection(id);
    app.fanout.call(Wake::Feed).await;
    Ok(())
}

/// Deletes a connection; its credentials are erased at once unless the operator asked for an undo window.
pub async fn delete_connection(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsDelete>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<Json<Done>, ApiError> {
    // Wire: this route judges the path before the query.
    let connection_id = segment.read("connectionId", &CONNECTION_ID)?;
    let integration_key = read_object(Some(&query), read_key).in_query()?;
    let environment = key.environment.id;
    let connection = find_to_delete(&app, environment, &integration_key, &connection_id).await?;
    let now = app.clock.now();
    let keep_credentials = app.config.jobs.keep_deleted_credentials;
    let deleted = rows::delete(&app.db, environment, connection.id, keep_credentials, now).await?;
    announce_change(&app, environment, connection.id, now).await?;
    app.page_marks.forget(environment);
    tracing::info!(connection.id = connection.id.0, "connection deleted");
    Ok(Json(Done { success: deleted }))
}

// Wire: 400, where reading and changing answer 404, and the same for an unknown integration.
async fn find_to_delete(
    app: &App,
    environment: EnvironmentId,
    integration_key: &str,
    connection_id: &str,
) -> Result<Connection, ApiError> {
    let unknown =
        || ApiError::bad_request("unknown_connection", "There is no such connection for this integration.");
    let integration = integrations::find(&app.db, environment, integration_key).await?.ok_or_else(unknown)?;
    rows::find(&app.db, environment, integration.id, connection_id).await?.ok_or_else(unknown)
}
