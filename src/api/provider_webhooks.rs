//! `POST /webhook/:environmentUuid/:providerConfigKey`: webhooks of providers (`spec` http-api, section 16). Public: what a
//! request proves is judged by `webhooks::incoming`.

use axum::Json;
use axum::body::Body as RequestBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::edge::RateLimitSlot;
use super::extract::{IntoApiError, PathTree};
use super::input::formats::{PROVIDER_CONFIG_KEY, UUID};
use super::input::{ObjectReader, parse_query, read_object};
use super::json::{has_storable_numbers, read_limited};
use super::openapi::{Operation, Tag};
use crate::app::{App, SharedApp};
use crate::crypto::sha256;
use crate::db::environments::{self, Environment};
use crate::error::{ApiError, ERROR_HEADER};
use crate::integrations::{self, OpenIntegration};
use crate::limiter::Bucket;
use crate::webhooks::incoming::{Arrival, Body, COMPLETION_FAILED, IncomingError, Outcome, Refusal, receive};

/// No provider sends more (GitHub's limit), and anybody may send this much.
const LARGEST_BODY: u64 = 25 << 20;

/// This route in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    const PATH: &str = "/webhook/{environmentUuid}/{providerConfigKey}";
    let text = json!({"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]});
    let either = json!({"anyOf": [text, {"$ref": "#/components/schemas/Error"}]});
    let anything = || json!({});
    vec![
        Operation::post(PATH, "receive_provider_webhook", "Receive a webhook of a provider")
            .describe(
                "For providers. The catalog says how a request is verified, which connections it is about and what the \
                 provider wants to hear; the webhook is passed on to the environment's webhook addresses.",
            )
            .tag(Tag::Webhooks)
            .path_text("environmentUuid", &UUID)
            .path_text("providerConfigKey", &PROVIDER_CONFIG_KEY)
            .body_schema("*/*", anything(), false)
            .answers_with(200, "Accepted, or the answer to a handshake.", "application/json", anything())
            .answers_with(200, "", "text/plain", json!({"type": "string"}))
            .answers_nothing(204, "The catalog does not describe webhooks of this provider.")
            .answers_schema(400, "", either.clone())
            .answers_schema(401, "", either.clone())
            .answers_schema(409, "", either.clone())
            .answers_schema(500, "", either)
            .refuses(400, &["invalid_body", "invalid_json"])
            .refuses(400, &refusals_with(StatusCode::BAD_REQUEST))
            .refuses(401, &refusals_with(StatusCode::UNAUTHORIZED))
            .refuses(404, &["unknown_environment", "unknown_provider_config"])
            .refuses(409, &refusals_with(StatusCode::CONFLICT))
            .refuses(413, &["request_too_large"])
            .refuses(429, &["too_many_request"])
            .refuses(500, &[COMPLETION_FAILED]),
    ]
}

fn read_path(path: &mut ObjectReader<'_>) -> (String, String) {
    let environment = path.required_text("environmentUuid", &UUID);
    (environment, path.required_text("providerConfigKey", &PROVIDER_CONFIG_KEY))
}

/// Takes a provider's webhook.
pub async fn receive_provider_webhook(
    State(app): State<SharedApp>,
    PathTree(path): PathTree,
    request: Request,
) -> Result<Response, ApiError> {
    let (uuid, unique_key) = read_object(Some(&path), read_path).in_path()?;
    let slot = request.extensions().get::<RateLimitSlot>().cloned().unwrap_or_default();
    limit(&app, &slot, &uuid, &unique_key).await?;
    let (environment, integration) = find(&app, &uuid, &unique_key).await?;
    let (parts, body) = request.into_parts();
    let arrival = read(&app, &parts.headers, &parts.uri, body).await?;
    match receive(&app, &environment, &integration, &arrival).await {
        Ok(outcome) => Ok(answer(outcome)),
        Err(IncomingError::Refused(refusal)) => Ok(refuse(&integration, refusal)),
        Err(IncomingError::Completion(error)) => {
            tracing::warn!(
                integration.id = integration.row.id.0, error = %error, "a waiting connection could not be completed"
            );
            let message = "The connection that waited for this could not be completed.";
            Ok(refusal_answer(StatusCode::INTERNAL_SERVER_ERROR, COMPLETION_FAILED, message))
        }
        Err(IncomingError::Failed(error)) => Err(error),
    }
}

/// Counts the request; refuses it above the limit when the operator wants that.
async fn limit(app: &App, slot: &RateLimitSlot, uuid: &str, unique_key: &str) -> Result<(), ApiError> {
    let limits = &app.config.limits;
    if limits.incoming_webhooks == 0 {
        return Ok(());
    }
    let digest = sha256(format!("{}\n{unique_key}", uuid.to_lowercase()).as_bytes());
    let mut name = [0; 16];
    name.copy_from_slice(&digest[..16]);
    let mut usage =
        app.limiter.take(Bucket::Webhook(name), 1, limits.incoming_webhooks, app.clock.now()).await;
    usage.is_blocked &= limits.refuses_webhooks;
    slot.set(usage);
    if !usage.is_blocked {
        return Ok(());
    }
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_request", String::new());
    Err(error.without_message())
}

async fn find(app: &App, uuid: &str, unique_key: &str) -> Result<(Environment, OpenIntegration), ApiError> {
    // The rule let only UUIDs pass.
    let uuid = Uuid::parse_str(uuid).unwrap_or_default();
    let environment = environments::find_by_uuid(&app.db, uuid).await?;
    let environment = environment.ok_or_else(|| missing("unknown_environment"))?;
    let integration = integrations::find(app, environment.id, unique_key).await?;
    Ok((environment, integration.ok_or_else(|| missing("unknown_provider_config"))?))
}

fn missing(code: &'static str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, code, String::new()).without_message()
}

async fn read(app: &App, headers: &HeaderMap, uri: &Uri, body: RequestBody) -> Result<Arrival, ApiError> {
    let raw = read_limited(headers, body, app.config.http.body_limit.min(LARGEST_BODY)).await?;
    let path_and_query = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let query = match parse_query(uri.query().unwrap_or_default().as_bytes()) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let body = parse(headers, &raw);
    Ok(Arrival { headers: headers.clone(), path_and_query, query, raw, body })
}

/// What the bytes mean. Providers that say nothing about their JSON, or call it a text, are understood all the same.
fn parse(headers: &HeaderMap, raw: &Bytes) -> Body {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let content_type = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    if raw.is_empty() {
        return Body::Value(json!({}));
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        return Body::Value(parse_query(raw));
    }
    let parsed = serde_json::from_slice(raw).ok().filter(has_storable_numbers);
    let is_json = content_type.split(';').next().is_some_and(|media| media.trim().ends_with("json"));
    match parsed {
        Some(value) if is_json || matches!(value, Value::Object(_) | Value::Array(_)) => Body::Value(value),
        _ if is_json => Body::Broken,
        _ => Body::Value(Value::String(String::from_utf8_lossy(raw).into_owned())),
    }
}

fn answer(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Accepted => Json(json!({"status": "success"})).into_response(),
        Outcome::Repeated => Json(json!({"status": "duplicate"})).into_response(),
        Outcome::NotHandled => StatusCode::NO_CONTENT.into_response(),
        Outcome::Text(text) => text.into_response(),
        Outcome::Json(value) => Json(value).into_response(),
        Outcome::Headers(headers) => (headers, Json(json!({"status": "success"}))).into_response(),
    }
}

fn refuse(integration: &OpenIntegration, refusal: Refusal) -> Response {
    tracing::info!(
        integration.id = integration.row.id.0,
        error.code = refusal.code(),
        "a webhook of a provider was refused"
    );
    refusal_answer(status(refusal), refusal.code(), refusal.sentence())
}

fn status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::InvalidSignature
        | Refusal::MissingSignature
        | Refusal::MissingToken
        | Refusal::InvalidSecret => StatusCode::UNAUTHORIZED,
        Refusal::InProgress => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn refusals_with(wanted: StatusCode) -> Vec<&'static str> {
    let with_status = Refusal::ALL.into_iter().filter(|refusal| status(*refusal) == wanted);
    with_status.map(Refusal::code).collect()
}

// Wire: a text where other routes have an object.
fn refusal_answer(status: StatusCode, code: &'static str, message: &str) -> Response {
    let mut response = (status, Json(json!({"error": format!("{code}: {message}")}))).into_response();
    response.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static(code));
    response
}
