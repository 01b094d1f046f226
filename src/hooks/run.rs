//! The hooks of one connection that was made or authorized again, from its row to what the row gains.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::scope::Scope;
use super::steps::Trouble;
use super::{Gained, follow_all, report, steps_of};
use crate::app::SharedApp;
use crate::connections::{announce_change, open, open_config, seal_config};
use crate::db::connections::{self as rows, Connection};
use crate::db::post_connection_runs::{self, PostConnectionRun};
use crate::db::{connection_config, integrations};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, Operation};
use crate::refresh::{Force, Fresh, fresh_credentials, start_operation};
use crate::webhooks::outgoing;

/// All steps together.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than the steps may take, so that nobody else runs them meanwhile.
pub const LEASE: TimeDelta = TimeDelta::seconds(90);
/// Between attempts, while the provider is in trouble.
const PAUSES: [TimeDelta; 4] =
    [TimeDelta::seconds(30), TimeDelta::minutes(5), TimeDelta::hours(1), TimeDelta::hours(6)];
const FAILED: &str = "post_connection_failed";

/// Whom the hooks are about.
struct Subject {
    integration: Arc<OpenIntegration>,
    stored: Fresh,
}

/// Runs the hooks once, and notes whether they have to be run again.
pub(super) async fn run(app: &SharedApp, run: &PostConnectionRun) {
    let next = match find(app, run).await {
        Ok(Some(subject)) => follow(app, run, subject).await,
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(connection.id = run.connection.0, error = %error, "a hook could not begin");
            next_pause(run, &[Trouble::passing(String::new())])
        }
    };
    outgoing::let_go(app, run.environment_id, run.run_id).await;
    let noted = match next {
        Some(pause) => post_connection_runs::put_off(&app.db, run, app.clock.now() + pause).await,
        None => post_connection_runs::delete(&app.db, run).await,
    };
    if let Err(error) = noted {
        tracing::warn!(connection.id = run.connection.0, error = %error, "the end of a hook could not be noted");
    }
}

/// `None`: the connection was deleted meanwhile.
async fn find(app: &SharedApp, run: &PostConnectionRun) -> Result<Option<Subject>, ApiError> {
    let Some(connection) = rows::find_by_row(&app.db, run.environment_id, run.connection).await? else {
        return Ok(None);
    };
    let row = integrations::find_by_id(&app.db, run.environment_id, connection.integration_id).await?;
    let Some(row) = row else { return Ok(None) };
    let integration = Arc::new(OpenIntegration::open(app, row)?);
    let credentials = open(app, &connection)?;
    Ok(Some(Subject { integration, stored: Fresh { connection, credentials } }))
}

/// Follows the steps as an operation of the log; gives how long until they have to be followed again.
async fn follow(app: &SharedApp, run: &PostConnectionRun, subject: Subject) -> Option<TimeDelta> {
    let Subject { integration, stored } = subject;
    let operation = start_operation(app, Kind::AuthPostConnection, &integration, &stored);
    if run.attempts > 0 {
        operation.info(&format!("This is attempt {}.", run.attempts + 1));
    }
    let work = ask(app, run, &integration, stored, &operation);
    let asked = tokio::time::timeout(LIMIT, operation.watch(work)).await;
    let troubles = asked.unwrap_or_else(|_| Gained::late().troubles);
    let next = next_pause(run, &troubles);
    if !troubles.is_empty() {
        tracing::warn!(
            connection.id = run.connection.0,
            operation.id = operation.id(),
            attempts = run.attempts + 1,
            is_repeated = next.is_some(),
            error.reason = report::reasons(&troubles),
            "what follows a connection did not work"
        );
    }
    report::conclude(&operation, FAILED, &troubles, next);
    next
}

fn next_pause(run: &PostConnectionRun, troubles: &[Trouble]) -> Option<TimeDelta> {
    let is_passing = troubles.iter().any(|trouble| trouble.is_passing);
    let pause = usize::try_from(run.attempts).ok().and_then(|attempts| PAUSES.get(attempts));
    pause.copied().filter(|_| is_passing)
}

/// Asks, and stores what was found. Gives what went wrong.
async fn ask(
    app: &SharedApp,
    run: &PostConnectionRun,
    integration: &Arc<OpenIntegration>,
    stored: Fresh,
    operation: &Operation,
) -> Vec<Trouble> {
    if integration.provider.is_none() {
        // Perhaps another replica has a newer catalog.
        return vec![Trouble::passing("the provider is not in the catalog")];
    }
    let current = if run.attempts == 0 {
        stored
    } else {
        match fresh_credentials(app, integration, stored.connection, Force::No).await {
            Ok(fresh) => fresh,
            Err(error) => return vec![Trouble::passing(error.to_string())],
        }
    };
    let Fresh { connection, credentials } = &current;
    operation.hide_credentials(credentials);
    let config = open_config(app, connection);
    let metadata = connection.metadata.as_ref();
    let mut scope = Scope::new(integration, credentials, &config, metadata, &connection.connection_id);
    let gained = follow_all(app, &mut scope, steps_of(integration, false), &run.decided).await;
    report::tell(operation, &gained);
    match store(app, integration, connection, gained).await {
        Ok(troubles) => troubles,
        Err(error) => vec![Trouble::passing(error.to_string())],
    }
}

/// One update for everything that the steps brought.
async fn store(
    app: &SharedApp,
    integration: &OpenIntegration,
    connection: &Connection,
    gained: Gained,
) -> Result<Vec<Trouble>, ApiError> {
    let Gained { mut set, metadata, unset, troubles, .. } = gained;
    let environment = connection.environment_id;
    if !metadata.is_empty() {
        rows::merge_metadata(&app.db, environment, &[connection.id], &Value::Object(metadata.clone()))
            .await?;
    }
    if !set.is_empty() || !unset.is_empty() {
        seal_config(&app.cipher, integration.provider.as_deref(), &mut set)?;
        connection_config::change(&app.db, environment, connection.id, &Value::Object(set.clone()), &unset)
            .await?;
    }
    if !(set.is_empty() && unset.is_empty() && metadata.is_empty()) {
        announce_change(app, environment, connection.id, app.clock.now()).await?;
        tracing::info!(
            connection.id = connection.id.0,
            values = set.len(),
            "a connection learned more about itself"
        );
    }
    Ok(troubles)
}
