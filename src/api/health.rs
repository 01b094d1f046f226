//! Health, readiness, and what a browser sees at `/`. Public.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::QueryTree;
use super::openapi::{Operation, Tag};
use crate::app::{App, SharedApp};

const DEEP_BUDGET: Duration = Duration::from_secs(2);

/// How the server is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `not ready`.
    result: &'static str,
}

const OK: Health = Health { result: "ok" };
const NOT_READY: Health = Health { result: "not ready" };

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/health", "get_health", "Whether the process runs")
            .answers::<Health>(200, "It runs."),
        Operation::get("/ready", "get_ready", "Whether the server can work")
            .describe("The database has answered once; with `deep=true` it is asked again.")
            .tag(Tag::Server)
            .parameter("query", "deep", json!({"type": "string"}))
            .answers::<Health>(200, "It can.")
            .answers::<Health>(503, "It cannot yet, or not any more."),
    ]
}

/// The process runs.
pub async fn get_health() -> Json<Health> {
    Json(OK)
}

/// The database has answered once; with `?deep=true` it is asked again.
pub async fn get_ready(State(app): State<SharedApp>, QueryTree(query): QueryTree) -> Response {
    let deep = query.get("deep").and_then(Value::as_str) == Some("true");
    let ready = app.lifecycle.is_ready() && (!deep || database_answers(&app).await);
    if ready {
        Json(OK).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(NOT_READY)).into_response()
    }
}

async fn database_answers(app: &App) -> bool {
    let asked = crate::db::accounts::find_first(&app.db);
    matches!(tokio::time::timeout(DEEP_BUDGET, asked).await, Ok(Ok(_)))
}

/// A page for people who open the server's address.
pub async fn get_index() -> Html<&'static str> {
    Html(include_str!("../../assets/templates/index.html"))
}
