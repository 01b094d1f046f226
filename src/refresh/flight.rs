//! One refresh at a time: shared inside this process, guarded by the lease between processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Force, Fresh, RefreshError, needs_refresh, reread, stored_error};
use crate::app::{App, SharedApp};
use crate::connections::{announce_change, open_config, seal, seal_config};
use crate::db::connections::Connection;
use crate::db::refresh_leases::{self, Failed, Refreshed};
use crate::db::{ConnectionRowId, connection_errors, environments};
use crate::integrations::OpenIntegration;
use crate::lane;
use crate::logs::{Kind, NewOperation, Operation};
use crate::metrics::RefreshResult;
use crate::modes::{self, Renewed};
use crate::webhooks::outgoing::{AuthEvent, AuthFailure, AuthOperation, enqueue_auth};

/// Longer than the 30 s that the calls of one refresh may take together, so that nobody takes the lease from a
/// refresh that still runs.
pub const LEASE: TimeDelta = TimeDelta::seconds(40);
/// How long callers wait for a refresh elsewhere: a lease of a process that died must be able to run out.
const PATIENCE: Duration = Duration::from_secs(45);
const FIRST_POLL: Duration = Duration::from_millis(50);
const SLOWEST_POLL: Duration = Duration::from_millis(250);
/// Failures on this many days exhaust a connection.
const DAYS_UNTIL_EXHAUSTED: i16 = 4;

type Outcome = Result<Fresh, RefreshError>;
type Landing = watch::Receiver<Option<Outcome>>;

/// The refreshes running in this process.
#[derive(Default)]
pub struct Flights(Mutex<HashMap<ConnectionRowId, Landing>>);

impl Flights {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionRowId, Landing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the running refresh of this connection, or starts one. It runs to its end even when every caller has
/// gone away, because the provider may already have rotated the token.
pub async fn join(
    app: &SharedApp,
    integration: &Arc<OpenIntegration>,
    connection: Connection,
    force: Force,
    asked_at: DateTime<Utc>,
) -> Outcome {
    let mut landing = board(app, integration, connection, force, asked_at);
    let landed = landing.wait_for(Option::is_some).await;
    match landed.map(|outcome| outcome.clone()) {
        Ok(Some(outcome)) => outcome,
        // The task ended without a result: it panicked, or the process is stopping.
        _ => Err(RefreshError::timed_out()),
    }
}

/// Starts a refresh that nobody waits for, unless one is running.
pub fn start_in_background(app: &SharedApp, integration: &Arc<OpenIntegration>, connection: &Connection) {
    let is_running =
        app.flights.lock().get(&connection.id).is_some_and(|landing| landing.has_changed().is_ok());
    if !is_running {
        board(app, integration, connection.clone(), Force::No, app.clock.now());
    }
}

fn board(
    app: &SharedApp,
    integration: &Arc<OpenIntegration>,
    connection: Connection,
    force: Force,
    asked_at: DateTime<Utc>,
) -> Landing {
    let mut flights = app.flights.lock();
    if let Some(running) = flights.get(&connection.id).filter(|landing| landing.has_changed().is_ok()) {
        return running.clone();
    }
    let (sender, landing) = watch::channel(None);
    flights.insert(connection.id, landing.clone());
    let (app, integration, tasks) = (app.clone(), Arc::clone(integration), app.lifecycle.tasks.clone());
    let flight = async move {
        let id = connection.id;
        let outcome = fly(&app, &integration, &connection, force, asked_at).await;
        app.flights.lock().remove(&id);
        let _ = sender.send(Some(outcome));
    };
    tasks.spawn_on(flight, &lane::home());
    landing
}

async fn fly(
    app: &App,
    integration: &OpenIntegration,
    connection: &Connection,
    force: Force,
    asked_at: DateTime<Utc>,
) -> Outcome {
    let owner = app.rng.uuid();
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_POLL;
    loop {
        let now = app.clock.now();
        let taken =
            refresh_leases::take(&app.db, connection.environment_id, connection.id, owner, now + LEASE, now)
                .await?;
        // Read after taking: another refresh may have ended since the caller looked.
        let current = reread(app, connection).await?;
        if let Some(outcome) = answered_elsewhere(integration, &current, force, asked_at, now) {
            if taken {
                refresh_leases::give_back(&app.db, connection.id, owner).await?;
            }
            return outcome;
        }
        if taken {
            return renew(app, integration, current, owner).await;
        }
        if Instant::now() >= deadline {
            return Err(RefreshError::timed_out());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SLOWEST_POLL);
    }
}

/// The result of a refresh that another process ended after the caller asked.
fn answered_elsewhere(
    integration: &OpenIntegration,
    current: &Fresh,
    force: Force,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Outcome> {
    let connection = &current.connection;
    let ended_since = connection.refresh_ended_at.is_some_and(|ended_at| ended_at > asked_at);
    if let Some(error) = connection.refresh_error.as_ref().filter(|_| ended_since) {
        return Some(Err(stored_error(error)));
    }
    let provider = integration.provider.as_deref();
    let is_fresh = !needs_refresh(provider, connection, &current.credentials, Force::No, now);
    let is_served = if force == Force::Yes { ended_since } else { ended_since || is_fresh };
    is_served.then(|| Ok(current.clone()))
}

/// Asks the provider and stores what it said, whatever it said.
async fn renew(app: &App, integration: &OpenIntegration, current: Fresh, owner: Uuid) -> Outcome {
    let config = open_config(app, &current.connection);
    let operation = start_operation(app, Kind::AuthRefreshToken, integration, &current);
    let work = async {
        let renewed = modes::renew(app, integration, &current.credentials, &config).await;
        let renewed = renewed.map_err(RefreshError::from)?;
        operation.hide_credentials(&renewed.credentials);
        Ok(renewed)
    };
    let renewed: Result<Renewed, RefreshError> = operation.attempt(work).await;
    app.metrics.note_refresh(&integration.row.provider, result_of(&renewed));
    let outcome = match renewed {
        Ok(renewed) => save(app, integration, current.connection, owner, renewed).await,
        Err(error) => {
            note_failure(app, integration, &current.connection, owner, &error, operation.id()).await?;
            return Err(error);
        }
    };
    match &outcome {
        Ok(_) => operation.succeed(),
        Err(error) => operation.fail(&error.into()),
    }
    outcome
}

/// What the metrics call an attempt to renew.
fn result_of(renewed: &Result<Renewed, RefreshError>) -> RefreshResult {
    match renewed {
        Ok(_) => RefreshResult::Success,
        Err(error) if error.is_providers() => RefreshResult::Failure,
        Err(_) => RefreshResult::Unknown,
    }
}

/// An operation about a connection's credentials, which it never tells.
pub fn start_operation(app: &App, kind: Kind, integration: &OpenIntegration, current: &Fresh) -> Operation {
    let new = NewOperation::new(kind, current.connection.environment_id).connection(&current.connection);
    let operation = app.logs.start(new.integration(&integration.row));
    operation.about_integration(integration);
    operation.hide_credentials(&current.credentials);
    operation.hide_config(integration, &open_config(app, &current.connection));
    operation
}

async fn save(
    app: &App,
    integration: &OpenIntegration,
    connection: Connection,
    owner: Uuid,
    renewed: Renewed,
) -> Outcome {
    let now = app.clock.now();
    let sealed = seal(app, &renewed.credentials)?;
    let mut patch = renewed.connection_config;
    seal_config(&app.cipher, integration.provider.as_deref(), &mut patch)?;
    let patch = Value::Object(patch);
    let refreshed = Refreshed {
        id: connection.id,
        owner,
        sealed_credentials: &sealed,
        connection_config: &patch,
        credentials_expires_at: Some(renewed.credentials.column_expiry(now)),
        now,
    };
    // First and alone: a rotated token must be stored before anything else can fail.
    if !refresh_leases::save_success(&app.db, refreshed).await? {
        // Authorized again or deleted meanwhile: what is stored now is newer than this answer.
        return reread(app, &connection).await;
    }
    connection_errors::delete_auth(&app.db, connection.id).await?;
    announce_change(app, connection.environment_id, connection.id, now).await?;
    tracing::info!(connection.id = connection.id.0, "credentials refreshed");
    reread(app, &connection).await
}

/// Counts a failure, and tells the customer of the first one, of the one that exhausts the connection, and of one on each day
/// between (`spec` auth-flows, section 8.6).
pub async fn note_failure(
    app: &App,
    integration: &OpenIntegration,
    connection: &Connection,
    owner: Uuid,
    error: &RefreshError,
    log_id: &str,
) -> Result<(), RefreshError> {
    if !error.is_providers() {
        refresh_leases::give_back(&app.db, connection.id, owner).await?;
        return Ok(());
    }
    let now = app.clock.now();
    let attempts = attempts_after_failure(connection, now.date_naive());
    let failed = Failed {
        id: connection.id,
        owner,
        error: &error.to_json(),
        attempts,
        exhausted: attempts >= DAYS_UNTIL_EXHAUSTED,
        now,
    };
    let mut transaction = app.db.begin().await?;
    if !refresh_leases::save_failure(&mut *transaction, failed).await? {
        return Ok(());
    }
    connection_errors::insert_auth(&mut *transaction, connection.id, log_id, now).await?;
    let is_first_of_its_day = attempts > connection.refresh_attempts.unwrap_or(0);
    if is_first_of_its_day && !connection.refresh_exhausted {
        enqueue_webhook(app, &mut transaction, integration, connection, error).await?;
    }
    transaction.commit().await?;
    app.outbox.ring(connection.environment_id);
    announce_change(app, connection.environment_id, connection.id, now).await?;
    tracing::warn!(
        connection.id = connection.id.0,
        operation.id = log_id,
        error.code = error.kind,
        attempts,
        "credentials could not be refreshed"
    );
    Ok(())
}

async fn enqueue_webhook(
    app: &App,
    db: &mut PgConnection,
    integration: &OpenIntegration,
    connection: &Connection,
    error: &RefreshError,
) -> Result<(), RefreshError> {
    let Some(environment) = environments::find(&mut *db, connection.environment_id).await? else {
        return Ok(());
    };
    let event = AuthEvent {
        environment: &environment,
        integration,
        connection_id: &connection.connection_id,
        webhook_url_override: connection.webhook_url_override.as_deref(),
        auth_mode: None,
        operation: AuthOperation::Refresh,
        tags: Some(&connection.tags),
        end_user: None,
        failure: Some(AuthFailure { kind: &error.kind, description: &error.message }),
        hold: None,
    };
    Ok(enqueue_auth(app, db, &event).await?)
}

/// Failures count once per UTC day.
fn attempts_after_failure(connection: &Connection, today: NaiveDate) -> i16 {
    let before = connection.refresh_attempts.unwrap_or(0);
    match connection.last_refresh_failure {
        None => 1,
        Some(failed_at) if failed_at.date_naive() < today => before.saturating_add(1),
        Some(_) => before.max(1),
    }
}
