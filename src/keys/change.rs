//! Changing and revoking API keys. Called by the API and by settings files.

use serde_json::json;

use super::creation::{KeyError, KeyOwner, reused_secret};
use crate::app::App;
use crate::audit::{self, Action, Target};
use crate::crypto::Secret;
use crate::db::changes::ChangeKind;
use crate::db::{ApiKeyId, api_keys};
use crate::environments::announce_change;

/// Revokes a key at once, even the last one of its owner; `false` when there is no such key.
pub async fn delete_api_key(app: &App, owner: KeyOwner, id: ApiKeyId) -> Result<bool, KeyError> {
    let KeyOwner { account_id, environment_id } = owner;
    let mut transaction = app.db.begin().await?;
    let deleted =
        api_keys::delete(&mut *transaction, account_id, environment_id, id, app.clock.now()).await?;
    let Some(name) = deleted else { return Ok(false) };
    let event = owner.event(Action::ApiKeyDeleted).target(Target::api_key(id, &name));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    announce(app, owner, id).await?;
    tracing::info!(environment.id = environment_id.map(|id| id.0), api_key.id = id.0, "API key deleted");
    Ok(true)
}

/// Gives a key other scopes.
pub async fn change_scopes(
    app: &App,
    owner: KeyOwner,
    id: ApiKeyId,
    scopes: &[String],
) -> Result<(), KeyError> {
    let mut transaction = app.db.begin().await?;
    if let Some(old) = api_keys::update_scopes(&mut *transaction, owner.account_id, id, scopes).await? {
        let event = owner.event(Action::ApiKeyUpdated).target(Target::api_key(id, &old.display_name));
        let event = event.changed(&json!({ "scopes": old.scopes }), &json!({ "scopes": scopes }));
        audit::record(app, &mut *transaction, event).await?;
    }
    transaction.commit().await?;
    announce(app, owner, id).await
}

/// Gives a key another secret; the old one stops working at once.
///
/// # Errors
/// Another key has, or had, this secret.
pub async fn change_secret(
    app: &App,
    owner: KeyOwner,
    id: ApiKeyId,
    secret: &Secret,
) -> Result<(), KeyError> {
    let sealed = app.cipher.seal_text(secret.expose())?;
    let hash = app.cipher.lookup_hash(secret.expose());
    let mut transaction = app.db.begin().await?;
    let updated = api_keys::update_secret(&mut *transaction, owner.account_id, id, &sealed, &hash).await;
    if let Some(name) = updated.map_err(reused_secret)? {
        let event = owner.event(Action::ApiKeyUpdated).target(Target::api_key(id, &name));
        audit::record(app, &mut *transaction, event.with("secret", "replaced")).await?;
    }
    transaction.commit().await?;
    announce(app, owner, id).await
}

/// Tells the caches of every replica that a key changed.
pub(super) async fn announce(app: &App, owner: KeyOwner, id: ApiKeyId) -> Result<(), KeyError> {
    announce_change(app, ChangeKind::ApiKey, owner.feed_environment(), id.0).await?;
    Ok(())
}
