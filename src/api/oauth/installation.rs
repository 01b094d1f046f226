//! `GET /app-auth/connect`, the setup URL of apps: where GitHub sends people after they installed one (`spec` auth-flows,
//! section 5.12).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::page::Page;
use super::{back_to_where_they_were, has_state_cookie, wants_page};
use crate::api::extract::QueryTree;
use crate::api::frontend::query_text;
use crate::api::openapi::{Operation, Tag};
use crate::app::{App, SharedApp};
use crate::oauth::PopupError;
use crate::oauth::callback::{self, Callback, CallbackRoute};

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    let text = || json!({"type": "string"});
    let operation =
        Operation::get("/app-auth/connect", "get_app_auth_connect", "End the installation of an app");
    let operation = ["state", "installation_id", "setup_action"]
        .into_iter()
        .fold(operation, |operation, name| operation.parameter("query", name, text()));
    operation
        .describe("The setup URL of apps. The `state` is the credential.")
        .tag(Tag::Authorization)
        .answers_with(200, "A page that tells its opener and closes itself.", "text/html", text())
        .answers_nothing(302, "Back to where an app was installed.")
        .answer_header(302, "Location", "Location")
        .answers_with(400, "What went wrong.", "text/plain", text())
        .answers_with(400, "What went wrong.", "text/html", text())
        .answers_with(404, "There is no such sign-in.", "text/plain", text())
        .answers_with(404, "There is no such sign-in.", "text/html", text())
}

/// Ends the sign-in that the `state` names. Public: the state is the credential.
pub async fn get_app_auth_connect(
    State(app): State<SharedApp>,
    QueryTree(query): QueryTree,
    headers: HeaderMap,
) -> Response {
    let Some(state) = query_text(&query, "state") else { return without_state(&app, &query, &headers) };
    let callback = Callback {
        state: state.to_owned(),
        has_cookie: has_state_cookie(&headers, state),
        query: query.clone(),
        route: CallbackRoute::Installation,
    };
    let finished = callback::finish(&app, callback).await;
    let provider = finished.provider.as_deref();
    match &finished.result {
        Ok(()) => Page::success(provider, &query).render(&app),
        Err(error) if error.kind == "state_err" => {
            refuse(&app, StatusCode::NOT_FOUND, error, &query, &headers)
        }
        Err(error) => Page::error(provider, error, &query).render(&app),
    }
}

/// Installed or changed on GitHub's own pages: back to where they were.
fn without_state(app: &App, query: &Value, headers: &HeaderMap) -> Response {
    let is_done = matches!(query_text(query, "setup_action"), Some("install" | "update"));
    if is_done && query_text(query, "installation_id").is_some() {
        return back_to_where_they_were(headers);
    }
    let error = PopupError::new("state_err", "The callback has no `state`: it belongs to no sign-in.");
    refuse(app, StatusCode::BAD_REQUEST, &error, query, headers)
}

/// Wire: plain text, except that browsers get a page.
fn refuse(app: &App, status: StatusCode, error: &PopupError, query: &Value, headers: &HeaderMap) -> Response {
    if wants_page(headers) {
        return Page::error(None, error, query).with_status(status).render(app);
    }
    (status, error.message.clone()).into_response()
}
