//! `POST /auth/tba/:providerConfigKey` (`spec` auth-flows, section 5.5).

use axum::Json;
use axum::extract::State;

use super::LONGEST_SECRET;
use super::attempt::{Attempt, ConnectionIds, Legacy, describe};
use crate::api::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use crate::api::frontend::FrontendCaller;
use crate::api::input::{ObjectReader, TextRule, read_object};
use crate::api::openapi::Operation;
use crate::app::SharedApp;
use crate::auth::{AuthMode, ClientOverride, Credentials};
use crate::error::ApiError;

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/tba/{provider_config_key}";
    describe(Operation::post(PATH, "connect_tba", "Connect with a token and its secret"), Legacy::No)
        .body(read_tba)
        .refuses(400, &["connection_test_failed"])
}

/// Connects with a token of token-based authentication, after the provider accepted what is signed with it.
pub async fn connect_tba(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<ConnectionIds>, ApiError> {
    let operation = caller.operation.clone();
    let connect = async {
        let credentials = read_object(body.as_ref(), read_tba).in_body()?;
        let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::Tba, Legacy::No).await?;
        attempt.verify_and_store(&app, &credentials).await
    };
    operation.attempt(connect).await
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
