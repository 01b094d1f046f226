//! A user's sign-in and an app's installation in one: GitHub Apps with user login (`spec` auth-flows, section 5.13).
//!
//! The connection holds the installation's token; the user's tokens are in its config, as `userCredentials`. An installation
//! that an owner has to approve leaves a pending connection with the user's tokens, which `oauth::completion` completes.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Arrival, Obtained, Renewed, app as installed_app};
use crate::app::App;
use crate::auth::{AuthMode, Credentials};
use crate::connections::open_config;
use crate::db::connection_config;
use crate::hooks;
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, NewOperation};
use crate::oauth::{self, PopupError, TokenError};

const USER_LIMIT: Duration = Duration::from_secs(10);
/// Of the user's half of a refresh: with that of the installation, within the lease.
const REFRESH_LIMIT: Duration = Duration::from_secs(15);
const USER_CREDENTIALS: &str = "userCredentials";

/// What the callback of an installation or of its request leads to.
///
/// # Errors
/// The callback's or the provider's refusal.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let text = |name: &str| arrival.query.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let has_code = text(&arrival.provider.authorization_code_param_in_callback).is_some();
    let Some(installation) = installed_app::installation_of(arrival.query)? else {
        return request_approval(app, arrival).await;
    };
    if let Some(known) = authorize_known(app, arrival, installation).await? {
        return Ok(known);
    }
    if !has_code && text("setup_action") == Some("update") {
        let (credentials, gained) = installed_app::install(app, arrival, installation).await?;
        return Ok(Obtained { told_mode: Some(AuthMode::App), ..Obtained::ready(credentials, gained) });
    }
    install(app, arrival, installation).await
}

/// A fresh token for the connection that has this installation already, with everything else of it as it is.
async fn authorize_known(
    app: &App,
    arrival: Arrival<'_>,
    installation: &str,
) -> Result<Option<Obtained>, PopupError> {
    let row = &arrival.integration.row;
    let wanted = ("installation_id", installation);
    let found =
        connection_config::find_by_value(&app.db, row.environment_id, row.id, wanted, arrival.connection_id)
            .await?;
    let Some(connection) = found else { return Ok(None) };
    let (credentials, gained) = installed_app::install(app, arrival, installation).await?;
    let mut config = open_config(app, &connection);
    config.extend(gained);
    let connection_id = Some(connection.connection_id);
    let told_mode = Some(AuthMode::App);
    Ok(Some(Obtained { connection_id, told_mode, ..Obtained::ready(credentials, config) }))
}

/// The user's tokens, then the installation's.
async fn install(app: &App, arrival: Arrival<'_>, installation: &str) -> Result<Obtained, PopupError> {
    let user = oauth::arrive(app, arrival).await?;
    let (credentials, gained) = installed_app::install(app, arrival, installation).await?;
    let mut config = user.connection_config;
    config.extend(gained);
    match ask_about_user(app, arrival, &user.credentials).await {
        Ok(found) => config.extend(found),
        // The installation works without it.
        Err(error) => warn(app, arrival, &error),
    }
    config.insert(USER_CREDENTIALS.to_owned(), user.credentials.to_json());
    Ok(Obtained::ready(credentials, config))
}

/// Tells the log of the sign-in what could not be found out.
fn warn(app: &App, arrival: Arrival<'_>, error: &TokenError) {
    tracing::warn!(error.reason = error.message, "the name of a user was not found");
    let environment = arrival.integration.row.environment_id;
    let new = NewOperation::new(Kind::AuthCreateConnection, environment);
    app.logs.resume(&arrival.payload.operation_id, new).warn(&error.message);
}

/// The user's tokens, for a connection that waits until an owner approves. Without a code this is a failed callback.
async fn request_approval(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let operation_id = arrival.payload.operation_id.clone();
    let mut user = oauth::arrive(app, arrival).await?;
    let config = &mut user.connection_config;
    // The approval names this user, so that without the name the connection would wait for ever.
    config.extend(ask_about_user(app, arrival, &user.credentials).await?);
    if let Some(app_id) = arrival.integration.custom.get("app_id") {
        config.insert("app_id".to_owned(), app_id.clone());
    }
    config.insert("pending".to_owned(), true.into());
    config.insert("pendingLog".to_owned(), operation_id.into());
    config.insert(USER_CREDENTIALS.to_owned(), user.credentials.to_json());
    Ok(Obtained { is_pending: true, ..user })
}

/// What the provider says about the user, where the catalog entry wants it known: as a rule the `handle`.
async fn ask_about_user(
    app: &App,
    arrival: Arrival<'_>,
    user: &Credentials,
) -> Result<Map<String, Value>, TokenError> {
    let asked = hooks::ask_about_user(app, arrival.integration, user, arrival.config);
    let asked = tokio::time::timeout(USER_LIMIT, asked).await;
    let found = asked.unwrap_or_else(|_| Err("it took too long".to_owned()));
    found.map_err(|reason| {
        TokenError::new("unknown", format!("The provider did not say who signed in: {reason}."))
    })
}

/// A fresh token of the installation, and then fresh tokens of the user. The user's refresh token can be used only once, so
/// that it is not touched before everything that could fail has worked.
///
/// # Errors
/// The installation's. A failure of the user's half leaves that half as it is.
pub async fn renew(
    app: &App,
    integration: &OpenIntegration,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let mut renewed = installed_app::fetch_token(app, integration, config).await?;
    match renew_user(app, integration, config).await {
        Ok(user) => {
            renewed.connection_config.extend(user.connection_config);
            renewed.connection_config.insert(USER_CREDENTIALS.to_owned(), user.credentials.to_json());
        }
        Err(error) if error.kind == "no_user_credentials" => {}
        Err(error) => tracing::warn!(
            error.code = error.kind,
            error.reason = error.message,
            "the tokens of an app's user could not be refreshed"
        ),
    }
    Ok(renewed)
}

/// The installation's token for a connection that waited for it. `config` names the installation; the user's tokens, which
/// the connection has had so far, go there.
///
/// # Errors
/// The provider's words.
pub async fn complete(
    app: &App,
    integration: &OpenIntegration,
    user: &Credentials,
    mut config: Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let renewed = installed_app::fetch_token(app, integration, &config).await?;
    config.extend(renewed.connection_config);
    config.insert(USER_CREDENTIALS.to_owned(), user.to_json());
    Ok(Renewed { credentials: renewed.credentials, connection_config: config })
}

async fn renew_user(
    app: &App,
    integration: &OpenIntegration,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let user = user_credentials(config);
    let refresh_token = user.as_ref().filter(|user| user.is_refreshable());
    let user = refresh_token.ok_or_else(|| {
        TokenError::new("no_user_credentials", "The connection has no refresh token of a user.")
    })?;
    let renewed = tokio::time::timeout(REFRESH_LIMIT, oauth::refresh_token(app, integration, user, config));
    let late = |_| TokenError::new("refresh_token_external_error", "The token endpoint took too long.");
    renewed.await.map_err(late)?
}

/// The user's tokens in a connection config; connections of other servers may have them without their type.
fn user_credentials(config: &Map<String, Value>) -> Option<Credentials> {
    let mut members = config.get(USER_CREDENTIALS)?.as_object()?.clone();
    members.insert("type".to_owned(), "OAUTH2".into());
    Credentials::from_json(Value::Object(members)).ok()
}

/// Fresh tokens of the user of a pending connection, in both of the places where they are.
///
/// # Errors
/// The provider's words.
pub async fn renew_pending(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let mut renewed = oauth::refresh_token(app, integration, credentials, config).await?;
    renewed.connection_config.insert(USER_CREDENTIALS.to_owned(), renewed.credentials.to_json());
    Ok(renewed)
}
