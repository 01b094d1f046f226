//! How the Connect UI looks for an environment (`spec` auth-flows, section 13.8). Called by the API and by settings files.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::announce_change;
use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::db::EnvironmentId;
use crate::db::changes::ChangeKind;
use crate::db::connect_ui_settings as rows;
use crate::error::ApiError;

/// The colour of buttons unless the environment has its own.
const PRIMARY: &str = "#00B2E3";

/// Stored and shown in this form.
// Wire: camel case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectUiSettings {
    pub theme: Theme,
    pub default_theme: DefaultTheme,
    pub show_watermark: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub font_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub border_radius: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Theme {
    pub light: Palette,
    pub dark: Palette,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Palette {
    /// A CSS colour.
    pub primary: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultTheme {
    Light,
    Dark,
    #[default]
    System,
}

impl Default for Palette {
    fn default() -> Self {
        Palette { primary: PRIMARY.to_owned() }
    }
}

// IMPROVE: upstream shows its watermark unless paid.
impl Default for ConnectUiSettings {
    fn default() -> Self {
        ConnectUiSettings {
            theme: Theme::default(),
            default_theme: DefaultTheme::System,
            show_watermark: false,
            logo: None,
            font_family: None,
            border_radius: None,
        }
    }
}

/// The settings of an environment. What was stored but cannot be read is silently replaced by the defaults.
pub async fn find(app: &App, environment: EnvironmentId) -> Result<ConnectUiSettings, ApiError> {
    let stored = rows::find(&app.db, environment).await?;
    Ok(stored.and_then(|stored| serde_json::from_value(stored).ok()).unwrap_or_default())
}

/// Stores the settings of an environment.
pub async fn store(
    app: &App,
    environment: EnvironmentId,
    settings: &ConnectUiSettings,
) -> Result<(), ApiError> {
    let before = json!({ "connect_ui": find(app, environment).await? });
    let stored = serde_json::to_value(settings).map_err(ApiError::unexpected)?;
    let mut transaction = app.db.begin().await?;
    rows::upsert(&mut *transaction, environment, &stored, app.clock.now()).await?;
    let event = Event::of_environment(environment, Action::EnvironmentUpdated);
    let event = event.changed(&before, &json!({ "connect_ui": stored }));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    announce_change(app, ChangeKind::Environment, environment, environment.0).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let shown = serde_json::to_value(ConnectUiSettings::default()).unwrap();
        let expected = json!({
            "theme": {"light": {"primary": "#00B2E3"}, "dark": {"primary": "#00B2E3"}},
            "defaultTheme": "system",
            "showWatermark": false,
        });
        assert_eq!(shown, expected);
        assert_eq!(
            serde_json::from_value::<ConnectUiSettings>(json!({})).unwrap(),
            ConnectUiSettings::default()
        );
    }
}
