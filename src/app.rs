//! Everything that lives as long as the process, built once at start and handed to every handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::catalog::{Catalog, CatalogHandle, Definition, Problem};
use crate::clock::Clock;
use crate::config::Config;
use crate::connections::ReadCache;
use crate::crypto::Cipher;
use crate::db::connection_list::PageMarks;
use crate::db::{ConnectionRowId, IntegrationId};
use crate::demo::Demo;
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
use crate::webhooks::incoming::{KeyDocuments, RefusedWebhooks};
use crate::webhooks::outgoing::Outbox;

pub struct App {
    pub config: Config,
    pub db: PgPool,
    pub cipher: Cipher,
    pub catalog: CatalogHandle,
    /// Held while the providers that administrators defined are read, so that an older reading never comes last.
    pub custom_providers: tokio::sync::Mutex<()>,
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
    pub refused_webhooks: RefusedWebhooks,
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
    pub started_at: DateTime<Utc>,
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

    /// Replaces the catalog's files, and drops what was computed from the old ones.
    pub fn replace_catalog(&self, files: Catalog) {
        self.after_change(self.catalog.replace(files));
    }

    /// Replaces the providers that administrators defined, and drops what was computed from the old ones.
    pub fn replace_custom_providers(&self, definitions: Vec<Definition>) {
        self.after_change(self.catalog.replace_custom(definitions));
    }

    /// Puts the demo provider into the catalog while it runs, and takes it out afterwards.
    pub fn renew_demo_provider(&self) {
        self.after_change(self.catalog.replace_own(self.demo.provider()));
    }

    fn after_change(&self, problems: Vec<Problem>) {
        for problem in problems {
            let entry = problem.entry.as_deref().unwrap_or("-");
            tracing::warn!(
                catalog.entry = entry,
                "a provider of this server is left out: {}",
                problem.message
            );
        }
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
    /// Cancelled when the last of what was logged is written: nothing more is to be sent elsewhere.
    pub logged: CancellationToken,
    /// Tasks that send what was logged; they end after all others.
    pub couriers: TaskTracker,
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
