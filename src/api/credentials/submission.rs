//! A call of a JSON auth route, and the frame that all of them have: the caller's operation sees the attempt whole, so that
//! its exchanges become messages and its failure is the operation's.

use std::future::Future;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::Value;

use super::attempt::{Attempt, ConnectionIds, Legacy};
use crate::api::extract::{IntoApiError, JsonBody, PathTree, QueryTree};
use crate::api::frontend::FrontendCaller;
use crate::api::input::{ObjectReader, read_nothing, read_object};
use crate::app::SharedApp;
use crate::auth::AuthMode;
use crate::error::ApiError;

/// What these routes answer.
pub type Connected = Result<Json<ConnectionIds>, ApiError>;

/// A call of which only the caller was judged.
pub struct Submission {
    pub app: SharedApp,
    pub caller: FrontendCaller,
    query: Value,
    path: Value,
    body: Option<Value>,
}

impl FromRequestParts<SharedApp> for Submission {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let caller = FrontendCaller::from_request_parts(parts, app).await?;
        let QueryTree(query) = QueryTree::from_request_parts(parts, app).await?;
        let PathTree(path) = PathTree::from_request_parts(parts, app).await?;
        let JsonBody(body) = JsonBody::from_request_parts(parts, app).await?;
        Ok(Submission { app: app.clone(), caller, query, path, body })
    }
}

impl Submission {
    /// Runs the attempt as the caller's operation.
    pub async fn connect<F: Future<Output = Connected>>(self, work: impl FnOnce(Self) -> F) -> Connected {
        let operation = self.caller.operation.clone();
        operation.attempt(work(self)).await
    }

    /// Reads the JSON body.
    ///
    /// # Errors
    /// 400 `invalid_body` with everything that is wrong with it.
    pub fn read<T>(&self, read: impl FnOnce(&mut ObjectReader<'_>) -> T) -> Result<T, ApiError> {
        read_object(self.body.as_ref(), read).in_body()
    }

    /// Makes sure that there is no body.
    ///
    /// # Errors
    /// 400 `invalid_body`.
    pub fn read_nothing(&self) -> Result<(), ApiError> {
        read_nothing(self.body.as_ref()).in_body()
    }

    /// Judges what these routes have in common, in its order.
    ///
    /// # Errors
    /// Those of [`Attempt::begin`].
    pub async fn begin(self, mode: AuthMode, legacy: Legacy) -> Result<Attempt, ApiError> {
        let Submission { app, caller, query, path, .. } = self;
        Attempt::begin(app, caller, &query, &path, mode, legacy).await
    }
}
