//! Keeps refresh tokens alive that would expire without use, and refreshes ahead of expiry, so that reads are fast
//! (`spec` auth-flows, section 8.8).

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::run::Run;
use crate::app::SharedApp;
use crate::connections::open;
use crate::db::connections::Connection;
use crate::db::{ConnectionRowId, EnvironmentId, connections, integrations};
use crate::integrations::OpenIntegration;
use crate::refresh::{self, Force, RefreshError};

pub const NAME: &str = "refresh connections";
const IDLE_FOR: TimeDelta = TimeDelta::days(1);
/// Connections whose credentials end within this time are refreshed before anybody asks.
const AHEAD: TimeDelta = TimeDelta::minutes(15);
/// Refreshes that run at a time.
const CONCURRENCY: usize = 8;
/// A bound on one run, so that a database full of dead connections does not keep the job busy for ever.
const MAX_PAGES: usize = 100;

/// Refreshes page after page of idle connections; one replica at a time.
pub async fn refresh_idle(app: &SharedApp) -> sqlx::Result<()> {
    let Some(run) = Run::start(app, NAME).await? else { return Ok(()) };
    let result = refresh_pages(app).await;
    run.finish(app, result).await
}

async fn refresh_pages(app: &SharedApp) -> sqlx::Result<Value> {
    let page_size = app.config.jobs.refresh_page;
    let mut looked_at = 0;
    for _ in 0..MAX_PAGES {
        let now = app.clock.now();
        let page = connections::list_idle(&app.db, now - IDLE_FOR, now + AHEAD, now, page_size).await?;
        let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < page_size;
        looked_at += page.len();
        refresh_connections(app, page).await;
        // Handled connections drop out of the list only once their time is written.
        super::flush(app).await;
        if is_last || app.lifecycle.stopping.is_cancelled() {
            break;
        }
    }
    Ok(json!({ "connections": looked_at }))
}

/// Refreshes, or tests, the credentials of each; failures are noted on the connections.
pub async fn refresh_connections(app: &SharedApp, page: Vec<(EnvironmentId, ConnectionRowId)>) {
    futures_util::stream::iter(page)
        .for_each_concurrent(CONCURRENCY, |(environment, id)| async move {
            if let Err(error) = refresh_one(app, environment, id).await {
                tracing::warn!(connection.id = id.0, error = %error, "an idle connection could not be read");
            }
        })
        .await;
}

async fn refresh_one(app: &SharedApp, environment: EnvironmentId, id: ConnectionRowId) -> sqlx::Result<()> {
    // Noted first: a connection that cannot be read must not come back at once.
    app.fetched.note(id, app.clock.now());
    let Some(connection) = connections::find_by_row(&app.db, environment, id).await? else { return Ok(()) };
    let row = integrations::find_by_id(&app.db, environment, connection.integration_id).await?;
    let Some(row) = row else { return Ok(()) };
    let Ok(integration) = OpenIntegration::open(app, row).map(Arc::new) else {
        tracing::warn!(connection.id = id.0, "the secrets of this connection's integration cannot be opened");
        return Ok(());
    };
    if let Err(error) = refresh_or_test(app, &integration, connection).await {
        tracing::debug!(
            connection.id = id.0,
            error.code = error.kind,
            "an idle connection has no good credentials"
        );
    }
    Ok(())
}

async fn refresh_or_test(
    app: &SharedApp,
    integration: &Arc<OpenIntegration>,
    connection: Connection,
) -> Result<(), RefreshError> {
    if refresh::is_tested(&open(app, &connection)?) {
        return refresh::test_credentials(app, integration, &connection).await;
    }
    refresh::fresh_credentials(app, integration, connection, Force::No).await.map(|_| ())
}
