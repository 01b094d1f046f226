//! API keys of environments over HTTP (`spec` http-api, sections 11.3 and 11.4), for keys of the account.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::body::{Data, Done};
use super::environments::find_of_account;
use super::extract::{AccountKey, IntoApiError, JsonBody, QueryTree};
use super::input::{IssueCode, ObjectReader, ROW_ID, TextRule, read_nothing, read_object};
use super::openapi::{Operation, Tag};
use super::scope::{EnvironmentKeysCreate, EnvironmentKeysDelete};
use crate::app::{App, SharedApp};
use crate::auth::scopes;
use crate::db::{ApiKeyId, EnvironmentId};
use crate::error::ApiError;
use crate::keys::{FULL_ACCESS, KeyOwner, NewApiKey, create_api_key, delete_api_key};
use crate::time_format::format_millis_z;

/// The name of a key.
pub const NAME: TextRule = TextRule::length(1, 255);

/// The body of `POST /environment/api-keys`.
struct Submitted {
    environment_id: EnvironmentId,
    display_name: String,
    scopes: Vec<String>,
}

impl Submitted {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        Submitted {
            environment_id: EnvironmentId(body.required_integer_text("environment_id", ROW_ID)),
            display_name: body.required_text("display_name", &NAME),
            scopes: read_scopes(body, scopes::OF_ENVIRONMENT).unwrap_or_else(|| vec![FULL_ACCESS.to_owned()]),
        }
    }
}

/// The member `scopes`: at least one of `allowed`.
// IMPROVE: upstream makes keys with full access only.
pub fn read_scopes(body: &mut ObjectReader<'_>, allowed: &[&str]) -> Option<Vec<String>> {
    body.describes("scopes", || json!({"type": "array", "items": {"enum": allowed}, "minItems": 1}));
    let items = body.optional_list("scopes", allowed.len())?;
    if items.is_empty() {
        body.issue(IssueCode::TooSmall, "scopes", "must have at least 1 item");
    }
    let mut chosen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.as_str().filter(|scope| allowed.contains(scope)) {
            Some(scope) => chosen.push(scope.to_owned()),
            None => {
                let message = format!("must be one of {}", allowed.join(", "));
                body.issue_at_item(IssueCode::InvalidValue, "scopes", index, message);
            }
        }
    }
    Some(chosen)
}

/// An API key as the answer to its creation shows it.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    id: i64,
    display_name: String,
    scopes: Vec<String>,
    secret: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const PATH: &str = "/environment/api-keys";
    vec![
        Operation::post(PATH, "create_environment_key", "Create an API key of an environment")
            .tag(Tag::Environments)
            .key::<EnvironmentKeysCreate>()
            .no_query()
            .body(Submitted::read)
            .answers_data::<CreatedApiKey>(200, "The key. Its secret is shown only here.")
            .refuses(400, &["resource_capped"])
            .refuses(404, &["not_found"])
            .refuses(409, &["conflict"]),
        Operation::delete(PATH, "delete_environment_key", "Revoke an API key of an environment")
            .tag(Tag::Environments)
            .key::<EnvironmentKeysDelete>()
            .no_query()
            .body(Revocation::read)
            .answers::<Done>(200, "The key is revoked.")
            .refuses(404, &["not_found"]),
    ]
}

/// Makes an API key; the only answer that shows its secret.
pub async fn create_environment_key(
    State(app): State<SharedApp>,
    key: AccountKey<EnvironmentKeysCreate>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Data<CreatedApiKey>>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let new = read_object(body.as_ref(), Submitted::read).in_body()?;
    let account_id = key.identity.account_id;
    let environment = find_of_account(&app, account_id, new.environment_id).await?.id;
    let owner = KeyOwner { account_id, environment_id: Some(environment) };
    let data = make_key(&app, owner, new.display_name, new.scopes).await?;
    Ok(Json(Data { data }))
}

/// Makes a key and shows it, this one time with its secret.
pub async fn make_key(
    app: &App,
    owner: KeyOwner,
    display_name: String,
    scopes: Vec<String>,
) -> Result<CreatedApiKey, ApiError> {
    let new = NewApiKey { display_name: &display_name, scopes: &scopes, secret: None };
    let created = create_api_key(app, owner, new).await?;
    Ok(CreatedApiKey {
        id: created.id.0,
        display_name,
        scopes,
        secret: created.secret.expose().to_owned(),
        created_at: format_millis_z(created.created_at),
    })
}

/// The body of `DELETE /environment/api-keys`.
struct Revocation {
    environment_id: EnvironmentId,
    key_id: ApiKeyId,
}

impl Revocation {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        Revocation {
            environment_id: EnvironmentId(body.required_integer_text("environment_id", ROW_ID)),
            key_id: ApiKeyId(body.required_integer_text("key_id", ROW_ID)),
        }
    }
}

/// Revokes an API key at once, even the last one of its environment.
pub async fn delete_environment_key(
    State(app): State<SharedApp>,
    key: AccountKey<EnvironmentKeysDelete>,
    QueryTree(query): QueryTree,
    JsonBody(body): JsonBody,
) -> Result<Json<Done>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let Revocation { environment_id, key_id } = read_object(body.as_ref(), Revocation::read).in_body()?;
    let account_id = key.identity.account_id;
    find_of_account(&app, account_id, environment_id).await?;
    revoke_key(&app, KeyOwner { account_id, environment_id: Some(environment_id) }, key_id).await
}

/// Revokes a key of this owner.
///
/// # Errors
/// 404 `not_found`.
pub async fn revoke_key(app: &App, owner: KeyOwner, id: ApiKeyId) -> Result<Json<Done>, ApiError> {
    if !delete_api_key(app, owner, id).await? {
        return Err(ApiError::not_found("There is no such API key."));
    }
    Ok(Json(Done::YES))
}
