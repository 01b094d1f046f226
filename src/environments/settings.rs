//! Changing an environment after it was made. Called by the JSON routes of operators and by settings files.

use serde_json::{Map, Value, json};

use super::PRODUCTION;
use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::crypto::Secret;
use crate::db::EnvironmentId;
use crate::db::changes::{self, ChangeKind};
use crate::db::environments::{self as rows, EnvironmentSettings};
use crate::error::{ApiError, is_constraint};
use crate::fanout::Wake;
use crate::integrations::{open_object, seal_object};

const LIVE_NAME: &str = "environments_live_name";

/// What changes of an environment; `None` stays, and an empty text takes the value away.
#[derive(Clone, Default)]
pub struct EnvironmentPatch {
    pub name: Option<String>,
    pub is_production: Option<bool>,
    pub callback_url: Option<String>,
    pub hmac_enabled: Option<bool>,
    pub hmac_key: Option<Secret>,
    pub slack_notifications: Option<bool>,
    pub otlp_endpoint: Option<String>,
    pub otlp_headers: Option<Map<String, Value>>,
}

/// Changes an environment, and makes every replica forget what it knew of it.
///
/// # Errors
/// The environment is gone, the name is taken, or `prod` would lose its name or its production flag.
pub async fn change(app: &App, id: EnvironmentId, patch: EnvironmentPatch) -> Result<(), ApiError> {
    let now = app.clock.now();
    let mut transaction = app.db.begin().await?;
    // Two changes at once must not undo each other.
    rows::lock(&mut *transaction, id).await?;
    let found = rows::find_settings(&mut *transaction, id).await?;
    let before = found.ok_or_else(|| ApiError::not_found("There is no such environment."))?;
    let described = describe(app, &before)?;
    let after = apply(app, before, patch)?;
    rows::update_settings(&mut *transaction, id, &after, now).await.map_err(name_taken)?;
    changes::insert(&mut *transaction, ChangeKind::Environment, id, id.0, now).await?;
    let event = Event::of_environment(id, Action::EnvironmentUpdated)
        .target(Target::new("environment", id.0, &after.name))
        .changed(&described, &describe(app, &after)?);
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    app.keys.forget_environment(id);
    app.fanout.call(Wake::Feed).await;
    Ok(())
}

/// The settings for the audit trail.
fn describe(app: &App, settings: &EnvironmentSettings) -> Result<Value, ApiError> {
    let secrets = open_secrets(app, settings)?;
    let hide = |value: &Value| audit::secret(Some(value.to_string().as_bytes()));
    let headers: Map<String, Value> =
        secrets.otlp_headers.iter().map(|(name, value)| (name.clone(), hide(value))).collect();
    Ok(json!({
        "name": settings.name,
        "is_production": settings.is_production,
        "callback_url": settings.callback_url,
        "hmac_enabled": settings.hmac_enabled,
        "hmac_key": audit::secret(secrets.hmac_key.as_ref().map(|key| key.expose().as_bytes())),
        "slack_notifications": settings.slack_notifications,
        "otlp_endpoint": settings.otlp_endpoint,
        "otlp_headers": headers,
    }))
}

/// The settings after a change, secrets sealed.
fn apply(
    app: &App,
    before: EnvironmentSettings,
    patch: EnvironmentPatch,
) -> Result<EnvironmentSettings, ApiError> {
    let name = patch.name.unwrap_or_else(|| before.name.clone());
    check_production(&before.name, &name, patch.is_production)?;
    let hmac_key = match patch.hmac_key {
        None => before.hmac_key,
        Some(key) if key.expose().is_empty() => None,
        Some(key) => Some(app.cipher.seal_text(key.expose())?),
    };
    let otlp_headers = match patch.otlp_headers {
        None => before.otlp_headers,
        Some(headers) => seal_object(&app.cipher, &headers)?,
    };
    Ok(EnvironmentSettings {
        is_production: name == PRODUCTION || patch.is_production.unwrap_or(before.is_production),
        name,
        callback_url: replaced(before.callback_url, patch.callback_url),
        hmac_enabled: patch.hmac_enabled.unwrap_or(before.hmac_enabled),
        hmac_key,
        slack_notifications: patch.slack_notifications.unwrap_or(before.slack_notifications),
        otlp_endpoint: replaced(before.otlp_endpoint, patch.otlp_endpoint),
        otlp_headers,
        ..before
    })
}

/// # Errors
/// `prod` may neither be called otherwise nor be anything but production.
pub fn check_production(old: &str, new: &str, is_production: Option<bool>) -> Result<(), ApiError> {
    if old == PRODUCTION && new != PRODUCTION {
        let message = format!("The environment {PRODUCTION} keeps its name.");
        return Err(ApiError::bad_request("invalid_body", message));
    }
    if new == PRODUCTION && is_production == Some(false) {
        let message = format!("The environment {PRODUCTION} is always one of production.");
        return Err(ApiError::bad_request("invalid_is_prod_flag", message));
    }
    Ok(())
}

/// A text after a change: absent stays, empty takes it away.
pub fn replaced(before: Option<String>, given: Option<String>) -> Option<String> {
    match given {
        None => before,
        Some(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
    }
}

/// The error of storing an environment under a name.
pub fn name_taken(error: sqlx::Error) -> ApiError {
    if is_constraint(&error, LIVE_NAME) {
        return ApiError::conflict("Another environment has this name.");
    }
    error.into()
}

/// The secrets among an environment's settings.
pub struct EnvironmentSecrets {
    pub hmac_key: Option<Secret>,
    pub otlp_headers: Map<String, Value>,
}

/// Opens the secrets among an environment's settings.
pub fn open_secrets(app: &App, settings: &EnvironmentSettings) -> Result<EnvironmentSecrets, ApiError> {
    let hmac_key = settings.hmac_key.as_deref().map(|sealed| app.cipher.open_text(sealed)).transpose()?;
    let otlp_headers = open_object(&app.cipher, settings.otlp_headers.as_deref())?;
    Ok(EnvironmentSecrets { hmac_key, otlp_headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prod_keeps_its_name_and_its_flag() {
        for (old, new, is_production, expected) in [
            ("prod", "prod", None, None),
            ("prod", "prod", Some(true), None),
            ("prod", "prod", Some(false), Some("invalid_is_prod_flag")),
            ("prod", "live", None, Some("invalid_body")),
            ("live", "prod", None, None),
            ("live", "prod", Some(false), Some("invalid_is_prod_flag")),
            ("live", "live", Some(false), None),
        ] {
            let code = check_production(old, new, is_production).err().map(|error| error.code().to_owned());
            assert_eq!(code.as_deref(), expected, "{old} {new} {is_production:?}");
        }
    }
}
