//! Connections as the domain sees them: creating or authorizing one again, opening its credentials, and telling the
//! caches about every change. Called by the API, the OAuth callback and the refresh.

mod config;
mod reads;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::auth::{AuthMode, Credentials};
use crate::catalog::Provider;
use crate::crypto::CryptoError;
use crate::db::changes::{self, ChangeKind};
use crate::db::connect_sessions::ConnectSession;
use crate::db::connections::{self, Connection, Upsert};
use crate::db::end_users::{self, EndUser};
use crate::db::environments::Environment;
use crate::db::post_connection_runs::{self, PostConnectionRun};
use crate::db::{ConnectionRowId, EnvironmentId, connection_errors};
use crate::error::ApiError;
use crate::fanout::Wake;
use crate::hooks::{self, HOOK_LEASE};
use crate::integrations::{OpenIntegration, open_object};
use crate::webhooks::outgoing::{AuthEvent, AuthOperation, enqueue_auth, hold_for};

pub use config::{open_config, public_config, seal_config};
pub use reads::{ConnectionView, KnownConnection, ReadCache, ReadKey};

/// Whether a connection is new or was authorized again; the word of the auth webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Creation,
    Override,
}

impl Operation {
    /// What happened, for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Operation::Creation => "The connection was made.",
            Operation::Override => "The connection was authorized again.",
        }
    }
}

impl From<Operation> for AuthOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Creation => AuthOperation::Creation,
            Operation::Override => AuthOperation::Override,
        }
    }
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
    /// Sealed: what the connect session prescribes for each integration, which hooks leave alone.
    pub config_defaults: Option<&'a [u8]>,
    /// The auth mode that the webhook tells, when it is not the provider's.
    pub told_mode: Option<AuthMode>,
}

impl<'a> NewConnection<'a> {
    /// A connection made by an end user: tags, end user and webhook override come from the connect session, and what
    /// the session did not give stays as it is (`spec` auth-flows, section 3.6).
    pub fn from_session(
        connection_id: &'a str,
        credentials: &'a Credentials,
        connection_config: Map<String, Value>,
        session: Option<&'a ConnectSession>,
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
            config_defaults: session.and_then(|session| session.integrations_config_defaults.as_deref()),
            told_mode: None,
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
/// authentication error, queues the webhook that tells of it, and makes every cache forget the old one. What the provider's
/// entry asks for afterwards is begun.
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
    let decided = decided_config(app, integration, new.config_defaults)?;
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
    let stored = connections::upsert(&mut *transaction, upsert).await?;
    let id = stored.id;
    let operation = if stored.created { Operation::Creation } else { Operation::Override };
    if let Some(user) = &new.end_user {
        end_users::upsert_for_connection(&mut transaction, environment.id, id, user, now).await?;
    }
    connection_errors::delete_auth(&mut *transaction, id).await?;
    changes::insert(&mut *transaction, ChangeKind::Connection, environment.id, id.0, now).await?;
    let action = if stored.created { Action::ConnectionCreated } else { Action::ConnectionUpdated };
    let event = Event::of_environment(environment.id, action)
        .target(Target::connection_row(id, new.connection_id))
        .with("integration", integration.row.unique_key.clone());
    audit::record(app, &mut *transaction, event).await?;
    let is_asked = hooks::has_post_connection(integration) && !waits_for_token(new.credentials);
    let hooks = is_asked.then(|| {
        let (run_id, environment_id) = (app.rng.uuid(), environment.id);
        PostConnectionRun { connection: id, environment_id, run_id, decided, attempts: 0 }
    });
    if let Some(run) = &hooks {
        // This process runs them now; whoever finds the row later, only if this one died.
        post_connection_runs::insert(&mut *transaction, run, now + HOOK_LEASE).await?;
    }
    let told = AuthEvent {
        environment,
        integration,
        connection_id: new.connection_id,
        webhook_url_override: stored.webhook_url_override.as_deref(),
        auth_mode: new.told_mode,
        operation: operation.into(),
        tags: Some(&stored.tags),
        end_user: new.end_user.as_ref(),
        failure: None,
        // Whoever is told reads the connection, and should find in it what the hooks found.
        hold: hooks.as_ref().map(|run| hold_for(run.run_id, now)),
    };
    enqueue_auth(app, &mut transaction, &told).await?;
    transaction.commit().await?;
    app.forget_connection(id);
    if stored.created {
        app.page_marks.forget(environment.id);
    }
    if let Some(run) = hooks {
        app.hooks.push(run);
    }
    app.outbox.ring(environment.id);
    app.fanout.call(Wake::Feed).await;
    Ok(Established { id, operation })
}

/// Whether the sign-in goes on at the provider: there is nothing to ask with before it ends.
fn waits_for_token(credentials: &Credentials) -> bool {
    matches!(credentials, Credentials::OAuth2 { access_token, .. } if access_token.is_empty())
}

/// The names of the config that the connect session prescribed.
fn decided_config(
    app: &App,
    integration: &OpenIntegration,
    sealed: Option<&[u8]>,
) -> Result<Vec<String>, CryptoError> {
    let all = open_object(&app.cipher, sealed)?;
    let own = all.get(&integration.row.unique_key).and_then(|own| own.get("connection_config"));
    Ok(own.and_then(Value::as_object).map(|config| config.keys().cloned().collect()).unwrap_or_default())
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
