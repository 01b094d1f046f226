//! What is asked before a connection is deleted: most often, that its tokens are revoked.

use std::sync::Arc;
use std::time::Duration;

use super::follow_all;
use super::scope::Scope;
use crate::app::SharedApp;
use crate::auth::Credentials;
use crate::connections::{open, open_config};
use crate::db::connections::Connection;
use crate::db::integrations;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::operation_id;
use crate::refresh::{Force, fresh_credentials};

/// The caller waits that long at most.
const LIMIT: Duration = Duration::from_secs(10);

/// Follows the entry's `pre_deletion`. Whatever goes wrong, the connection can be deleted.
pub async fn before_deletion(app: &SharedApp, connection: &Connection) {
    // By itself, so that a caller who goes away does not leave it half done.
    let (owner, connection) = (app.clone(), connection.clone());
    let id = connection.id;
    let task = app
        .lifecycle
        .tasks
        .spawn(async move { tokio::time::timeout(LIMIT, follow(&owner, connection)).await });
    let problem = match task.await {
        Ok(Ok(Ok(problems))) if problems.is_empty() => return,
        Ok(Ok(Ok(problems))) => problems,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_)) => "the provider took too long".to_owned(),
        Err(_) => "it ended early".to_owned(),
    };
    tracing::warn!(
        connection.id = id.0,
        operation.id = operation_id(app),
        error.reason = problem,
        "what precedes a deletion did not work"
    );
}

/// What went wrong; empty when nothing did.
async fn follow(app: &SharedApp, connection: Connection) -> Result<String, ApiError> {
    let row = integrations::find_by_id(&app.db, connection.environment_id, connection.integration_id).await?;
    let Some(row) = row else { return Ok(String::new()) };
    let integration = Arc::new(OpenIntegration::open(app, row)?);
    let steps = integration.provider.iter().flat_map(|provider| &provider.pre_deletion);
    if steps.clone().next().is_none() {
        return Ok(String::new());
    }
    let (connection, credentials) = usable(app, &integration, connection).await?;
    let config = open_config(app, &connection);
    let metadata = connection.metadata.as_ref();
    let mut scope = Scope::new(&integration, &credentials, &config, metadata, &connection.connection_id);
    let gained = follow_all(app, &mut scope, steps, &[]).await;
    let messages: Vec<String> = gained.troubles.into_iter().map(|trouble| trouble.message).collect();
    Ok(messages.join("; "))
}

/// Fresh credentials, else those that are stored: some providers revoke with a token that has ended.
async fn usable(
    app: &SharedApp,
    integration: &Arc<OpenIntegration>,
    connection: Connection,
) -> Result<(Connection, Credentials), ApiError> {
    let stored = open(app, &connection)?;
    match fresh_credentials(app, integration, connection.clone(), Force::No).await {
        Ok(fresh) => Ok((fresh.connection, fresh.credentials)),
        Err(_) => Ok((connection, stored)),
    }
}
