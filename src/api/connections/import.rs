//! `POST /connections`: taking over a connection that was made elsewhere (`spec` http-api, section 8.3).
//!
//! For an existing connection nothing is merged: what the body leaves out is emptied.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use url::Url;

use super::input::{Given, Import};
use super::view::ConnectionBody;
use super::{end_user_row, installation_token};
use crate::api::extract::{IntoApiError, JsonBody, QueryTree, SecretKey};
use crate::api::input::tags::derived_tags;
use crate::api::input::{IssueCode, Issues, read_nothing, read_object};
use crate::api::scope::ConnectionsCreate;
use crate::app::{App, SharedApp};
use crate::auth::{AuthMode, Credentials};
use crate::connections::{Established, NewConnection, establish, open_config};
use crate::db::connections as rows;
use crate::db::environments::Environment;
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::logs::{Kind, NewOperation, Operation};
use crate::proxy;
use crate::time_format::format_millis_z;

/// Creates a connection from credentials that the customer already has, or replaces one.
pub async fn import_connection(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsCreate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<ConnectionBody>), ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    let token_max = app.config.limits.oauth_token_max_length;
    let import = read_object(body.as_ref(), |body| Import::read(body, token_max, is_allowed)).in_body()?;
    let tags = derived_tags(import.end_user.as_ref(), None, import.tags.as_ref())
        .map_err(|error| Issues::one(IssueCode::Custom, &["tags"], error.to_string()).in_body())?;
    let operation = log_import(&app, &key.environment, body.as_ref());
    let work = async {
        let integration = find_integration(&app, &key.environment, &import.provider_config_key).await?;
        operation.about_integration(&integration);
        check_mode(&integration, import.credentials.mode)?;
        let (credentials, config) = ready(&app, &integration, &import).await?;
        operation.hide_credentials(&credentials);
        test(&app, &integration, &credentials, &config).await?;
        let imported = Imported { import: &import, credentials: &credentials, config, tags: json!(tags) };
        store(&app, &key.environment, &integration, imported, &operation).await
    };
    let body = operation.attempt(work).await?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// The operation of an import, which tells nothing of its credentials.
pub(super) fn log_import(app: &App, environment: &Environment, body: Option<&Value>) -> Operation {
    let new = NewOperation::new(Kind::AuthCreateConnection, environment.id).message("Import of a connection");
    let operation = app.logs.start(new);
    if let Some(body) = body {
        operation.hide_body(body.get("credentials").unwrap_or(&Value::Null));
        operation.hide_named(body);
    }
    operation
}

/// Says that the connection is stored, and ends the operation.
pub(super) fn log_stored(operation: &Operation, established: &Established, connection_id: &str) {
    operation.about_connection(Some(established.id.0), connection_id);
    operation.info(established.operation.sentence());
    operation.succeed();
}

async fn find_integration(
    app: &App,
    environment: &Environment,
    unique_key: &str,
) -> Result<OpenIntegration, ApiError> {
    let integration = integrations::find(app, environment.id, unique_key)
        .await?
        .ok_or_else(|| ApiError::not_found("There is no such integration in this environment."))?;
    if integration.provider.is_none() {
        return Err(ApiError::not_found("The provider of this integration is not in the catalog any more."));
    }
    Ok(integration)
}

fn check_mode(integration: &OpenIntegration, submitted: AuthMode) -> Result<(), ApiError> {
    let expected = integration.provider.as_ref().and_then(|provider| provider.mode());
    if expected == Some(submitted) {
        return Ok(());
    }
    Err(ApiError::bad_request("invalid_body", "credentials.type is not the auth mode of the provider."))
}

/// What a connection is stored with.
struct Imported<'a> {
    import: &'a Import,
    credentials: &'a Credentials,
    config: Map<String, Value>,
    tags: Value,
}

/// The credentials and the connection config to store.
async fn ready(
    app: &App,
    integration: &OpenIntegration,
    import: &Import,
) -> Result<(Credentials, Map<String, Value>), ApiError> {
    let config = &import.connection_config;
    match &import.credentials.given {
        Given::Credentials(credentials) => {
            require_account(credentials, config)?;
            Ok((credentials.as_ref().clone(), config.clone()))
        }
        Given::Installation(installation) => installation_token(app, integration, installation, config).await,
    }
}

fn require_account(credentials: &Credentials, config: &Map<String, Value>) -> Result<(), ApiError> {
    let account = config.get("accountId").and_then(Value::as_str).unwrap_or_default();
    if matches!(credentials, Credentials::Tba { .. }) && account.is_empty() {
        let message = "TBA credentials need connection_config.accountId.";
        return Err(ApiError::bad_request("invalid_body", message));
    }
    Ok(())
}

/// Asks the provider, if it says how, whether it accepts credentials that a person may have mistyped.
async fn test(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<(), ApiError> {
    let is_typed = matches!(
        credentials,
        Credentials::ApiKey { .. } | Credentials::Basic { .. } | Credentials::Tba { .. }
    );
    if !is_typed {
        return Ok(());
    }
    let result = proxy::verify_credentials(app, integration, credentials, config).await;
    result.map_err(|failure| ApiError::bad_request("connection_test_failed", failure.to_string()))
}

async fn store(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    imported: Imported<'_>,
    operation: &Operation,
) -> Result<ConnectionBody, ApiError> {
    let Imported { import, credentials, config, tags } = imported;
    let connection_id = import.connection_id.clone().unwrap_or_else(|| app.rng.uuid().to_string());
    let new = NewConnection {
        connection_id: &connection_id,
        credentials,
        connection_config: config,
        metadata: Some(Value::Object(import.metadata.clone())),
        tags: Some(tags),
        webhook_url_override: Some(import.webhook_url_override.clone().unwrap_or_default()),
        end_user: import.end_user.as_ref().map(end_user_row),
        keeps_automated_config: false,
        config_defaults: None,
        told_mode: None,
    };
    let established = establish(app, environment, integration, new).await?;
    tracing::info!(
        connection.id = established.id.0,
        operation.id = operation.id(),
        operation = ?established.operation,
        "connection imported"
    );
    log_stored(operation, &established, &connection_id);
    let row = rows::find_by_row(&app.db, environment.id, established.id).await?;
    let row =
        row.ok_or_else(|| ApiError::server_error("The connection was deleted while it was imported."))?;
    let config = open_config(app, &row);
    let body = ConnectionBody::load(app, &integration.row, row, format_millis_z).await?;
    Ok(body.with_secrets(credentials, config))
}
