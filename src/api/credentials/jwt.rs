//! `POST /auth/jwt/:providerConfigKey` (`spec` auth-flows, section 5.7).

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use super::{token_error, with_legacy_test_failure};
use crate::api::input::ObjectReader;
use crate::api::openapi::Operation;
use crate::auth::AuthMode;
use crate::error::ApiError;
use crate::modes::jwt::{joined_pairs, sign_jwt};
use crate::modes::signed_jwt::FAILED_TO_SIGN;
use crate::oauth::TokenError;

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/jwt/{provider_config_key}";
    describe(Operation::post(PATH, "connect_jwt", "Connect with a key that signs tokens"), Legacy::No)
        .body_schema("application/json", json!({"type": "object"}), true)
        .refuses(400, &["invalid_body"])
        .refuses(
            400,
            &["missing_token_body", "missing_signature_type", "failed_to_generate", "connection_test_failed"],
        )
        .refuses(500, &[FAILED_TO_SIGN])
}

/// Connects with a token that this server signs, after the provider accepted it.
pub async fn connect_jwt(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let fields = submission.read(submitted)?;
            let attempt = submission.begin(AuthMode::Jwt, Legacy::No).await?;
            attempt.check_fields(|provider| &provider.credentials, &fields)?;
            let credentials =
                sign_jwt(&attempt.app, &attempt.integration, &fields, &attempt.connection_config)
                    .map_err(not_signed)?;
            attempt.verify_and_store(&credentials).await.map_err(with_legacy_test_failure)
        })
        .await
}

/// Wire: a key that cannot sign is told with 500.
fn not_signed(error: TokenError) -> ApiError {
    if error.kind != FAILED_TO_SIGN {
        return token_error(error);
    }
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.kind, error.message).legacy()
}

fn submitted(body: &mut ObjectReader<'_>) -> Map<String, Value> {
    body.ignore_unknown();
    let mut fields = joined_pairs(body.members());
    fields.shift_remove("type");
    fields
}
