//! `POST /auth/aws-sigv4/:providerConfigKey` (`spec` auth-flows, section 5.11).

use axum::http::StatusCode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::attempt::{Attempt, Legacy, describe};
use super::submission::{Connected, Submission};
use super::token_error;
use crate::api::input::{ObjectReader, TextRule, formats};
use crate::api::openapi::Operation;
use crate::auth::AuthMode;
use crate::connections::open_config;
use crate::db::connections;
use crate::error::ApiError;
use crate::modes::aws_sigv4::{RoleInput, assume_role, is_external_id};
use crate::oauth::TokenError;

/// What the end user typed in.
struct Typed {
    role_arn: String,
    region: Option<String>,
}

impl Typed {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        Typed {
            role_arn: body.required_text("role_arn", &TextRule::length(1, 2048)),
            region: body.optional_text("region", &formats::AWS_REGION),
        }
    }

    /// What the catalog entry's form judges.
    fn members(&self) -> Map<String, Value> {
        let role = Some(("role_arn".to_owned(), self.role_arn.clone().into()));
        let region = self.region.clone().map(|region| ("region".to_owned(), region.into()));
        role.into_iter().chain(region).collect()
    }
}

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/auth/aws-sigv4/{provider_config_key}";
    describe(Operation::post(PATH, "connect_aws_sigv4", "Connect with a role in AWS"), Legacy::No)
        .body(Typed::read)
        .refuses(
            400,
            &[
                "missing_aws_sigv4_config",
                "invalid_aws_sigv4_config",
                "missing_aws_sigv4_service",
                "missing_aws_sigv4_sts_endpoint",
                "missing_aws_sigv4_builtin_credentials",
                "missing_aws_sigv4_region",
                "missing_aws_sigv4_role_arn",
                "connection_test_failed",
            ],
        )
        .refuses(502, &["aws_sigv4_sts_request_failed"])
}

/// Connects with a role in the end user's AWS account, after its temporary keys were obtained and checked.
pub async fn connect_aws_sigv4(submission: Submission) -> Connected {
    submission
        .connect(|submission| async move {
            let typed = submission.read(Typed::read)?;
            let mut attempt = submission.begin(AuthMode::AwsSigV4, Legacy::No).await?;
            attempt.check_fields(|provider| &provider.credentials, &typed.members())?;
            let stored = stored_config(&attempt).await?;
            let external_id = external_id(&attempt, &stored)?;
            let region = text(&stored, "region").or(typed.region.as_deref());
            let input = RoleInput {
                role_arn: &typed.role_arn,
                region: region.or_else(|| text(&attempt.connection_config, "region")),
                external_id: &external_id,
            };
            let assumed = assume_role(&attempt.app, &attempt.integration, input).await.map_err(refusal)?;
            attempt.connection_config.extend(assumed.connection_config);
            attempt.store(&assumed.credentials).await
        })
        .await
}

/// The config of the connection that is authorized again; empty for a new one.
async fn stored_config(attempt: &Attempt) -> Result<Map<String, Value>, ApiError> {
    let session = attempt.caller.session.as_ref();
    let Some(id) = session.and_then(|session| session.connection_id) else { return Ok(Map::new()) };
    let found = connections::find_by_row(&attempt.app.db, attempt.caller.environment.id, id).await?;
    Ok(found.map(|connection| open_config(&attempt.app, &connection)).unwrap_or_default())
}

/// The id that the role's trust policy asks for: what it was, what the session says, what the browser generated, or a new
/// one. End users bring UUIDs only, so that nobody can claim an id that somebody else could guess.
fn external_id(attempt: &Attempt, stored: &Map<String, Value>) -> Result<String, ApiError> {
    let prescribed =
        attempt.caller.defaults(&attempt.app, &attempt.integration.row.unique_key)?.connection_config;
    let trusted = text(stored, "external_id").or(text(&prescribed, "external_id"));
    let own = || text(&attempt.connection_config, "external_id").filter(|id| Uuid::try_parse(id).is_ok());
    let known = trusted.filter(|id| is_external_id(id)).or_else(own);
    Ok(known.map_or_else(|| attempt.app.rng.uuid().to_string(), str::to_owned))
}

fn text<'a>(config: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    config.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn refusal(error: TokenError) -> ApiError {
    match error.kind {
        "aws_sigv4_sts_request_failed" => {
            ApiError::new(StatusCode::BAD_GATEWAY, error.kind, error.message).legacy()
        }
        "connection_test_failed" => ApiError::bad_request(error.kind, error.message),
        _ => token_error(error),
    }
}
