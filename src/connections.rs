//! Connections as the domain sees them: creating or authorizing one again, opening its credentials, and telling the
//! caches about every change. Called by the API, the OAuth callback and the refresh.

mod config;
mod reads;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::Provider;
use crate::crypto::CryptoError;
use crate::db::changes::{self, ChangeKind};
use crate::db::connect_sessions::ConnectSession;
use crate::db::connections::{self, Connection, Upsert};
use crate::db::end_users::{self, EndUser};
use crate::db::environments::Environment;
use crate::db::{ConnectionRowId, EnvironmentId, connection_errors};
use crate::error::ApiError;
use crate::fanout::Wake;
use crate::integrations::OpenIntegration;

pub use config::{open_config, public_config, seal_config};
pub use reads::{ConnectionView, KnownConnection, ReadCache, ReadKey};

/// Whether a connection is new or was authorized again; the word of the auth webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Creation,
    Override,
}

/// What [`establish`] stores.
pub struct NewConnection<'a> {
    pub connection_id: &'a str,
    pub credentials: &'a Credentials,
    pub connection_config: Map<String, Value>,
    /// `None` keeps an existing connection's.
    pub metadata: Option<Value>,
    /// `None` keeps an existing connection's.
    pub tags: Option<Value>,
    /// `None` keeps an existing connection's; empty text clears it.
    pub webhook_url_override: Option<String>,
    pub end_user: Option<EndUser>,
    /// Whether values that this server once found for the connection survive when the new config lacks them. An import
    /// replaces everything.
    pub keeps_automated_config: bool,
}

impl<'a> NewConnection<'a> {
    /// A connection made by an end user: tags, end user and webhook override come from the connect session, and what
    /// the session did not give stays as it is (`spec` auth-flows, section 3.6).
    pub fn from_session(
        connection_id: &'a str,
        credentials: &'a Credentials,
        connection_config: Map<String, Value>,
        session: Option<&ConnectSession>,
    ) -> Self {
        NewConnection {
            connection_id,
            credentials,
            connection_config,
            metadata: None,
            tags: session.filter(|session| session.has_tags).map(|session| session.tags.clone()),
            webhook_url_override: session.and_then(|session| session.webhook_url_override.clone()),
            end_user: session.and_then(session_end_user),
            keeps_automated_config: true,
        }
    }
}

/// The end-user row that a session's request describes.
pub fn session_end_user(session: &ConnectSession) -> Option<EndUser> {
    let user = session.end_user.as_ref()?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let organization = session.organization.as_ref();
    Some(EndUser {
        end_user_id: text(user, "id")?,
        email: text(user, "email"),
        display_name: text(user, "display_name"),
        organization_id: organization.and_then(|organization| text(organization, "id")),
        organization_display_name: organization.and_then(|organization| text(organization, "display_name")),
        tags: user.get("tags").filter(|tags| tags.is_object()).cloned(),
    })
}

/// A stored connection and how it came about.
#[derive(Debug)]
pub struct Established {
    pub id: ConnectionRowId,
    pub operation: Operation,
}

/// Creates a connection or replaces the credentials of the one with the same id, links its end user, clears its
/// authentication error, and makes every cache forget the old one.
pub async fn establish(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    mut new: NewConnection<'_>,
) -> Result<Established, ApiError> {
    let now = app.clock.now();
    if new.keeps_automated_config {
        keep_automated_config(app, environment, integration, &mut new).await?;
    }
    let sealed = seal(app, new.credentials)?;
    seal_config(&app.cipher, integration.provider.as_deref(), &mut new.connection_config)?;
    let connection_config = Value::Object(new.connection_config);
    let mut transaction = app.db.begin().await?;
    let upsert = Upsert {
        environment_id: environment.id,
        integration_id: integration.row.id,
        connection_id: new.connection_id,
        sealed_credentials: &sealed,
        connection_config: &connection_config,
        metadata: new.metadata.as_ref(),
        tags: new.tags.as_ref(),
        webhook_url_override: new.webhook_url_override.as_deref(),
        credentials_expires_at: Some(new.credentials.column_expiry(now)),
        now,
    };
    let (id, created) = connections::upsert(&mut *transaction, upsert).await?;
    if let Some(user) = &new.end_user {
        end_users::upsert_for_connection(&mut transaction, environment.id, id, user, now).await?;
    }
    connection_errors::delete_auth(&mut *transaction, id).await?;
    changes::insert(&mut *transaction, ChangeKind::Connection, environment.id, id.0, now).await?;
    transaction.commit().await?;
    app.forget_connection(id);
    if created {
        app.page_marks.forget(environment.id);
    }
    app.fanout.call(Wake::Feed).await;
    Ok(Established { id, operation: if created { Operation::Creation } else { Operation::Override } })
}

/// Values that the server itself once found for a connection survive a new authorization that lacks them.
async fn keep_automated_config(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    new: &mut NewConnection<'_>,
) -> Result<(), ApiError> {
    let Some(provider) = &integration.provider else { return Ok(()) };
    let automated = automated_fields(provider);
    if automated.is_empty() {
        return Ok(());
    }
    let existing = connections::find(&app.db, environment.id, integration.row.id, new.connection_id).await?;
    let Some(Value::Object(old)) = existing.map(|connection| connection.connection_config) else {
        return Ok(());
    };
    for name in automated {
        if let Some(value) = old.get(name).filter(|_| !new.connection_config.contains_key(name)) {
            new.connection_config.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn automated_fields(provider: &Provider) -> Vec<&str> {
    let fields = provider.connection_config.iter();
    fields.filter(|(_, schema)| schema.automated).map(|(name, _)| name.as_str()).collect()
}

/// Encrypts credentials for storage.
pub fn seal(app: &App, credentials: &Credentials) -> Result<Vec<u8>, CryptoError> {
    app.cipher.seal_text(&credentials.to_json().to_string())
}

/// Decrypts a connection's credentials.
pub fn open(app: &App, connection: &Connection) -> Result<Credentials, ApiError> {
    let Some(sealed) = &connection.credentials else { return Ok(Credentials::None) };
    let plain = app.cipher.open(sealed)?;
    let value = serde_json::from_slice(&plain).map_err(|_| CryptoError::Malformed)?;
    Credentials::from_json(value)
        .map_err(|error| ApiError::server_error("The stored credentials cannot be read.").because(error))
}

/// Tells this process at once, and the other replicas through the change feed, that a connection changed.
pub async fn announce_change(
    app: &App,
    environment: EnvironmentId,
    id: ConnectionRowId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    app.forget_connection(id);
    changes::insert(&app.db, ChangeKind::Connection, environment, id.0, now).await?;
    app.fanout.call(Wake::Feed).await;
    Ok(())
}
