//! The connections of an environment: finding them, looking at one, changing and deleting them, and asking an end user to
//! make one.

mod advice;
mod change;
mod detail;
mod invite;
mod list;
mod secrets;
mod snippets;

use std::sync::Arc;

pub use self::change::{
    delete_chosen, delete_one, refresh_connection, reveal_credentials, update_metadata, update_tags,
};
pub use self::detail::known_path;
pub use self::detail::show_connection;
pub use self::invite::{invite_again, invite_end_user, show_invitation};
pub use self::list::list_connections;
pub use self::snippets::{ProxiedCall, Snippet, forwarded};

use super::error::PageError;
use super::page::EnvironmentPage;
use crate::app::App;
use crate::db::connections::{self as rows, Connection};
use crate::db::{ConnectionRowId, integrations};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;

/// The address of the picture of a provider.
pub fn logo(page: &EnvironmentPage, provider: &str) -> String {
    page.link(&format!("/images/template-logos/{provider}.svg"))
}

/// The path of a connection's page.
fn path_of(page: &EnvironmentPage, id: ConnectionRowId) -> String {
    page.path_of(&format!("/connections/{}", id.0))
}

/// The connection that a path names, with its integration.
pub async fn find(
    app: &App,
    page: &EnvironmentPage,
    id: &str,
) -> Result<(Arc<OpenIntegration>, Connection), PageError> {
    let id = id.parse().map(ConnectionRowId).map_err(|_| PageError::not_found())?;
    let environment = page.environment.id;
    let connection = rows::find_by_row(&app.db, environment, id).await?.ok_or_else(PageError::not_found)?;
    let row = integrations::find_by_id(&app.db, environment, connection.integration_id).await?;
    let row = row.ok_or_else(PageError::not_found)?;
    let integration = OpenIntegration::open(app, row).map_err(ApiError::from)?;
    Ok((Arc::new(integration), connection))
}
