//! The key at the end of a path, for handlers that serve `/things/{key}` and also the literal beside it: on
//! `/connections/metadata` a `GET` still means the connection called `metadata` (`spec` http-api, section 1.1).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::extract::IntoApiError;
use super::input::{TextRule, read_object};
use crate::error::ApiError;

/// The last segment of the path, percent-decoded once.
pub struct LastSegment(String);

impl LastSegment {
    /// The segment as the parameter `name`, under its rule.
    ///
    /// # Errors
    /// 400 `invalid_uri_params`.
    pub fn read(&self, name: &'static str, rule: &TextRule) -> Result<String, ApiError> {
        let path = json!({ name: self.0 });
        read_object(Some(&path), |path| path.required_text(name, rule)).in_path()
    }
}

impl<T: Send + Sync> FromRequestParts<T> for LastSegment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, ApiError> {
        let segment = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| {
            ApiError::bad_request("invalid_uri_params", "The path is not percent-encoded UTF-8.")
        })?;
        Ok(LastSegment(decoded.into_owned()))
    }
}
