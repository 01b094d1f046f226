//! From settings to a running [`App`]: key, database, account, catalog, clients. Called by the command line and by
//! the tests. Every failure is a sentence for the operator.

mod account;
mod catalog;
mod key;
mod settings;

use std::sync::Arc;

use sqlx::PgPool;

use crate::app::{App, Lifecycle, SharedApp};
use crate::catalog::CatalogHandle;
use crate::clock::Clock;
use crate::config::{Config, OutboundConfig};
use crate::connections::ReadCache;
use crate::crypto::Cipher;
use crate::custom_providers;
use crate::db::connection_list::PageMarks;
use crate::db::{accounts, encryption_keys, log_migrator, pool, refresh_leases, webhook_queues};
use crate::demo::Demo;
use crate::egress::{Egress, EgressConfig, OutboundProxyConfig};
use crate::fanout::Fanout;
use crate::hooks::{HookQueue, Partings};
use crate::hub::Hub;
use crate::keys::{KeyCache, KeyError};
use crate::limiter::{Limiter, SharedWindows};
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::modes::mcp::MetadataCache;
use crate::proxy::{IdentityCache, TargetCache};
use crate::published::PublishedCatalog;
use crate::refresh::{FetchedQueue, Flights};
use crate::rng::Rng;
use crate::shipping::ShippingStats;
use crate::webhooks::incoming::{KeyDocuments, RefusedWebhooks};

pub use catalog::{fetch_catalog, load_catalog, watch_catalog};
pub use settings::apply_settings;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl From<String> for StartError {
    fn from(sentence: String) -> Self {
        StartError(sentence)
    }
}

impl From<pool::DatabaseError> for StartError {
    fn from(error: pool::DatabaseError) -> Self {
        StartError(error.to_string())
    }
}

impl From<KeyError> for StartError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Database(error) => error.into(),
            other => StartError(other.to_string()),
        }
    }
}

impl From<sqlx::Error> for StartError {
    fn from(error: sqlx::Error) -> Self {
        pool::DatabaseError::Sql(error).into()
    }
}

/// A database ready for use, and the process that serves it when it is embedded.
pub struct Database {
    pub pool: PgPool,
    /// Of the operation logs, when they have a database of their own.
    pub logs: Option<PgPool>,
    #[cfg(feature = "embedded-db")]
    pub embedded: Option<crate::db::embedded::EmbeddedDatabase>,
    pub is_embedded: bool,
}

/// Connects to the configured database, or starts the embedded one.
pub async fn open_database(config: &Config) -> Result<Database, StartError> {
    let logs = match &config.database.logs_url {
        Some(url) if config.logs.enabled => Some(open_pool(config, url.expose()).await?),
        _ => None,
    };
    match &config.database.url {
        Some(url) => open_postgres(config, url.expose(), logs).await,
        None => open_embedded(config, logs),
    }
}

async fn open_pool(config: &Config, url: &str) -> Result<PgPool, StartError> {
    let options = pool::connect_options(&config.database, url)?;
    pool::wait_until_ready(&options, config.database.wait).await?;
    Ok(pool::lazy_pool(&config.database, options, false))
}

async fn open_postgres(config: &Config, url: &str, logs: Option<PgPool>) -> Result<Database, StartError> {
    Ok(Database {
        pool: open_pool(config, url).await?,
        logs,
        #[cfg(feature = "embedded-db")]
        embedded: None,
        is_embedded: false,
    })
}

#[cfg(feature = "embedded-db")]
fn open_embedded(config: &Config, logs: Option<PgPool>) -> Result<Database, StartError> {
    key::prepare_data_dir(&config.data_dir)?;
    let embedded = crate::db::embedded::EmbeddedDatabase::start(&config.data_dir.join("database"))?;
    let options = pool::connect_options(&config.database, embedded.url())?;
    Ok(Database {
        pool: pool::lazy_pool(&config.database, options, true),
        logs,
        embedded: Some(embedded),
        is_embedded: true,
    })
}

#[cfg(not(feature = "embedded-db"))]
fn open_embedded(_config: &Config, _logs: Option<PgPool>) -> Result<Database, StartError> {
    Err(StartError(
        "NANGO_DATABASE_URL is not set, and this build has no embedded database. Set it to a PostgreSQL URL."
            .into(),
    ))
}

/// Closes the pools, and ends the embedded database after it.
#[cfg_attr(not(feature = "embedded-db"), expect(unused_mut, reason = "the embedded database is taken out"))]
pub async fn close_database(database: Database) {
    let mut database = database;
    if let Some(logs) = &database.logs {
        logs.close().await;
    }
    database.pool.close().await;
    #[cfg(feature = "embedded-db")]
    if let Some(embedded) = database.embedded.take() {
        // Blocks until the database's thread has ended.
        let _ = tokio::task::spawn_blocking(move || embedded.stop()).await;
    }
}

/// Applies every pending migration.
pub async fn migrate(config: &Config, database: &Database) -> Result<(), StartError> {
    pool::migrate(&database.pool, &config.database).await?;
    if let Some(logs) = &database.logs {
        pool::migrate_with(&log_migrator(), logs, &config.database).await?;
    }
    Ok(())
}

/// Names of the migrations that are pending.
pub async fn pending_migrations(database: &Database) -> Result<Vec<String>, StartError> {
    let mut pending = pool::pending_migrations(&database.pool).await?;
    if let Some(logs) = &database.logs {
        let of_logs = pool::pending_of(&log_migrator(), logs).await?;
        pending.extend(of_logs.into_iter().map(|name| format!("{name} (logs)")));
    }
    Ok(pending)
}

/// Applies pending migrations, or refuses to start when that is switched off and some are pending.
pub async fn prepare_schema(config: &Config, database: &Database) -> Result<(), StartError> {
    if config.database.migrate_at_start {
        migrate(config, database).await?;
    } else {
        let pending = pending_migrations(database).await?;
        if !pending.is_empty() {
            return Err(StartError(format!(
                "The database lacks {} migration(s) and NANGO_MIGRATE_AT_START is off. Run `hitchpost migrate`.",
                pending.len()
            )));
        }
    }
    if database.is_embedded {
        refresh_leases::free_all(&database.pool).await?;
        webhook_queues::free_all(&database.pool).await?;
    }
    Ok(())
}

/// Builds the application on a migrated database and makes sure that it has its account.
pub async fn build(config: Config, pool: PgPool, clock: Clock, rng: Rng) -> Result<SharedApp, StartError> {
    let cipher = key::load_cipher(&config, &rng)?;
    check_keys(&pool, &cipher, &clock).await?;
    let egress = build_egress(&config.outbound, config.http.lanes)?;
    let catalog = load_catalog(&config.catalog, &egress).await;
    let app = App {
        catalog: CatalogHandle::new(catalog),
        custom_providers: tokio::sync::Mutex::default(),
        published: PublishedCatalog::default(),
        egress,
        keys: KeyCache::default(),
        limiter: Limiter::default(),
        hub: Hub::default(),
        hooks: HookQueue::default(),
        partings: Partings::default(),
        fanout: Arc::new(Fanout::new(config.redis_url.as_ref())?),
        flights: Flights::default(),
        fetched: FetchedQueue::default(),
        outbox: Arc::default(),
        targets: TargetCache::default(),
        mcp_metadata: MetadataCache::default(),
        key_documents: KeyDocuments::default(),
        refused_webhooks: RefusedWebhooks::default(),
        identities: IdentityCache::default(),
        reads: ReadCache::default(),
        page_marks: PageMarks::default(),
        demo: Demo::default(),
        metrics: Metrics::new(config.metrics_tell_integrations),
        logs: Logs::new(config.logs.clone(), clock.clone(), rng.clone()),
        shipping: ShippingStats::default(),
        replica: rng.uuid(),
        started_at: clock.now(),
        lifecycle: Lifecycle::default(),
        config,
        db: pool,
        cipher,
        clock,
        rng,
    };
    account::ensure_account(&app).await?;
    share_limits(&app).await?;
    custom_providers::reload(&app).await?;
    app.lifecycle.note_database_answer();
    app.metrics.note_start(app.clock.now());
    Ok(Arc::new(app))
}

/// Counts rate limits together with the other replicas, when there is a Redis for it.
async fn share_limits(app: &App) -> Result<(), StartError> {
    let Some(url) = &app.config.redis_url else { return Ok(()) };
    if let Some(installation) = accounts::find_first_uuid(&app.db).await? {
        app.limiter.share(SharedWindows::new(url, installation.to_string())?);
    }
    Ok(())
}

/// Refuses a key ring that lacks a key which values in this database were sealed with.
async fn check_keys(pool: &PgPool, cipher: &Cipher, clock: &Clock) -> Result<(), StartError> {
    let known = encryption_keys::list(pool).await?;
    let ring: Vec<&str> = cipher.fingerprints().collect();
    if let Some(missing) = known.iter().find(|fingerprint| !ring.contains(&fingerprint.as_str())) {
        return Err(StartError(format!(
            "The database holds secrets encrypted with the key {missing}, which is not in the key ring. Set \
             NANGO_ENCRYPTION_KEY to the key that this database was used with, or restore the key file in the data \
             directory from its backup."
        )));
    }
    if let Some(current) = ring.first().filter(|current| !known.iter().any(|known| known == **current)) {
        encryption_keys::insert(pool, current, clock.now()).await?;
    }
    Ok(())
}

/// The outgoing clients of these settings.
///
/// # Errors
/// A sentence about a policy, a certificate file or an outbound proxy that cannot be used.
pub fn build_egress(config: &OutboundConfig, lanes: usize) -> Result<Egress, StartError> {
    let policies = config.policies().map_err(|problems| problems.join(" "))?;
    let mut egress = EgressConfig::new(policies);
    egress.lanes = lanes;
    egress.extra_ca_file.clone_from(&config.extra_certificates);
    egress.outbound_proxy = OutboundProxyConfig {
        http: config.http_proxy.clone(),
        https: config.https_proxy.clone(),
        except: config.no_proxy.clone(),
    };
    Ok(Egress::new(egress)?)
}
