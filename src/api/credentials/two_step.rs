//! `POST /auth/two-step/:providerConfigKey` (`spec` auth-flows, section 5.9).

use serde_json::{Map, Value, json};

use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use super::token_error;
use crate::api::input::ObjectReader;
use crate::api::openapi::Operation;
use crate::auth::AuthMode;
use crate::modes::two_step;

struct Submitted {
    fields: Map<String, Value>,
    options: Map<String, Value>,
}

impl Submitted {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        body.ignore_unknown();
        let options = body.optional_object("assertionOption").cloned().unwrap_or_default();
        let mut fields = body.members().clone();
        fields.retain(|name, _| !matches!(name.as_str(), "type" | "assertionOption"));
        Submitted { fields, options }
    }
}

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/two-step/{provider_config_key}";
    describe(
        Operation::post(PATH, "connect_two_step", "Connect with a login of one or several requests"),
        Legacy::No,
    )
    .body_schema("application/json", json!({"type": "object"}), true)
    .refuses(400, &["invalid_body"])
    .refuses(
        400,
        &[
            "two_step_credentials_fetch_error",
            "invalid_two_step_credentials",
            "incomplete_raw_credentials",
            "missing_token_url",
            "missing_assertion_config",
            "missing_private_key",
            "failed_to_generate",
            "failed_to_sign",
            "failed_to_generate_assertion",
            "failed_to_generate_jwt_assertion",
            "invalid_private_key_format",
            "missing_signature_type",
            "missing_token_body",
        ],
    )
}

/// Connects by logging in with what the end user submitted. Getting a token is the proof that it is good.
pub async fn connect_two_step(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let Submitted { mut fields, options } = submission.read(Submitted::read)?;
            let mut attempt = submission.begin(AuthMode::TwoStep, Legacy::No).await?;
            if let Some(provider) = attempt.integration.provider.as_deref() {
                fields = two_step::with_defaults(provider, &fields);
                let mut seen = fields.clone();
                seen.extend(two_step::operator_fields(&attempt.integration, provider));
                attempt.check_fields(|provider| &provider.credentials, &seen)?;
                attempt.check_fields(|provider| &provider.assertion_option, &options)?;
            }
            let logged_in = two_step::log_in(
                &attempt.app,
                &attempt.integration,
                &fields,
                &options,
                &attempt.connection_config,
            )
            .await;
            let logged_in = logged_in.map_err(token_error)?;
            attempt.connection_config.extend(logged_in.connection_config);
            attempt.store(&logged_in.credentials).await
        })
        .await
}
