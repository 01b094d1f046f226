//! Health, readiness, and what a browser sees at `/`. Public.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::extract::QueryTree;
use crate::app::{App, SharedApp};

const DEEP_BUDGET: Duration = Duration::from_secs(2);

/// The process runs.
pub async fn get_health() -> Json<Value> {
    Json(json!({"result": "ok"}))
}

/// The database has answered once; with `?deep=true` it is asked again.
pub async fn get_ready(State(app): State<SharedApp>, QueryTree(query): QueryTree) -> Response {
    let deep = query.get("deep").and_then(Value::as_str) == Some("true");
    let ready = app.lifecycle.is_ready() && (!deep || database_answers(&app).await);
    if ready {
        Json(json!({"result": "ok"})).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"result": "not ready"}))).into_response()
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
