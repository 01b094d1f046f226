//! `GET /metrics` and `GET /prometheus`, on the operator's own ports only: the numbers tell what a company does.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::app::SharedApp;
use crate::error::ApiError;
use crate::metrics::scrape;

/// The numbers, for Prometheus.
pub async fn get_metrics(State(app): State<SharedApp>) -> Result<impl IntoResponse, ApiError> {
    let text = scrape(&app).await.map_err(ApiError::unexpected)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}
