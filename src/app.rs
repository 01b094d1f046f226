//! Everything that lives as long as the process, built once at start and handed to every handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::catalog::{Catalog, CatalogHandle};
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::ReadCache;
use crate::crypto::Cipher;
use crate::db::connection_list::PageMarks;
use crate::db::{ConnectionRowId, IntegrationId};
use crate::demo::{Demo, PROVIDER};
use crate::egress::Egress;
use crate::fanout::Fanout;
use crate::hooks::{HookQueue, Partings};
use crate::hub::Hub;
use crate::keys::KeyCache;
use crate::limiter::Limiter;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::modes::mcp::MetadataCache;
use crate::proxy::{IdentityCache, TargetCache};
use crate::published::PublishedCatalog;
use crate::refresh::{FetchedQueue, Flights};
use crate::rng::Rng;
use crate::shipping::ShippingStats;
use crate::webhooks::incoming::KeyDocuments;
use crate::webhooks::outgoing::Outbox;

pub struct App {
    pub config: Config,
    pub db: PgPool,
    pub cipher: Cipher,
    pub catalog: CatalogHandle,
    pub published: PublishedCatalog,
    pub egress: Egress,
    pub keys: KeyCache,
    pub limiter: Limiter,
    pub hub: Hub,
    pub hooks: HookQueue,
    pub partings: Partings,
    pub fanout: Arc<Fanout>,
    pub flights: Flights,
    pub fetched: FetchedQueue,
    pub outbox: Arc<Outbox>,
    pub targets: TargetCache,
    pub mcp_metadata: MetadataCache,
    pub key_documents: KeyDocuments,
    pub identities: IdentityCache,
    pub reads: ReadCache,
    pub page_marks: PageMarks,
    pub metrics: Metrics,
    pub logs: Logs,
    pub demo: Demo,
    pub shipping: ShippingStats,
    pub clock: Clock,
    pub rng: Rng,
    /// Names this process in leases.
    pub replica: Uuid,
    pub lifecycle: Lifecycle,
}

impl App {
    /// Drops what this process remembers of a connection.
    pub fn forget_connection(&self, id: ConnectionRowId) {
        self.targets.forget_connection(id);
        self.reads.forget_connection(id);
    }

    /// Drops what this process remembers of an integration and its connections.
    pub fn forget_integration(&self, id: IntegrationId) {
        self.targets.forget_integration(id);
        self.reads.forget_integration(id);
    }

    /// Replaces the catalog, and drops what was computed from the old one.
    pub fn replace_catalog(&self, catalog: Catalog) {
        self.catalog.replace(catalog.with_extra(PROVIDER, self.demo.provider()));
        self.targets.forget_all();
        self.reads.forget_all();
    }
}

/// What handlers and tasks hold.
pub type SharedApp = Arc<App>;

/// Where the process stands between start and stop.
#[derive(Default)]
pub struct Lifecycle {
    database_answered: AtomicBool,
    leaving: AtomicBool,
    /// Cancelled when listeners and background tasks must end.
    pub stopping: CancellationToken,
    /// Background tasks that must end before the process does.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// The database has answered once; sticky, because orchestrators expect it (`spec` http-api, section 1.9).
    pub fn note_database_answer(&self) {
        self.database_answered.store(true, Ordering::SeqCst);
    }

    /// The shutdown has started: `/ready` turns 503 while requests are still served.
    pub fn begin_stop(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    pub fn is_ready(&self) -> bool {
        self.database_answered.load(Ordering::SeqCst) && !self.leaving.load(Ordering::SeqCst)
    }
}
