//! A connection attempt of a JSON auth route: the checks that all these routes share, in their order (`spec` auth-flows,
//! section 3.8), and its end.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::extract::IntoApiError;
use crate::api::frontend::{ConfigDefaults, FrontendCaller, connection_config};
use crate::api::input::{Issues, ObjectReader, formats, read_object};
use crate::app::SharedApp;
use crate::auth::{AuthMode, Credentials};
use crate::catalog::{FieldProblem, Provider, validate_fields};
use crate::connections::{NewConnection, establish};
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::proxy;

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

/// A connection attempt whose caller, integration and configuration were found to be in order.
pub struct Attempt {
    pub caller: FrontendCaller,
    pub integration: OpenIntegration,
    pub connection_id: String,
    pub connection_config: Map<String, Value>,
}

impl Attempt {
    /// Runs the checks that all these routes share, in their order.
    pub async fn begin(
        app: &SharedApp,
        caller: FrontendCaller,
        query: &Value,
        path: &Value,
        mode: AuthMode,
        legacy: Legacy,
    ) -> Result<Self, ApiError> {
        if legacy == Legacy::No {
            check_query(query)?;
        }
        let key = read_object(Some(path), |path| {
            path.required_text("provider_config_key", &formats::PROVIDER_CONFIG_KEY)
        })
        .in_path()?;
        let chosen = caller.chosen_connection_id(query)?;
        caller.check_hmac(app, query, &key, chosen)?;
        let integration = find_integration(app, &caller, &key, mode, legacy).await?;
        caller.check_allowed(&key)?;
        let connection_id = caller.connection_id(app, chosen).await?;
        let defaults: ConfigDefaults = caller.defaults(app, &key)?;
        let connection_config = connection_config(query, &defaults);
        check_config(integration.provider.as_deref(), &connection_config)?;
        Ok(Attempt { caller, integration, connection_id, connection_config })
    }

    /// Asks the provider whether the credentials are good, and stores them.
    pub async fn verify_and_store(
        self,
        app: &SharedApp,
        credentials: &Credentials,
    ) -> Result<Json<Value>, ApiError> {
        if let Some(provider) = self.integration.provider.as_deref() {
            let values = credentials.to_json();
            let problems = validate_fields(&provider.credentials, values.as_object().unwrap_or(&Map::new()));
            refuse_fields(problems)?;
        }
        proxy::verify_credentials(app, &self.integration, credentials, &self.connection_config)
            .await
            .map_err(|failure| ApiError::bad_request("connection_test_failed", failure.to_string()))?;
        self.store(app, credentials).await
    }

    /// Stores the connection and gives its ids.
    pub async fn store(self, app: &SharedApp, credentials: &Credentials) -> Result<Json<Value>, ApiError> {
        let session = self.caller.session.as_ref();
        let new =
            NewConnection::from_session(&self.connection_id, credentials, self.connection_config, session);
        establish(app, &self.caller.environment, &self.integration, new).await?;
        Ok(Json(json!({
            "connectionId": self.connection_id,
            "providerConfigKey": self.integration.row.unique_key,
        })))
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
