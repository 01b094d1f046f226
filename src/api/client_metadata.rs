//! The document that tells an authorization server who an OAuth client is, when the client's id is the document's address
//! (`spec` auth-flows, section 5.15). Public.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::{IntoApiError, PathTree};
use super::input::formats::{PROVIDER_CONFIG_KEY, UUID};
use super::input::{ObjectReader, read_object};
use super::openapi::{Operation, Tag};
use crate::app::{App, SharedApp};
use crate::auth::AuthMode;
use crate::db::environments::{self, Environment};
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::modes::mcp::{callback_url, client_metadata_url};

fn read_path(path: &mut ObjectReader<'_>) -> (Uuid, String) {
    let environment = path.required_text("environmentUuid", &UUID);
    let unique_key = path.required_text("providerConfigKey", &PROVIDER_CONFIG_KEY);
    (Uuid::parse_str(&environment).unwrap_or_default(), unique_key)
}

/// A client of RFC 7591, section 2.
#[derive(Serialize, ToSchema)]
struct ClientMetadata {
    client_id: String,
    client_name: String,
    client_uri: String,
    redirect_uris: [String; 1],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
}

/// This route in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const PATH: &str = "/oauth/client-metadata/{environmentUuid}/{providerConfigKey}";
    vec![
        Operation::get(PATH, "get_client_metadata", "Who this server is to an authorization server")
            .tag(Tag::Authorization)
            .path_text("environmentUuid", &UUID)
            .path_text("providerConfigKey", &PROVIDER_CONFIG_KEY)
            .answers::<ClientMetadata>(200, "The client, whose id is the address of this document.")
            .refuses(404, &["unknown_environment", "unknown_provider_config", "feature_disabled"]),
    ]
}

/// The client that this server is for one integration.
pub async fn get_client_metadata(
    State(app): State<SharedApp>,
    PathTree(path): PathTree,
) -> Result<impl IntoResponse, ApiError> {
    let (uuid, unique_key) = read_object(Some(&path), read_path).in_path()?;
    let environment = environments::find_by_uuid(&app.db, uuid).await?;
    let environment = environment.ok_or_else(|| missing("unknown_environment", "environment"))?;
    let integration = integrations::find(&app, environment.id, &unique_key).await?;
    let integration = integration.ok_or_else(|| missing("unknown_provider_config", "integration"))?;
    let mode = integration.provider.as_ref().and_then(|provider| provider.mode());
    if !matches!(mode, Some(AuthMode::McpOAuth2 | AuthMode::McpOAuth2Generic)) {
        return Err(missing("feature_disabled", "document for this kind of integration"));
    }
    let cache = [(header::CACHE_CONTROL, "public, max-age=300")];
    Ok((cache, Json(document(&app, &environment, &integration))))
}

fn missing(code: &'static str, what: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, code, format!("There is no such {what}."))
}

fn document(app: &App, environment: &Environment, integration: &OpenIntegration) -> ClientMetadata {
    let http = &app.config.http;
    ClientMetadata {
        client_id: client_metadata_url(http, environment.uuid, &integration.row.unique_key),
        client_name: integration.row.display_name.clone().unwrap_or_else(|| "Hitchpost".to_owned()),
        client_uri: http.server_url.clone(),
        redirect_uris: [callback_url(http, environment)],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: "none",
    }
}
