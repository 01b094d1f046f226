//! Testing credentials that cannot be refreshed (API keys, passwords), so that dead ones are noticed before somebody
//! needs them (`spec` auth-flows, sections 7.1 and 8.2). A refusal counts like a failed refresh.

use super::flight::{LEASE, note_failure, start_operation};
use super::{Fresh, RefreshError, refuse_hopeless};
use crate::app::App;
use crate::auth::Credentials;
use crate::connections::{announce_change, open, open_config};
use crate::db::connections::Connection;
use crate::db::{connection_errors, refresh_leases};
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, LogError};
use crate::proxy::{VerificationFailure, verify_credentials};

/// Whether the periodic job tests credentials of this kind.
pub fn is_tested(credentials: &Credentials) -> bool {
    match credentials {
        Credentials::Basic { .. } | Credentials::ApiKey { .. } | Credentials::Tba { .. } => true,
        Credentials::OAuth2 { .. }
        | Credentials::OAuth2Cc { .. }
        | Credentials::OAuth1 { .. }
        | Credentials::App { .. }
        | Credentials::Jwt { .. }
        | Credentials::Bill { .. }
        | Credentials::TwoStep { .. }
        | Credentials::Signature { .. }
        | Credentials::AwsSigV4 { .. }
        | Credentials::None => false,
    }
}

/// Asks the provider whether it still accepts the credentials and notes the answer. A provider that cannot be reached
/// says nothing about them.
///
/// # Errors
/// The provider refused them, or earlier refusals forbid a new attempt.
pub async fn test_credentials(
    app: &App,
    integration: &OpenIntegration,
    connection: &Connection,
) -> Result<(), RefreshError> {
    refuse_hopeless(connection, app.clock.now())?;
    let credentials = open(app, connection)?;
    let owner = app.rng.uuid();
    let now = app.clock.now();
    let environment = connection.environment_id;
    if !refresh_leases::take(&app.db, environment, connection.id, owner, now + LEASE, now).await? {
        return Ok(());
    }
    let config = open_config(app, connection);
    let current = Fresh { connection: connection.clone(), credentials };
    let credentials = &current.credentials;
    let operation = start_operation(app, Kind::AuthConnectionTest, integration, &current);
    let verdict = operation.watch(verify_credentials(app, integration, credentials, &config)).await;
    match &verdict {
        Ok(()) => operation.succeed(),
        Err(failure) => operation.fail(&LogError::new("connection_test_failed", failure.to_string())),
    }
    match verdict {
        Ok(()) => {
            let expires_at = credentials.column_expiry(now);
            refresh_leases::save_test_success(&app.db, connection.id, owner, expires_at, now).await?;
            connection_errors::delete_auth(&app.db, connection.id).await?;
            announce_change(app, environment, connection.id, now).await?;
            Ok(())
        }
        Err(failure) if is_refusal(&failure) => {
            let error = RefreshError::test_failed(failure.to_string());
            note_failure(app, integration, connection, owner, &error, operation.id()).await?;
            Err(error)
        }
        Err(_) => Ok(refresh_leases::give_back(&app.db, connection.id, owner).await?),
    }
}

fn is_refusal(failure: &VerificationFailure) -> bool {
    matches!(failure, VerificationFailure::Rejected { .. })
}
