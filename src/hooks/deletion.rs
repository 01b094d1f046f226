//! What is asked before a connection is deleted: most often, that its tokens are revoked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::scope::Scope;
use super::steps::Trouble;
use super::{Gained, follow_all, report};
use crate::app::{App, SharedApp};
use crate::catalog::Provider;
use crate::connections::{open, open_config};
use crate::db::connections::Connection;
use crate::db::integrations;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, Operation};
use crate::refresh::{Force, Fresh, fresh_credentials, start_operation};

/// The caller waits that long at most.
const LIMIT: Duration = Duration::from_secs(10);
const FAILED: &str = "pre_deletion_failed";

/// Follows the entry's `pre_deletion`. Whatever goes wrong, the connection can be deleted.
pub async fn before_deletion(app: &SharedApp, connection: &Connection) {
    // By itself, so that a caller who goes away does not leave it half done.
    let (owner, connection) = (app.clone(), connection.clone());
    let id = connection.id;
    let task = app.lifecycle.tasks.spawn(async move { tell_provider(&owner, connection).await });
    let problem = match task.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it ended early".to_owned(),
    };
    tracing::warn!(connection.id = id.0, error.reason = problem, "what precedes a deletion did not work");
}

async fn tell_provider(app: &SharedApp, connection: Connection) -> Result<(), ApiError> {
    let row = integrations::find_by_id(&app.db, connection.environment_id, connection.integration_id).await?;
    let Some(row) = row else { return Ok(()) };
    let integration = Arc::new(OpenIntegration::open(app, row)?);
    if !integration.provider.as_deref().is_some_and(is_told) {
        return Ok(());
    }
    let credentials = open(app, &connection)?;
    let parting = Parting::begin(app, &integration, Fresh { connection, credentials }, LIMIT);
    // Fresh credentials, else those that are stored: some providers revoke with a token that has ended.
    let fresh = async |stored: Fresh| {
        fresh_credentials(app, &integration, stored.connection.clone(), Force::No).await.unwrap_or(stored)
    };
    let troubles = parting.ask(app, fresh).await;
    parting.conclude(&troubles, None);
    Ok(())
}

/// Whether a provider wants to hear of connections before they are deleted.
pub(super) fn is_told(provider: &Provider) -> bool {
    !provider.pre_deletion.is_empty()
}

/// One connection's `pre_deletion`, and the operation in which its requests can be seen.
pub(super) struct Parting<'a> {
    integration: &'a OpenIntegration,
    stored: Fresh,
    operation: Operation,
    limit: Duration,
}

impl<'a> Parting<'a> {
    pub fn begin(app: &App, integration: &'a OpenIntegration, stored: Fresh, limit: Duration) -> Self {
        let operation = start_operation(app, Kind::EventsPreConnectionDeletion, integration, &stored);
        Parting { integration, stored, operation, limit }
    }

    /// Follows the steps with what `freshen` makes of the stored credentials, and gives what went wrong.
    pub async fn ask<F: Future<Output = Fresh>>(
        &self,
        app: &App,
        freshen: impl FnOnce(Fresh) -> F,
    ) -> Vec<Trouble> {
        let work = async {
            let current = freshen(self.stored.clone()).await;
            self.operation.hide_credentials(&current.credentials);
            self.follow(app, &current).await
        };
        let gained = tokio::time::timeout(self.limit, self.operation.watch(work)).await;
        let gained = gained.unwrap_or_else(|_| Gained::late());
        gained.notes.iter().for_each(|note| self.operation.info(note));
        gained.troubles
    }

    async fn follow(&self, app: &App, current: &Fresh) -> Gained {
        let Fresh { connection, credentials } = current;
        let config = open_config(app, connection);
        let metadata = connection.metadata.as_ref();
        let mut scope =
            Scope::new(self.integration, credentials, &config, metadata, &connection.connection_id);
        let steps = self.integration.provider.iter().flat_map(|provider| &provider.pre_deletion);
        follow_all(app, &mut scope, steps, &[]).await
    }

    /// Tells how it went. `next`: how long until it is tried again, when it is.
    pub fn conclude(&self, troubles: &[Trouble], next: Option<chrono::TimeDelta>) {
        if !troubles.is_empty() {
            tracing::warn!(
                connection.id = self.stored.connection.id.0,
                operation.id = self.operation.id(),
                is_repeated = next.is_some(),
                error.reason = report::reasons(troubles),
                "what precedes a deletion did not work"
            );
        }
        report::conclude(&self.operation, FAILED, troubles, next);
    }
}
