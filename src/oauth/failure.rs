//! Telling the customer's backend of a sign-in that failed (`spec` auth-flows, sections 4.5 and 10.3).

use super::popup_error::PopupError;
use crate::app::App;
use crate::connections::session_end_user;
use crate::db::connect_sessions;
use crate::db::oauth_sessions::OAuthSession;
use crate::db::{connections, environments};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::webhooks::outgoing::{AuthEvent, AuthFailure, AuthOperation, announce_auth};

/// Sends the webhook of a failed creation. A browser that did not start the sign-in is no attempt of anybody, and what
/// fails here is in the log only: the browser has its answer.
pub async fn tell(app: &App, row: &OAuthSession, integration: &OpenIntegration, error: &PopupError) {
    if error.kind == "state_cookie_err" {
        return;
    }
    if let Err(error) = announce(app, row, integration, error).await {
        error.log();
    }
}

async fn announce(
    app: &App,
    row: &OAuthSession,
    integration: &OpenIntegration,
    error: &PopupError,
) -> Result<(), ApiError> {
    let Some(environment) = environments::find(&app.db, row.environment_id).await? else { return Ok(()) };
    let existing = connections::find(&app.db, environment.id, integration.row.id, &row.connection_id).await?;
    let session = match row.connect_session_id {
        Some(id) => connect_sessions::find(&app.db, environment.id, id).await?,
        None => None,
    };
    let end_user = session.as_ref().and_then(session_end_user);
    let own_url = existing.as_ref().and_then(|connection| connection.webhook_url_override.as_deref());
    let sessions_url = session.as_ref().and_then(|session| session.webhook_url_override.as_deref());
    let event = AuthEvent {
        environment: &environment,
        integration,
        connection_id: &row.connection_id,
        webhook_url_override: own_url.or(sessions_url.filter(|_| existing.is_none())),
        auth_mode: None,
        // Wire: also when it was to authorize a connection again.
        operation: AuthOperation::Creation,
        tags: existing.as_ref().map(|connection| &connection.tags),
        end_user: end_user.as_ref(),
        failure: Some(AuthFailure { kind: error.webhook_kind(), description: &error.message }),
        hold: None,
    };
    announce_auth(app, &event).await;
    Ok(())
}
