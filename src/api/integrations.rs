//! Integrations: a provider of the catalog with the customer's own client credentials (`spec` http-api, section 7).

mod deprecated;
pub mod input;
mod operations;
mod settings;
mod view;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

pub use self::deprecated::get_config;
use self::input::{IntegrationPatch, NewIntegration, QuickstartIntegration, Settings};
pub use self::operations::operations;
use self::settings::{apply, check_client, default_scopes, merge_values, refused, require_client};
use self::view::IntegrationBody;
pub use self::view::{shown_credentials, webhook_url};
use super::body::{Data, Done};
use super::extract::{IntoApiError, JsonBody, KeyOrSession, QueryTree, SecretKey};
use super::input::formats::PROVIDER_CONFIG_KEY;
use super::input::{IssueCode, Issues, ObjectReader, read_nothing, read_object};
use super::last_segment::LastSegment;
use super::scope::{
    IntegrationsCreate, IntegrationsDelete, IntegrationsList, IntegrationsRead, IntegrationsUpdate,
};
use crate::app::{App, SharedApp};
use crate::audit::{self, Action, Event, Target};
use crate::catalog::Provider;
use crate::db::changes::{self, ChangeKind};
use crate::db::integrations::{self as rows, Integration};
use crate::db::{EnvironmentId, IntegrationId, connections, webhook_handshakes};
use crate::error::{ApiError, is_constraint};
use crate::fanout::Wake;
use crate::hooks::plan_partings;
use crate::integrations::{self, OpenIntegration};
use crate::modes::mcp;

const READ_CREDENTIALS: &str = "environment:integrations:read_credentials";
const LIVE_KEY: &str = "integrations_live_key";

/// All integrations; for an end user those that the session allows.
pub async fn list_integrations(
    State(app): State<SharedApp>,
    caller: KeyOrSession<IntegrationsList>,
    QueryTree(query): QueryTree,
) -> Result<Json<Data<Vec<IntegrationBody>>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let allowed = match &caller {
        KeyOrSession::Session(session) => session.session.allowed_integrations.as_deref(),
        KeyOrSession::Key(_) => None,
    };
    let is_allowed = |row: &Integration| allowed.is_none_or(|keys| keys.contains(&row.unique_key));
    let found = rows::list(&app.db, caller.environment().id).await?;
    let bodies = found.into_iter().filter(is_allowed).map(|row| {
        let integration = OpenIntegration::open(&app, row)?;
        Ok(IntegrationBody::new(&app, &integration))
    });
    let data = bodies.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Json(Data { data }))
}

/// Creates an integration.
pub async fn create_integration(
    State(app): State<SharedApp>,
    key: SecretKey<IntegrationsCreate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<IntegrationBody>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let new = read_object(body.as_ref(), NewIntegration::read).in_body()?;
    let stored = create(&app, key.environment.id, new).await?;
    answer(&app, stored)
}

/// Creates an integration after judging it.
///
/// # Errors
/// 400 `invalid_body`: unknown provider, wrong credentials for it, or the key is taken.
pub async fn create(
    app: &App,
    environment: EnvironmentId,
    new: NewIntegration,
) -> Result<Integration, ApiError> {
    let provider = judge(app, &new)?;
    if rows::find(&app.db, environment, &new.unique_key).await?.is_some() {
        return Err(key_is_taken());
    }
    let mut row = build_row(app, environment, &provider, new)?;
    mcp::register_new(app, environment, &provider, &mut row).await?;
    let mut transaction = app.db.begin().await?;
    let stored = rows::insert(&mut *transaction, &row, app.clock.now())
        .await
        .map_err(|error| if is_constraint(&error, LIVE_KEY) { key_is_taken() } else { error.into() })?;
    let event = Event::of_environment(environment, Action::IntegrationCreated);
    let made = OpenIntegration::open(app, stored.clone())?.audited();
    audit::record(app, &mut *transaction, event.target(Target::integration(&stored)).made(&made)).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// Judges a new integration without storing it.
///
/// # Errors
/// Those of [`create`], apart from the key.
pub fn check_new(app: &App, environment: EnvironmentId, new: &NewIntegration) -> Result<(), ApiError> {
    let provider = judge(app, new)?;
    build_row(app, environment, &provider, new.clone()).map(|_| ())
}

/// The provider of a new integration, when its credentials are of the provider's kind.
fn judge(app: &App, new: &NewIntegration) -> Result<Arc<Provider>, ApiError> {
    let provider = find_provider(app, &new.provider)?;
    check_client(&provider, new.settings.client.as_ref())?;
    require_client(&provider, new.settings.client.as_ref())?;
    Ok(provider)
}

/// Shared developer apps are not offered by this server, so the answer is always a refusal.
pub async fn create_quickstart_integration(
    State(app): State<SharedApp>,
    _key: SecretKey<IntegrationsCreate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<IntegrationBody>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let new = read_object(body.as_ref(), QuickstartIntegration::read).in_body()?;
    find_provider(&app, &new.provider)?;
    Err(refused(
        "This server has no shared credentials for the provider. Create the integration with your own.",
    ))
}

/// What `GET /integrations/{unique_key}` adds to the object.
#[derive(Default)]
struct Include {
    webhook: bool,
    credentials: bool,
}

/// One integration.
pub async fn get_integration(
    State(app): State<SharedApp>,
    key: SecretKey<IntegrationsRead>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<Json<Data<IntegrationBody>>, ApiError> {
    let include = read_object(Some(&query), read_include).in_query()?;
    let unique_key = segment.read("uniqueKey", &PROVIDER_CONFIG_KEY)?;
    let (integration, _) = find_integration(&app, key.environment.id, &unique_key).await?;
    let mut body = IntegrationBody::new(&app, &integration);
    if include.webhook {
        body = body.with_webhook_url(&app, key.environment.uuid, &integration);
    }
    // Wire: without the scope the member is left out, silently.
    if include.credentials && key.identity.has_scope(READ_CREDENTIALS) {
        body = body.with_credentials(&integration);
        let token = webhook_handshakes::find(&app.db, integration.row.id).await?;
        body = body.with_verification_token(&app, token.as_deref())?;
    }
    Ok(Json(Data { data: body }))
}

fn read_include(query: &mut ObjectReader<'_>) -> Include {
    query.describes("include", || {
        let choice = json!({"enum": ["webhook", "credentials"]});
        json!({"anyOf": [choice, {"type": "array", "items": choice}]})
    });
    let mut include = Include::default();
    let values = match query.value("include") {
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    for value in values {
        match value.as_str() {
            Some("webhook") => include.webhook = true,
            Some("credentials") => include.credentials = true,
            _ => query.issue(IssueCode::InvalidValue, "include", "must be webhook or credentials"),
        }
    }
    include
}

/// Changes an integration; what the body does not name stays.
pub async fn update_integration(
    State(app): State<SharedApp>,
    key: SecretKey<IntegrationsUpdate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
    segment: LastSegment,
) -> Result<Json<Data<IntegrationBody>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let patch = read_object(body.as_ref(), IntegrationPatch::read).in_body()?;
    let unique_key = segment.read("uniqueKey", &PROVIDER_CONFIG_KEY)?;
    let stored = change(&app, key.environment.id, &unique_key, patch).await?;
    answer(&app, stored)
}

/// Changes an integration after judging the change.
///
/// # Errors
/// 404 `not_found`, 400 `invalid_body`.
pub async fn change(
    app: &App,
    environment: EnvironmentId,
    unique_key: &str,
    patch: IntegrationPatch,
) -> Result<Integration, ApiError> {
    let (integration, _) = find_integration(app, environment, unique_key).await?;
    let mut row = changed(app, &integration, patch.settings)?;
    if let Some(new_key) = patch.unique_key.filter(|new_key| *new_key != row.unique_key) {
        check_rename(app, &row, &new_key).await?;
        row.unique_key = new_key;
    }
    store_change(app, &integration.audited(), &row).await
}

/// The row after a change of its settings.
///
/// # Errors
/// 404 `not_found` when the provider left the catalog, 400 `invalid_body` when the settings do not fit it.
pub fn changed(
    app: &App,
    integration: &OpenIntegration,
    settings: Settings,
) -> Result<Integration, ApiError> {
    let provider = integration.provider.as_ref().ok_or_else(provider_is_gone)?;
    check_client(provider, settings.client.as_ref())?;
    let values = merge_values(provider, Some(&integration.custom), &settings)?;
    let mut row = integration.row.clone();
    apply(app, &mut row, values, settings)?;
    Ok(row)
}

/// Deletes an integration with all its connections.
pub async fn delete_integration(
    State(app): State<SharedApp>,
    key: SecretKey<IntegrationsDelete>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<Json<Done>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let unique_key = segment.read("uniqueKey", &PROVIDER_CONFIG_KEY)?;
    remove(&app, key.environment.id, &unique_key).await?;
    Ok(Json(Done::YES))
}

/// Deletes an integration with all its connections.
///
/// # Errors
/// 404 `not_found`.
pub async fn remove(app: &App, environment: EnvironmentId, unique_key: &str) -> Result<(), ApiError> {
    let row = find_row(app, environment, unique_key).await?;
    delete_with_connections(app, environment, &row).await?;
    tracing::info!(integration.id = row.id.0, "integration deleted");
    Ok(())
}

fn answer(app: &App, row: Integration) -> Result<Json<Data<IntegrationBody>>, ApiError> {
    let integration = OpenIntegration::open(app, row)?;
    Ok(Json(Data { data: IntegrationBody::new(app, &integration) }))
}

fn unknown_integration() -> ApiError {
    ApiError::not_found("There is no such integration in this environment.")
}

/// A live integration, whatever became of its provider.
///
/// # Errors
/// 404 `not_found`.
pub async fn find_row(
    app: &App,
    environment: EnvironmentId,
    unique_key: &str,
) -> Result<Integration, ApiError> {
    rows::find(&app.db, environment, unique_key).await?.ok_or_else(unknown_integration)
}

/// A provider named in a body.
fn find_provider(app: &App, name: &str) -> Result<Arc<Provider>, ApiError> {
    let found = app.catalog.load().get(name).cloned();
    found.ok_or_else(|| {
        Issues::one(IssueCode::InvalidString, &["provider"], "the catalog has no such provider").in_body()
    })
}

// Wire: the path is camel case although the member is `unique_key`.
fn key_is_taken() -> ApiError {
    Issues::one(IssueCode::InvalidString, &["uniqueKey"], "is used by another integration").in_body()
}

/// A live integration whose provider is in the catalog.
async fn find_integration(
    app: &App,
    environment: EnvironmentId,
    unique_key: &str,
) -> Result<(OpenIntegration, Arc<Provider>), ApiError> {
    let integration =
        integrations::find(app, environment, unique_key).await?.ok_or_else(unknown_integration)?;
    let provider = integration.provider.clone().ok_or_else(provider_is_gone)?;
    Ok((integration, provider))
}

fn provider_is_gone() -> ApiError {
    ApiError::not_found("The provider of this integration is not in the catalog any more.")
}

fn build_row(
    app: &App,
    environment: EnvironmentId,
    provider: &Arc<Provider>,
    new: NewIntegration,
) -> Result<Integration, ApiError> {
    let mut settings = new.settings;
    // Wire: on create, empty scopes mean the provider's own.
    if let Some(oauth) = settings.client.as_mut().and_then(|client| client.oauth.as_mut()) {
        oauth.scopes = oauth.scopes.take().filter(|scopes| !scopes.is_empty());
    }
    let values = merge_values(provider, None, &settings)?;
    let now = app.clock.now();
    let mut row = Integration {
        id: IntegrationId(0),
        environment_id: environment,
        unique_key: new.unique_key,
        provider: new.provider,
        display_name: None,
        oauth_client_id: None,
        oauth_client_secret: None,
        oauth_scopes: default_scopes(provider),
        app_link: None,
        custom: None,
        forward_webhooks: true,
        accept_unverified_webhooks: false,
        created_at: now,
        updated_at: now,
    };
    apply(app, &mut row, values, settings)?;
    Ok(row)
}

async fn check_rename(app: &App, row: &Integration, new_key: &str) -> Result<(), ApiError> {
    if rows::find(&app.db, row.environment_id, new_key).await?.is_some() {
        return Err(new_key_is_taken());
    }
    let count = connections::count_of_integration(&app.db, row.environment_id, row.id).await?;
    if count > 0 {
        return Err(refused("An integration with connections cannot be renamed."));
    }
    Ok(())
}

fn new_key_is_taken() -> ApiError {
    refused("unique_key is used by another integration.")
}

async fn store_change(app: &App, before: &Value, row: &Integration) -> Result<Integration, ApiError> {
    let now = app.clock.now();
    let mut transaction = app.db.begin().await?;
    let stored = rows::update(&mut *transaction, row, now)
        .await
        .map_err(|error| if is_constraint(&error, LIVE_KEY) { new_key_is_taken() } else { error.into() })?
        .ok_or_else(unknown_integration)?;
    changes::insert(&mut *transaction, ChangeKind::Integration, row.environment_id, row.id.0, now).await?;
    let event = Event::of_environment(row.environment_id, Action::IntegrationUpdated);
    let after = OpenIntegration::open(app, stored.clone())?.audited();
    let event = event.target(Target::integration(&stored)).changed(before, &after);
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    app.forget_integration(row.id);
    app.fanout.call(Wake::Feed).await;
    Ok(stored)
}

async fn delete_with_connections(
    app: &App,
    environment: EnvironmentId,
    row: &Integration,
) -> Result<(), ApiError> {
    let id = row.id;
    let now = app.clock.now();
    let keep_credentials = app.config.jobs.keep_deleted_credentials;
    let mut transaction = app.db.begin().await?;
    if !rows::delete(&mut *transaction, environment, id, now).await? {
        return Err(unknown_integration());
    }
    plan_partings(app, &mut transaction, environment, std::slice::from_ref(row)).await?;
    let gone =
        connections::delete_of_integration(&mut *transaction, environment, id, keep_credentials, now).await?;
    changes::insert(&mut *transaction, ChangeKind::Integration, environment, id.0, now).await?;
    changes::insert_connections(&mut *transaction, environment, &gone, now).await?;
    let event =
        Event::of_environment(environment, Action::IntegrationDeleted).target(Target::integration(row));
    audit::record(app, &mut *transaction, event.with("connections", gone.len())).await?;
    transaction.commit().await?;
    // Its connections are forgotten with it.
    app.forget_integration(id);
    app.page_marks.forget(environment);
    app.partings.ring(environment);
    app.fanout.call(Wake::Feed).await;
    Ok(())
}
