//! `POST /auth/tba/:providerConfigKey` (`spec` auth-flows, section 5.5).

use super::LONGEST_SECRET;
use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use crate::api::input::{ObjectReader, TextRule};
use crate::api::openapi::Operation;
use crate::auth::{AuthMode, ClientOverride, Credentials};

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/tba/{provider_config_key}";
    describe(Operation::post(PATH, "connect_tba", "Connect with a token and its secret"), Legacy::No)
        .body(read_tba)
        .refuses(400, &["connection_test_failed"])
}

/// Connects with a token of token-based authentication, after the provider accepted what is signed with it.
pub async fn connect_tba(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let credentials = submission.read(read_tba)?;
            let attempt = submission.begin(AuthMode::Tba, Legacy::No).await?;
            attempt.verify_and_store(&credentials).await
        })
        .await
}

fn read_tba(body: &mut ObjectReader<'_>) -> Credentials {
    const REQUIRED: TextRule = TextRule::length(1, LONGEST_SECRET);
    const OPTIONAL: TextRule = TextRule::length(0, LONGEST_SECRET);
    let mut own = |name: &'static str| body.optional_text(name, &OPTIONAL).filter(|text| !text.is_empty());
    // The integration's client is not copied into the connection: it is looked up when something is signed.
    let client = ClientOverride {
        client_id: own("oauth_client_id_override"),
        client_secret: own("oauth_client_secret_override"),
    };
    Credentials::Tba {
        token_id: body.required_text("token_id", &REQUIRED),
        token_secret: body.required_text("token_secret", &REQUIRED),
        config_override: Some(client),
    }
}
