//! Fresh credentials: the one place that asks providers for new tokens, and the only writer of refreshed ones.
//!
//! A lease on the connection's row makes sure that a rotating refresh token is used once, across replicas and
//! crashes (`spec` auth-flows, section 8.4). Callers in one process share a flight; other replicas poll the row.

mod bookkeeping;
mod due;
mod error;
mod flight;
mod verification;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::app::{App, SharedApp};
use crate::auth::{Credentials, jwt_times};
use crate::connections;
use crate::db::connections::{self as rows, Connection};
use crate::integrations::OpenIntegration;
use crate::metrics::RefreshResult;

pub use bookkeeping::FetchedQueue;
pub use due::{expiry_margin, is_expired, needs_refresh};
pub use error::RefreshError;
pub use flight::{Flights, start_in_background, start_operation};
pub use verification::{is_tested, test_credentials};

/// A connection with credentials that are good now.
#[derive(Clone)]
pub struct Fresh {
    pub connection: Connection,
    pub credentials: Credentials,
}

/// How much a caller insists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Refresh when due.
    No,
    /// Refresh even if the credentials look good and earlier refreshes failed.
    Yes,
    /// As [`Force::No`], and also when the app's own JWT in the connection config has ended.
    UnlessAppJwtLasts,
}

/// Credentials that last, refreshed first when they are due or when the caller insists.
///
/// # Errors
/// The refresh failed, or earlier failures forbid a new attempt.
pub async fn fresh_credentials(
    app: &SharedApp,
    integration: &Arc<OpenIntegration>,
    connection: Connection,
    force: Force,
) -> Result<Fresh, RefreshError> {
    let now = app.clock.now();
    app.fetched.note(connection.id, now);
    if force != Force::Yes {
        refuse_hopeless(&connection, now)?;
    }
    let credentials = connections::open(app, &connection)?;
    let force = match force {
        Force::UnlessAppJwtLasts if app_jwt_ended(app, integration, &connection, &credentials) => Force::Yes,
        Force::UnlessAppJwtLasts => Force::No,
        force => force,
    };
    let due = needs_refresh(integration.provider.as_deref(), &connection, &credentials, force, now);
    if !due {
        app.metrics.note_refresh(&integration.row.provider, RefreshResult::Fresh);
        return Ok(Fresh { connection, credentials });
    }
    flight::join(app, integration, connection, force, now).await
}

/// Credentials newer than those of `connection`, which the provider has just refused: those of a refresh that ended
/// since the connection was read, else of a new one. Many callers that were refused at once cause one refresh.
///
/// # Errors
/// The refresh failed. The credentials must be refreshable.
pub async fn newer_credentials(
    app: &SharedApp,
    integration: &Arc<OpenIntegration>,
    connection: Connection,
) -> Result<Fresh, RefreshError> {
    let known_until = connection.refresh_ended_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
    flight::join(app, integration, connection, Force::Yes, known_until).await
}

/// Whether the connection is an app's and its copy of the app's JWT is missing or ends within the margin.
fn app_jwt_ended(
    app: &App,
    integration: &OpenIntegration,
    connection: &Connection,
    credentials: &Credentials,
) -> bool {
    if !matches!(credentials, Credentials::App { .. }) {
        return false;
    }
    let config = connections::open_config(app, connection);
    let times = config.get("jwtToken").and_then(Value::as_str).and_then(jwt_times);
    let provider = integration.provider.as_deref();
    times.is_none_or(|(issued, ends)| ends - app.clock.now() < expiry_margin(provider, Some(ends - issued)))
}

/// Earlier failures that forbid an unforced attempt: exhausted, or the last one is seconds ago.
pub fn refuse_hopeless(connection: &Connection, now: DateTime<Utc>) -> Result<(), RefreshError> {
    if connection.refresh_exhausted {
        return Err(RefreshError::exhausted());
    }
    let failed_at = connection.last_refresh_failure;
    if failed_at.is_some_and(|failed_at| now - failed_at < error::BACKOFF) {
        return Err(RefreshError::backoff());
    }
    Ok(())
}

/// The connection and its credentials as they are stored now.
async fn reread(app: &App, connection: &Connection) -> Result<Fresh, RefreshError> {
    let found = rows::find_by_row(&app.db, connection.environment_id, connection.id).await?;
    let connection = found.ok_or_else(RefreshError::gone)?;
    let credentials = connections::open(app, &connection)?;
    Ok(Fresh { connection, credentials })
}

/// The failure that another replica stored.
fn stored_error(value: &Value) -> RefreshError {
    RefreshError::from_json(value)
}
