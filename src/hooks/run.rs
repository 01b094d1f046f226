//! The hooks of one connection that was made or authorized again, from its row to what the row gains.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::scope::Scope;
use super::steps::Trouble;
use super::{Gained, follow_all, steps_of};
use crate::app::SharedApp;
use crate::connections::{announce_change, open, open_config, seal_config};
use crate::db::connections::{self as rows, Connection};
use crate::db::post_connection_runs::{self, PostConnectionRun};
use crate::db::{connection_config, integrations};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::operation_id;
use crate::refresh::{Force, fresh_credentials};
use crate::webhooks::outgoing;

/// All steps together.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than the steps may take, so that nobody else runs them meanwhile.
pub const LEASE: TimeDelta = TimeDelta::seconds(90);
/// Between attempts, while the provider is in trouble.
const PAUSES: [TimeDelta; 4] =
    [TimeDelta::seconds(30), TimeDelta::minutes(5), TimeDelta::hours(1), TimeDelta::hours(6)];

/// Runs the hooks once, and notes whether they have to be run again.
pub(super) async fn run(app: &SharedApp, run: &PostConnectionRun) {
    let followed = tokio::time::timeout(LIMIT, follow(app, run)).await;
    let troubles = match followed {
        Ok(Ok(troubles)) => troubles,
        Ok(Err(error)) => vec![Trouble { message: error.to_string(), is_passing: true }],
        Err(_) => vec![Trouble { message: "the provider took too long".to_owned(), is_passing: true }],
    };
    outgoing::let_go(app, run.environment_id, run.run_id).await;
    if let Err(error) = settle(app, run, &troubles).await {
        tracing::warn!(connection.id = run.connection.0, error = %error, "the end of a hook could not be noted");
    }
}

async fn settle(app: &SharedApp, run: &PostConnectionRun, troubles: &[Trouble]) -> sqlx::Result<()> {
    let pause = usize::try_from(run.attempts).ok().and_then(|attempts| PAUSES.get(attempts));
    let is_passing = troubles.iter().any(|trouble| trouble.is_passing);
    if !troubles.is_empty() {
        let messages: Vec<&str> = troubles.iter().map(|trouble| trouble.message.as_str()).collect();
        tracing::warn!(
            connection.id = run.connection.0,
            operation.id = operation_id(app),
            attempts = run.attempts + 1,
            is_repeated = is_passing && pause.is_some(),
            error.reason = messages.join("; "),
            "what follows a connection did not work"
        );
    }
    match pause.filter(|_| is_passing) {
        Some(pause) => post_connection_runs::put_off(&app.db, run, app.clock.now() + *pause).await,
        None => post_connection_runs::delete(&app.db, run).await,
    }
}

async fn follow(app: &SharedApp, run: &PostConnectionRun) -> Result<Vec<Trouble>, ApiError> {
    let Some(connection) = rows::find_by_row(&app.db, run.environment_id, run.connection).await? else {
        return Ok(Vec::new());
    };
    let row = integrations::find_by_id(&app.db, run.environment_id, connection.integration_id).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let integration = Arc::new(OpenIntegration::open(app, row)?);
    if integration.provider.is_none() {
        // Perhaps another replica has a newer catalog.
        let message = "the provider is not in the catalog".to_owned();
        return Ok(vec![Trouble { message, is_passing: true }]);
    }
    let (connection, credentials) = if run.attempts == 0 {
        let credentials = open(app, &connection)?;
        (connection, credentials)
    } else {
        match fresh_credentials(app, &integration, connection, Force::No).await {
            Ok(fresh) => (fresh.connection, fresh.credentials),
            Err(error) => return Ok(vec![Trouble { message: error.to_string(), is_passing: true }]),
        }
    };
    let config = open_config(app, &connection);
    let metadata = connection.metadata.as_ref();
    let mut scope = Scope::new(&integration, &credentials, &config, metadata, &connection.connection_id);
    let gained = follow_all(app, &mut scope, steps_of(&integration, false), &run.decided).await;
    store(app, &integration, &connection, gained).await
}

/// One update for everything that the steps brought.
async fn store(
    app: &SharedApp,
    integration: &OpenIntegration,
    connection: &Connection,
    gained: Gained,
) -> Result<Vec<Trouble>, ApiError> {
    let Gained { mut set, metadata, unset, troubles } = gained;
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
