//! `POST /auth/signature/:providerConfigKey` (`spec` auth-flows, section 5.10).

use zeroize::Zeroizing;

use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use super::{LONGEST_SECRET, with_legacy_test_failure};
use crate::api::input::{ObjectReader, TextRule};
use crate::api::openapi::Operation;
use crate::auth::AuthMode;
use crate::error::ApiError;
use crate::modes::signature::sign_username;

struct Submitted {
    username: String,
    password: Zeroizing<String>,
}

impl Submitted {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        let rule = TextRule::length(1, LONGEST_SECRET);
        body.optional_one_of("type", &[("SIGNATURE", ())]);
        Submitted {
            username: body.required_text("username", &rule),
            password: body.required_text("password", &rule).into(),
        }
    }
}

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/signature/{provider_config_key}";
    describe(Operation::post(PATH, "connect_signature", "Connect with a signed user name"), Legacy::No)
        .body(Submitted::read)
        .refuses(400, &["signature_token_generation_error", "connection_test_failed"])
}

/// Connects with a username and a password that only ever leave hashed, after the provider accepted them.
pub async fn connect_signature(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let Submitted { username, password } = submission.read(Submitted::read)?;
            let attempt = submission.begin(AuthMode::Signature, Legacy::No).await?;
            let credentials = sign_username(&attempt.app, &attempt.integration, &username, &password)
                .map_err(|error| ApiError::bad_request(error.kind, error.message))?;
            attempt.verify_and_store(&credentials).await.map_err(with_legacy_test_failure)
        })
        .await
}
