//! The routes by which a browser hands over credentials that need no redirect (`spec` auth-flows, sections 3.8 and
//! 5.3 to 5.17), a file per mode unless it is a few lines. All answer 200 with the ids of the connection.

mod attempt;
mod aws_sigv4;
mod bill;
mod client_credentials;
mod jwt;
mod outbound;
mod signature;
mod submission;
mod tba;
mod two_step;

use self::attempt::{Legacy, describe};
use self::submission::{Connected, Submission};
use super::input::{ObjectReader, TextRule};
use super::openapi::Operation;
use crate::auth::{AuthMode, Credentials};
use crate::error::ApiError;
use crate::oauth::TokenError;

pub use aws_sigv4::connect_aws_sigv4;
pub use bill::connect_bill;
pub use client_credentials::connect_client_credentials;
pub use jwt::connect_jwt;
pub use outbound::connect_oauth_outbound;
pub use signature::connect_signature;
pub use tba::connect_tba;
pub use two_step::connect_two_step;

/// Bytes of a key or password; some providers' keys are whole JSON documents.
const LONGEST_SECRET: usize = 64 * 1024;

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const API_KEY: &str = "/api-auth/api-key/{provider_config_key}";
    const BASIC: &str = "/api-auth/basic/{provider_config_key}";
    const NONE: &str = "/auth/unauthenticated/{provider_config_key}";
    vec![
        client_credentials::operation(),
        describe(Operation::post(API_KEY, "connect_api_key", "Connect with an API key"), Legacy::No)
            .body(read_api_key)
            .refuses(400, &["connection_test_failed"]),
        describe(Operation::post(BASIC, "connect_basic", "Connect with a username and password"), Legacy::No)
            .body(read_basic)
            .refuses(400, &["connection_test_failed"]),
        describe(Operation::post(NONE, "connect_unauthenticated", "Connect without credentials"), Legacy::No)
            .no_body(),
        two_step::operation(),
        jwt::operation(),
        bill::operation(),
        signature::operation(),
        tba::operation(),
        aws_sigv4::operation(),
        outbound::operation(),
    ]
}

fn read_api_key(body: &mut ObjectReader<'_>) -> Credentials {
    Credentials::ApiKey { api_key: body.required_text("apiKey", &TextRule::length(1, LONGEST_SECRET)) }
}

fn read_basic(body: &mut ObjectReader<'_>) -> Credentials {
    Credentials::Basic {
        username: body.required_text("username", &TextRule::length(0, LONGEST_SECRET)),
        password: body.required_text("password", &TextRule::length(0, LONGEST_SECRET)),
    }
}

/// Connects with an API key, after the provider accepted it.
pub async fn connect_api_key(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let credentials = submission.read(read_api_key)?;
            let attempt = submission.begin(AuthMode::ApiKey, Legacy::No).await?;
            attempt.verify_and_store(&credentials).await
        })
        .await
}

/// Connects with a username and a password, after the provider accepted them.
pub async fn connect_basic(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let credentials = submission.read(read_basic)?;
            let attempt = submission.begin(AuthMode::Basic, Legacy::No).await?;
            attempt.verify_and_store(&credentials).await
        })
        .await
}

/// Connects to a provider that wants no credentials.
pub async fn connect_unauthenticated(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            submission.read_nothing()?;
            let attempt = submission.begin(AuthMode::None, Legacy::No).await?;
            attempt.store(&Credentials::None).await
        })
        .await
}

/// Wire: codes of modes have the old envelope; what every mode answers alike has the new one.
fn token_error(error: TokenError) -> ApiError {
    let is_shared = error.kind == "invalid_connection_config";
    let answer = ApiError::bad_request(error.kind, error.message);
    if is_shared { answer } else { answer.legacy() }
}

/// Wire: some routes tell a failed test in the old envelope.
fn with_legacy_test_failure(error: ApiError) -> ApiError {
    if error.code() == "connection_test_failed" { error.legacy() } else { error }
}
