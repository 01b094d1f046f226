//! The routes by which a browser hands over credentials that need no redirect (`spec` auth-flows, sections 3.8 and
//! 5.3 to 5.6). All answer 200 with the ids of the connection.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use super::frontend::{ConfigDefaults, FrontendCaller, connection_config};
use super::input::{Issues, ObjectReader, TextRule, formats, read_nothing, read_object};
use super::loose_body::LooseBody;
use crate::app::SharedApp;
use crate::auth::{AuthMode, Credentials};
use crate::catalog::{FieldProblem, Provider, TokenAuthMethod, validate_fields};
use crate::connections::{NewConnection, establish};
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::oauth::{self, ClientCredentialsInput, TokenError};
use crate::proxy;

/// Bytes of a key or password; some providers' keys are whole JSON documents.
const LONGEST_SECRET: usize = 64 * 1024;

/// Connects with an API key, after the provider accepted it.
pub async fn connect_api_key(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let credentials = read_object(body.as_ref(), |body| Credentials::ApiKey {
        api_key: body.required_text("apiKey", &TextRule::length(1, LONGEST_SECRET)),
    })
    .in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::ApiKey, Legacy::No).await?;
    attempt.verify_and_store(&app, &credentials).await
}

/// Connects with a username and a password, after the provider accepted them.
pub async fn connect_basic(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let credentials = read_object(body.as_ref(), |body| Credentials::Basic {
        username: body.required_text("username", &TextRule::length(0, LONGEST_SECRET)),
        password: body.required_text("password", &TextRule::length(0, LONGEST_SECRET)),
    })
    .in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::Basic, Legacy::No).await?;
    attempt.verify_and_store(&app, &credentials).await
}

/// Connects to a provider that wants no credentials.
pub async fn connect_unauthenticated(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    read_nothing(body.as_ref()).in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::None, Legacy::No).await?;
    attempt.store(&app, &Credentials::None).await
}

/// Connects with client credentials, by obtaining a token with them (RFC 6749, section 4.4).
pub async fn connect_client_credentials(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    LooseBody(body): LooseBody,
) -> Result<Json<Value>, ApiError> {
    let input = client_credentials_input(body.as_ref())?;
    let mut attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::OAuth2Cc, Legacy::Yes).await?;
    require_secret(attempt.integration.provider.as_deref(), &input)?;
    let obtained =
        oauth::obtain_client_credentials(&app, &attempt.integration, input, &attempt.connection_config).await;
    let renewed = obtained.map_err(token_error)?;
    attempt.connection_config.extend(renewed.connection_config);
    attempt.store(&app, &renewed.credentials).await
}

/// The members of the body, of which this route judges only the presence; a wrong type counts as absent.
fn client_credentials_input(body: Option<&Value>) -> Result<ClientCredentialsInput, ApiError> {
    let text = |name: &str| {
        let value = body.and_then(|body| body.get(name)).and_then(Value::as_str);
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    Ok(ClientCredentialsInput {
        client_id: text("client_id").ok_or_else(|| missing_member("client_id"))?,
        client_secret: text("client_secret").unwrap_or_default().into(),
        client_certificate: text("client_certificate"),
        client_private_key: text("client_private_key").map(Into::into),
    })
}

fn missing_member(name: &str) -> ApiError {
    ApiError::bad_request(format!("missing_{name}"), format!("The body lacks `{name}`.")).legacy()
}

/// A client that signs its requests has no secret.
fn require_secret(provider: Option<&Provider>, input: &ClientCredentialsInput) -> Result<(), ApiError> {
    let method = provider.and_then(|provider| provider.token_request_auth_method);
    let is_needed = method != Some(TokenAuthMethod::PrivateKeyJwt);
    if is_needed && input.client_secret.is_empty() { Err(missing_member("client_secret")) } else { Ok(()) }
}

fn token_error(error: TokenError) -> ApiError {
    ApiError::bad_request(error.kind, error.message).legacy()
}

/// Whether a route's refusals about the integration have the old envelope and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Legacy {
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
struct Attempt {
    caller: FrontendCaller,
    integration: OpenIntegration,
    connection_id: String,
    connection_config: Map<String, Value>,
}

impl Attempt {
    /// Runs the checks that all these routes share, in their order.
    async fn begin(
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

    async fn verify_and_store(
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

    async fn store(self, app: &SharedApp, credentials: &Credentials) -> Result<Json<Value>, ApiError> {
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
