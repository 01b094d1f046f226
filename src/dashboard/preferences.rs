//! What a visitor chooses for their own browser.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::cookies;
use super::form::Form;
use super::page::{Page, back_path};
use crate::app::SharedApp;

const A_YEAR: i64 = 365 * 24 * 3600;

/// Chooses the light or the dark theme, or neither to follow the system.
pub async fn choose_theme(
    State(app): State<SharedApp>,
    page: Page,
    headers: HeaderMap,
    form: Form,
) -> Response {
    let theme = ["light", "dark"].into_iter().find(|theme| *theme == form.value("theme"));
    let mut response = page.redirect(&back_path(&app, &headers));
    let seconds = if theme.is_some() { A_YEAR } else { 0 };
    page.set_cookie(response.headers_mut(), cookies::THEME, theme.unwrap_or_default(), seconds);
    response
}
