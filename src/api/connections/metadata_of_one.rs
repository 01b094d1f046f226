//! `POST` and `PATCH /connection/{connection_id}/metadata`, deprecated (`spec` http-api, section 9.2). The whole body is the
//! metadata.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::metadata::{Write, store};
use crate::api::extract::{IntoApiError, JsonBody, PathTree, QueryTree, SecretKey};
use crate::api::input::{ObjectReader, headers_as_object, read_object};
use crate::api::scope::ConnectionsUpdate;
use crate::app::{App, SharedApp};
use crate::db::environments::Environment;
use crate::db::{ConnectionRowId, connections, integrations};
use crate::error::ApiError;

pub const KEY_HEADER: &str = "provider-config-key";

/// Replaces the metadata of one connection; the body comes back.
pub async fn set_metadata_of_one(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsUpdate>,
    target: Target,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let metadata = change(&app, &key.environment, &target, body, Write::Replace).await?;
    Ok((StatusCode::CREATED, Json(metadata)))
}

/// Merges top-level keys into the metadata of one connection; the body comes back.
pub async fn merge_metadata_of_one(
    State(app): State<SharedApp>,
    key: SecretKey<ConnectionsUpdate>,
    target: Target,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    change(&app, &key.environment, &target, body, Write::Merge).await.map(Json)
}

/// Which connection is meant: its id in the path, its integration in the query or else in a header.
pub struct Target {
    connection_id: String,
    provider_config_key: Option<String>,
}

impl<T: Send + Sync> FromRequestParts<T> for Target {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &T) -> Result<Self, ApiError> {
        let PathTree(path) = PathTree::from_request_parts(parts, state).await?;
        let QueryTree(query) = QueryTree::from_request_parts(parts, state).await?;
        let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Target {
            connection_id: text(&path, "connection_id").unwrap_or_default(),
            provider_config_key: text(&query, "provider_config_key").or_else(|| in_header(&parts.headers)),
        })
    }
}

fn in_header(headers: &HeaderMap) -> Option<String> {
    let headers = headers_as_object(headers, &[KEY_HEADER]);
    headers.get(KEY_HEADER).and_then(Value::as_str).map(str::to_owned)
}

async fn change(
    app: &App,
    environment: &Environment,
    target: &Target,
    body: Option<Value>,
    write: Write,
) -> Result<Value, ApiError> {
    // IMPROVE: upstream stores whatever comes.
    let metadata = read_object(body.as_ref(), read_whole).in_body()?;
    let found = find(app, environment, target).await?;
    let found = [(found, target.connection_id.clone())];
    store(app, environment.id, &found, &metadata, write).await?;
    Ok(metadata)
}

pub fn read_whole(body: &mut ObjectReader<'_>) -> Value {
    body.ignore_unknown();
    Value::Object(body.members().clone())
}

async fn find(app: &App, environment: &Environment, target: &Target) -> Result<ConnectionRowId, ApiError> {
    let Some(unique_key) = &target.provider_config_key else {
        let message =
            "Name the integration: provider_config_key in the query, or the header Provider-Config-Key.";
        return Err(ApiError::bad_request("missing_provider_config", message).legacy());
    };
    let integration = integrations::find(&app.db, environment.id, unique_key).await?;
    let connection = match integration {
        Some(integration) => {
            connections::find(&app.db, environment.id, integration.id, &target.connection_id).await?
        }
        None => None,
    };
    connection.map(|connection| connection.id).ok_or_else(|| {
        let message = "There is no such connection for this integration.";
        let payload = json!({
            "connectionId": target.connection_id,
            "providerConfigKey": unique_key,
            "environmentName": environment.name,
        });
        ApiError::new(StatusCode::NOT_FOUND, "unknown_connection", message).legacy().with_payload(payload)
    })
}
