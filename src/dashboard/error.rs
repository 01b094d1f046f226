//! What a page says when it cannot be shown. Everything that fails in a handler becomes one of these with `?`.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::outside::Outside;
use super::page::Page;
use crate::error::{ApiError, request_id};

/// A page that tells what went wrong.
#[derive(Debug, Clone)]
pub struct PageError {
    pub status: StatusCode,
    pub title: String,
    pub message: String,
}

impl PageError {
    pub fn new(status: StatusCode, title: &str, message: impl Into<String>) -> Self {
        PageError { status, title: title.to_owned(), message: message.into() }
    }

    pub fn not_found() -> Self {
        let message = "It may have been deleted or renamed, or the address has a typing error.";
        Self::new(StatusCode::NOT_FOUND, "There is nothing here", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "You may not do that", message)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "That cannot be done", message)
    }

    /// The page without anything around it, for people who were not let in.
    pub fn alone(&self, outside: &Outside) -> Response {
        answer(self.status, Alone { error: self, outside }.render())
    }

    /// The page with the navigation around it.
    pub fn within(&self, page: &Page) -> Response {
        answer(self.status, Within { error: self, page }.render())
    }
}

fn answer(status: StatusCode, html: askama::Result<String>) -> Response {
    match html {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => ApiError::unexpected(error).into_response(),
    }
}

#[derive(Template)]
#[template(path = "dashboard/error_alone.html")]
struct Alone<'a> {
    error: &'a PageError,
    outside: &'a Outside,
}

#[derive(Template)]
#[template(path = "dashboard/error.html")]
struct Within<'a> {
    error: &'a PageError,
    page: &'a Page,
}

impl IntoResponse for PageError {
    /// Only the status and the error itself: whoever knows the visitor makes a page of it, [`PageError::within`] or
    /// [`PageError::alone`].
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        error.log();
        let status = error.status();
        let title = match status {
            StatusCode::NOT_FOUND => "There is nothing here",
            StatusCode::FORBIDDEN => "You may not do that",
            StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
            status if status.is_server_error() => "Something went wrong on our side",
            _ => "That cannot be done",
        };
        let message = match error.message() {
            "" if status == StatusCode::TOO_MANY_REQUESTS => "Wait a minute, then try again.".to_owned(),
            "" => {
                let id = request_id();
                format!("Quote the id {id} when you report it.")
            }
            message => message.to_owned(),
        };
        PageError::new(status, title, message)
    }
}

impl From<sqlx::Error> for PageError {
    fn from(error: sqlx::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        ApiError::unexpected(error).into()
    }
}
