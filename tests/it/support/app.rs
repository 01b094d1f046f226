//! A running server with an environment of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hitchpost::app::SharedApp;
use hitchpost::clock::Clock;
use hitchpost::config::{Config, DatabaseConfig};
use hitchpost::db::{ConnectionRowId, EnvironmentId};
use hitchpost::environments::{self, EnvironmentKeys, NewEnvironment};
use hitchpost::rng::Rng;
use hitchpost::start::{self, Database};
use hitchpost::{db, jobs, server};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use super::client::Client;
use super::test_setting;

/// Everything in the test database is sealed with this key.
const TEST_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
/// Tests talk to servers on this machine.
const OPEN_POLICY: &str = r#"{"allowLoopback":true,"blockPrivateIps":false}"#;
const SCHEMA: &str = "hitchpost_test";

static DATABASE: OnceCell<Database> = OnceCell::const_new();

/// The server under test. Its clock stands still until a test moves it.
pub struct TestApp {
    pub app: SharedApp,
    pub address: SocketAddr,
    pub environment_id: EnvironmentId,
    pub environment_name: String,
    pub secret: String,
    settings: TestSettings,
    _data_dir: TempDir,
}

/// Settings of a test's server, on top of those that every test needs.
#[derive(Clone, Default)]
pub struct TestSettings {
    values: HashMap<String, String>,
    catalog: Option<String>,
}

impl TestSettings {
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// A catalog file laid over the embedded one.
    pub fn catalog(mut self, yaml: impl Into<String>) -> Self {
        self.catalog = Some(yaml.into());
        self
    }

    pub async fn start(self) -> TestApp {
        TestApp::start_with(self).await
    }
}

impl TestApp {
    pub async fn start() -> TestApp {
        Self::start_with(TestSettings::default()).await
    }

    /// A server whose catalog also has these entries.
    pub async fn with_catalog(yaml: impl Into<String>) -> TestApp {
        TestSettings::default().catalog(yaml).start().await
    }

    pub async fn start_with(settings: TestSettings) -> TestApp {
        let (app, address, data_dir) = launch(&settings, Clock::mock(system_time())).await;
        let name = format!("t{}", app.rng.alphanumeric(12).to_lowercase());
        let keys = create_environment(&app, &name).await;
        TestApp {
            app,
            address,
            environment_id: keys.environment_id,
            environment_name: name,
            secret: keys.api_key.expose().to_owned(),
            settings,
            _data_dir: data_dir,
        }
    }

    /// Another process on the same database, with the same environment and the same time.
    pub async fn replica(&self) -> TestApp {
        let (app, address, data_dir) = launch(&self.settings, self.app.clock.clone()).await;
        TestApp {
            app,
            address,
            environment_id: self.environment_id,
            environment_name: self.environment_name.clone(),
            secret: self.secret.clone(),
            settings: self.settings.clone(),
            _data_dir: data_dir,
        }
    }

    /// The base URL of the server.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with this environment's API key.
    pub fn client(&self) -> Client {
        Client::new(self.url(), Some(self.secret.clone()))
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client::new(self.url(), None)
    }

    /// A client of another environment of the same account.
    pub async fn stranger(&self) -> Client {
        let name = format!("t{}", self.app.rng.alphanumeric(12).to_lowercase());
        let keys = create_environment(&self.app, &name).await;
        Client::new(self.url(), Some(keys.api_key.expose().to_owned()))
    }

    /// Waits until what follows a connection has ended, or was put off because the provider is in trouble.
    pub async fn hooks_settled(&self, connection: ConnectionRowId) {
        for _ in 0..1000 {
            let running = "SELECT 1 FROM post_connection_runs WHERE connection_row_id = $1 AND attempts = 0";
            let running = sqlx::query(running).bind(connection.0).fetch_optional(&self.app.db);
            if running.await.expect("the database answers").is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("what follows a connection does not end");
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }

    /// Moves the server's time.
    pub fn advance(&self, by: TimeDelta) {
        self.app.clock.advance(by);
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.app.lifecycle.stopping.cancel();
        self.app.lifecycle.logged.cancel();
    }
}

async fn launch(settings: &TestSettings, clock: Clock) -> (SharedApp, SocketAddr, TempDir) {
    let database = database().await;
    let data_dir = tempfile::tempdir().expect("a temporary directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the listener has an address");
    let config = config(settings.clone(), &data_dir, address);
    let built = start::build(config, database.pool.clone(), clock, Rng::System).await;
    let app = built.expect("the application starts");
    jobs::spawn(&app);
    tokio::spawn(server::serve(app.clone(), listener));
    (app, address, data_dir)
}

async fn create_environment(app: &SharedApp, name: &str) -> EnvironmentKeys {
    let account =
        db::accounts::find_first(&app.db).await.expect("the database answers").expect("there is an account");
    let mut connection = app.db.acquire().await.expect("a database connection");
    let new = NewEnvironment { name: name.to_owned(), ..Default::default() };
    environments::create(app, &mut connection, account, &new).await.expect("the environment is created")
}

#[expect(clippy::disallowed_methods, reason = "the start of a test's time")]
fn system_time() -> DateTime<Utc> {
    Utc::now()
}

fn config(settings: TestSettings, data_dir: &TempDir, address: SocketAddr) -> Config {
    let mut values = HashMap::from([
        ("HITCHPOST_DATA_DIR".to_owned(), data_dir.path().display().to_string()),
        ("NANGO_ENCRYPTION_KEY".to_owned(), TEST_KEY.to_owned()),
        ("NANGO_SERVER_URL".to_owned(), format!("http://{address}")),
        ("SERVER_PORT".to_owned(), address.port().to_string()),
        ("HITCHPOST_LANES".to_owned(), test_setting("TEST_LANES").unwrap_or_else(|| "0".to_owned())),
        ("NANGO_OUTBOUND_URL_POLICY".to_owned(), OPEN_POLICY.to_owned()),
        // Tests share a database: a provider that one of them defines would be in the catalogs of all.
        ("HITCHPOST_CUSTOM_PROVIDERS".to_owned(), "false".to_owned()),
        // Each has a time of its own.
        ("HITCHPOST_WEBHOOK_POLL_MS".to_owned(), "0".to_owned()),
        ("NANGO_OUTBOUND_URL_POLICY_OAUTH".to_owned(), OPEN_POLICY.to_owned()),
    ]);
    if let Some(yaml) = settings.catalog {
        let path = data_dir.path().join("catalog.yaml");
        std::fs::write(&path, yaml).expect("the catalog is written");
        values.insert("HITCHPOST_CATALOG".to_owned(), path.display().to_string());
    }
    values.extend(settings.values);
    read(&values)
}

fn read(values: &HashMap<String, String>) -> Config {
    let names: Vec<String> = values.keys().cloned().collect();
    Config::from_env(&|name| values.get(name).cloned(), &names).expect("the settings are fine").config
}

/// The settings of a database.
pub fn database_config(values: &[(&str, &str)]) -> DatabaseConfig {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(&values.collect()).database
}

/// The database of this test process: the machine's PostgreSQL when one is named, else the embedded one.
async fn database() -> &'static Database {
    DATABASE.get_or_init(open_database).await
}

async fn open_database() -> Database {
    let data_dir = tempfile::tempdir().expect("a temporary directory").keep();
    let mut values = HashMap::from([
        ("HITCHPOST_DATA_DIR".to_owned(), data_dir.display().to_string()),
        ("NANGO_DB_SCHEMA".to_owned(), SCHEMA.to_owned()),
        ("NANGO_DB_POOL_MAX".to_owned(), "10".to_owned()),
    ]);
    if let Some(url) = test_setting("TEST_DATABASE_URL") {
        values.insert("NANGO_DATABASE_URL".to_owned(), url);
    }
    let config = read(&values);
    let database = start::open_database(&config).await.expect("the database starts");
    let statement = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&database.pool)
        .await
        .expect("old test tables go away");
    start::prepare_schema(&config, &database).await.expect("the migrations apply");
    database
}
