//! `POST /auth/bill/:providerConfigKey` (`spec` auth-flows, section 5.8).

use super::LONGEST_SECRET;
use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use crate::api::input::{ObjectReader, TextRule};
use crate::api::openapi::Operation;
use crate::auth::AuthMode;
use crate::error::ApiError;
use crate::modes::bill::{BillLogin, open_session};

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/bill/{provider_config_key}";
    describe(Operation::post(PATH, "connect_bill", "Connect to Bill.com"), Legacy::No)
        .body(read_login)
        .refuses(400, &["bill_tokens_fetch_error", "invalid_bill_credentials"])
}

/// Connects by opening a session.
pub async fn connect_bill(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let login = submission.read(read_login)?;
            let attempt = submission.begin(AuthMode::Bill, Legacy::No).await?;
            let credentials =
                open_session(&attempt.app, &attempt.integration, &login, &attempt.connection_config).await;
            let credentials =
                credentials.map_err(|error| ApiError::bad_request(error.kind, error.message))?;
            attempt.store(&credentials).await
        })
        .await
}

fn read_login(body: &mut ObjectReader<'_>) -> BillLogin {
    let rule = TextRule::length(1, LONGEST_SECRET);
    BillLogin {
        username: body.required_text("username", &rule),
        password: body.required_text("password", &rule).into(),
        organization_id: body.required_text("organization_id", &rule),
        dev_key: body.required_text("dev_key", &rule).into(),
    }
}
