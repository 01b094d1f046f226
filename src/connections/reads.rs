//! What the API shows of recently read connections, in memory, so that a warm `GET /connections/:id` touches no database.
//! Under the staleness contract of `caches`: a local write drops entries at once, the change feed those of other replicas.

use std::hash::Hash;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::Equivalent;

use crate::app::App;
use crate::auth::Credentials;
use crate::caches::{ReadMark, TimedCache};
use crate::db::connection_errors::{self, ConnectionError};
use crate::db::connections::Connection;
use crate::db::end_users::{self, EndUser};
use crate::db::{ConnectionRowId, EnvironmentId, IntegrationId};
use crate::integrations::OpenIntegration;
use crate::refresh::{self, Force};

const CAPACITY: usize = 10_000;
const KNOWN_FOR: TimeDelta = TimeDelta::seconds(60);

/// A connection with everything that is shown beside its row.
#[derive(Clone)]
pub struct ConnectionView {
    pub connection: Connection,
    pub errors: Vec<ConnectionError>,
    pub end_user: Option<EndUser>,
}

impl ConnectionView {
    /// Loads what belongs to a row.
    pub async fn load(app: &App, connection: Connection) -> sqlx::Result<Self> {
        let errors = connection_errors::list(&app.db, connection.id).await?;
        let end_user =
            end_users::find_by_connection(&app.db, connection.environment_id, connection.id).await?;
        Ok(ConnectionView { connection, errors, end_user })
    }
}

/// A remembered read: the view and the credentials that were good then.
pub struct KnownConnection {
    pub integration: Arc<OpenIntegration>,
    pub view: ConnectionView,
    pub credentials: Credentials,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    environment: EnvironmentId,
    integration: String,
    connection: String,
}

/// How a reader names a connection: a look-up allocates nothing. Its hash must be that of [`Key`].
#[derive(Debug, Clone, Copy, Hash)]
pub struct ReadKey<'a> {
    pub environment: EnvironmentId,
    /// The integration's unique key.
    pub integration: &'a str,
    pub connection: &'a str,
}

impl Equivalent<Key> for ReadKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.environment == key.environment
            && self.integration == key.integration
            && self.connection == key.connection
    }
}

/// The connections of recent reads. Only what was found is kept.
pub struct ReadCache(TimedCache<Key, Arc<KnownConnection>>);

impl Default for ReadCache {
    fn default() -> Self {
        ReadCache(TimedCache::new(CAPACITY, KNOWN_FOR))
    }
}

impl ReadCache {
    /// The remembered connection, while its credentials need no refresh.
    pub fn get(&self, key: &ReadKey<'_>, now: DateTime<Utc>) -> Option<Arc<KnownConnection>> {
        let known = self.0.get(key, now)?;
        let (provider, connection) = (known.integration.provider.as_deref(), &known.view.connection);
        let is_due = refresh::needs_refresh(provider, connection, &known.credentials, Force::No, now);
        let is_good = !is_due && refresh::refuse_hopeless(connection, now).is_ok();
        is_good.then_some(known)
    }

    /// Call before reading the database; see [`TimedCache::begin`].
    pub fn begin(&self) -> ReadMark {
        self.0.begin()
    }

    pub fn insert(&self, mark: ReadMark, key: &ReadKey<'_>, known: Arc<KnownConnection>, now: DateTime<Utc>) {
        let owned = Key {
            environment: key.environment,
            integration: key.integration.to_owned(),
            connection: key.connection.to_owned(),
        };
        self.0.insert(mark, owned, known, now);
    }

    pub fn forget_connection(&self, id: ConnectionRowId) {
        self.0.invalidate(|_, known| known.view.connection.id == id);
    }

    pub fn forget_integration(&self, id: IntegrationId) {
        self.0.invalidate(|_, known| known.integration.row.id == id);
    }

    /// After a new catalog.
    pub fn forget_all(&self) {
        self.0.invalidate(|_, _| true);
    }
}
