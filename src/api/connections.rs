//! Connections over HTTP (`spec` http-api, section 8): listing, importing, reading with fresh credentials, changing.

mod change;
mod flat_import;
mod import;
mod input;
mod list;
mod metadata;
mod metadata_of_one;
mod operations;
mod read;
mod view;

use serde_json::{Map, Value, json};

pub use change::{ConnectionPatch, delete_connection, remove, store_patch, update_connection};
pub use flat_import::import_flat_connection;
pub use import::import_connection;
pub use list::list_connections;
pub use metadata::{Write, merge_metadata, set_metadata, store as store_metadata};
pub use metadata_of_one::{merge_metadata_of_one, set_metadata_of_one};
pub use operations::operations;
pub use read::get_connection;
pub use view::EndUserBody;

use super::input::tags::EndUser;
use crate::app::App;
use crate::auth::Credentials;
use crate::db::connections::{self as rows, Connection};
use crate::db::{EnvironmentId, end_users};
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::modes::{self, Installation};

/// A live connection with its integration.
///
/// # Errors
/// 400 `unknown_provider_config`, 404 `not_found`.
async fn find_connection(
    app: &App,
    environment: EnvironmentId,
    integration_key: &str,
    connection_id: &str,
) -> Result<(OpenIntegration, Connection), ApiError> {
    let integration = integrations::find(app, environment, integration_key).await?.ok_or_else(|| {
        ApiError::bad_request("unknown_provider_config", "There is no such integration in this environment.")
    })?;
    let connection = rows::find(&app.db, environment, integration.row.id, connection_id)
        .await?
        .ok_or_else(|| ApiError::not_found("There is no such connection for this integration."))?;
    Ok((integration, connection))
}

/// The row of an end user given without an organization, which an existing row then loses.
fn end_user_row(user: &EndUser) -> end_users::EndUser {
    end_users::EndUser {
        end_user_id: user.id.clone(),
        email: user.email.clone(),
        display_name: user.display_name.clone(),
        organization_id: None,
        organization_display_name: None,
        tags: user.tags.as_ref().map(|tags| json!(tags)),
    }
}

/// The token of an imported installation, and the connection config with what belongs to it.
///
/// # Errors
/// Wire: 500 `server_error` with the provider's words.
async fn installation_token(
    app: &App,
    integration: &OpenIntegration,
    installation: &Installation,
    config: &Map<String, Value>,
) -> Result<(Credentials, Map<String, Value>), ApiError> {
    let renewed = modes::import_installation(app, integration, installation, config).await;
    let renewed = renewed.map_err(|error| ApiError::server_error(error.message))?;
    Ok((renewed.credentials, renewed.connection_config))
}
