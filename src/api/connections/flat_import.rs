//! `POST /connection`, the deprecated import with a flat body (`spec` http-api, section 9.1). Its codes are older than the
//! validation envelope; members that it does not know are ignored.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use url::Url;

use super::import::{log_import, log_stored};
use super::input::Given;
use super::installation_token;
use crate::api::extract::{IntoApiError, JsonBody, SecretKey};
use crate::api::input::formats::CONNECTION_ID;
use crate::api::input::{Issue, Issues, TextRule, read_object};
use crate::api::scope::ConnectionsCreate;
use crate::app::{App, SharedApp};
use crate::auth::{AuthMode, ClientOverride, Credentials};
use crate::catalog::Provider;
use crate::connections::{NewConnection, establish};
use crate::db::environments::Environment;
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::logs::Operation;
use crate::modes::Installation;
use crate::time_format::parse_expiry;

/// The members that the answer repeats; all others may be secrets.
const ECHOED: [&str; 10] = [
    "provider_config_key",
    "metadata",
    "webhook_url_override",
    "expires_at",
    "expires_in",
    "no_expiration",
    "oauth_client_id_override",
    "username",
    "app_id",
    "installation_id",
];
/// Members that `raw` does not repeat.
const NOT_IN_RAW: [&str; 2] = ["oauth_client_id_override", "oauth_client_secret_override"];

type Body = Map<String, Value>;

/// Members that every kind of credentials comes with.
struct Common {
    connection_id: Option<String>,
    metadata: Option<Value>,
    connection_config: Body,
}

/// Creates a connection, or replaces the credentials of one.
pub async fn import_flat_connection(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsCreate>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let operation = log_import(&app, &key.environment, body.as_ref());
    operation.attempt(import(&app, &key.environment, given_members(body), &operation)).await
}

async fn import(
    app: &SharedApp,
    environment: &Environment,
    body: Body,
    operation: &Operation,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let integration = find_integration(app, environment, &body).await?;
    operation.about_integration(&integration);
    let webhook_url_override = read_webhook_url(app, &body)?;
    let common = read_common(&body)?;
    let mode = integration.provider.as_ref().and_then(|provider| provider.mode());
    let now = app.clock.now();
    let (credentials, connection_config) =
        match read_credentials(mode, &body, &common.connection_config, now)? {
            Given::Credentials(credentials) => (*credentials, common.connection_config.clone()),
            Given::Installation(installation) => {
                installation_token(app, &integration, &installation, &common.connection_config).await?
            }
        };
    operation.hide_credentials(&credentials);
    let connection_id = common.connection_id.unwrap_or_else(|| app.rng.uuid().to_string());
    let answer = echo(&body, &common.connection_config, integration.provider.as_deref(), &connection_id);
    let new = NewConnection {
        connection_id: &connection_id,
        credentials: &credentials,
        connection_config,
        metadata: common.metadata.or_else(|| metadata_when_absent(&credentials)),
        tags: None,
        webhook_url_override: Some(webhook_url_override),
        end_user: None,
        keeps_automated_config: false,
        config_defaults: None,
        told_mode: None,
    };
    let established = establish(app, environment, &integration, new).await?;
    tracing::info!(
        connection.id = established.id.0,
        operation.id = operation.id(),
        operation = ?established.operation,
        "connection imported"
    );
    log_stored(operation, &established, &connection_id);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Null and an empty connection id count as not given, as callers without types send them.
fn given_members(body: Option<Value>) -> Body {
    let Some(Value::Object(mut members)) = body else { return Map::new() };
    members.retain(|name, value| match name.as_str() {
        "connection_id" => !value.is_null() && value != "",
        _ => !value.is_null(),
    });
    members
}

fn refused(code: &'static str, message: &str) -> ApiError {
    ApiError::bad_request(code, message).legacy()
}

async fn find_integration(
    app: &App,
    environment: &Environment,
    body: &Body,
) -> Result<OpenIntegration, ApiError> {
    let unique_key = required(body, "provider_config_key", "missing_provider_config")?;
    let integration = integrations::find(app, environment.id, unique_key).await?.ok_or_else(|| {
        refused("unknown_provider_config", "There is no such integration in this environment.")
            .with_payload(json!({"providerConfigKey": unique_key, "environmentName": environment.name}))
    })?;
    if integration.provider.is_none() {
        let message = "The provider of this integration is not in the catalog any more.";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_provider_template", message));
    }
    Ok(integration)
}

/// The override, empty when there is none: this import clears what an existing connection has.
fn read_webhook_url(app: &App, body: &Body) -> Result<String, ApiError> {
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    let read = read_object(Some(&Value::Object(body.clone())), |body| {
        body.ignore_unknown();
        body.webhook_url("webhook_url_override", is_allowed)
    });
    // Wire: the issues of this route say nothing about where.
    let without_path = |issue: &Issue| Issue { path: Vec::new(), ..issue.clone() };
    let read =
        read.map_err(|issues| Issues::from(issues.as_slice().iter().map(without_path).collect::<Vec<_>>()));
    Ok(read.in_body()?.unwrap_or_default())
}

fn read_common(body: &Body) -> Result<Common, ApiError> {
    read_object(Some(&Value::Object(body.clone())), |body| {
        body.ignore_unknown();
        Common {
            connection_id: body.optional_text("connection_id", &CONNECTION_ID),
            metadata: body.optional_object("metadata").cloned().map(Value::Object),
            connection_config: body
                .optional_object("connection_config")
                .cloned()
                .map(with_scope_list)
                .unwrap_or_default(),
        }
    })
    .in_body()
}

/// Scopes may come as one text; they are kept as a list.
fn with_scope_list(mut config: Body) -> Body {
    if let Some(scopes) = config.get_mut("oauth_scopes_override")
        && let Some(text) = scopes.as_str()
    {
        *scopes = text.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect();
    }
    config
}

// Wire: some kinds of credentials keep the metadata of an existing connection, the others clear it.
fn metadata_when_absent(credentials: &Credentials) -> Option<Value> {
    let clears = matches!(
        credentials,
        Credentials::Basic { .. } | Credentials::ApiKey { .. } | Credentials::Tba { .. }
    );
    clears.then_some(Value::Null)
}

fn text<'b>(body: &'b Body, name: &str) -> Option<&'b str> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn required<'b>(body: &'b Body, name: &str, code: &'static str) -> Result<&'b str, ApiError> {
    text(body, name).ok_or_else(|| refused(code, &format!("{name} is required.")))
}

fn read_credentials(
    mode: Option<AuthMode>,
    body: &Body,
    config: &Body,
    now: DateTime<Utc>,
) -> Result<Given, ApiError> {
    let credentials = match mode {
        Some(AuthMode::OAuth2) => read_oauth2(body, now)?,
        Some(AuthMode::OAuth2Cc) => read_oauth2_cc(body, now)?,
        Some(AuthMode::OAuth1) => Credentials::OAuth1 {
            oauth_token: required(body, "oauth_token", "missing_oauth_token")?.to_owned(),
            oauth_token_secret: required(body, "oauth_token_secret", "missing_oauth_token_secret")?
                .to_owned(),
            raw: raw(body),
        },
        Some(AuthMode::Basic) => Credentials::Basic {
            username: required(body, "username", "missing_basic_username")?.to_owned(),
            password: text(body, "password").unwrap_or_default().to_owned(),
        },
        Some(AuthMode::ApiKey) => {
            Credentials::ApiKey { api_key: required(body, "api_key", "missing_api_key")?.to_owned() }
        }
        Some(AuthMode::App | AuthMode::Custom) => {
            return Ok(Given::Installation(Installation {
                app_id: required_id(body, "app_id", "missing_app_id")?,
                installation_id: required_id(body, "installation_id", "missing_installation_id")?,
            }));
        }
        Some(AuthMode::Tba) => read_tba(body, config)?,
        Some(AuthMode::None) => Credentials::None,
        _ => {
            let message = "Connections of this provider cannot be imported here. Use POST /connections.";
            return Err(refused("unknown_oauth_type", message));
        }
    };
    Ok(Given::Credentials(Box::new(credentials)))
}

/// Callers without types send the numbers that GitHub shows.
fn required_id(body: &Body, name: &str, code: &'static str) -> Result<String, ApiError> {
    let number = body.get(name).and_then(Value::as_u64).map(|number| number.to_string());
    number.map_or_else(|| required(body, name, code).map(str::to_owned), Ok)
}

fn read_oauth2(body: &Body, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
    let access_token = required(body, "access_token", "missing_access_token")?.to_owned();
    let never_ends = body.get("no_expiration") == Some(&Value::Bool(true));
    let expires_at = if never_ends { None } else { expiry(body, now).or_else(|| expiry_in(body, now)) };
    // Wire: an expiry that cannot be read counts as missing.
    if expires_at.is_none() && !never_ends {
        let message = "Give expires_at or expires_in, or no_expiration: true.";
        return Err(refused("missing_expires_at", message));
    }
    Ok(Credentials::OAuth2 {
        access_token,
        refresh_token: text(body, "refresh_token").map(str::to_owned),
        expires_at,
        config_override: client_override(body),
        raw: raw(body),
    })
}

fn expiry(body: &Body, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    parse_expiry(body.get("expires_at")?, now)
}

/// `expires_in`: seconds, as a number or a text.
fn expiry_in(body: &Body, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let seconds = match body.get("expires_in")? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    now.checked_add_signed(TimeDelta::try_milliseconds((seconds * 1000.0) as i64)?)
}

fn read_oauth2_cc(body: &Body, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
    let client = client_override(body).unwrap_or_default();
    Ok(Credentials::OAuth2Cc {
        token: required(body, "access_token", "missing_access_token")?.to_owned(),
        client_id: client.client_id.clone().unwrap_or_default(),
        client_secret: client.client_secret.clone().unwrap_or_default(),
        client_certificate: None,
        client_private_key: None,
        expires_at: expiry(body, now),
        raw: raw(body),
    })
}

fn read_tba(body: &Body, config: &Body) -> Result<Credentials, ApiError> {
    let read = read_object(Some(&Value::Object(body.clone())), |body| {
        body.ignore_unknown();
        let token_id = body.required_text("token_id", &TextRule::NOT_EMPTY);
        (token_id, body.required_text("token_secret", &TextRule::NOT_EMPTY))
    });
    if text(config, "accountId").is_none() {
        // Wire: the one code of this route without `payload`.
        return Err(ApiError::bad_request("missing_account_id", "connection_config.accountId is required."));
    }
    let (token_id, token_secret) = read.in_body()?;
    Ok(Credentials::Tba { token_id, token_secret, config_override: client_override(body) })
}

fn client_override(body: &Body) -> Option<ClientOverride> {
    let client_id = text(body, "oauth_client_id_override").map(str::to_owned);
    let client_secret = text(body, "oauth_client_secret_override").map(str::to_owned);
    let is_given = client_id.is_some() || client_secret.is_some();
    is_given.then_some(ClientOverride { client_id, client_secret })
}

/// The provider's answer as the caller has it, or else the whole body without the client.
fn raw(body: &Body) -> Value {
    if let Some(raw) = body.get("raw") {
        return raw.clone();
    }
    let kept = body.iter().filter(|(name, _)| !NOT_IN_RAW.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}

// IMPROVE: upstream repeats the whole body, secrets included.
fn echo(body: &Body, config: &Body, provider: Option<&Provider>, connection_id: &str) -> Value {
    let is_secret = |name: &str| {
        let field = provider.and_then(|provider| provider.connection_config.get(name));
        field.is_some_and(|field| field.secret)
    };
    let shown = body.iter().filter(|(name, _)| ECHOED.contains(&name.as_str()));
    let mut echo: Body = shown.map(|(name, value)| (name.clone(), value.clone())).collect();
    if body.contains_key("connection_config") {
        let config = config.iter().filter(|(name, _)| !is_secret(name));
        let config = config.map(|(name, value)| (name.clone(), value.clone())).collect();
        echo.insert("connection_config".to_owned(), Value::Object(config));
    }
    echo.insert("connection_id".to_owned(), json!(connection_id));
    Value::Object(echo)
}
