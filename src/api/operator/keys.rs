//! `/api/v1/environment/api-keys` and `/api/v1/account/api-keys`: keys by name. A secret is shown once, when it is made.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Operator, OperatorOf};
use crate::api::api_keys::{CreatedApiKey, NAME, make_key, read_scopes, revoke_key};
use crate::api::body::{Data, Done};
use crate::api::extract::{IntoApiError, JsonBody, QueryTree};
use crate::api::input::{ObjectReader, read_nothing, read_object};
use crate::api::last_segment::LastSegment;
use crate::api::scope::{AccountEverything, EnvironmentKeysCreate, EnvironmentKeysDelete};
use crate::app::{App, SharedApp};
use crate::auth::scopes;
use crate::db::api_keys::{self, ListedKey};
use crate::db::environments::Environment;
use crate::db::{AccountId, ApiKeyId};
use crate::error::ApiError;
use crate::keys::{FULL_ACCESS, FULL_ACCOUNT_ACCESS, KeyOwner};
use crate::time_format::format_millis_z;

/// A key to be made: its name and its scopes.
struct Submitted {
    display_name: String,
    scopes: Vec<String>,
}

impl Submitted {
    fn read(body: &mut ObjectReader<'_>, allowed: &[&str], everything: &str) -> Self {
        Submitted {
            display_name: body.required_text("display_name", &NAME),
            scopes: read_scopes(body, allowed).unwrap_or_else(|| vec![everything.to_owned()]),
        }
    }
}

fn of_environment(environment: &Environment) -> KeyOwner {
    KeyOwner { account_id: environment.account_id, environment_id: Some(environment.id) }
}

fn of_account(account_id: AccountId) -> KeyOwner {
    KeyOwner { account_id, environment_id: None }
}

/// The keys of an environment, without their secrets.
pub async fn list_environment_keys(
    State(app): State<SharedApp>,
    caller: OperatorOf<AccountEverything>,
) -> Result<Json<Value>, ApiError> {
    list(&app, of_environment(&caller.environment)).await
}

/// Makes a key of an environment; the only answer that shows its secret.
pub async fn create_environment_key(
    State(app): State<SharedApp>,
    caller: OperatorOf<EnvironmentKeysCreate>,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<CreatedApiKey>>, ApiError> {
    let read = |body: &mut ObjectReader<'_>| Submitted::read(body, scopes::OF_ENVIRONMENT, FULL_ACCESS);
    let new = read_object(body.as_ref(), read).in_body()?;
    make(&app, of_environment(&caller.environment), new).await
}

/// Revokes a key of an environment.
pub async fn delete_environment_key(
    State(app): State<SharedApp>,
    caller: OperatorOf<EnvironmentKeysDelete>,
    segment: LastSegment,
) -> Result<Json<Done>, ApiError> {
    revoke_key(&app, of_environment(&caller.environment), ApiKeyId(segment.read_id("keyId")?)).await
}

/// The keys of the account, without their secrets.
pub async fn list_account_keys(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
) -> Result<Json<Value>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    list(&app, of_account(operator.account_id)).await
}

/// Makes a key of the account; the only answer that shows its secret.
pub async fn create_account_key(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<CreatedApiKey>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let read = |body: &mut ObjectReader<'_>| Submitted::read(body, scopes::OF_ACCOUNT, FULL_ACCOUNT_ACCESS);
    let new = read_object(body.as_ref(), read).in_body()?;
    make(&app, of_account(operator.account_id), new).await
}

/// Revokes a key of the account, even the caller's own.
pub async fn delete_account_key(
    State(app): State<SharedApp>,
    operator: Operator<AccountEverything>,
    QueryTree(query): QueryTree,
    segment: LastSegment,
) -> Result<Json<Done>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    revoke_key(&app, of_account(operator.account_id), ApiKeyId(segment.read_id("keyId")?)).await
}

async fn make(app: &App, owner: KeyOwner, new: Submitted) -> Result<Json<Data<CreatedApiKey>>, ApiError> {
    let data = make_key(app, owner, new.display_name, new.scopes).await?;
    Ok(Json(Data { data }))
}

async fn list(app: &App, owner: KeyOwner) -> Result<Json<Value>, ApiError> {
    let keys = api_keys::list(&app.db, owner.account_id, owner.environment_id, app.clock.now()).await?;
    let data: Vec<Value> = keys.iter().map(show).collect();
    Ok(Json(json!({ "data": data })))
}

fn show(key: &ListedKey) -> Value {
    json!({
        "id": key.id,
        "display_name": key.display_name,
        "scopes": key.scopes,
        "last_used_at": key.last_used_at.map(format_millis_z),
        "created_at": format_millis_z(key.created_at),
    })
}
