//! Everything that calls on one connection have in common, computed once and cached: opened credentials, prebuilt
//! headers, the base URL. Built by `resolve`; holds secrets, so it has no `Debug`.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::entry::{EntryHeaders, EntryQuery, Section};
use super::identity::client_with_identity;
use super::namespace::{Namespace, Origin, clean_config, metadata};
use super::sign::Signer;
use super::url::{Base, BaseOrigin};
use crate::app::App;
use crate::auth::Credentials;
use crate::caches::OncePerSecond;
use crate::catalog::Provider;
use crate::connections::open_config;
use crate::db::connections::Connection;
use crate::egress::ProxyClient;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::{Redactor, UnloggedCalls};
use crate::metrics::ProxySeries;
use crate::rng::Rng;
use crate::template::UrlError;

/// What calls on one connection need.
pub struct Target {
    pub(super) integration: Arc<OpenIntegration>,
    pub(super) connection: Connection,
    pub(super) credentials: Credentials,
    pub(super) config: Map<String, Value>,
    pub(super) base: Result<Base, Unbuildable>,
    pub(super) headers: Result<EntryHeaders, Unbuildable>,
    pub(super) query: EntryQuery,
    /// The client that presents the connection's certificate, where the entry asks for one.
    pub(super) identity: Result<Option<ProxyClient>, Unbuildable>,
    /// Counts the calls.
    pub(super) series: ProxySeries,
    /// Counts those that the log leaves out.
    pub(super) unlogged: Arc<UnloggedCalls>,
    /// Uses are noted once a second, which is enough for a time that is only a hint.
    pub(super) noted: OncePerSecond,
    /// Keeps the credentials out of the log; made when the first call is put into words.
    redactor: OnceLock<Redactor>,
}

/// Why no request can be built for a target (`spec` proxy, section 12).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unbuildable {
    #[error("The integration's provider `{0}` is not in the catalog.")]
    UnknownProvider(String),
    #[error("The provider `{0}` has no API address. Send the header Base-Url-Override.")]
    NoBaseUrl(String),
    #[error("The request cannot be signed: {0}.")]
    Unsignable(String),
    #[error("The connection's client certificate cannot be used: {0}.")]
    Identity(String),
    #[error("The stored credentials contain characters that no HTTP header can carry.")]
    UnsendableCredentials,
    #[error("The URL cannot be built: no value for {}.", .0.join(", "))]
    MissingConfig(Vec<String>),
    #[error("The URL cannot be built: {0}.")]
    UnsafeValue(String),
    #[error("The base URL is not a valid http(s) URL.")]
    InvalidUrl,
    #[error("The path leaves the path of the base URL.")]
    PathEscapes,
}

impl Unbuildable {
    /// The wire's code.
    pub fn code(&self) -> &'static str {
        match self {
            Unbuildable::UnknownProvider(_) => "unknown_provider",
            Unbuildable::NoBaseUrl(_) => "unsupported_provider",
            Unbuildable::Unsignable(_) | Unbuildable::UnsendableCredentials => "unsupported_auth",
            Unbuildable::Identity(_) => "invalid_certificate_or_key_format",
            Unbuildable::MissingConfig(_) => "missing_connection_config",
            Unbuildable::UnsafeValue(_) | Unbuildable::PathEscapes => "base_url_override_not_allowed",
            Unbuildable::InvalidUrl => "missing_api_url",
        }
    }
}

impl From<Unbuildable> for ApiError {
    fn from(problem: Unbuildable) -> Self {
        ApiError::bad_request(problem.code(), problem.to_string())
    }
}

impl From<Unbuildable> for super::ProxyError {
    fn from(problem: Unbuildable) -> Self {
        ApiError::from(problem).into()
    }
}

impl From<UrlError> for Unbuildable {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Missing { names } => Unbuildable::MissingConfig(names),
            UrlError::Unsafe { .. } => Unbuildable::UnsafeValue(error.to_string()),
            UrlError::Invalid { .. } => Unbuildable::InvalidUrl,
        }
    }
}

impl Target {
    /// Computes what calls have in common. What cannot be built is remembered and reported by the calls that need it.
    pub fn build(
        app: &App,
        integration: Arc<OpenIntegration>,
        connection: Connection,
        credentials: Credentials,
        now: DateTime<Utc>,
    ) -> Self {
        let config = clean_config(&open_config(app, &connection));
        let origin = Origin {
            integration: &integration,
            credentials: &credentials,
            connection_config: &config,
            metadata: metadata(&connection),
            connection_id: &connection.connection_id,
        };
        let namespace = Namespace::new(origin, app.rng.uuid().to_string(), now);
        let section = Section::of(&integration);
        let context = namespace.context();
        let base = match own_base(&credentials, &config) {
            Some(base) => base,
            None => section.as_ref().map_err(Clone::clone).and_then(|section| section.base(&context)),
        };
        let section = section.unwrap_or_default();
        let headers = EntryHeaders::build(&section, &credentials, &context);
        let query = EntryQuery::build(&section, &context);
        let identity =
            client_with_identity(app, integration.provider.as_deref(), connection.id, &credentials);
        drop(section);
        drop(namespace);
        let series = app.metrics.proxy_series(&integration.row.provider, &integration.row.unique_key);
        let unlogged = app.logs.unlogged_calls(connection.environment_id);
        let noted = OncePerSecond::default();
        let redactor = OnceLock::new();
        Target {
            integration,
            connection,
            credentials,
            config,
            base,
            headers,
            query,
            identity,
            series,
            unlogged,
            noted,
            redactor,
        }
    }

    /// What keeps this connection's secrets out of the log.
    pub(super) fn redactor(&self) -> &Redactor {
        self.redactor.get_or_init(|| {
            let mut redactor = Redactor::default();
            redactor.hide_credentials(&self.credentials.to_json());
            redactor.hide_named(&Value::Object(self.config.clone()));
            redactor.hide_named(&Value::Object(self.integration.custom.clone()));
            if let Some(secret) = &self.integration.client_secret {
                redactor.hide(secret.expose());
            }
            for (name, field) in self.provider().iter().flat_map(|provider| provider.connection_config.iter())
            {
                let value = self.config.get(name).filter(|_| field.secret);
                redactor.hide_all(value.unwrap_or(&Value::Null));
            }
            redactor
        })
    }

    /// Signs calls, where the credentials ask for it.
    pub(super) fn signer(&self) -> Result<Option<Signer<'_>>, Unbuildable> {
        Signer::of(&self.integration, &self.credentials, &self.config)
    }

    pub(super) fn provider(&self) -> Option<&Provider> {
        self.integration.provider.as_deref()
    }

    /// The names that templates may use in one request.
    pub(super) fn namespace(&self, rng: &Rng, now: DateTime<Utc>) -> Namespace<'_> {
        let origin = Origin {
            integration: &self.integration,
            credentials: &self.credentials,
            connection_config: &self.config,
            metadata: metadata(&self.connection),
            connection_id: &self.connection.connection_id,
        };
        Namespace::new(origin, rng.uuid().to_string(), now)
    }
}

/// AWS has an address per service, region and bucket, so connections of that kind may bring their own.
fn own_base(credentials: &Credentials, config: &Map<String, Value>) -> Option<Result<Base, Unbuildable>> {
    let is_aws = matches!(credentials, Credentials::AwsSigV4 { .. });
    let url =
        config.get("base_url").and_then(Value::as_str).filter(|url| is_aws && !url.trim().is_empty())?;
    Some(Base::parse(url, url, BaseOrigin::Connection))
}
