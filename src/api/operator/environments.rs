//! `/api/v1/environments`: listing, reading, making, changing and deleting environments.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::input::read_environment_patch;
use super::{AnyAuthenticated, Authenticated, Operator, OperatorOf};
use crate::api::body::Data;
use crate::api::environments::{CreatedEnvironment, create, delete};
use crate::api::extract::{IntoApiError, JsonBody, QueryTree};
use crate::api::input::formats::ENVIRONMENT_NAME;
use crate::api::input::{read_nothing, read_object};
use crate::api::own_environment::{SigningKey, rotate};
use crate::api::scope::{AccountEverything, EnvironmentsCreate, EnvironmentsDelete};
use crate::app::{App, SharedApp};
use crate::db::api_keys::{self, KeyKind};
use crate::db::environments::{self as rows, Environment};
use crate::environments::settings;
use crate::error::ApiError;
use crate::time_format::format_millis_z;

const SET_PRODUCTION: &str = "account:environments:set_production";

/// The environments of the account. A key of an environment sees their names alone: the command line tool of functions
/// lets its user choose among them.
pub async fn list_environments(
    State(app): State<SharedApp>,
    AnyAuthenticated(caller): AnyAuthenticated,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    let only = read_object(Some(&query), |query| query.optional_text("env", &ENVIRONMENT_NAME)).in_query()?;
    let (account, sees_names_only) = match &caller {
        Authenticated::Password(account) => (*account, false),
        Authenticated::Key(key) => (key.account_id, !key.has_scope("account:*")),
    };
    let show = |environment: Environment| {
        if sees_names_only {
            return json!({ "name": environment.name });
        }
        json!({
            "id": environment.id,
            "uuid": environment.uuid,
            "name": environment.name,
            "is_production": environment.is_production,
        })
    };
    let found = rows::list_of_account(&app.db, account).await?;
    let wanted = found.into_iter().filter(|one| only.as_ref().is_none_or(|only| one.name == *only));
    let data: Vec<Value> = wanted.map(show).collect();
    Ok(Json(json!({ "data": data })))
}

/// Makes an environment; the body is that of `POST /environments`.
pub async fn create_environment(
    State(app): State<SharedApp>,
    operator: Operator<EnvironmentsCreate>,
    AnyAuthenticated(caller): AnyAuthenticated,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<CreatedEnvironment>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let may_set_production = match &caller {
        Authenticated::Password(_) => true,
        Authenticated::Key(key) => key.has_scope(SET_PRODUCTION),
    };
    create(&app, operator.account_id, may_set_production, body.as_ref()).await
}

/// Everything that can be set of one environment, its secrets included.
pub async fn get_environment(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "data": show(&app, &caller.environment).await? })))
}

/// Changes an environment; what the body does not name stays.
pub async fn update_environment(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let patch = read_object(body.as_ref(), read_environment_patch).in_body()?;
    settings::change(&app, caller.environment.id, patch).await?;
    tracing::info!(environment.id = caller.environment.id.0, "environment changed");
    Ok(Json(json!({ "data": show(&app, &caller.environment).await? })))
}

/// Deletes an environment with everything in it.
pub async fn delete_environment(
    State(app): State<SharedApp>,
    caller: OperatorOf<EnvironmentsDelete>,
) -> Result<StatusCode, ApiError> {
    delete(&app, &caller.environment).await
}

/// Replaces the key that webhooks are signed with; the answer shows the new one.
pub async fn rotate_signing_key(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
) -> Result<Json<Data<SigningKey>>, ApiError> {
    rotate(&app, &caller.environment).await
}

async fn show(app: &App, environment: &Environment) -> Result<Value, ApiError> {
    let found = rows::find_settings(&app.db, environment.id).await?;
    let row = found.ok_or_else(|| ApiError::not_found("There is no such environment."))?;
    let secrets = settings::open_secrets(app, &row)?;
    let sealed = api_keys::find_secret(&app.db, environment.id, KeyKind::WebhookSigning).await?;
    let signing_key = sealed.map(|sealed| app.cipher.open_text(&sealed)).transpose()?;
    let headers = secrets.otlp_headers.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    Ok(json!({
        "id": environment.id,
        "uuid": row.uuid,
        "name": row.name,
        "is_production": row.is_production,
        "public_key": row.public_key,
        "callback_url": row.callback_url,
        "hmac_enabled": row.hmac_enabled,
        "hmac_key": secrets.hmac_key.as_ref().map(|key| key.expose()),
        "slack_notifications": row.slack_notifications,
        "otlp_endpoint": row.otlp_endpoint,
        "otlp_headers": headers.collect::<Vec<_>>(),
        "webhook_signing_key": signing_key.as_ref().map(|key| key.expose()),
        "created_at": format_millis_z(row.created_at),
    }))
}
