//! Bodies on routes without the content-type guard: JSON or a form.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde_json::Value;

use super::input::parse_query;
use super::json::{parse_json, read_limited};
use crate::app::SharedApp;
use crate::error::ApiError;

/// The body as a value; `None` when there is none, or when its type is not one that is read here.
pub struct LooseBody(pub Option<Value>);

impl FromRequest<SharedApp> for LooseBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let is_json = content_type.starts_with("application/json");
        let is_form = content_type.starts_with("application/x-www-form-urlencoded");
        if !is_json && !is_form {
            return Ok(LooseBody(None));
        }
        let bytes = read_limited(&parts.headers, body, app.config.http.body_limit).await?;
        let value = if is_json { parse_json(&bytes)? } else { parse_query(&bytes) };
        Ok(LooseBody(Some(value)))
    }
}
