//! Connect sessions over HTTP (`spec` http-api, section 10): the customer's backend opens one, Connect UI reads it.

mod create;
mod input;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub use create::{
    OpenedSession, create_connect_session, create_operator_session, create_reconnect_session, open,
    open_again, read_operator_session,
};

use self::input::{Defaults, ReconnectRequest, SessionRequest};
use super::body::Data;
use super::connections::EndUserBody;
use super::extract::{IntoApiError, JsonBody, QueryTree, SessionToken};
use super::input::read_nothing;
use super::openapi::{Caller, Operation, Tag};
use super::scope::ConnectSessionsWrite;
use crate::app::{App, SharedApp};
use crate::connections::session_end_user;
use crate::crypto::CryptoError;
use crate::db::connect_sessions::{self as rows, ConnectSession};
use crate::db::end_users;
use crate::environments::connect_ui::{self, ConnectUiSettings};
use crate::error::ApiError;

/// What Connect UI needs to know about its session.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectSession)]
pub struct SessionBody {
    // Wire: camel case among snake case.
    #[serde(rename = "endUser")]
    #[schema(required)]
    end_user: Option<EndUserBody>,
    #[serde(rename = "connectUISettings")]
    #[schema(value_type = Object)]
    settings: ConnectUiSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_integrations: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, Defaults>>)]
    integrations_config_defaults: Option<IndexMap<String, Defaults>>,
    #[serde(rename = "isReconnecting", skip_serializing_if = "std::ops::Not::not")]
    is_reconnecting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    overrides: Option<Value>,
    #[serde(rename = "websocketsPath")]
    websockets_path: String,
    /// What the end user has connected since the session was opened, so that a link that is opened again can say so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connected_integrations: Vec<String>,
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const OPENED: &str = "The session. Its token is shown only here.";
    let create =
        |operation: Operation| operation.tag(Tag::ConnectSessions).key::<ConnectSessionsWrite>().no_query();
    let own = |operation: Operation| {
        operation.tag(Tag::ConnectSessions).caller(Caller::Session).no_query().no_body()
    };
    vec![
        create(Operation::post("/connect/sessions", "create_connect_session", "Open a session"))
            .body(|body| SessionRequest::read(body, |_| true))
            .answers_data::<OpenedSession>(201, OPENED),
        create(Operation::post(
            "/connect/sessions/reconnect",
            "create_reconnect_session",
            "Open a session that authorizes a connection again",
        ))
        .body(|body| ReconnectRequest::read(body, |_| true))
        .answers_data::<OpenedSession>(201, OPENED),
        own(Operation::get("/connect/session", "get_connect_session", "Read one's own session"))
            .answers_data::<SessionBody>(200, "What Connect UI needs to know."),
        own(Operation::delete("/connect/session", "delete_connect_session", "End one's own session"))
            .answers_nothing(204, "The token is unusable from now on."),
    ]
}

/// The caller's own session.
pub async fn get_connect_session(
    State(app): State<SharedApp>,
    caller: SessionToken,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<SessionBody>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    read_nothing(body.as_ref()).in_body()?;
    let session = caller.session;
    let connected_integrations = find_connected(&app, &session).await?;
    let body = SessionBody {
        end_user: find_end_user(&app, &session).await?,
        settings: connect_ui::find(&app, session.environment_id).await?,
        integrations_config_defaults: open_defaults(&app, &session)?,
        allowed_integrations: session.allowed_integrations,
        is_reconnecting: session.connection_id.is_some(),
        overrides: session.overrides,
        websockets_path: app.config.http.websocket_path.clone(),
        connected_integrations,
    };
    Ok(Json(Data { data: body }))
}

/// Ends the caller's own session; its token is unusable from now on.
pub async fn delete_connect_session(
    State(app): State<SharedApp>,
    caller: SessionToken,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    read_nothing(body.as_ref()).in_body()?;
    rows::delete(&app.db, caller.environment.id, caller.session.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The end user of the connection that is authorized again, or else the one that the session was opened for.
async fn find_end_user(app: &App, session: &ConnectSession) -> Result<Option<EndUserBody>, ApiError> {
    let linked = match session.connection_id {
        Some(id) => end_users::find_by_connection(&app.db, session.environment_id, id).await?,
        None => None,
    };
    Ok(linked.or_else(|| session_end_user(session)).map(EndUserBody::from))
}

/// Of what the session allows, the integrations that its end user has connected since. A session without an end user, or for
/// a connection that exists, has no such list: nothing tells whose a connection is, or when it was authorized again.
async fn find_connected(app: &App, session: &ConnectSession) -> Result<Vec<String>, ApiError> {
    let user = session_end_user(session).filter(|_| session.connection_id.is_none());
    let Some(user) = user else { return Ok(Vec::new()) };
    let keys =
        end_users::list_connected_since(&app.db, session.environment_id, &user, session.created_at).await?;
    let allowed = session.allowed_integrations.as_deref().unwrap_or_default();
    Ok(keys.into_iter().filter(|key| allowed.is_empty() || allowed.contains(key)).collect())
}

fn open_defaults(
    app: &App,
    session: &ConnectSession,
) -> Result<Option<IndexMap<String, Defaults>>, CryptoError> {
    let Some(sealed) = &session.integrations_config_defaults else { return Ok(None) };
    let plain = app.cipher.open(sealed)?;
    let mut defaults: IndexMap<String, Defaults> =
        serde_json::from_slice(&plain).map_err(|_| CryptoError::Malformed)?;
    // Wire: user scopes are never shown.
    defaults.values_mut().for_each(|entry| entry.user_scopes = None);
    Ok(Some(defaults))
}
