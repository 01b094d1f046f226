//! Extractors: who calls, and what was sent. A handler without one of the callers below is public and says so.
//!
//! Order (`spec` http-api, section 1.2): authentication 401, rate limit 429, scope 403, then validation 400.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::client_address::client_address;
use super::edge::{RateLimitSlot, too_many_requests};
use super::input::{Issues, formats, parse_query};
use super::json::ParsedBody;
use super::scope::Scope;
use crate::app::{App, SharedApp};
use crate::audit::{self, Actor};
use crate::config::is_uuid_v4;
use crate::db::connect_sessions::{self, ConnectSession};
use crate::db::environments::{self, Environment};
use crate::error::ApiError;
use crate::keys::{self, KeyIdentity};
use crate::limiter::Bucket;

const SESSION_PREFIX: &str = "nango_connect_session_";
const SANDBOX_PREFIX: &str = "nango_sbx_v1_";
/// One end user's share of the account's points.
const SESSION_SHARE: u64 = 10;

/// A caller with an API key that has the scope `S` on its environment.
pub struct SecretKey<S> {
    pub environment: Arc<Environment>,
    pub identity: Arc<KeyIdentity>,
    scope: PhantomData<S>,
}

impl<S: Scope> FromRequestParts<SharedApp> for SecretKey<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let identity = authenticate_key(parts, app).await?;
        let is_proxy = S::ANY_OF == super::scope::Proxy::ANY_OF;
        if !is_proxy || app.config.limits.covers_proxy {
            limit_key(parts, app, &identity).await?;
        }
        let environment = require_scope::<S>(&identity)?;
        Ok(SecretKey { environment, identity, scope: PhantomData })
    }
}

/// A caller with an API key of the account that has the scope `S`.
pub struct AccountKey<S> {
    pub identity: Arc<KeyIdentity>,
    scope: PhantomData<S>,
}

impl<S: Scope> FromRequestParts<SharedApp> for AccountKey<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let identity = authenticate_key(parts, app).await?;
        limit_key(parts, app, &identity).await?;
        if S::ANY_OF.iter().any(|scope| identity.has_scope(scope)) {
            return Ok(AccountKey { identity, scope: PhantomData });
        }
        Err(missing_scope::<S>())
    }
}

/// A caller with a connect session token in the `Authorization` header.
pub struct SessionToken {
    pub session: ConnectSession,
    pub environment: Arc<Environment>,
}

impl FromRequestParts<SharedApp> for SessionToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        authenticate_session(parts, app, bearer(&parts.headers)).await
    }
}

/// A caller with a connect session token in the member `token` of the JSON body: beacons cannot set headers.
pub struct BodySession(pub SessionToken);

impl FromRequestParts<SharedApp> for BodySession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let body = parts.extensions.get::<ParsedBody>().and_then(|body| body.0.as_ref());
        let token = body.and_then(|body| body.get("token")).and_then(Value::as_str);
        // Wire: the code speaks of a header all the same.
        let missing =
            || ApiError::unauthorized("missing_auth_header", "The body has no connect session token.");
        authenticate_session(parts, app, token.ok_or_else(missing)).await.map(BodySession)
    }
}

/// A caller with either an API key that has the scope `S`, or a connect session token.
pub enum KeyOrSession<S> {
    Key(SecretKey<S>),
    Session(Box<SessionToken>),
}

impl<S> KeyOrSession<S> {
    pub fn environment(&self) -> &Arc<Environment> {
        match self {
            KeyOrSession::Key(key) => &key.environment,
            KeyOrSession::Session(session) => &session.environment,
        }
    }
}

impl<S: Scope> FromRequestParts<SharedApp> for KeyOrSession<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let is_session = bearer(&parts.headers).is_ok_and(|value| value.starts_with(SESSION_PREFIX));
        if is_session {
            let session = SessionToken::from_request_parts(parts, app).await?;
            return Ok(KeyOrSession::Session(Box::new(session)));
        }
        // Wire: these routes look at customer keys only, whatever Nango-Is-Script says.
        parts.headers.remove("nango-is-script");
        SecretKey::from_request_parts(parts, app).await.map(KeyOrSession::Key)
    }
}

/// Anybody; the client address has a window of its own, from which each request takes `POINTS`.
pub struct AnyAddress<const POINTS: u64>;

impl<const POINTS: u64> FromRequestParts<SharedApp> for AnyAddress<POINTS> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        if let Some(address) = client_address(parts, app.config.http.trusted_proxy_hops) {
            take_points(parts, app, Bucket::Address(address), POINTS, app.config.limits.per_minute).await?;
        }
        Ok(AnyAddress)
    }
}

/// The query string, parsed by the wire's grammar.
pub struct QueryTree(pub Value);

impl<T: Send + Sync> FromRequestParts<T> for QueryTree {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, ApiError> {
        Ok(QueryTree(parse_query(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The JSON body; `None` when there is none.
pub struct JsonBody(pub Option<Value>);

impl<T: Send + Sync> FromRequestParts<T> for JsonBody {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, ApiError> {
        Ok(JsonBody(parts.extensions.remove::<ParsedBody>().unwrap_or_default().0))
    }
}

/// The parameters of the path, percent-decoded once, as an object for the readers.
pub struct PathTree(pub Value);

impl<T: Send + Sync> FromRequestParts<T> for PathTree {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &T) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| {
            ApiError::bad_request("invalid_uri_params", "The path is not percent-encoded UTF-8.")
        })?;
        let members: Map<String, Value> =
            params.iter().map(|(name, value)| (name.to_owned(), Value::String(value.to_owned()))).collect();
        Ok(PathTree(Value::Object(members)))
    }
}

/// Which part of a request the issues are about.
pub trait IntoApiError<T> {
    fn in_query(self) -> Result<T, ApiError>;
    fn in_body(self) -> Result<T, ApiError>;
    fn in_path(self) -> Result<T, ApiError>;
    fn in_headers(self) -> Result<T, ApiError>;
}

impl<T> IntoApiError<T> for Result<T, Issues> {
    fn in_query(self) -> Result<T, ApiError> {
        self.map_err(|issues| invalid("invalid_query_params", &issues))
    }

    fn in_body(self) -> Result<T, ApiError> {
        self.map_err(|issues| invalid("invalid_body", &issues))
    }

    fn in_path(self) -> Result<T, ApiError> {
        self.map_err(|issues| invalid("invalid_uri_params", &issues))
    }

    fn in_headers(self) -> Result<T, ApiError> {
        self.map_err(|issues| invalid("invalid_headers", &issues))
    }
}

impl Issues {
    /// The answer to issues of a body that were found after reading it.
    pub fn in_body(&self) -> ApiError {
        invalid("invalid_body", self)
    }
}

fn invalid(code: &'static str, issues: &Issues) -> ApiError {
    ApiError::invalid(code, serde_json::to_value(issues).unwrap_or_default())
}

/// The credential of the `Authorization` header: what follows the last `Bearer `, or the whole value.
pub fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || ApiError::unauthorized("missing_auth_header", "The Authorization header is missing.");
    let value = headers.get(axum::http::header::AUTHORIZATION).ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| malformed())?;
    if text.is_empty() {
        return Err(missing());
    }
    let credential = text.rsplit_once("Bearer ").map_or(text, |(_, credential)| credential);
    if credential.is_empty() { Err(malformed()) } else { Ok(credential) }
}

fn malformed() -> ApiError {
    ApiError::unauthorized("malformed_auth_header", "The Authorization header holds no credential.")
}

fn is_script(headers: &HeaderMap) -> bool {
    headers.get("nango-is-script").is_some_and(|value| value == "true")
}

/// The owner of the API key in the `Authorization` header.
pub(super) async fn authenticate_key(parts: &Parts, app: &SharedApp) -> Result<Arc<KeyIdentity>, ApiError> {
    throttle_guessing(parts, app)?;
    let found = match bearer(&parts.headers) {
        Ok(secret) => find_key(app, secret, is_script(&parts.headers)).await,
        Err(error) => Err(error),
    };
    found
        .inspect(|key| audit::note_actor(|| key_actor(key)))
        .inspect_err(|error| note_failure(parts, app, error))
}

fn key_actor(key: &KeyIdentity) -> Actor {
    let environment = key.environment.as_ref().map_or("", |environment| environment.name.as_str());
    key.key_id.map_or_else(|| Actor::provisioned_key(environment), Actor::api_key)
}

async fn authenticate_session(
    parts: &Parts,
    app: &App,
    token: Result<&str, ApiError>,
) -> Result<SessionToken, ApiError> {
    throttle_guessing(parts, app)?;
    let found = match token {
        Ok(token) => find_session(app, token).await,
        Err(error) => Err(error),
    };
    let (session, environment) = found.inspect_err(|error| note_failure(parts, app, error))?;
    limit_session(parts, app, &session, &environment).await?;
    Ok(SessionToken { session, environment })
}

async fn find_key(app: &SharedApp, secret: &str, is_script: bool) -> Result<Arc<KeyIdentity>, ApiError> {
    // Wire: tokens of remote sandboxes have a form of their own, and none is known here.
    if !is_uuid_v4(secret) && !secret.starts_with(SANDBOX_PREFIX) {
        return Err(ApiError::unauthorized("invalid_secret_key_format", "The API key is not a UUID v4."));
    }
    let identity = keys::find_identity(app, secret, is_script).await?;
    identity
        .ok_or_else(|| ApiError::unauthorized("unknown_account", "The API key is unknown or was revoked."))
}

/// The live session of a token, with its environment.
pub async fn find_session(app: &App, token: &str) -> Result<(ConnectSession, Arc<Environment>), ApiError> {
    if !formats::CONNECT_SESSION_TOKEN.accepts(token) {
        return Err(ApiError::unauthorized(
            "invalid_connect_session_token_format",
            "The connect session token is not of the form nango_connect_session_<64 hex characters>.",
        ));
    }
    let hashes = app.cipher.lookup_hashes(token);
    let Some(session) = connect_sessions::find_by_hash(&app.db, &hashes, app.clock.now()).await? else {
        return Err(unknown_session(connect_sessions::is_expired(&app.db, &hashes).await?));
    };
    let environment = environments::find(&app.db, session.environment_id).await?;
    let environment = environment.ok_or_else(|| {
        ApiError::unauthorized("unknown_account", "The environment does not exist any more.")
    })?;
    audit::note_actor(|| Actor::connect_session(session.id));
    Ok((session, Arc::new(environment)))
}

/// The code is the same whatever happened to the session; Connect UI tells people more from `reason`.
fn unknown_session(is_expired: bool) -> ApiError {
    let (reason, message) = if is_expired {
        ("expired", "The connect session has expired.")
    } else {
        ("unknown", "The connect session is unknown or deleted.")
    };
    ApiError::unauthorized("unknown_connect_session_token", message).with_member("reason", reason)
}

fn require_scope<S: Scope>(identity: &KeyIdentity) -> Result<Arc<Environment>, ApiError> {
    let environment = identity.environment.clone();
    let is_granted = S::ANY_OF.is_empty() || S::ANY_OF.iter().any(|scope| identity.has_scope(scope));
    match environment {
        Some(environment) if is_granted => Ok(environment),
        None if S::ANY_OF.is_empty() => Err(ApiError::forbidden("This API key belongs to no environment.")),
        _ => Err(missing_scope::<S>()),
    }
}

pub(super) fn missing_scope<S: Scope>() -> ApiError {
    ApiError::forbidden(format!("This API key needs the scope {}.", S::ANY_OF.join(" or ")))
}

pub(super) async fn limit_key(parts: &Parts, app: &App, identity: &KeyIdentity) -> Result<(), ApiError> {
    let bucket = if is_script(&parts.headers) {
        Bucket::SecretScript(identity.account_id)
    } else {
        Bucket::Secret(identity.account_id)
    };
    limit(parts, app, bucket, app.config.limits.per_minute).await
}

/// Takes a point from a bucket and tells the answer's headers.
pub(super) async fn limit(parts: &Parts, app: &App, bucket: Bucket, per_minute: u64) -> Result<(), ApiError> {
    take_points(parts, app, bucket, 1, per_minute).await
}

async fn take_points(
    parts: &Parts,
    app: &App,
    bucket: Bucket,
    points: u64,
    per_minute: u64,
) -> Result<(), ApiError> {
    if !app.config.limits.enabled {
        return Ok(());
    }
    let usage = app.limiter.take(bucket, points, per_minute, app.clock.now()).await;
    if let Some(slot) = parts.extensions.get::<RateLimitSlot>() {
        slot.set(usage);
    }
    if usage.is_blocked { Err(too_many_requests(&parts.method, parts.uri.path())) } else { Ok(()) }
}

/// One end user must not use up the whole account.
pub async fn limit_session(
    parts: &Parts,
    app: &App,
    session: &ConnectSession,
    environment: &Environment,
) -> Result<(), ApiError> {
    let per_minute = app.config.limits.per_minute;
    limit(parts, app, Bucket::Global(environment.account_id), per_minute).await?;
    limit(parts, app, Bucket::Session(session.id), (per_minute / SESSION_SHARE).max(1)).await
}

/// Refuses addresses that failed to authenticate too often, before anything is looked up.
pub(super) fn throttle_guessing(parts: &Parts, app: &App) -> Result<(), ApiError> {
    if !app.config.limits.enabled {
        return Ok(());
    }
    let Some(address) = client_address(parts, app.config.http.trusted_proxy_hops) else { return Ok(()) };
    let bucket = Bucket::FailedAuthentication(address);
    let Some(usage) = app.limiter.is_exhausted(bucket, app.config.limits.per_minute, app.clock.now()) else {
        return Ok(());
    };
    if let Some(slot) = parts.extensions.get::<RateLimitSlot>() {
        slot.set(usage);
    }
    Err(too_many_requests(&parts.method, parts.uri.path()))
}

/// Counts a failed authentication for the caller's address.
pub(super) fn note_failure(parts: &Parts, app: &App, error: &ApiError) {
    if error.status() != axum::http::StatusCode::UNAUTHORIZED {
        return;
    }
    if let Some(address) = client_address(parts, app.config.http.trusted_proxy_hops) {
        let bucket = Bucket::FailedAuthentication(address);
        // Guessing is slowed down by each process for itself: nobody waits for Redis to be refused.
        app.limiter.take_alone(bucket, 1, app.config.limits.per_minute, app.clock.now());
    }
}
