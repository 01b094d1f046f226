//! A connection attempt of a JSON auth route: the checks that all these routes share, in their order (`spec` auth-flows,
//! section 3.8), and its end.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::submission::Connected;
use crate::api::extract::IntoApiError;
use crate::api::frontend::{ConfigDefaults, FrontendCaller, connection_config};
use crate::api::input::shape::text;
use crate::api::input::{Issues, ObjectReader, formats, read_object};
use crate::api::openapi::{Caller, Operation, Tag};
use crate::app::SharedApp;
use crate::auth::{AuthMode, Credentials};
use crate::catalog::{FieldProblem, Fields, Provider, validate_fields};
use crate::connections::{NewConnection, establish};
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::metrics::AuthResult;
use crate::proxy;

/// How long somebody at the provider may take before the operation counts as abandoned.
const PENDING: TimeDelta = TimeDelta::days(7);

/// Whether a route's refusals about the integration have the old envelope and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legacy {
    No,
    Yes,
}

impl Legacy {
    fn refuse(self, status: StatusCode, code: &'static str, message: &str) -> ApiError {
        match self {
            Legacy::No => ApiError::new(status, code, message),
            Legacy::Yes => ApiError::bad_request(code, message).legacy(),
        }
    }
}

/// The answer of these routes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionIds {
    connection_id: String,
    provider_config_key: String,
}

/// What these routes have in common in the OpenAPI document.
pub fn describe(operation: Operation, legacy: Legacy) -> Operation {
    let any_text = || json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let operation = operation
        .tag(Tag::Authorization)
        .caller(Caller::Browser)
        .path_text("provider_config_key", &formats::PROVIDER_CONFIG_KEY)
        .parameter("query", "hmac", any_text())
        .object_parameter("params", texts)
        .answers::<ConnectionIds>(200, "The connection is made.")
        .refuses(
            400,
            &[
                "invalid_query_params",
                "missing_hmac",
                "invalid_hmac",
                "invalid_auth_mode",
                "integration_not_allowed",
                "invalid_connection",
                "invalid_connection_config",
            ],
        )
        .refuses(404, &["unknown_provider_template"]);
    match legacy {
        Legacy::No => operation
            .parameter("query", "connection_id", text(&formats::CONNECTION_ID))
            .refuses(404, &["unknown_provider_config"]),
        Legacy::Yes => operation
            .parameter("query", "connection_id", any_text())
            .refuses(400, &["unknown_provider_config"]),
    }
}

/// A connection attempt whose caller, integration and configuration were found to be in order.
pub struct Attempt {
    pub app: SharedApp,
    pub caller: FrontendCaller,
    pub integration: OpenIntegration,
    pub connection_id: String,
    pub connection_config: Map<String, Value>,
    counted: Counted,
}

/// Counts an attempt when it ends: as a failure, unless it came as far as a stored connection.
struct Counted {
    app: SharedApp,
    mode: AuthMode,
    result: AuthResult,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.app.metrics.note_authorization(Some(self.mode), self.result);
    }
}

impl Attempt {
    /// Runs the checks that all these routes share, in their order.
    pub async fn begin(
        app: SharedApp,
        caller: FrontendCaller,
        query: &Value,
        path: &Value,
        mode: AuthMode,
        legacy: Legacy,
    ) -> Result<Self, ApiError> {
        if legacy == Legacy::No {
            check_query(query)?;
        }
        caller.operation.hide_named(query);
        let key = read_object(Some(path), |path| {
            path.required_text("provider_config_key", &formats::PROVIDER_CONFIG_KEY)
        })
        .in_path()?;
        let chosen = caller.chosen_connection_id(query)?;
        caller.check_hmac(&app, query, &key, chosen)?;
        let integration = find_integration(&app, &caller, &key, mode, legacy).await?;
        caller.operation.about_integration(&integration);
        let counted = Counted { app: app.clone(), mode, result: AuthResult::Failure };
        caller.check_allowed(&key)?;
        let connection_id = caller.connection_id(&app, chosen).await?;
        let defaults: ConfigDefaults = caller.defaults(&app, &key)?;
        let connection_config = connection_config(query, &defaults);
        caller.operation.hide_config(&integration, &connection_config);
        check_config(integration.provider.as_deref(), &connection_config)?;
        caller.operation.about_connection(None, &connection_id);
        Ok(Attempt { app, caller, integration, connection_id, connection_config, counted })
    }

    /// Asks the provider whether the credentials are good, and stores them.
    pub async fn verify_and_store(self, credentials: &Credentials) -> Connected {
        self.caller.operation.hide_credentials(credentials);
        let values = credentials.to_json();
        self.check_fields(|provider| &provider.credentials, values.as_object().unwrap_or(&Map::new()))?;
        proxy::verify_credentials(&self.app, &self.integration, credentials, &self.connection_config)
            .await
            .map_err(|failure| ApiError::bad_request("connection_test_failed", failure.to_string()))?;
        self.store(credentials).await
    }

    /// Judges submitted values by a section of the catalog entry.
    pub fn check_fields(
        &self,
        section: impl Fn(&Provider) -> &Fields,
        values: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        let Some(provider) = self.integration.provider.as_deref() else { return Ok(()) };
        refuse_fields(validate_fields(section(provider), values))
    }

    /// Stores the connection and gives its ids.
    pub async fn store(mut self, credentials: &Credentials) -> Connected {
        let (session, operation) = (self.caller.session.as_ref(), &self.caller.operation);
        operation.hide_credentials(credentials);
        let is_waiting = self.connection_config.get("pending") == Some(&Value::Bool(true));
        let new =
            NewConnection::from_session(&self.connection_id, credentials, self.connection_config, session);
        let established = establish(&self.app, &self.caller.environment, &self.integration, new).await?;
        self.counted.result = AuthResult::Success;
        operation.about_connection(Some(established.id.0), &self.connection_id);
        operation.info(established.operation.sentence());
        if is_waiting {
            operation.info("It waits for somebody at the provider.");
            operation.wait_until(self.app.clock.now() + PENDING);
        } else {
            operation.succeed();
        }
        Ok(Json(ConnectionIds {
            connection_id: self.connection_id,
            provider_config_key: self.integration.row.unique_key,
        }))
    }
}

/// The parameters that these routes judge; all others are ignored.
fn check_query(query: &Value) -> Result<(), ApiError> {
    let read: Result<(), Issues> = read_object(Some(query), |query: &mut ObjectReader<'_>| {
        query.ignore_unknown();
        query.optional_text("connection_id", &formats::CONNECTION_ID);
        query.optional_text("public_key", &formats::UUID);
        query.optional_text("connect_session_token", &formats::CONNECT_SESSION_TOKEN);
    });
    read.in_query()
}

async fn find_integration(
    app: &SharedApp,
    caller: &FrontendCaller,
    key: &str,
    mode: AuthMode,
    legacy: Legacy,
) -> Result<OpenIntegration, ApiError> {
    let found = integrations::find(app, caller.environment.id, key).await?;
    let integration = found.ok_or_else(|| {
        legacy.refuse(StatusCode::NOT_FOUND, "unknown_provider_config", "There is no such integration.")
    })?;
    let provider: Option<&Arc<Provider>> = integration.provider.as_ref();
    let provider = provider.ok_or_else(|| {
        let message = "The integration's provider is not in the catalog any more.";
        ApiError::new(StatusCode::NOT_FOUND, "unknown_provider_template", message)
    })?;
    if provider.mode() != Some(mode) {
        let message = "The integration's provider uses another auth mode.";
        return Err(legacy.refuse(StatusCode::BAD_REQUEST, "invalid_auth_mode", message));
    }
    Ok(integration)
}

/// What end users send becomes part of URLs, so it is judged here and not only in the browser.
fn check_config(provider: Option<&Provider>, config: &Map<String, Value>) -> Result<(), ApiError> {
    refuse_fields(provider.map(|provider| provider.validate_connection_config(config)).unwrap_or_default())
}

fn refuse_fields(problems: Vec<FieldProblem>) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> =
        problems.into_iter().map(|problem| format!("`{}` {}", problem.field, problem.message)).collect();
    Err(ApiError::bad_request("invalid_connection_config", format!("{}.", texts.join("; "))))
}
