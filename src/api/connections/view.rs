//! The connection objects of the API (`spec` http-api, section 8.1).

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::auth::{Credentials, hide_refresh_tokens, remove_at};
use crate::catalog::Provider;
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
#[derive(Serialize, ToSchema)]
#[schema(as = EndUser)]
pub struct EndUserBody {
    id: String,
    #[schema(required)]
    display_name: Option<String>,
    #[schema(required)]
    email: Option<String>,
    #[schema(required, value_type = Option<Object>)]
    tags: Option<Value>,
    #[schema(required)]
    organization: Option<OrganizationBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Organization)]
struct OrganizationBody {
    id: String,
    #[schema(required)]
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
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionSummary)]
pub struct SummaryBody {
    id: i64,
    connection_id: String,
    provider_config_key: String,
    provider: String,
    #[schema(value_type = Vec<ConnectionError>)]
    errors: Value,
    #[schema(required)]
    end_user: Option<EndUserBody>,
    #[schema(value_type = Object)]
    tags: Value,
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(format = DateTime)]
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
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionBody {
    id: i64,
    connection_id: String,
    provider_config_key: String,
    provider: String,
    errors: Vec<ConnectionError>,
    #[schema(required)]
    end_user: Option<EndUserBody>,
    #[schema(value_type = Object)]
    tags: Value,
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(value_type = Object)]
    connection_config: Value,
    #[schema(required)]
    webhook_url_override: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(required, format = DateTime)]
    last_fetched_at: Option<String>,
    #[schema(value_type = ShownCredentials)]
    credentials: Value,
}

/// Describes what stands under `credentials`: credentials, or an empty object where there are none to see.
struct ShownCredentials;

impl PartialSchema for ShownCredentials {
    fn schema() -> RefOr<Schema> {
        let nothing = ObjectBuilder::new().max_properties(Some(0));
        AnyOfBuilder::new().item(Ref::from_schema_name(Credentials::name())).item(nothing).into()
    }
}

impl ToSchema for ShownCredentials {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Credentials::name().into_owned(), Credentials::schema()));
        Credentials::schemas(schemas);
    }
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
        self.credentials = credentials.to_shown_json();
        self.connection_config = Value::Object(config);
        self
    }

    /// Takes refresh tokens out, wherever they are.
    pub fn without_refresh_tokens(mut self, provider: Option<&Provider>) -> Self {
        // Where a TWO_STEP answer has its refresh token under another name.
        if let Some(path) = provider.and_then(|provider| provider.token_response.refresh_token.as_deref()) {
            let answers = ["raw", "token"].into_iter();
            answers.for_each(|name| remove_at(&mut self.credentials, &format!("{name}.{path}")));
        }
        hide_refresh_tokens(&mut self.credentials);
        hide_refresh_tokens(&mut self.connection_config);
        self
    }
}
