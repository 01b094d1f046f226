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
use crate::audit::{self, Action, Event, Target};
use crate::connections::announce_change;
use crate::db::changes::{self, ChangeKind};
use crate::db::connections::{self as rows, Connection};
use crate::db::{EnvironmentId, end_users, integrations};
use crate::error::ApiError;
use crate::fanout::Wake;
use crate::hooks::before_deletion;
use crate::logs::{Kind, NewOperation};

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

    /// Names of what the patch changes. The values are about persons, who are not the operator's to be written down.
    fn changed_members(&self) -> Vec<&'static str> {
        let members = [
            ("end_user", self.end_user.is_some()),
            ("tags", self.tags.is_some()),
            ("webhook_url_override", self.webhook_url_override.is_some()),
        ];
        members.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
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

/// Stores what a patch says of a connection.
///
/// # Errors
/// 400 `invalid_body`: too many tags.
pub async fn store_patch(app: &App, connection: &Connection, patch: ConnectionPatch) -> Result<(), ApiError> {
    let tags = patch.new_tags()?;
    let now = app.clock.now();
    let (environment, id) = (connection.environment_id, connection.id);
    let event = Event::of_environment(environment, Action::ConnectionUpdated)
        .target(Target::connection(connection))
        .with("changed", patch.changed_members());
    let mut transaction = app.db.begin().await?;
    if let Some(user) = &patch.end_user {
        let user = end_user_row(user);
        end_users::upsert_for_connection(&mut transaction, environment, id, &user, now).await?;
    }
    let webhook = patch.webhook_url_override.as_deref();
    rows::update_tags_and_override(&mut *transaction, environment, id, tags.as_ref(), webhook, now).await?;
    changes::insert(&mut *transaction, ChangeKind::Connection, environment, id.0, now).await?;
    audit::record(app, &mut *transaction, event).await?;
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
    let operation = app.logs.start(deletion(environment, &integration_key, &connection_id));
    let work = async {
        let connection = find_to_delete(&app, environment, &integration_key, &connection_id).await?;
        before_deletion(&app, &connection).await;
        erase(&app, &connection, &integration_key).await
    };
    let success = operation.attempt(work).await?;
    operation.succeed();
    Ok(Json(Done { success }))
}

/// Deletes a connection of the integration with this key; `false`: somebody else deleted it first.
pub async fn remove(
    app: &SharedApp,
    connection: &Connection,
    integration_key: &str,
) -> Result<bool, ApiError> {
    let new = deletion(connection.environment_id, integration_key, &connection.connection_id);
    let operation = app.logs.start(new);
    let work = async {
        before_deletion(app, connection).await;
        erase(app, connection, integration_key).await
    };
    let deleted = operation.attempt(work).await?;
    operation.succeed();
    Ok(deleted)
}

fn deletion(environment: EnvironmentId, integration_key: &str, connection_id: &str) -> NewOperation {
    NewOperation::new(Kind::AdminConnectionDelete, environment)
        .with("integrationName", integration_key)
        .with("connectionName", connection_id)
}

async fn erase(app: &App, connection: &Connection, integration_key: &str) -> Result<bool, ApiError> {
    let (environment, id, now) = (connection.environment_id, connection.id, app.clock.now());
    let keep_credentials = app.config.jobs.keep_deleted_credentials;
    let mut transaction = app.db.begin().await?;
    let deleted = rows::delete(&mut *transaction, environment, id, keep_credentials, now).await?;
    if deleted {
        let event = Event::of_environment(environment, Action::ConnectionDeleted);
        let event = event.target(Target::connection(connection)).with("integration", integration_key);
        audit::record(app, &mut *transaction, event).await?;
    }
    transaction.commit().await?;
    announce_change(app, environment, id, now).await?;
    app.page_marks.forget(environment);
    tracing::info!(connection.id = id.0, "connection deleted");
    Ok(deleted)
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
