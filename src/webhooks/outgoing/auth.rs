//! The webhook about connections and their credentials (`spec` auth-flows, section 10.3).

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Event, Occasion, Subject, canonical_json, enqueue};
use crate::app::App;
use crate::auth::AuthMode;
use crate::db::end_users::EndUser;
use crate::db::environments::Environment;
use crate::db::webhook_deliveries::Hold;
use crate::db::webhook_settings;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;

/// The wire's `operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthOperation {
    Creation,
    Override,
    Refresh,
}

impl AuthOperation {
    pub fn as_str(self) -> &'static str {
        match self {
            AuthOperation::Creation => "creation",
            AuthOperation::Override => "override",
            AuthOperation::Refresh => "refresh",
        }
    }

    fn occasion(self) -> Occasion {
        match self {
            AuthOperation::Creation => Occasion::AuthCreation,
            AuthOperation::Override => Occasion::AuthOverride,
            AuthOperation::Refresh => Occasion::AuthRefreshFailure,
        }
    }
}

/// Why it did not work: the wire's `error`.
#[derive(Debug, Clone, Copy)]
pub struct AuthFailure<'a> {
    pub kind: &'a str,
    pub description: &'a str,
}

/// A connection was made, authorized again, or lost its credentials. Successful refreshes are not told.
pub struct AuthEvent<'a> {
    pub environment: &'a Environment,
    pub integration: &'a OpenIntegration,
    pub connection_id: &'a str,
    pub webhook_url_override: Option<&'a str>,
    /// The mode to be told, when it is not the provider's.
    pub auth_mode: Option<AuthMode>,
    pub operation: AuthOperation,
    /// Of the connection, if there is one.
    pub tags: Option<&'a Value>,
    /// Of the connect session.
    pub end_user: Option<&'a EndUser>,
    /// `None`: it worked.
    pub failure: Option<AuthFailure<'a>>,
    /// What the event waits for before it is sent.
    pub hold: Option<Hold>,
}

/// Stores the event in the caller's transaction; see [`enqueue`].
pub async fn enqueue_auth(app: &App, db: &mut PgConnection, event: &AuthEvent<'_>) -> Result<(), ApiError> {
    let settings = webhook_settings::find(&mut *db, event.environment.id).await?;
    let subject =
        Subject { connection_id: event.connection_id, webhook_url_override: event.webhook_url_override };
    let stored = Event {
        environment: event.environment.id,
        occasion: event.operation.occasion(),
        name: Some(event.operation.as_str()),
        provider_config_key: &event.integration.row.unique_key,
        connection: Some(subject),
        body: canonical_json(&payload(event)),
        headers: Vec::new(),
        hold: event.hold,
    };
    enqueue(app, db, &settings, &stored).await
}

/// Stores the event by itself and sends it. What fails here is in the log only: nobody waits for it.
pub async fn announce_auth(app: &App, event: &AuthEvent<'_>) {
    if let Err(error) = store(app, event).await {
        error.log();
        tracing::error!(connection = event.connection_id, "a webhook could not be stored");
    }
}

async fn store(app: &App, event: &AuthEvent<'_>) -> Result<(), ApiError> {
    let mut transaction = app.db.begin().await?;
    enqueue_auth(app, &mut transaction, event).await?;
    transaction.commit().await?;
    app.outbox.ring(event.environment.id);
    Ok(())
}

fn payload(event: &AuthEvent<'_>) -> Value {
    let integration = event.integration;
    let mode = event.auth_mode.or_else(|| integration.provider.as_ref().and_then(|provider| provider.mode()));
    let mut payload = json!({
        "from": "nango",
        "type": "auth",
        "connectionId": event.connection_id,
        "providerConfigKey": integration.row.unique_key,
        "authMode": mode.map_or("unknown", AuthMode::as_str),
        "provider": integration.row.provider,
        "environment": event.environment.name,
        "operation": event.operation.as_str(),
        "success": event.failure.is_none(),
    });
    if let Some(tags) = event.tags {
        payload["tags"] = tags.clone();
    }
    if let Some(user) = event.end_user {
        payload["endUser"] = end_user(user);
    }
    if let Some(failure) = event.failure {
        payload["error"] = json!({ "type": failure.kind, "description": failure.description });
    }
    payload
}

fn end_user(user: &EndUser) -> Value {
    let mut shown = json!({
        "endUserId": user.end_user_id,
        "tags": user.tags.clone().unwrap_or_else(|| json!({})),
    });
    for (name, value) in [("endUserEmail", &user.email), ("organizationId", &user.organization_id)] {
        if let Some(value) = value {
            shown[name] = value.as_str().into();
        }
    }
    shown
}
