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
use crate::app::SharedApp;
use crate::auth::scopes;
use crate::db::changes::ChangeKind;
use crate::db::{ApiKeyId, EnvironmentId, api_keys};
use crate::environments::announce_change;
use crate::error::ApiError;
use crate::keys::{FULL_ACCESS, KeyOwner, create_api_key};
use crate::time_format::format_millis_z;

const NAME: TextRule = TextRule::length(1, 255);

/// The body of `POST /environment/api-keys`.
struct NewApiKey {
    environment_id: EnvironmentId,
    display_name: String,
    scopes: Vec<String>,
}

impl NewApiKey {
    fn read(body: &mut ObjectReader<'_>) -> Self {
        NewApiKey {
            environment_id: EnvironmentId(body.required_integer_text("environment_id", ROW_ID)),
            display_name: body.required_text("display_name", &NAME),
            scopes: read_scopes(body).unwrap_or_else(|| vec![FULL_ACCESS.to_owned()]),
        }
    }
}

// IMPROVE: upstream makes keys with full access only.
fn read_scopes(body: &mut ObjectReader<'_>) -> Option<Vec<String>> {
    body.describes(
        "scopes",
        || json!({"type": "array", "items": {"enum": scopes::OF_ENVIRONMENT}, "minItems": 1}),
    );
    let items = body.optional_list("scopes", scopes::OF_ENVIRONMENT.len())?;
    if items.is_empty() {
        body.issue(IssueCode::TooSmall, "scopes", "must have at least 1 item");
    }
    let mut chosen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.as_str().filter(|scope| scopes::OF_ENVIRONMENT.contains(scope)) {
            Some(scope) => chosen.push(scope.to_owned()),
            None => {
                let message = "must be a scope of environments";
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
            .body(NewApiKey::read)
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
    let new = read_object(body.as_ref(), NewApiKey::read).in_body()?;
    let account_id = key.identity.account_id;
    let environment = find_of_account(&app, account_id, new.environment_id).await?.id;
    let owner = KeyOwner { account_id, environment_id: Some(environment) };
    let created = create_api_key(&app, owner, &new.display_name, &new.scopes).await?;
    announce_change(&app, ChangeKind::ApiKey, environment, created.id.0).await?;
    tracing::info!(environment.id = environment.0, api_key.id = created.id.0, "API key created");
    let data = CreatedApiKey {
        id: created.id.0,
        display_name: new.display_name,
        scopes: new.scopes,
        secret: created.secret.expose().to_owned(),
        created_at: format_millis_z(created.created_at),
    };
    Ok(Json(Data { data }))
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
    find_of_account(&app, key.identity.account_id, environment_id).await?;
    if !api_keys::delete(&app.db, environment_id, key_id, app.clock.now()).await? {
        return Err(ApiError::not_found("There is no such API key in this environment."));
    }
    announce_change(&app, ChangeKind::ApiKey, environment_id, key_id.0).await?;
    tracing::info!(environment.id = environment_id.0, api_key.id = key_id.0, "API key deleted");
    Ok(Json(Done::YES))
}
