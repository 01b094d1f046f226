//! The operator's routes under `/api/v1`: what a dashboard can do, for scripts. Callers come with the dashboard's name and
//! password (HTTP basic auth) or with a key of the account. Nobody else learns anything but 401, not even whether the
//! body was JSON.

mod audit_trail;
mod connect_ui;
mod environments;
pub mod input;
mod jobs;
mod keys;
mod logs;
mod variables;
mod webhook_deliveries;
mod webhooks;

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use audit_trail::{download, export_audit_trail, list_audit_trail};
pub use connect_ui::{get_connect_ui_settings, put_connect_ui_settings};
pub use environments::{
    create_environment, delete_environment, get_environment, list_environments, rotate_signing_key,
    update_environment,
};
pub use jobs::get_jobs;
pub use keys::{
    create_account_key, create_environment_key, delete_account_key, delete_environment_key,
    list_account_keys, list_environment_keys,
};
pub use logs::{get_insights, get_operation, list_filters, list_messages, list_operations};
pub use variables::{list_variables, replace_variables};
pub use webhook_deliveries::{
    get_webhook_delivery, list_webhook_deliveries, replay_failed_webhook_deliveries, replay_webhook_delivery,
};
pub use webhooks::{get_webhook_settings, update_webhook_settings};

use super::client_address::client_address;
use super::edge::too_many_requests;
use super::extract::{
    IntoApiError, QueryTree, authenticate_key, limit, limit_key, missing_scope, note_failure,
};
use super::input::formats::ENVIRONMENT_NAME;
use super::input::read_object;
use super::scope::Scope;
use crate::app::{App, SharedApp};
use crate::audit::{self, Actor};
use crate::config::DashboardCredentials;
use crate::crypto::{constant_time_eq, sha256};
use crate::db::environments::{self as environment_rows, Environment};
use crate::db::{AccountId, accounts};
use crate::error::ApiError;
use crate::keys::KeyIdentity;
use crate::limiter::Bucket;
use crate::members::login::note_failed_stranger;

/// Wrong passwords that an address may send in a minute: people choose passwords that are easier to guess than keys.
const PASSWORD_GUESSES: u64 = 30;
/// Asks a browser for name and password.
pub const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Hitchpost\", charset=\"UTF-8\"");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Somebody who proved who they are.
#[derive(Clone)]
pub enum Authenticated {
    Password(AccountId),
    Key(Arc<KeyIdentity>),
}

/// The middleware around every handler of these routes; it authenticates before anything else is looked at.
pub async fn authenticated(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut response = match authenticate(&parts, &app).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    };
    let takes_passwords = app.config.dashboard.credentials.is_some();
    if takes_passwords && response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    // Many of these answers hold secrets.
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

async fn authenticate(parts: &Parts, app: &SharedApp) -> Result<Authenticated, ApiError> {
    let Some(account) = authenticate_password(parts, app).await? else {
        let identity = authenticate_key(parts, app).await?;
        limit_key(parts, app, &identity).await?;
        return Ok(Authenticated::Key(identity));
    };
    limit(parts, app, Bucket::Secret(account), app.config.limits.per_minute).await?;
    Ok(Authenticated::Password(account))
}

/// The account of a caller with the dashboard's name and password; none when the caller sent no password.
///
/// # Errors
/// The password is wrong, none is set, or the address sent too many wrong ones.
pub async fn authenticate_password(parts: &Parts, app: &App) -> Result<Option<AccountId>, ApiError> {
    let Some(encoded) = basic_credentials(&parts.headers) else { return Ok(None) };
    throttle_passwords(parts, app)?;
    let account =
        find_account(app, encoded).await.inspect_err(|error| note_wrong_password(parts, app, error))?;
    if let Some(credentials) = &app.config.dashboard.credentials {
        audit::note_actor(|| Actor::user(&credentials.username, &credentials.username));
    }
    Ok(Some(account))
}

/// What follows the scheme `Basic` (RFC 7617); `None` for other schemes and for none.
fn basic_credentials(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| rest.trim())
}

async fn find_account(app: &App, encoded: &str) -> Result<AccountId, ApiError> {
    let expected = app.config.dashboard.credentials.as_ref().ok_or_else(|| {
        ApiError::unauthorized(
            "unknown_account",
            "This server takes no password: NANGO_DASHBOARD_USERNAME and NANGO_DASHBOARD_PASSWORD are not set. Send a \
             key of the account, as `hitchpost account-key create` makes it.",
        )
    })?;
    if !matches(expected, encoded) {
        note_failed_stranger(app).await?;
        return Err(ApiError::unauthorized("unknown_account", "The user name or the password is wrong."));
    }
    let account = accounts::find_first(&app.db).await?;
    account.ok_or_else(|| ApiError::server_error("The database has no account."))
}

fn matches(expected: &DashboardCredentials, encoded: &str) -> bool {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((username, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
        return false;
    };
    // Hashes have one length, so that the time says nothing about the length either.
    let digest = |text: &str| hex::encode(sha256(text.as_bytes()));
    let is_name = constant_time_eq(&digest(&expected.username), &digest(username));
    let is_password = constant_time_eq(&digest(expected.password.expose()), &digest(password));
    is_name & is_password
}

fn password_limit(app: &App) -> u64 {
    app.config.limits.per_minute.min(PASSWORD_GUESSES)
}

/// Refuses addresses that sent too many wrong passwords, the right one included.
fn throttle_passwords(parts: &Parts, app: &App) -> Result<(), ApiError> {
    let Some(address) = client_address(parts, app.config.http.trusted_proxy_hops) else { return Ok(()) };
    let bucket = Bucket::FailedPassword(address);
    let exhausted = app.limiter.is_exhausted(bucket, password_limit(app), app.clock.now());
    match exhausted.filter(|_| app.config.limits.enabled) {
        Some(_) => Err(too_many_requests(&parts.method, parts.uri.path())),
        None => Ok(()),
    }
}

fn note_wrong_password(parts: &Parts, app: &App, error: &ApiError) {
    note_failure(parts, app, error);
    let address = client_address(parts, app.config.http.trusted_proxy_hops);
    if let Some(address) = address.filter(|_| error.status() == StatusCode::UNAUTHORIZED) {
        app.limiter.take_alone(Bucket::FailedPassword(address), 1, password_limit(app), app.clock.now());
        tracing::warn!(client.address = %address, "wrong credentials for the operator's routes or the dashboard");
    }
}

/// An operator: came with the password, or with a key of the account that has the scope `S`.
pub struct Operator<S> {
    pub account_id: AccountId,
    scope: PhantomData<S>,
}

impl<S: Scope> FromRequestParts<SharedApp> for Operator<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, ApiError> {
        let account_id = match caller(parts)? {
            Authenticated::Password(account) => account,
            Authenticated::Key(key) if S::ANY_OF.iter().any(|scope| key.has_scope(scope)) => key.account_id,
            Authenticated::Key(_) => return Err(missing_scope::<S>()),
        };
        Ok(Operator { account_id, scope: PhantomData })
    }
}

/// Anybody with a password or with a key of any kind.
pub struct AnyAuthenticated(pub Authenticated);

impl FromRequestParts<SharedApp> for AnyAuthenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, ApiError> {
        caller(parts).map(AnyAuthenticated)
    }
}

/// Who the middleware found.
fn caller(parts: &Parts) -> Result<Authenticated, ApiError> {
    let found = parts.extensions.get::<Authenticated>().cloned();
    found.ok_or_else(|| ApiError::unexpected("a route of operators is not behind their middleware"))
}

/// An operator, and the environment that the query's only parameter `env` names.
pub struct OperatorOf<S> {
    pub environment: Environment,
    scope: PhantomData<S>,
}

impl<S: Scope> FromRequestParts<SharedApp> for OperatorOf<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let operator = Operator::<S>::from_request_parts(parts, app).await?;
        let QueryTree(query) = QueryTree::from_request_parts(parts, app).await?;
        let name =
            read_object(Some(&query), |query| query.required_text("env", &ENVIRONMENT_NAME)).in_query()?;
        let environment = find_environment(app, operator.account_id, &name).await?;
        Ok(OperatorOf { environment, scope: PhantomData })
    }
}

/// The environment of that name.
async fn find_environment(app: &App, account: AccountId, name: &str) -> Result<Environment, ApiError> {
    let found = environment_rows::find_named(&app.db, account, name).await?;
    found.ok_or_else(|| ApiError::not_found(format!("There is no environment {name}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    #[test]
    fn name_and_password_must_both_be_right() {
        let expected = DashboardCredentials { username: "ops".into(), password: Secret::new("p:w ü") };
        for (text, is_right) in [
            ("ops:p:w ü", true),
            ("ops:p:w", false),
            ("op:p:w ü", false),
            (":p:w ü", false),
            ("ops", false),
            ("", false),
        ] {
            assert_eq!(matches(&expected, &STANDARD.encode(text)), is_right, "{text}");
        }
        assert!(!matches(&expected, "ops:p:w ü"), "not base64");
        assert!(!matches(&expected, &STANDARD.encode([0xff, b':'])), "not UTF-8");
    }

    #[test]
    fn only_the_basic_scheme_is_a_password() {
        for (value, expected) in
            [("Basic abc", Some("abc")), ("bAsIc  abc ", Some("abc")), ("Bearer abc", None), ("Basic", None)]
        {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(basic_credentials(&headers), expected, "{value}");
        }
    }
}
