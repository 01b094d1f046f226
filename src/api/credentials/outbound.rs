//! `POST /auth/oauth-outbound/:providerConfigKey` (`spec` auth-flows, section 5.17).

use serde_json::json;

use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use crate::api::openapi::Operation;
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
pub async fn connect_oauth_outbound(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let mut attempt = submission.begin(AuthMode::OAuth2, Legacy::No).await?;
            if !attempt.integration.provider.as_deref().is_some_and(modes::is_outbound) {
                let message = "Connections of this provider do not start there. Use the popup.";
                return Err(ApiError::bad_request("invalid_auth_mode", message));
            }
            let credentials = modes::waiting(attempt.caller.operation.id(), &mut attempt.connection_config);
            attempt.store(&credentials).await
        })
        .await
}
