//! The integrations of an environment: adding one from the catalog, its credentials and addresses, and providers of one's own.

mod choose;
mod client;
mod detail;
mod editor;
mod list;

pub use self::choose::{create_integration, find_providers, search_catalog, show_new_integration};
pub use self::detail::{delete_integration, reveal_secrets, show_integration, update_integration};
pub use self::editor::{check_provider, save_provider, show_editor};
pub use self::list::list_integrations;

use super::error::PageError;
use super::page::{EnvironmentPage, segment};
use crate::app::App;
use crate::db::environments;

/// The path of an integration's page.
fn path_of(page: &EnvironmentPage, key: &str) -> String {
    page.path_of(&format!("/integrations/{}", segment(key)))
}

/// Where providers send browsers back to.
pub async fn callback_url(app: &App, page: &EnvironmentPage) -> Result<String, PageError> {
    let settings = environments::find_settings(&app.db, page.environment.id).await?;
    let own = settings.and_then(|settings| settings.callback_url);
    Ok(own.unwrap_or_else(|| app.config.http.default_callback_url()))
}

/// An auth mode as people call it.
fn mode_title(mode: Option<crate::auth::AuthMode>) -> &'static str {
    use crate::auth::AuthMode::*;
    match mode {
        Some(OAuth1) => "OAuth 1",
        Some(OAuth2) => "OAuth 2",
        Some(OAuth2Cc) => "OAuth 2, client credentials",
        Some(Basic) => "User name and password",
        Some(ApiKey) => "API key",
        Some(Custom) => "App with user sign-in",
        Some(App) => "Installed app",
        Some(None) => "No credentials",
        Some(Tba) => "Token-based (NetSuite)",
        Some(Jwt) => "Signed JWT",
        Some(Bill) => "Bill session",
        Some(TwoStep) => "Own login",
        Some(Signature) => "Signature",
        Some(McpOAuth2) => "MCP server",
        Some(McpOAuth2Generic) => "Any MCP server",
        Some(InstallPlugin) => "Plugin",
        Some(AwsSigV4) => "AWS role",
        Option::None => "Not known to this version",
    }
}
