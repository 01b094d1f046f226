//! Replacing the key that webhooks are signed with. Called by the API.

use chrono::TimeDelta;

use super::creation::{KeyError, KeyOwner, insert_key};
use crate::app::App;
use crate::crypto::Secret;
use crate::db::api_keys::{self, KeyKind};
use crate::db::environments::{self, Environment};

/// How long the replaced key still signs beside the new one.
const OVERLAP: TimeDelta = TimeDelta::hours(24);
/// The name of every signing key.
pub const SIGNING_KEY_NAME: &str = "Webhook signing";

/// Why the signing key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("The environment has no webhook signing key.")]
    NoKey,
    #[error("The environment has more than one webhook signing key.")]
    SeveralKeys,
    #[error(transparent)]
    Failed(#[from] KeyError),
}

impl From<sqlx::Error> for RotationError {
    fn from(error: sqlx::Error) -> Self {
        RotationError::Failed(error.into())
    }
}

/// Puts a new signing key in the place of the one and only. The old one is kept for a second signature for 24 hours.
pub async fn rotate_signing_key(app: &App, environment: &Environment) -> Result<Secret, RotationError> {
    let now = app.clock.now();
    let owner = KeyOwner { account_id: environment.account_id, environment_id: Some(environment.id) };
    let mut transaction = app.db.begin().await?;
    if !environments::lock(&mut *transaction, environment.id).await? {
        return Err(RotationError::NoKey);
    }
    let old = match *api_keys::list_signing_keys(&mut *transaction, environment.id).await? {
        [] => return Err(RotationError::NoKey),
        [old] => old,
        _ => return Err(RotationError::SeveralKeys),
    };
    api_keys::retire(&mut *transaction, environment.id, old, now + OVERLAP, now).await?;
    let kind = KeyKind::WebhookSigning;
    let created = insert_key(app, &mut transaction, owner, kind, SIGNING_KEY_NAME, &[]).await?;
    transaction.commit().await?;
    Ok(created.secret)
}
