//! The caller of the routes that create connections from a browser: a connect session or, for environments that sign their
//! calls, the public key (`spec` auth-flows, sections 1.2 and 3). Used by the popup and by the JSON routes.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::extract::{find_session, limit, limit_session, note_failure, throttle_guessing};
use super::input::{formats, parse_query};
use super::json::ParsedBody;
use crate::app::{App, SharedApp};
use crate::crypto::{constant_time_eq, hmac_sha256};
use crate::db::connect_sessions::ConnectSession;
use crate::db::connections;
use crate::db::environments::{self, Environment};
use crate::error::ApiError;
use crate::integrations::open_object;
use crate::limiter::Bucket;
use crate::logs::{Kind, NewOperation, Operation};

/// A caller from a browser.
pub struct FrontendCaller {
    pub environment: Arc<Environment>,
    /// `None`: the caller came with the public key.
    pub session: Option<ConnectSession>,
    /// What becomes of this call: the session's operation, or one of its own.
    pub operation: Operation,
}

/// What a session prescribes for one integration.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ConfigDefaults {
    pub user_scopes: Option<String>,
    pub authorization_params: Option<Map<String, Value>>,
    pub connection_config: Map<String, Value>,
}

impl FromRequestParts<SharedApp> for FrontendCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        throttle_guessing(parts, app)?;
        let query = parse_query(parts.uri.query().unwrap_or_default().as_bytes());
        let caller = authenticate(app, &query).await;
        if let (Ok(caller), Some(ParsedBody(Some(body)))) = (&caller, parts.extensions.get::<ParsedBody>()) {
            caller.operation.hide_body(body);
        }
        let caller = caller.inspect_err(|error| note_failure(parts, app, error))?;
        match &caller.session {
            Some(session) => limit_session(parts, app, session, &caller.environment).await?,
            None => {
                let bucket = Bucket::Global(caller.environment.account_id);
                limit(parts, app, bucket, app.config.limits.per_minute).await?;
            }
        }
        Ok(caller)
    }
}

impl FrontendCaller {
    /// The connection id that the caller chose. With a session the server chooses.
    pub fn chosen_connection_id<'q>(&self, query: &'q Value) -> Result<Option<&'q str>, ApiError> {
        let given = query_text(query, "connection_id");
        if self.session.is_some() && query.get("connection_id").is_some() {
            return Err(ApiError::invalid(
                "invalid_query_params",
                json!([{"code": "custom", "path": ["connection_id"],
                    "message": "A connect session chooses the connection id itself. Leave it out."}]),
            ));
        }
        Ok(given)
    }

    /// Checks the signature of a public-key call, where the environment wants one. `connection_id` is the received one.
    ///
    /// # Errors
    /// `missing_hmac` or `invalid_hmac`.
    pub fn check_hmac(
        &self,
        app: &App,
        query: &Value,
        integration: &str,
        connection_id: Option<&str>,
    ) -> Result<(), ApiError> {
        if self.session.is_some() || !self.environment.hmac_enabled {
            return Ok(());
        }
        let given = query_text(query, "hmac").ok_or_else(|| {
            ApiError::bad_request("missing_hmac", "This environment wants an `hmac` with each call.").legacy()
        })?;
        let invalid = || {
            ApiError::bad_request(
                "invalid_hmac",
                "The `hmac` does not fit the integration and the connection id.",
            )
            .legacy()
        };
        let sealed = self.environment.hmac_key.as_deref().ok_or_else(invalid)?;
        let key = app.cipher.open_text(sealed)?;
        let expected = hmac_digest(key.expose(), integration, connection_id);
        if constant_time_eq(&expected, given) { Ok(()) } else { Err(invalid()) }
    }

    /// Whether the session allows this integration.
    pub fn check_allowed(&self, integration: &str) -> Result<(), ApiError> {
        let allowed = self.session.as_ref().and_then(|session| session.allowed_integrations.as_ref());
        let is_allowed =
            allowed.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == integration));
        if is_allowed {
            return Ok(());
        }
        let message = "The connect session does not allow this integration.";
        Err(ApiError::bad_request("integration_not_allowed", message))
    }

    /// The id of the connection that a reconnect session authorizes again; `None` for other callers.
    pub async fn reconnect_target(&self, app: &App) -> Result<Option<String>, ApiError> {
        let Some(id) = self.session.as_ref().and_then(|session| session.connection_id) else {
            return Ok(None);
        };
        let found = connections::find_by_row(&app.db, self.environment.id, id).await?;
        let connection = found.ok_or_else(|| {
            ApiError::bad_request("invalid_connection", "The connection to authorize again does not exist.")
        })?;
        Ok(Some(connection.connection_id))
    }

    /// The id under which the connection is stored: that of the reconnected one, the caller's, or a new one.
    pub async fn connection_id(&self, app: &App, chosen: Option<&str>) -> Result<String, ApiError> {
        let target = self.reconnect_target(app).await?;
        Ok(target.or_else(|| chosen.map(str::to_owned)).unwrap_or_else(|| app.rng.uuid().to_string()))
    }

    /// What the session prescribes for this integration; nothing without a session.
    pub fn defaults(&self, app: &App, integration: &str) -> Result<ConfigDefaults, ApiError> {
        let sealed =
            self.session.as_ref().and_then(|session| session.integrations_config_defaults.as_deref());
        let mut all = open_object(&app.cipher, sealed)?;
        let Some(own) = all.remove(integration) else { return Ok(ConfigDefaults::default()) };
        serde_json::from_value(own)
            .map_err(|error| ApiError::server_error("The connect session cannot be read.").because(error))
    }
}

/// The connection config of a call: the caller's `params`, under what the session prescribes.
pub fn connection_config(query: &Value, defaults: &ConfigDefaults) -> Map<String, Value> {
    let mut config = text_members(query, "params");
    config.remove("webhook_url");
    config.extend(defaults.connection_config.clone());
    config
}

/// The members of `query[name]` that are texts.
pub fn text_members(query: &Value, name: &str) -> Map<String, Value> {
    let members = query.get(name).and_then(Value::as_object);
    let texts = members.into_iter().flatten().filter(|(_, value)| value.is_string());
    texts.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A parameter that is a text with something in it.
pub fn query_text<'q>(query: &'q Value, name: &str) -> Option<&'q str> {
    query.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Lower-case hex of HMAC-SHA256 (`spec` auth-flows, section 3.4).
fn hmac_digest(key: &str, integration: &str, connection_id: Option<&str>) -> String {
    let message = match connection_id {
        Some(id) => format!("{integration}:{id}"),
        None => integration.to_owned(),
    };
    hex::encode(hmac_sha256(key.as_bytes(), message.as_bytes()))
}

async fn authenticate(app: &App, query: &Value) -> Result<FrontendCaller, ApiError> {
    if let Some(token) = query_text(query, "connect_session_token") {
        let (session, environment) = find_session(app, token).await?;
        let operation = app.logs.resume(&session.operation_id, operation_of(&environment));
        operation.hide(token);
        return Ok(FrontendCaller { environment, session: Some(session), operation });
    }
    let environment = find_by_public_key(app, query_text(query, "public_key")).await?;
    let operation = app.logs.start(operation_of(&environment));
    Ok(FrontendCaller { environment: Arc::new(environment), session: None, operation })
}

fn operation_of(environment: &Environment) -> NewOperation {
    NewOperation::new(Kind::AuthCreateConnection, environment.id)
}

async fn find_by_public_key(app: &App, given: Option<&str>) -> Result<Environment, ApiError> {
    let missing =
        || ApiError::unauthorized("missing_public_key", "Send a `connect_session_token` or a `public_key`.");
    let text = given.ok_or_else(missing)?;
    let invalid = || ApiError::unauthorized("invalid_public_key", "The public key is not a UUID v4.");
    let key = Uuid::parse_str(text).ok().filter(|_| formats::UUID_V4.accepts(text)).ok_or_else(invalid)?;
    let fixed = app.config.keys.provisioned_public.iter().find(|(_, fixed)| **fixed == key);
    let found = match fixed {
        Some((name, _)) => environments::find_by_name(&app.db, name).await?,
        None => environments::find_by_public_key(&app.db, key).await?,
    };
    let environment =
        found.ok_or_else(|| ApiError::unauthorized("unknown_account", "The public key is unknown."))?;
    if !environment.hmac_enabled {
        // Wire: this one has the standard envelope.
        return Err(ApiError::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "deprecated_authentication",
            "Public keys work only in environments with HMAC. Use a connect session.",
        ));
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_test_vector() {
        let expected = "6f58a4c6df3bdafefb258097734a2637b10ccab965d97a7e6b691ad4d678d83f";
        assert_eq!(hmac_digest("my-hmac-key", "github", Some("user-1")), expected);
        assert_ne!(hmac_digest("my-hmac-key", "github", None), expected);
    }

    #[test]
    fn the_session_wins_over_the_caller() {
        let query = parse_query(b"params[a]=1&params[b]=2&params[webhook_url]=x&params[list][]=3&other=4");
        let mut defaults = ConfigDefaults::default();
        defaults.connection_config.insert("b".into(), json!(true));
        assert_eq!(Value::Object(connection_config(&query, &defaults)), json!({"a": "1", "b": true}));
    }
}
