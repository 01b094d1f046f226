//! The functions of an integration (`spec` http-api, section 7.8). Nothing can be deployed to this version, so there are
//! none: lists are empty and no name is found.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::body::Done;
use super::extract::{IntoApiError, PathTree, QueryTree, SecretKey};
use super::input::formats::{FUNCTION_NAME, PROVIDER_CONFIG_KEY};
use super::input::{IssueCode, ObjectReader, ROW_ID, TextRule, read_object};
use super::integrations::find_row;
use super::openapi::{Operation, Tag};
use super::scope::{FunctionsDelete, FunctionsList, FunctionsRead};
use crate::app::{App, SharedApp};
use crate::db::EnvironmentId;
use crate::error::ApiError;

const KINDS: [(&str, ()); 3] = [("sync", ()), ("action", ()), ("on-event", ())];
/// Kinds that can be deleted alone.
const DELETABLE: [(&str, ()); 2] = [("sync", ()), ("action", ())];
const SEARCH: TextRule = TextRule::length(1, 255);

struct Page {
    page: i64,
    limit: i64,
}

impl Page {
    fn read(query: &mut ObjectReader<'_>) -> Self {
        query.optional_one_of("type", &KINDS);
        let search = query.optional_text("search", &SEARCH);
        if search.is_some_and(|text| !text.is_empty() && text.trim().is_empty()) {
            query.issue(IssueCode::TooSmall, "search", "must have at least 1 character");
        }
        Page {
            page: query.integer_text("page", 0..=*ROW_ID.end()).unwrap_or(0),
            limit: query.integer_text("limit", 1..=100).unwrap_or(20),
        }
    }
}

fn read_deletable(query: &mut ObjectReader<'_>) {
    query.required_one_of("type", &DELETABLE);
}

fn read_kind(query: &mut ObjectReader<'_>) {
    query.optional_one_of("type", &KINDS);
}

/// The integration's key and the name of one of its functions.
fn read_path(path: &mut ObjectReader<'_>) -> String {
    let unique_key = path.required_text("uniqueKey", &PROVIDER_CONFIG_KEY);
    path.required_text("name", &FUNCTION_NAME);
    unique_key
}

/// Where a list is cut.
#[derive(Serialize, ToSchema)]
struct Pagination {
    total: i64,
    page: i64,
    limit: i64,
}

/// One page of functions.
#[derive(Serialize, ToSchema)]
pub struct FunctionPage {
    #[schema(value_type = Vec<Object>)]
    data: [Value; 0],
    pagination: Pagination,
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const LIST: &str = "/integrations/{uniqueKey}/functions";
    const ONE: &str = "/integrations/{uniqueKey}/functions/{name}";
    const CODE: &str = "/integrations/{uniqueKey}/functions/{name}/code";
    let named = |operation: Operation| {
        operation
            .tag(Tag::Functions)
            .path_text("uniqueKey", &PROVIDER_CONFIG_KEY)
            .path_text("name", &FUNCTION_NAME)
            .refuses(404, &["not_found"])
    };
    let function =
        json!({"type": "object", "properties": {"data": {"type": "object"}}, "required": ["data"]});
    vec![
        Operation::get(LIST, "list_functions", "List the functions of an integration")
            .tag(Tag::Functions)
            .key::<FunctionsList>()
            .query(Page::read)
            .path_text("uniqueKey", &PROVIDER_CONFIG_KEY)
            .answers::<FunctionPage>(200, "One page.")
            .refuses(404, &["not_found"]),
        named(Operation::get(ONE, "get_function", "Read a function").key::<FunctionsRead>().query(read_kind))
            .answers_schema(200, "The function.", function.clone()),
        named(Operation::get(CODE, "get_function_code", "Read the code of a function"))
            .key::<FunctionsRead>()
            .query(read_kind)
            .answers_schema(200, "The code.", function),
        named(Operation::delete(ONE, "delete_function", "Delete a function"))
            .key::<FunctionsDelete>()
            .query(read_deletable)
            .answers::<Done>(200, "The function is gone."),
    ]
}

/// Functions of an integration, page by page.
pub async fn list_functions(
    State(app): State<SharedApp>,
    key: SecretKey<FunctionsList>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<FunctionPage>, ApiError> {
    let Page { page, limit } = read_object(Some(&query), Page::read).in_query()?;
    let unique_key =
        read_object(Some(&path), |path| path.required_text("uniqueKey", &PROVIDER_CONFIG_KEY)).in_path()?;
    find_row(&app, key.environment.id, &unique_key).await?;
    Ok(Json(FunctionPage { data: [], pagination: Pagination { total: 0, page, limit } }))
}

/// One function.
pub async fn get_function(
    State(app): State<SharedApp>,
    key: SecretKey<FunctionsRead>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<Value>, ApiError> {
    read_object(Some(&query), read_kind).in_query()?;
    let unique_key = read_object(Some(&path), read_path).in_path()?;
    refuse(&app, key.environment.id, &unique_key).await
}

/// The source of a function.
pub async fn get_function_code(
    State(app): State<SharedApp>,
    key: SecretKey<FunctionsRead>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<Value>, ApiError> {
    // Wire: this route judges the path before the query.
    let unique_key = read_object(Some(&path), read_path).in_path()?;
    read_object(Some(&query), read_kind).in_query()?;
    refuse(&app, key.environment.id, &unique_key).await
}

/// Deletes a function that was deployed alone.
pub async fn delete_function(
    State(app): State<SharedApp>,
    key: SecretKey<FunctionsDelete>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<Value>, ApiError> {
    read_object(Some(&query), read_deletable).in_query()?;
    let unique_key = read_object(Some(&path), read_path).in_path()?;
    refuse(&app, key.environment.id, &unique_key).await
}

/// 404, for the integration or else for the function.
async fn refuse<T>(app: &App, environment: EnvironmentId, unique_key: &str) -> Result<T, ApiError> {
    find_row(app, environment, unique_key).await?;
    Err(ApiError::not_found("The integration has no such function."))
}
