//! `POST /auth/signature/:providerConfigKey` (`spec` auth-flows, section 5.10).

use axum::Json;
use axum::extract::State;
use zeroize::Zeroizing;

use super::attempt::{Attempt, ConnectionIds, Legacy, describe};
use super::{LONGEST_SECRET, with_legacy_test_failure};
use crate::api::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use crate::api::frontend::FrontendCaller;
use crate::api::input::{ObjectReader, TextRule, read_object};
use crate::api::openapi::Operation;
use crate::app::SharedApp;
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
pub async fn connect_signature(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<ConnectionIds>, ApiError> {
    let operation = caller.operation.clone();
    let connect = async {
        let Submitted { username, password } = read_object(body.as_ref(), Submitted::read).in_body()?;
        let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::Signature, Legacy::No).await?;
        let credentials = sign_username(&app, &attempt.integration, &username, &password)
            .map_err(|error| ApiError::bad_request(error.kind, error.message))?;
        attempt.verify_and_store(&app, &credentials).await.map_err(with_legacy_test_failure)
    };
    operation.attempt(connect).await
}
