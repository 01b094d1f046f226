//! The connection objects of the API (`spec` http-api, section 8.1).

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::auth::{Credentials, hide_refresh_tokens};
use crate::connections::{ConnectionView, public_config};
use crate::db::connection_errors::ConnectionError;
use crate::db::connection_list::Summary;
use crate::db::connections::Connection;
use crate::db::end_users::EndUser;
use crate::db::integrations::Integration;
use crate::time_format::format_micros_offset;

/// How dates are printed: the styles differ between endpoints (`spec` http-api, section 4.2).
pub type DateStyle = fn(DateTime<Utc>) -> String;

/// An end user as the API shows it.
#[derive(Serialize)]
pub struct EndUserBody {
    id: String,
    display_name: Option<String>,
    email: Option<String>,
    tags: Option<Value>,
    organization: Option<OrganizationBody>,
}

#[derive(Serialize)]
struct OrganizationBody {
    id: String,
    display_name: Option<String>,
}

impl From<EndUser> for EndUserBody {
    fn from(user: EndUser) -> Self {
        let display_name = user.organization_display_name;
        EndUserBody {
            id: user.end_user_id,
            display_name: user.display_name,
            email: user.email,
            tags: user.tags,
            organization: user.organization_id.map(|id| OrganizationBody { id, display_name }),
        }
    }
}

/// One connection of the list; never with credentials.
#[derive(Serialize)]
pub struct SummaryBody {
    id: i64,
    connection_id: String,
    provider_config_key: String,
    provider: String,
    errors: Value,
    end_user: Option<EndUserBody>,
    tags: Value,
    metadata: Option<Value>,
    created: String,
}

impl From<Summary> for SummaryBody {
    fn from(row: Summary) -> Self {
        let end_user = row.end_user_id.map(|end_user_id| EndUser {
            end_user_id,
            email: row.end_user_email,
            display_name: row.end_user_display_name,
            organization_id: row.organization_id,
            organization_display_name: row.organization_display_name,
            tags: row.end_user_tags,
        });
        SummaryBody {
            id: row.id,
            connection_id: row.connection_id,
            provider_config_key: row.provider_config_key,
            provider: row.provider,
            errors: row.errors,
            end_user: end_user.map(EndUserBody::from),
            tags: row.tags,
            metadata: row.metadata,
            created: format_micros_offset(row.created_at),
        }
    }
}

/// A single connection; without credentials until they are added.
#[derive(Serialize)]
pub struct ConnectionBody {
    id: i64,
    connection_id: String,
    provider_config_key: String,
    provider: String,
    errors: Vec<ConnectionError>,
    end_user: Option<EndUserBody>,
    tags: Value,
    metadata: Option<Value>,
    connection_config: Value,
    webhook_url_override: Option<String>,
    created_at: String,
    updated_at: String,
    last_fetched_at: Option<String>,
    credentials: Value,
}

impl ConnectionBody {
    /// Loads what a connection shows beside its row, secrets left out.
    pub async fn load(
        app: &App,
        integration: &Integration,
        row: Connection,
        dates: DateStyle,
    ) -> sqlx::Result<Self> {
        let view = ConnectionView::load(app, row).await?;
        Ok(Self::new(app, integration, view, dates))
    }

    /// What is shown of a connection, secrets left out.
    pub fn new(app: &App, integration: &Integration, view: ConnectionView, dates: DateStyle) -> Self {
        let ConnectionView { connection: row, errors, end_user } = view;
        ConnectionBody {
            id: row.id.0,
            connection_config: Value::Object(public_config(app, &row)),
            connection_id: row.connection_id,
            provider_config_key: integration.unique_key.clone(),
            provider: integration.provider.clone(),
            errors,
            end_user: end_user.map(EndUserBody::from),
            tags: row.tags,
            metadata: row.metadata,
            webhook_url_override: row.webhook_url_override,
            created_at: dates(row.created_at),
            updated_at: dates(row.updated_at),
            last_fetched_at: row.last_fetched_at.map(dates),
            credentials: json!({}),
        }
    }

    /// Adds the credentials and the secrets of the connection config, refresh tokens included.
    pub fn with_secrets(mut self, credentials: &Credentials, config: Map<String, Value>) -> Self {
        self.credentials = credentials.to_json();
        self.connection_config = Value::Object(config);
        self
    }

    /// Takes refresh tokens out, wherever they are.
    pub fn without_refresh_tokens(mut self) -> Self {
        hide_refresh_tokens(&mut self.credentials);
        hide_refresh_tokens(&mut self.connection_config);
        self
    }
}
