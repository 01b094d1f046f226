//! `POST /auth/bill/:providerConfigKey` (`spec` auth-flows, section 5.8).

use axum::Json;
use axum::extract::State;

use super::LONGEST_SECRET;
use super::attempt::{Attempt, ConnectionIds, Legacy, describe};
use crate::api::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use crate::api::frontend::FrontendCaller;
use crate::api::input::{ObjectReader, TextRule, read_object};
use crate::api::openapi::Operation;
use crate::app::SharedApp;
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
pub async fn connect_bill(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<ConnectionIds>, ApiError> {
    let operation = caller.operation.clone();
    let connect = async {
        let login = read_object(body.as_ref(), read_login).in_body()?;
        let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::Bill, Legacy::No).await?;
        let credentials = open_session(&app, &attempt.integration, &login, &attempt.connection_config).await;
        let credentials = credentials.map_err(|error| ApiError::bad_request(error.kind, error.message))?;
        attempt.store(&app, &credentials).await
    };
    operation.attempt(connect).await
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
