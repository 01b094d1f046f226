//! Changing where an environment's webhooks go. Called by the JSON routes of operators and by settings files.

use serde_json::json;

use super::announce_change;
use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::db::changes::ChangeKind;
use crate::db::webhook_settings::{self as rows, WebhookSettings};
use crate::db::{EnvironmentId, environments, webhook_endpoints, webhook_queues};
use crate::error::ApiError;

/// What changes of the webhook settings; `None` stays, and an empty text takes an address away.
#[derive(Clone, Default)]
pub struct WebhookPatch {
    pub primary_url: Option<String>,
    pub secondary_url: Option<String>,
    pub on_sync_completion_always: Option<bool>,
    pub on_auth_creation: Option<bool>,
    pub on_auth_refresh_error: Option<bool>,
    pub on_sync_error: Option<bool>,
    pub on_async_action_completion: Option<bool>,
}

impl WebhookPatch {
    /// The settings after this change.
    pub fn apply(&self, before: WebhookSettings) -> WebhookSettings {
        let address = |before: Option<String>, given: &Option<String>| match given {
            None => before,
            Some(url) => Some(url.clone()).filter(|url| !url.is_empty()),
        };
        WebhookSettings {
            primary_url: address(before.primary_url, &self.primary_url),
            secondary_url: address(before.secondary_url, &self.secondary_url),
            on_sync_completion_always: self
                .on_sync_completion_always
                .unwrap_or(before.on_sync_completion_always),
            on_auth_creation: self.on_auth_creation.unwrap_or(before.on_auth_creation),
            on_auth_refresh_error: self.on_auth_refresh_error.unwrap_or(before.on_auth_refresh_error),
            on_sync_error: self.on_sync_error.unwrap_or(before.on_sync_error),
            on_async_action_completion: self
                .on_async_action_completion
                .unwrap_or(before.on_async_action_completion),
        }
    }
}

/// Changes the webhook settings of an environment and returns them.
pub async fn change(
    app: &App,
    environment: EnvironmentId,
    patch: &WebhookPatch,
) -> Result<WebhookSettings, ApiError> {
    let now = app.clock.now();
    let mut transaction = app.db.begin().await?;
    // Two changes at once must not undo each other.
    environments::lock(&mut *transaction, environment).await?;
    let before = rows::find(&mut *transaction, environment).await?;
    let after = patch.apply(before.clone());
    rows::upsert(&mut *transaction, environment, &after, now).await?;
    if (&before.primary_url, &before.secondary_url) != (&after.primary_url, &after.secondary_url) {
        // What waits for an old address goes to the new one, and need not wait any longer.
        webhook_endpoints::close_all(&mut *transaction, environment).await?;
        webhook_queues::hurry_environment(&mut *transaction, environment, now).await?;
    }
    let event = Event::of_environment(environment, Action::WebhookUrlsChanged);
    audit::record(app, &mut *transaction, event.changed(&json!(before), &json!(after))).await?;
    transaction.commit().await?;
    app.outbox.ring(environment);
    announce_change(app, ChangeKind::Environment, environment, environment.0).await?;
    Ok(after)
}
