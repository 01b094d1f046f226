//! From control headers to a target with credentials that are good now. Answered from memory while the target is
//! cached: then no database is asked.

use std::hash::Hash;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::Equivalent;

use super::target::Target;
use super::url::BaseOrigin;
use super::{Control, ProxyError};
use crate::app::{App, SharedApp};
use crate::caches::TimedCache;
use crate::db::connections as rows;
use crate::db::{ConnectionRowId, EnvironmentId, IntegrationId};
use crate::error::ApiError;
use crate::integrations::{self, OpenIntegration};
use crate::refresh::{self, Force, Fresh};
use crate::{connections, egress, lane};

const CAPACITY: usize = 10_000;
const KNOWN_FOR: TimeDelta = TimeDelta::seconds(60);

/// Names a target in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetKey {
    environment: EnvironmentId,
    integration: String,
    connection: String,
}

/// The same, borrowed: a look-up allocates nothing. Its hash must be that of [`TargetKey`].
#[derive(Hash)]
struct KeyRef<'a> {
    environment: EnvironmentId,
    integration: &'a str,
    connection: &'a str,
}

impl KeyRef<'_> {
    fn to_owned(&self) -> TargetKey {
        TargetKey {
            environment: self.environment,
            integration: self.integration.to_owned(),
            connection: self.connection.to_owned(),
        }
    }
}

impl Equivalent<TargetKey> for KeyRef<'_> {
    fn equivalent(&self, key: &TargetKey) -> bool {
        self.environment == key.environment
            && self.integration == key.integration
            && self.connection == key.connection
    }
}

/// The targets of recent calls. Only what was found is kept.
pub struct TargetCache(TimedCache<TargetKey, Arc<Target>>);

impl Default for TargetCache {
    fn default() -> Self {
        TargetCache(TimedCache::new(CAPACITY, KNOWN_FOR))
    }
}

impl TargetCache {
    pub fn forget_connection(&self, id: ConnectionRowId) {
        self.0.invalidate(|_, target| target.connection.id == id);
    }

    pub fn forget_integration(&self, id: IntegrationId) {
        self.0.invalidate(|_, target| target.integration.row.id == id);
    }

    /// After a new catalog.
    pub fn forget_all(&self) {
        self.0.invalidate(|_, _| true);
    }
}

/// The target of a call, with fresh credentials (`spec` proxy, sections 5 and 8).
pub(super) async fn resolve(
    app: &SharedApp,
    environment: EnvironmentId,
    control: &Control<'_>,
) -> Result<Arc<Target>, ProxyError> {
    let now = app.clock.now();
    let key = KeyRef { environment, integration: control.integration, connection: control.connection };
    let target = match app.targets.0.get(&key, now) {
        Some(target) => target,
        None => {
            let (loading, owned) = (app.clone(), key.to_owned());
            let has_override = control.base_url_override.is_some();
            lane::at_home(async move { load(&loading, owned, has_override, now).await }).await?
        }
    };
    if target.noted.is_first(now) {
        app.fetched.note(target.connection.id, now);
    }
    refresh::refuse_hopeless(&target.connection, now)?;
    freshen(app, target, now).await
}

/// Waits for new credentials only when the old ones have ended; inside the margin the call goes on with them.
async fn freshen(
    app: &SharedApp,
    target: Arc<Target>,
    now: DateTime<Utc>,
) -> Result<Arc<Target>, ProxyError> {
    let is_due =
        refresh::needs_refresh(target.provider(), &target.connection, &target.credentials, Force::No, now);
    if !is_due {
        return Ok(target);
    }
    if refresh::is_expired(&target.credentials, now) {
        return renew(app, &target).await;
    }
    refresh::start_in_background(app, &target.integration, &target.connection);
    Ok(target)
}

/// The target with credentials that are good now.
async fn renew(app: &SharedApp, target: &Target) -> Result<Arc<Target>, ProxyError> {
    let connection = target.connection.clone();
    let fresh = refresh::fresh_credentials(app, &target.integration, connection, Force::No).await?;
    Ok(with_credentials(app, target, fresh))
}

/// The target with other credentials than those that the provider refused.
pub(super) async fn replace(app: &SharedApp, target: &Target) -> Result<Arc<Target>, ProxyError> {
    let connection = target.connection.clone();
    let newer = refresh::newer_credentials(app, &target.integration, connection).await?;
    Ok(with_credentials(app, target, newer))
}

/// Not cached: the refresh has just told every cache to forget, and the next call reads what is stored.
fn with_credentials(app: &App, target: &Target, fresh: Fresh) -> Arc<Target> {
    let integration = Arc::clone(&target.integration);
    Arc::new(Target::build(app, integration, fresh.connection, fresh.credentials, app.clock.now()))
}

async fn load(
    app: &App,
    key: TargetKey,
    has_override: bool,
    now: DateTime<Utc>,
) -> Result<Arc<Target>, ProxyError> {
    let mark = app.targets.0.begin();
    let integration = integrations::find(app, key.environment, &key.integration).await?;
    let integration = integration.ok_or_else(|| unknown_integration(&key.integration))?;
    if !has_override {
        check_custom_base(app, &integration)?;
    }
    let found = rows::find(&app.db, key.environment, integration.row.id, &key.connection).await;
    let connection = found.map_err(ApiError::from)?.ok_or_else(|| unknown_connection(&key.connection))?;
    let credentials = connections::open(app, &connection)?;
    let target = Arc::new(Target::build(app, Arc::new(integration), connection, credentials, now));
    app.targets.0.insert(mark, key, Arc::clone(&target), now);
    Ok(target)
}

/// Wire: an unknown integration is 404, an unknown connection 400 `server_error`; clients branch on both.
fn unknown_integration(key: &str) -> ApiError {
    let message = format!("There is no integration `{key}` in this environment.");
    ApiError::new(http::StatusCode::NOT_FOUND, "unknown_provider_config", message)
}

fn unknown_connection(id: &str) -> ApiError {
    let message = format!("Failed to get connection: there is no connection `{id}` of this integration.");
    ApiError::bad_request("server_error", message)
}

/// The operator's own base URL is judged before the connection is looked up (`spec` proxy, section 5, step 7).
fn check_custom_base(app: &App, integration: &OpenIntegration) -> Result<(), ProxyError> {
    let has_fields =
        integration.provider.as_ref().is_some_and(|provider| !provider.integration_config.is_empty());
    let url = integration.custom.get("baseUrl").and_then(serde_json::Value::as_str);
    match url.filter(|url| has_fields && !url.trim().is_empty()) {
        Some(url) => check_base(app, url, BaseOrigin::Custom),
        None => Ok(()),
    }
}

/// Judges a base URL that is not the catalog's: overrides must be switched on, and the policy must allow the host. A text
/// with templates in it can only be judged once it is evaluated.
pub(super) fn check_base(app: &App, url: &str, origin: BaseOrigin) -> Result<(), ProxyError> {
    require_enabled(app, origin)?;
    if url.contains("${") {
        return Ok(());
    }
    match ::url::Url::parse(url) {
        Ok(url) => check_policy(app, &url),
        Err(_) => Ok(()),
    }
}

/// Refuses base URLs that are not the catalog's when the operator forbids them.
pub(super) fn require_enabled(app: &App, origin: BaseOrigin) -> Result<(), ProxyError> {
    if origin == BaseOrigin::Catalog || app.config.proxy.base_url_override {
        return Ok(());
    }
    let message =
        "Base URLs other than the catalog's are switched off (NANGO_PROXY_BASE_URL_OVERRIDE_ENABLED).";
    Err(ApiError::bad_request("base_url_override_disabled", message).into())
}

/// Asks the outbound policy.
pub(super) fn check_policy(app: &App, url: &::url::Url) -> Result<(), ProxyError> {
    app.egress.proxy_policy.check_url(url).map_err(|denied: egress::Denied| {
        tracing::debug!(reason = denied.reason.code(), "a URL was refused");
        ProxyError::not_allowed(denied.to_string())
    })
}
