//! Replacing keys while the old ones still work for a while: API keys, and the key that webhooks are signed with. Called
//! by the API and the dashboard.

use chrono::{DateTime, TimeDelta, Utc};

use super::change::announce;
use super::creation::{CreatedKey, KeyError, KeyOwner, insert_key, lock_owner};
use crate::app::App;
use crate::audit::{self, Action, Target};
use crate::crypto::Secret;
use crate::db::ApiKeyId;
use crate::db::api_keys::{self, KeyKind};
use crate::db::environments::{self, Environment};
use crate::time_format::format_millis_z;

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
    audit::record(app, &mut *transaction, owner.event(Action::SigningKeyRotated)).await?;
    transaction.commit().await?;
    Ok(created.secret)
}

/// Gives an API key a successor with its name and scopes. The old key works for `grace` more under another name.
///
/// `None` when there is no such key, or when it was replaced already.
pub async fn rotate_api_key(
    app: &App,
    owner: KeyOwner,
    id: ApiKeyId,
    grace: TimeDelta,
) -> Result<Option<CreatedKey>, KeyError> {
    let now = app.clock.now();
    let KeyOwner { account_id, environment_id } = owner;
    let mut transaction = app.db.begin().await?;
    lock_owner(&mut transaction, owner).await?;
    let keys = api_keys::list(&mut *transaction, account_id, environment_id, now).await?;
    let Some(old) = keys.into_iter().find(|key| key.id == id && key.expires_at.is_none()) else {
        return Ok(None);
    };
    let old_name = replaced_name(&old.display_name, now);
    api_keys::replace(&mut *transaction, account_id, id, &old_name, now + grace).await?;
    let kind = KeyKind::Api;
    let created = insert_key(app, &mut transaction, owner, kind, &old.display_name, &old.scopes).await?;
    let event = owner
        .event(Action::ApiKeyUpdated)
        .target(Target::api_key(id, &old_name))
        .target(Target::api_key(created.id, &old.display_name))
        .with("replacedBy", created.id.0)
        .with("worksUntil", format_millis_z(now + grace));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    announce(app, owner, id).await?;
    tracing::info!(
        environment.id = environment_id.map(|id| id.0),
        api_key.id = id.0,
        api_key.successor = created.id.0,
        "API key replaced"
    );
    Ok(Some(created))
}

/// What a replaced key is called; names tell live keys apart.
fn replaced_name(name: &str, now: DateTime<Utc>) -> String {
    let kept: String = name.chars().take(200).collect();
    format!("{kept} (replaced {})", now.format("%Y-%m-%d %H:%M:%S%.3f"))
}
