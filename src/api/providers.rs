//! The provider catalog over HTTP: the list, one provider, the raw file, and a picture for each name.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::extract::{AnyAddress, IntoApiError, KeyOrSession, PathTree, QueryTree, SecretKey};
use super::input::formats::{PROVIDER_CONFIG_KEY, PROVIDER_NAME};
use super::input::{ObjectReader, TextRule, read_nothing, read_object};
use super::last_segment::LastSegment;
use super::monogram::monogram;
use super::openapi::{Caller, Operation, Tag};
use super::preference::{preferred_coding, preferred_language};
use super::scope::AnyInEnvironment;
use crate::app::SharedApp;
use crate::error::ApiError;
use crate::published::PreparedBody;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const VARY_LANGUAGE: HeaderValue = HeaderValue::from_static("accept-encoding, accept-language");

/// `<provider>.svg`.
const FILE: TextRule = TextRule::length(1, 260);

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const LOGO: &str = "/images/template-logos/{file}";
    // The definition is data of the catalog and is passed on as it is; these members are always there.
    let provider = json!({
        "type": "object",
        "description": "A provider in the grammar of the catalog.",
        "required": ["name", "display_name", "auth_mode", "logo_url"],
        "properties": {
            "name": {"type": "string"},
            "display_name": {"type": "string"},
            "auth_mode": {"type": "string"},
            "logo_url": {"type": "string"},
        },
    });
    let one = json!({"type": "object", "properties": {"data": provider}, "required": ["data"]});
    let list = |items| json!({"type": "object", "properties": {"data": {"type": "array", "items": items}}, "required": ["data"]});
    let all = json!({"type": "object", "additionalProperties": {"type": "object"}});
    vec![
        Operation::get("/providers", "list_providers", "List providers")
            .tag(Tag::Providers)
            .key_or_session::<AnyInEnvironment>()
            .query(read_search)
            .answers_schema(200, "The providers whose name contains `search`, or all.", list(provider)),
        Operation::get("/providers/{provider}", "get_provider", "Read a provider")
            .tag(Tag::Providers)
            .key_or_session::<AnyInEnvironment>()
            .no_query()
            .path_text("provider", &PROVIDER_NAME)
            .answers_schema(200, "The provider.", one)
            .refuses(404, &["not_found"]),
        Operation::get("/providers/{provider}/templates", "list_templates", "List ready-made functions")
            .describe("This server comes with none.")
            .tag(Tag::Providers)
            .key::<AnyInEnvironment>()
            .no_query()
            .path_text("provider", &PROVIDER_NAME)
            .answers_schema(200, "None.", list(json!({"type": "object"}))),
        Operation::get("/providers.json", "get_raw_catalog", "Read the whole catalog")
            .tag(Tag::Providers)
            .caller(Caller::Address)
            .answers_schema(200, "Every provider under its name.", all),
        Operation::get(LOGO, "get_template_logo", "Read a picture for a provider")
            .tag(Tag::Providers)
            .path_text("file", &FILE)
            .answers_with(200, "A picture with initials.", "image/svg+xml", json!({"type": "string"}))
            .refuses(404, &["not_found"]),
    ]
}

fn read_search(query: &mut ObjectReader<'_>) -> Option<String> {
    query.optional_text("search", &PROVIDER_CONFIG_KEY)
}

/// All providers, or those whose name contains `search`, as published.
pub async fn list_providers(
    State(app): State<SharedApp>,
    _caller: KeyOrSession<AnyInEnvironment>,
    QueryTree(query): QueryTree,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let search = read_object(Some(&query), read_search).in_query()?;
    let published = app.published.of(&app.catalog, &app.config.http.public_server_url);
    let language = preferred_language(&headers);
    Ok(match search {
        None => answer_prepared(published.list(language), &headers, VARY_LANGUAGE).await,
        Some(text) => {
            ([(header::CONTENT_TYPE, JSON), (header::VARY, VARY_LANGUAGE)], published.search(&text, language))
                .into_response()
        }
    })
}

/// Sends a prepared body in the coding that the caller prefers.
async fn answer_prepared(body: &PreparedBody, headers: &HeaderMap, vary: HeaderValue) -> Response {
    let coding = preferred_coding(headers);
    let mut response = body.encoded(coding).await.into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, JSON);
    answer.insert(header::VARY, vary);
    if let Ok(tag) = HeaderValue::from_str(body.tag()) {
        answer.insert(header::ETAG, tag);
    }
    if let Some(coding) = coding {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    response
}

/// One provider.
pub async fn get_provider(
    State(app): State<SharedApp>,
    _caller: KeyOrSession<AnyInEnvironment>,
    QueryTree(query): QueryTree,
    headers: HeaderMap,
    segment: LastSegment,
) -> Result<Response, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    let name = segment.read("provider", &PROVIDER_NAME)?;
    let catalog = app.catalog.load();
    let provider =
        catalog.get(&name).ok_or_else(|| ApiError::not_found("The catalog has no such provider."))?;
    let language = preferred_language(&headers);
    let data = catalog.public_json(provider, &app.config.http.public_server_url, language);
    Ok(([(header::VARY, VARY_LANGUAGE)], Json(json!({ "data": data }))).into_response())
}

/// Ready-made functions for a provider: this server comes with none, for known and unknown names alike.
pub async fn list_templates(
    _key: SecretKey<AnyInEnvironment>,
    QueryTree(query): QueryTree,
    PathTree(path): PathTree,
) -> Result<Json<Value>, ApiError> {
    read_nothing(Some(&query)).in_query()?;
    read_object(Some(&path), |path| path.required_text("provider", &PROVIDER_NAME)).in_path()?;
    Ok(Json(json!({ "data": [] })))
}

/// The whole catalog as one object. Public, limited by address.
pub async fn get_raw_catalog(
    _caller: AnyAddress<1>,
    State(app): State<SharedApp>,
    headers: HeaderMap,
) -> Response {
    let published = app.published.of(&app.catalog, &app.config.http.public_server_url);
    answer_prepared(published.raw(), &headers, HeaderValue::from_static("accept-encoding")).await
}

/// A picture with the initials of a provider: the catalog comes without logos. Public.
pub async fn get_template_logo(
    State(app): State<SharedApp>,
    segment: LastSegment,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("There is no such picture.");
    let file = segment.read("file", &FILE)?;
    let name = file.strip_suffix(".svg").filter(|name| PROVIDER_NAME.accepts(name)).ok_or_else(missing)?;
    let catalog = app.catalog.load();
    let title = catalog.get(name).map_or(name, |provider| &provider.display_name);
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=3600")];
    Ok((headers, monogram(name, title)).into_response())
}
