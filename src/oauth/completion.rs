//! Connections that waited for somebody at the provider, completed by what the provider's webhook says (`spec` auth-flows,
//! section 11.7). To be called with webhooks whose signature was found to be right.

use serde_json::{Map, Value};

use super::exchange::redeem;
use super::tokens::{lookup, pick_metadata};
use super::{Payload, TokenError};
use crate::app::App;
use crate::auth::{AuthMode, ClientOverride, Credentials};
use crate::catalog::Provider;
use crate::connections::{self, Established, NewConnection, establish, open_config};
use crate::crypto::CryptoError;
use crate::db::connection_config::list_pending;
use crate::db::connections::Connection;
use crate::db::environments::Environment;
use crate::db::integrations;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, LogError, NewOperation, Operation};
use crate::modes;

/// Why an event completed nothing.
#[derive(Debug, thiserror::Error)]
pub enum CompletionError {
    /// Wire: 400 `webhook_no_connection_or_existing_installation_id`.
    #[error("no connection waits for this installation, or it was completed before")]
    NotWaiting,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the connection could not be stored")]
    Storage(ApiError),
}

impl From<&CompletionError> for LogError {
    fn from(error: &CompletionError) -> Self {
        match error {
            CompletionError::NotWaiting => LogError::new("not_waiting", error.to_string()),
            CompletionError::Token(error) => LogError::new(error.kind, error.message.as_str()),
            CompletionError::Storage(error) => error.into(),
        }
    }
}

impl From<ApiError> for CompletionError {
    fn from(error: ApiError) -> Self {
        CompletionError::Storage(error)
    }
}

impl From<sqlx::Error> for CompletionError {
    fn from(error: sqlx::Error) -> Self {
        CompletionError::Storage(error.into())
    }
}

impl From<CryptoError> for CompletionError {
    fn from(error: CryptoError) -> Self {
        CompletionError::Storage(error.into())
    }
}

/// An owner approved an installation of a `CUSTOM` app: the connection of whoever asked gets the installation's token.
/// `None`: the event tells something else.
///
/// # Errors
/// Nobody waits for it, or the provider gives no token.
pub async fn complete_installation(
    app: &App,
    environment: &Environment,
    event: &Value,
) -> Result<Option<Established>, CompletionError> {
    let Some(approval) = Approval::read(event) else { return Ok(None) };
    let waiting = list_pending(&app.db, environment.id, ("handle", &approval.requester)).await?;
    let asked = |connection: &&Connection| member_text(connection, "app_id") == Some(approval.app_id.clone());
    let connection = waiting.iter().find(asked).ok_or(CompletionError::NotWaiting)?;
    if connection.connection_config.get("installation_id").is_some() {
        return Err(CompletionError::NotWaiting);
    }
    let integration = integration_of(app, connection).await?;
    let user = connections::open(app, connection)?;
    let mut config = settled_config(app, connection);
    config.insert("installation_id".to_owned(), approval.installation_id);
    let operation = resume(app, connection, &integration);
    operation.hide_credentials(&user);
    let told_mode = Some(AuthMode::App);
    let work = async {
        let completed = modes::complete_installation(app, &integration, &user, config).await?;
        let stored = store(app, environment, &integration, connection, completed, told_mode).await?;
        Ok::<_, CompletionError>(stored)
    };
    let established = operation.attempt(work).await?;
    operation.succeed();
    Ok(Some(established))
}

/// A connection that started at the provider gets its tokens for the code in the event. `None`: the event has none, or
/// tells something else.
///
/// # Errors
/// Nobody waits for it, or the provider gives no token.
pub async fn complete_outbound(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    event: &Value,
) -> Result<Option<Established>, CompletionError> {
    let provider = integration.provider.as_deref().filter(|provider| modes::is_outbound(provider));
    let Some((provider, installed)) = provider.and_then(|p| Some((p, Installed::read(p, event)?))) else {
        return Ok(None);
    };
    let waiting = list_pending(&app.db, environment.id, ("actor", &installed.actor)).await?;
    let mut waiting = waiting.iter().filter(|connection| connection.integration_id == integration.row.id);
    let connection = waiting.next().ok_or(CompletionError::NotWaiting)?;
    let mut config = settled_config(app, connection);
    config.extend(installed.metadata);
    let payload = payload(app, environment, &config);
    let operation = resume(app, connection, integration);
    operation.hide(&installed.code);
    let work = async {
        let (credentials, found) =
            redeem(app, integration, provider, &payload, &config, &installed.code).await?;
        config.extend(found);
        let completed = modes::Renewed { credentials, connection_config: config.clone() };
        Ok::<_, CompletionError>(store(app, environment, integration, connection, completed, None).await?)
    };
    let established = operation.attempt(work).await?;
    operation.succeed();
    Ok(Some(established))
}

/// The operation of the sign-in that has waited since.
fn resume(app: &App, connection: &Connection, integration: &OpenIntegration) -> Operation {
    let id = member_text(connection, "pendingLog").unwrap_or_default();
    let new = NewOperation::new(Kind::AuthCreateConnection, connection.environment_id);
    let operation = app.logs.resume(&id, new.connection(connection));
    operation.about_integration(integration);
    operation.hide_config(integration, &open_config(app, connection));
    operation.info("The provider says that the installation is done.");
    operation
}

/// An installation that somebody asked for and an owner approved.
struct Approval {
    requester: String,
    app_id: String,
    /// As the provider writes it: a number.
    installation_id: Value,
}

impl Approval {
    fn read(event: &Value) -> Option<Self> {
        if event.get("action")?.as_str()? != "created" {
            return None;
        }
        let installation = event.get("installation")?;
        let installation_id = installation.get("id")?.clone();
        scalar_text(&installation_id)?;
        Some(Approval {
            requester: event.get("requester")?.get("login")?.as_str()?.to_owned(),
            app_id: scalar_text(installation.get("app_id")?)?,
            installation_id,
        })
    }
}

/// An installation that started at the provider.
struct Installed {
    actor: String,
    code: String,
    metadata: Map<String, Value>,
}

impl Installed {
    fn read(provider: &Provider, event: &Value) -> Option<Self> {
        if event.get("action")?.as_str()? != "created" {
            return None;
        }
        let members = event.as_object()?;
        let path = provider.authorization_code_param_in_webhook.as_deref()?;
        Some(Installed {
            actor: scalar_text(event.get("actor")?.get("id")?)?,
            code: lookup(members, path)?.as_str().filter(|code| !code.is_empty())?.to_owned(),
            metadata: pick_metadata(members, &provider.webhook_response_metadata),
        })
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn member_text(connection: &Connection, name: &str) -> Option<String> {
    scalar_text(connection.connection_config.get(name)?)
}

async fn integration_of(app: &App, connection: &Connection) -> Result<OpenIntegration, CompletionError> {
    let row = integrations::find_by_id(&app.db, connection.environment_id, connection.integration_id).await?;
    Ok(OpenIntegration::open(app, row.ok_or(CompletionError::NotWaiting)?)?)
}

/// The connection's config without what marks it as waiting.
// IMPROVE: upstream leaves `pending` there.
fn settled_config(app: &App, connection: &Connection) -> Map<String, Value> {
    let mut config = open_config(app, connection);
    config.retain(|name, _| name != "pending" && name != "pendingLog");
    config
}

/// An exchange without a redirect before it.
fn payload(app: &App, environment: &Environment, config: &Map<String, Value>) -> Payload {
    let callback_url = environment.callback_url.clone();
    Payload {
        callback_url: callback_url.unwrap_or_else(|| app.config.http.default_callback_url()),
        code_verifier: String::new(),
        connection_config: config.clone(),
        client: ClientOverride::default(),
        refresh_token: None,
        kept: Map::new(),
        operation_id: String::new(),
    }
}

/// Replaces credentials and config; everything else of the connection stays.
async fn store(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    connection: &Connection,
    completed: modes::Renewed,
    told_mode: Option<AuthMode>,
) -> Result<Established, ApiError> {
    let credentials: &Credentials = &completed.credentials;
    let config = completed.connection_config;
    let mut new = NewConnection::from_session(&connection.connection_id, credentials, config, None);
    new.keeps_automated_config = false;
    new.told_mode = told_mode;
    let established = establish(app, environment, integration, new).await?;
    tracing::info!(connection.id = established.id.0, "a waiting connection was completed");
    Ok(established)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_approved_requests_are_approvals() {
        let event = json!({"action": "created", "installation": {"id": 5, "app_id": 7}, "requester": {"login": "ada"}});
        let approval = Approval::read(&event).expect("an approval");
        assert_eq!((approval.requester.as_str(), approval.app_id.as_str()), ("ada", "7"));
        for (name, value) in [
            ("action", json!("deleted")),
            ("action", json!(1)),
            ("requester", json!(null)),
            ("installation", json!({"id": 5})),
            ("installation", json!({"id": {}, "app_id": 7})),
        ] {
            let mut event = event.clone();
            event[name] = value;
            assert!(Approval::read(&event).is_none(), "{event}");
        }
    }
}
