//! `POST /auth/tba/:providerConfigKey` (`spec` auth-flows, section 5.5).

use axum::Json;
use axum::extract::State;

use super::LONGEST_SECRET;
use super::attempt::{Attempt, ConnectionIds, Legacy};
use crate::api::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use crate::api::frontend::FrontendCaller;
use crate::api::input::{TextRule, read_object};
use crate::app::SharedApp;
use crate::auth::{AuthMode, ClientOverride, Credentials};
use crate::error::ApiError;

/// Connects with a token of token-based authentication, after the provider accepted what is signed with it.
pub async fn connect_tba(
    caller: FrontendCaller,
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
    JsonBody(body): JsonBody,
) -> Result<Json<ConnectionIds>, ApiError> {
    const REQUIRED: TextRule = TextRule::length(1, LONGEST_SECRET);
    const OPTIONAL: TextRule = TextRule::length(0, LONGEST_SECRET);
    let credentials = read_object(body.as_ref(), |body| {
        let mut own =
            |name: &'static str| body.optional_text(name, &OPTIONAL).filter(|text| !text.is_empty());
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
    })
    .in_body()?;
    let attempt = Attempt::begin(&app, caller, &query, &path, AuthMode::Tba, Legacy::No).await?;
    attempt.verify_and_store(&app, &credentials).await
}
