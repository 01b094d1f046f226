//! Connections that were deleted with their integration or environment, perhaps thousands at once. Nobody waits for their
//! providers: what their `pre_deletion` needs is kept, sealed, in `pre_deletion_runs` until the provider was told, for a few
//! minutes at most. The process that deleted them begins at once; what one that died has left is taken over.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt;
use serde_json::Value;
use sqlx::PgConnection;
use tokio::sync::Notify;

use super::deletion::{Parting, is_told};
use crate::app::{App, SharedApp};
use crate::connections::{open, open_config, seal};
use crate::db::connections::Connection;
use crate::db::integrations::Integration;
use crate::db::pre_deletion_runs::{self as rows, PreDeletionRun};
use crate::db::{EnvironmentId, IntegrationId, connections, integrations};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::modes;
use crate::refresh::{Force, Fresh, needs_refresh};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// One connection, fresh credentials included.
const LIMIT: Duration = Duration::from_secs(30);
/// Longer than one connection may take, so that nobody else tells its provider meanwhile.
const LEASE: TimeDelta = TimeDelta::seconds(90);
/// Connections whose providers are told at the same time.
const AT_ONCE: i64 = 8;
/// Before the next attempts, while the provider is in trouble. Afterwards it is given up, and the credentials go.
const PAUSES: [TimeDelta; 2] = [TimeDelta::seconds(30), TimeDelta::minutes(5)];

/// The environments in which connections were deleted whose providers this process tells next.
#[derive(Default)]
pub struct Partings {
    rung: Mutex<HashSet<EnvironmentId>>,
    bell: Notify,
}

impl Partings {
    /// What [`plan_partings`] stored is committed.
    pub fn ring(&self, environment: EnvironmentId) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).insert(environment);
        self.bell.notify_one();
    }

    fn take(&self) -> HashSet<EnvironmentId> {
        std::mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps what the providers of these integrations need to be told of their connections. Called in the transaction that deletes
/// them, before it does; afterwards [`Partings::ring`] begins.
///
/// # Errors
/// The database's.
pub async fn plan_partings(
    app: &App,
    db: &mut PgConnection,
    environment: EnvironmentId,
    going: &[Integration],
) -> sqlx::Result<()> {
    let catalog = app.catalog.load();
    let is_wanted = |row: &&Integration| catalog.get(&row.provider).is_some_and(|provider| is_told(provider));
    let told: Vec<IntegrationId> = going.iter().filter(is_wanted).map(|row| row.id).collect();
    if told.is_empty() {
        return Ok(());
    }
    let kept = rows::insert_of_integrations(db, environment, &told, app.clock.now()).await?;
    tracing::info!(
        environment.id = environment.0,
        connections = kept,
        "providers will be told of a deletion"
    );
    Ok(())
}

/// Tells providers of deleted connections until the application stops.
pub async fn follow_partings(app: SharedApp) {
    loop {
        tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            () = app.partings.bell.notified() => {
                for environment in app.partings.take() {
                    tell_due(&app, Some(environment)).await;
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => tell_due(&app, None).await,
        }
    }
}

/// Tells every provider that is due, a few at a time: of one environment or of all.
pub async fn tell_due(app: &App, environment: Option<EnvironmentId>) {
    while !app.lifecycle.stopping.is_cancelled() {
        let now = app.clock.now();
        let due = match rows::take_due(&app.db, environment, now, now + LEASE, AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = %error, "waiting deletions could not be read; they will be later");
                return;
            }
        };
        if due.is_empty() {
            return;
        }
        futures_util::stream::iter(due).for_each_concurrent(None, |run| tell(app, run)).await;
    }
}

async fn tell(app: &App, run: PreDeletionRun) {
    let id = run.connection;
    if let Err(error) = tell_provider(app, run).await {
        // The row stays, and is tried again until its attempts are used up.
        tracing::warn!(connection.id = id.0, error = %error, "a provider could not be told of a deletion");
    }
}

async fn tell_provider(app: &App, run: PreDeletionRun) -> Result<(), ApiError> {
    let id = run.connection;
    let attempt = usize::try_from(run.attempts).unwrap_or(usize::MAX);
    // Otherwise what fails before it can be noted would be tried for ever.
    let is_hopeless = attempt > PAUSES.len() + 1;
    let found = if is_hopeless { None } else { find(app, run).await? };
    let Some((integration, connection)) = found else { return Ok(rows::delete(&app.db, id).await?) };
    let credentials = open(app, &connection)?;
    let parting = Parting::begin(app, &integration, Fresh { connection, credentials }, LIMIT);
    let troubles = parting.ask(app, |stored| renew_if_due(app, &integration, stored)).await;
    let is_passing = troubles.iter().any(|trouble| trouble.is_passing);
    let next = PAUSES.get(attempt.saturating_sub(1)).copied().filter(|_| is_passing);
    parting.conclude(&troubles, next);
    match next {
        Some(pause) => rows::put_off(&app.db, id, app.clock.now() + pause).await?,
        None => rows::delete(&app.db, id).await?,
    }
    Ok(())
}

/// The connection as it was before it was deleted, with its integration; nothing when there is nothing to tell any more.
async fn find(
    app: &App,
    run: PreDeletionRun,
) -> Result<Option<(Arc<OpenIntegration>, Connection)>, ApiError> {
    let environment = run.environment_id;
    let found = connections::find_even_deleted(&app.db, environment, run.connection).await?;
    let Some(connection) = found else { return Ok(None) };
    let row = integrations::find_even_deleted(&app.db, environment, connection.integration_id).await?;
    let Some(row) = row else { return Ok(None) };
    let integration = Arc::new(OpenIntegration::open(app, row)?);
    let PreDeletionRun { credentials, connection_config, .. } = run;
    Ok(Some((integration, Connection { credentials, connection_config, ..connection })))
}

/// Fresh credentials where the kept ones have ended. Nobody else uses these any more, so that no lease is needed; what the
/// provider gave is kept for the next attempt, because it may have rotated the token.
async fn renew_if_due(app: &App, integration: &OpenIntegration, kept: Fresh) -> Fresh {
    let Fresh { connection, credentials } = &kept;
    let (provider, now) = (integration.provider.as_deref(), app.clock.now());
    if !needs_refresh(provider, connection, credentials, Force::No, now) {
        return kept;
    }
    let config = open_config(app, connection);
    // Some providers revoke with a token that has ended.
    let Ok(renewed) = modes::renew(app, integration, credentials, &config).await else { return kept };
    let stored = match seal(app, &renewed.credentials) {
        Ok(sealed) => rows::set_credentials(&app.db, connection.id, &sealed).await.is_ok(),
        Err(_) => false,
    };
    if !stored {
        tracing::warn!(
            connection.id = connection.id.0,
            "new credentials of a deleted connection were not kept"
        );
    }
    let mut connection = kept.connection;
    if let Some(config) = connection.connection_config.as_object_mut() {
        config.extend(renewed.connection_config);
    } else {
        connection.connection_config = Value::Object(renewed.connection_config);
    }
    Fresh { connection, credentials: renewed.credentials }
}
