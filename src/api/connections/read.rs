//! `GET /connections/{connection_id}` (`spec` http-api, section 8.4).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::find_connection;
use super::view::ConnectionBody;
use crate::api::extract::{IntoApiError, QueryTree, SecretKey};
use crate::api::input::formats::{CONNECTION_ID, PROVIDER_CONFIG_KEY};
use crate::api::input::{ObjectReader, read_object};
use crate::api::last_segment::LastSegment;
use crate::api::scope::ConnectionsRead;
use crate::app::{App, SharedApp};
use crate::connections::{ConnectionView, KnownConnection, ReadKey, open_config};
use crate::db::connections::{self as rows, Connection};
use crate::db::integrations::Integration;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::refresh::{Force, RefreshError, fresh_credentials};
use crate::time_format::format_millis_offset;

const READ_CREDENTIALS: &str = "environment:connections:read_credentials";

pub struct ReadQuery {
    provider_config_key: String,
    force_refresh: bool,
    refresh_token: bool,
    refresh_app_jwt: bool,
}

impl ReadQuery {
    pub fn read(query: &mut ObjectReader<'_>) -> Self {
        ReadQuery {
            provider_config_key: query.required_text("provider_config_key", &PROVIDER_CONFIG_KEY),
            force_refresh: query.stringbool("force_refresh").unwrap_or_default(),
            refresh_token: query.stringbool("refresh_token").unwrap_or_default(),
            refresh_app_jwt: query.stringbool("refresh_github_app_jwt_token").unwrap_or_default(),
        }
    }

    fn force(&self) -> Force {
        match (self.force_refresh, self.refresh_app_jwt) {
            (true, _) => Force::Yes,
            (false, true) => Force::UnlessAppJwtLasts,
            (false, false) => Force::No,
        }
    }

    fn is_about_credentials(&self) -> bool {
        self.force_refresh || self.refresh_token || self.refresh_app_jwt
    }
}

/// One connection, with fresh credentials when the key may see them.
pub async fn get_connection(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsRead>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<Json<ConnectionBody>, ApiError> {
    let query = read_object(Some(&query), ReadQuery::read).in_query()?;
    let connection_id = segment.read("connectionId", &CONNECTION_ID)?;
    let shows_credentials = key.identity.has_scope(READ_CREDENTIALS);
    if !shows_credentials && query.is_about_credentials() {
        return Err(ApiError::forbidden(format!("This API key needs the scope {READ_CREDENTIALS}.")));
    }
    let name = ReadKey {
        environment: key.environment.id,
        integration: &query.provider_config_key,
        connection: &connection_id,
    };
    let (body, provider) = if shows_credentials {
        let known = read_with_credentials(&app, name, query.force()).await?;
        (show(&app, &known), known.integration.provider.clone())
    } else {
        let (integration, connection) =
            find_connection(&app, name.environment, name.integration, name.connection).await?;
        let body = ConnectionBody::load(&app, &integration.row, connection, format_millis_offset).await?;
        (body, integration.provider)
    };
    Ok(Json(if query.refresh_token { body } else { body.without_refresh_tokens(provider.as_deref()) }))
}

/// From memory when the connection was read lately and its credentials are still good.
async fn read_with_credentials(
    app: &SharedApp,
    name: ReadKey<'_>,
    force: Force,
) -> Result<Arc<KnownConnection>, ApiError> {
    let now = app.clock.now();
    if let Some(known) = app.reads.get(&name, now).filter(|_| force == Force::No) {
        app.fetched.note(known.view.connection.id, now);
        return Ok(known);
    }
    let mark = app.reads.begin();
    let (integration, connection) =
        find_connection(app, name.environment, name.integration, name.connection).await?;
    let known = Arc::new(read_fresh(app, Arc::new(integration), connection, force).await?);
    app.reads.insert(mark, &name, Arc::clone(&known), now);
    Ok(known)
}

async fn read_fresh(
    app: &SharedApp,
    integration: Arc<OpenIntegration>,
    connection: Connection,
    force: Force,
) -> Result<KnownConnection, ApiError> {
    match fresh_credentials(app, &integration, connection.clone(), force).await {
        Ok(fresh) => {
            let view = ConnectionView::load(app, fresh.connection).await?;
            Ok(KnownConnection { integration, view, credentials: fresh.credentials })
        }
        Err(error) => Err(refuse(app, &integration.row, &connection, error).await),
    }
}

fn show(app: &App, known: &KnownConnection) -> ConnectionBody {
    let config = open_config(app, &known.view.connection);
    let connection = just_fetched(app, known.view.connection.clone());
    let view = ConnectionView { connection, ..known.view.clone() };
    let body = ConnectionBody::new(app, &known.integration.row, view, format_millis_offset);
    body.with_secrets(&known.credentials, config)
}

/// The time of this read is written later, with others; the answer has it already.
fn just_fetched(app: &App, row: Connection) -> Connection {
    Connection { last_fetched_at: Some(app.clock.now()), ..row }
}

/// The answer to a failed refresh: the cause's status, and the connection as it is now, without credentials.
async fn refuse(
    app: &App,
    integration: &Integration,
    connection: &Connection,
    error: RefreshError,
) -> ApiError {
    let mut payload = json!({ "type": error.kind });
    if let Some(body) = reread(app, integration, connection).await {
        payload["connection"] = json!(body);
    }
    ApiError::new(error.status(), "invalid_credentials", error.message).with_payload(payload)
}

async fn reread(app: &App, integration: &Integration, connection: &Connection) -> Option<Value> {
    let found = rows::find_by_row(&app.db, connection.environment_id, connection.id).await.ok()??;
    let row = just_fetched(app, found);
    let body = ConnectionBody::load(app, integration, row, format_millis_offset).await.ok()?;
    serde_json::to_value(body.without_refresh_tokens(None)).ok()
}
