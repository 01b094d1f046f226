//! Environments over HTTP (`spec` http-api, sections 11.1 and 11.2), for keys of the account.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::Data;
use super::extract::{AccountKey, IntoApiError, JsonBody, QueryTree};
use super::input::formats::{ENVIRONMENT_NAME, URL};
use super::input::{ObjectReader, TextRule, read_nothing, read_object};
use super::last_segment::LastSegment;
use super::openapi::{Operation, Tag};
use super::scope::{EnvironmentsCreate, EnvironmentsDelete};
use crate::app::{App, SharedApp};
use crate::crypto::Secret;
use crate::db::environments::{self as rows, Environment};
use crate::db::{AccountId, EnvironmentId};
use crate::environments::settings::check_production;
use crate::environments::{self, NewEnvironment, PRODUCTION};
use crate::error::ApiError;

const SET_PRODUCTION: &str = "account:environments:set_production";
/// Key of the signatures of public-key calls.
pub const HMAC_KEY: TextRule = TextRule::length(0, 1000);
const HEADER_NAME: TextRule = TextRule::length(1, 256);
const HEADER_VALUE: TextRule = TextRule::length(1, 4000);
const MAX_HEADERS: usize = 100;

/// The body of `POST /environments`.
struct Submitted {
    name: String,
    is_production: Option<bool>,
    callback_url: Option<String>,
    hmac_key: Option<String>,
    hmac_enabled: Option<bool>,
    slack_notifications: Option<bool>,
    otlp_endpoint: Option<String>,
    otlp_headers: Map<String, Value>,
}

impl Submitted {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        Submitted {
            name: body.required_text("name", &ENVIRONMENT_NAME),
            is_production: body.optional_bool("is_production"),
            callback_url: body.optional_text("callback_url", &URL),
            hmac_key: body.optional_text("hmac_key", &HMAC_KEY),
            hmac_enabled: body.optional_bool("hmac_enabled"),
            slack_notifications: body.optional_bool("slack_notifications"),
            otlp_endpoint: body.optional_text_or_empty("otlp_endpoint", &URL),
            otlp_headers: read_headers(body).unwrap_or_default(),
        }
    }

    /// `prod` is one of production unless the body says otherwise, which is refused later.
    fn is_production(&self) -> bool {
        self.is_production.unwrap_or(self.name == PRODUCTION)
    }

    fn into_new(self) -> NewEnvironment {
        let trimmed = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        NewEnvironment {
            is_production: self.is_production(),
            name: self.name,
            callback_url: self.callback_url.and_then(trimmed),
            hmac_key: self.hmac_key.filter(|key| !key.is_empty()).map(Secret::new),
            hmac_enabled: self.hmac_enabled.unwrap_or_default(),
            slack_notifications: self.slack_notifications.unwrap_or_default(),
            otlp_endpoint: self.otlp_endpoint.and_then(trimmed),
            otlp_headers: self.otlp_headers,
        }
    }
}

/// The member `otlp_headers` by name.
pub fn read_headers(body: &mut ObjectReader<'_>) -> Option<Map<String, Value>> {
    let headers = body.list_of_objects("otlp_headers", MAX_HEADERS, read_header)?;
    // Wire: the last of several headers with one name wins.
    Some(headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}

fn read_header(header: &mut ObjectReader<'_>) -> (String, String) {
    (header.required_text("name", &HEADER_NAME), header.required_text("value", &HEADER_VALUE))
}

#[derive(Serialize, ToSchema)]
pub struct CreatedEnvironment {
    id: i64,
    name: String,
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/environments", "create_environment", "Create an environment")
            .tag(Tag::Environments)
            .key::<EnvironmentsCreate>()
            .no_query()
            .body(Submitted::read)
            .answers_data::<CreatedEnvironment>(200, "The environment; its keys are not shown.")
            .refuses(400, &["invalid_is_prod_flag"])
            .refuses(409, &["conflict"]),
        Operation::delete("/environments/{environmentId}", "delete_environment", "Delete an environment")
            .describe("Deletes everything in it.")
            .tag(Tag::Environments)
            .key::<EnvironmentsDelete>()
            .no_query()
            .path_id("environmentId")
            .answers_nothing(204, "The environment is gone.")
            .refuses(400, &["cannot_delete_prod_environment"])
            .refuses(404, &["not_found"]),
    ]
}

/// Creates an environment with its keys, which are not shown.
pub async fn create_environment(
    State(app): State<SharedApp>,
    key: AccountKey<EnvironmentsCreate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<CreatedEnvironment>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let may_set_production = key.identity.has_scope(SET_PRODUCTION);
    create(&app, key.identity.account_id, may_set_production, body.as_ref()).await
}

/// Creates the environment that the body describes.
pub async fn create(
    app: &App,
    account: AccountId,
    may_set_production: bool,
    body: Option<&Value>,
) -> Result<Json<Data<CreatedEnvironment>>, ApiError> {
    let submitted = read_object(body, Submitted::read).in_body()?;
    if submitted.is_production() && !may_set_production {
        return Err(ApiError::forbidden(format!("This API key needs the scope {SET_PRODUCTION}.")));
    }
    check_production(&submitted.name, &submitted.name, submitted.is_production)?;
    let new = submitted.into_new();
    let id = environments::create_announced(app, account, &new).await?;
    Ok(Json(Data { data: CreatedEnvironment { id: id.0, name: new.name } }))
}

/// Deletes an environment with everything in it.
pub async fn delete_environment(
    State(app): State<SharedApp>,
    key: AccountKey<EnvironmentsDelete>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<StatusCode, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let id = EnvironmentId(segment.read_id("environmentId")?);
    let environment = find_of_account(&app, key.identity.account_id, id).await?;
    delete(&app, &environment).await
}

/// Deletes an environment, unless it is the one called `prod`.
pub async fn delete(app: &App, environment: &Environment) -> Result<StatusCode, ApiError> {
    if environment.name == PRODUCTION {
        let message = format!("The environment {PRODUCTION} cannot be deleted.");
        return Err(ApiError::bad_request("cannot_delete_prod_environment", message));
    }
    if !environments::delete(app, environment.id).await? {
        return Err(unknown());
    }
    tracing::info!(environment.id = environment.id.0, "environment deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// A live environment of the caller's account.
///
/// # Errors
/// 404 `not_found`.
pub async fn find_of_account(
    app: &App,
    account: AccountId,
    id: EnvironmentId,
) -> Result<Environment, ApiError> {
    rows::find_of_account(&app.db, account, id).await?.ok_or_else(unknown)
}

fn unknown() -> ApiError {
    ApiError::not_found("There is no such environment in this account.")
}
