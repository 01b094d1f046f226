//! `POST /auth/oauth-outbound/:providerConfigKey` (`spec` auth-flows, section 5.17).

use axum::Json;
use axum::extract::State;
use serde_json::json;

use super::attempt::{Attempt, ConnectionIds, Legacy, describe};
use crate::api::extract::{PathTree, QueryTree};
use crate::api::frontend::FrontendCaller;
use crate::api::openapi::Operation;
use crate::app::SharedApp;
use crate::auth::AuthMode;
use crate::error::ApiError;
use crate::modes;

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/oauth-outbound/{provider_config_key}";
    describe(
        Operation::post(PATH, "connect_oauth_outbound", "Wait for an installation at the provider"),
        Legacy::No,
    )
    .body_schema("application/json", json!({}), false)
}

/// Makes a connection that waits for the provider's webhook. The body is ignored.
pub async fn connect_oauth_outbound(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<ConnectionIds>, ApiError> {
    let operation = caller.operation.clone();
    let connect = async {
        let mut attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::OAuth2, Legacy::No).await?;
        if !attempt.integration.provider.as_deref().is_some_and(modes::is_outbound) {
            let message = "Connections of this provider do not start there. Use the popup.";
            return Err(ApiError::bad_request("invalid_auth_mode", message));
        }
        let credentials = modes::waiting(operation.id(), &mut attempt.connection_config);
        attempt.store(&app, &credentials).await
    };
    operation.attempt(connect).await
}
