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
use crate::db::pool;

const DEEP_BUDGET: Duration = Duration::from_secs(2);

/// How the server is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `not ready`.
    result: &'static str,
}

const OK: Health = Health { result: "ok" };

/// Whether the server can work.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ok` or `not ready`.
    result: &'static str,
    /// What was looked at, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// What the server needs; `true`: it is there.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Checks {
    /// The database answers.
    database: bool,
    /// The database has every migration that this version needs.
    migrations: bool,
    /// The catalog has providers.
    catalog: bool,
}

impl Checks {
    fn all(self) -> bool {
        self.database && self.migrations && self.catalog
    }
}

/// These routes in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/health", "get_health", "Whether the process runs")
            .answers::<Health>(200, "It runs."),
        Operation::get("/ready", "get_ready", "Whether the server can work")
            .describe(
                "The database has answered once. With `deep=true` everything is looked at again: whether the database \
                 answers, whether it has every migration, and whether the catalog has providers.",
            )
            .tag(Tag::Server)
            .parameter("query", "deep", json!({"type": "string"}))
            .answers::<Readiness>(200, "It can.")
            .answers::<Readiness>(503, "It cannot yet, or not any more."),
    ]
}

/// The process runs.
pub async fn get_health() -> Json<Health> {
    Json(OK)
}

/// The database has answered once; with `?deep=true` everything is looked at again.
pub async fn get_ready(State(app): State<SharedApp>, QueryTree(query): QueryTree) -> Response {
    let is_deep = query.get("deep").and_then(Value::as_str) == Some("true");
    let checks = if is_deep { Some(look(&app).await) } else { None };
    let is_ready = app.lifecycle.is_ready() && checks.is_none_or(Checks::all);
    let (status, result) =
        if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    (status, Json(Readiness { result, checks })).into_response()
}

async fn look(app: &App) -> Checks {
    let asked = tokio::time::timeout(DEEP_BUDGET, pool::pending_migrations(&app.db)).await;
    let pending = asked.ok().and_then(Result::ok);
    Checks {
        database: pending.is_some(),
        migrations: pending.is_some_and(|pending| pending.is_empty()),
        catalog: !app.catalog.load().is_empty(),
    }
}

/// A page for people who open the server's address.
pub async fn get_index() -> Html<&'static str> {
    Html(include_str!("../../assets/templates/index.html"))
}
