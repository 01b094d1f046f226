//! `POST /connect/sessions` and `/connect/sessions/reconnect` (`spec` http-api, sections 10.1 and 10.2).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::ToSchema;

use super::input::{Options, ReconnectRequest, SessionRequest, Subject};
use crate::api::body::Data;
use crate::api::extract::{IntoApiError, JsonBody, QueryTree, SecretKey};
use crate::api::input::tags::{EndUser, Organization, derived_tags};
use crate::api::input::{Issue, IssueCode, Issues, read_nothing, read_object};
use crate::api::operator::OperatorOf;
use crate::api::scope::{AccountEverything, ConnectSessionsWrite};
use crate::app::{App, SharedApp};
use crate::db::connect_sessions::{self as rows, ConnectSession};
use crate::db::connections::{self, Connection};
use crate::db::{ConnectSessionId, EnvironmentId, integrations};
use crate::error::ApiError;
use crate::logs::{Kind, NewOperation, operation_id};
use crate::time_format::format_millis_z;

/// A session as the answer to its creation shows it.
#[derive(Serialize, ToSchema)]
pub struct OpenedSession {
    pub token: String,
    pub connect_link: String,
    #[schema(format = DateTime)]
    pub expires_at: String,
}

const LIFETIME: TimeDelta = TimeDelta::minutes(30);

/// Lets one end user make connections for half an hour.
pub async fn create_connect_session(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectSessionsWrite>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Data<OpenedSession>>), ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    let request = read_object(body.as_ref(), |body| SessionRequest::read(body, is_allowed)).in_body()?;
    Ok(answer(open(&app, key.environment.id, request).await?))
}

/// The same for an operator, whose end user is marked as a tester.
pub async fn create_operator_session(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Data<OpenedSession>>), ApiError> {
    let request = read_operator_session(&app, body.as_ref()).in_body()?;
    Ok(answer(open(&app, caller.environment.id, request).await?))
}

/// Reads what an operator asks for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_operator_session(app: &App, body: Option<&Value>) -> Result<SessionRequest, Issues> {
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    read_object(body, |body| SessionRequest::read_of_operator(body, is_allowed))
}

fn answer(opened: OpenedSession) -> (StatusCode, Json<Data<OpenedSession>>) {
    (StatusCode::CREATED, Json(Data { data: opened }))
}

/// Opens a session.
///
/// # Errors
/// 400 `invalid_body`: it names an integration that does not exist, or too many tags.
pub async fn open(
    app: &App,
    environment: EnvironmentId,
    request: SessionRequest,
) -> Result<OpenedSession, ApiError> {
    check_integrations(app, environment, &request.allowed_integrations, &request.options).await?;
    let mut session = build_session(app, environment, &request.subject, &request.options)?;
    session.allowed_integrations = Some(request.allowed_integrations).filter(|allowed| !allowed.is_empty());
    open_session(app, session).await
}

/// Lets one end user authorize an existing connection again.
pub async fn create_reconnect_session(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectSessionsWrite>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Data<OpenedSession>>), ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    let request = read_object(body.as_ref(), |body| ReconnectRequest::read(body, is_allowed)).in_body()?;
    Ok(answer(reopen(&app, key.environment.id, request).await?))
}

async fn reopen(
    app: &App,
    environment: EnvironmentId,
    request: ReconnectRequest,
) -> Result<OpenedSession, ApiError> {
    let connection = find_target(app, environment, &request).await?;
    check_integrations(app, environment, &[], &request.options).await?;
    let mut session = build_session(app, environment, &request.subject, &request.options)?;
    session.allowed_integrations = Some(vec![request.integration_id]);
    session.connection_id = Some(connection.id);
    open_session(app, session).await
}

/// Opens a session in which a connection is authorized again.
///
/// # Errors
/// 400 `invalid_body`: there is no such connection any more.
pub async fn open_again(
    app: &App,
    environment: EnvironmentId,
    integration_key: &str,
    connection_id: &str,
) -> Result<OpenedSession, ApiError> {
    let body = json!({"integration_id": integration_key, "connection_id": connection_id});
    let request = read_object(Some(&body), |body| ReconnectRequest::read(body, |_| true)).in_body()?;
    reopen(app, environment, request).await
}

async fn find_target(
    app: &App,
    environment: EnvironmentId,
    request: &ReconnectRequest,
) -> Result<Connection, ApiError> {
    let unknown =
        || ApiError::bad_request("invalid_body", "There is no such connection for this integration.");
    let integration =
        integrations::find(&app.db, environment, &request.integration_id).await?.ok_or_else(unknown)?;
    let found = connections::find(&app.db, environment, integration.id, &request.connection_id).await?;
    found.ok_or_else(unknown)
}

/// Every integration that the request names must exist.
async fn check_integrations(
    app: &App,
    environment: EnvironmentId,
    allowed: &[String],
    options: &Options,
) -> Result<(), ApiError> {
    let named = named_integrations(allowed, options);
    if named.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = named.iter().map(|(key, _)| (*key).to_owned()).collect();
    let existing = integrations::list_existing_keys(&app.db, environment, &keys).await?;
    let missing = named.into_iter().filter(|(key, _)| !existing.iter().any(|existing| existing == key));
    let issues: Vec<Issue> = missing
        .map(|(_, path)| Issue::new(IssueCode::Custom, path, "there is no such integration"))
        .collect();
    if issues.is_empty() { Ok(()) } else { Err(Issues::from(issues).in_body()) }
}

/// Integration keys with the path at which each is named.
fn named_integrations<'r>(allowed: &'r [String], options: &'r Options) -> Vec<(&'r str, Vec<String>)> {
    let path = |member: &str, name: String| vec![member.to_owned(), name];
    let allowed = allowed
        .iter()
        .enumerate()
        .map(|(index, key)| (key.as_str(), path("allowed_integrations", index.to_string())));
    let defaults = options
        .defaults
        .iter()
        .flat_map(|map| map.keys())
        .map(|key| (key.as_str(), path("integrations_config_defaults", key.clone())));
    let overrides = options
        .overrides
        .iter()
        .flat_map(|map| map.keys())
        .map(|key| (key.as_str(), path("overrides", key.clone())));
    allowed.chain(defaults).chain(overrides).collect()
}

fn build_session(
    app: &App,
    environment: EnvironmentId,
    subject: &Subject,
    options: &Options,
) -> Result<ConnectSession, ApiError> {
    let (end_user, organization) = (subject.end_user.as_ref(), subject.organization.as_ref());
    // IMPROVE: upstream answers 500 when the tags are too many together.
    let tags = derived_tags(end_user, organization, subject.tags.as_ref())
        .map_err(|error| Issues::one(IssueCode::Custom, &["tags"], error.to_string()).in_body())?;
    // Sealed, because connection configs may hold client secrets.
    let defaults = options.defaults.as_ref().map(|map| app.cipher.seal_text(&json!(map).to_string()));
    let now = app.clock.now();
    Ok(ConnectSession {
        id: ConnectSessionId(0),
        environment_id: environment,
        end_user: end_user.map(end_user_json),
        organization: organization.map(organization_json),
        tags: json!(tags),
        has_tags: subject.gives_tags(),
        allowed_integrations: None,
        integrations_config_defaults: defaults.transpose()?,
        overrides: options.overrides.as_ref().map(|map| json!(map)),
        connection_id: None,
        webhook_url_override: options.webhook_url_override.clone(),
        operation_id: operation_id(app),
        created_at: now,
        expires_at: now + LIFETIME,
    })
}

fn end_user_json(user: &EndUser) -> Value {
    without_nulls(json!({
        "id": user.id, "email": user.email, "display_name": user.display_name, "tags": user.tags,
    }))
}

fn organization_json(organization: &Organization) -> Value {
    without_nulls(json!({"id": organization.id, "display_name": organization.display_name}))
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    value
}

/// Stores the session under the hash of a new token, which is shown only here.
async fn open_session(app: &App, session: ConnectSession) -> Result<OpenedSession, ApiError> {
    let token = format!("nango_connect_session_{}", app.rng.hex(32));
    let id = rows::insert(&app.db, &session, &app.cipher.lookup_hash(&token)).await?;
    tracing::info!(session.id = id.0, operation.id = session.operation_id, "connect session opened");
    log_opening(app, &session);
    Ok(OpenedSession {
        connect_link: format!("{}?session_token={token}", app.config.http.connect_url),
        token,
        expires_at: format_millis_z(session.expires_at),
    })
}

/// The operation of everything that happens in the session; its id is stored with it.
fn log_opening(app: &App, session: &ConnectSession) {
    let mut new = NewOperation::new(Kind::AuthCreateConnection, session.environment_id)
        .message("Connect session")
        .waiting_until(session.expires_at);
    let text = |name: &str| session.end_user.as_ref()?.get(name)?.as_str();
    if let Some(id) = text("id") {
        new = new.with("endUserId", id).with("endUserName", text("display_name").unwrap_or(id));
    }
    let operation = app.logs.start_known(&session.operation_id, new);
    operation.info("The connect session was opened.");
    operation.leave_open();
}
