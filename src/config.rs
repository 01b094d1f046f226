//! All settings, read once at start from a lookup function. The only place that knows variable names.
//!
//! Every mistake is reported together, as sentences, before anything starts. The table of settings
//! ([`settings`]) is also the source of `.env.example` and of the README's table.

mod document;
mod reader;
pub mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use document::{env_example, settings_table};
use reader::Reader;
pub use reader::{Lookup, is_uuid_v4};

use crate::crypto::{Cipher, Secret};
use crate::egress::PolicySet;
use crate::fanout::Fanout;
use crate::rng::Rng;

#[derive(Debug)]
pub struct Config {
    pub http: HttpConfig,
    pub data_dir: PathBuf,
    pub database: DatabaseConfig,
    pub redis_url: Option<Secret>,
    pub keys: KeyConfig,
    pub limits: LimitConfig,
    pub outbound: OutboundConfig,
    pub proxy: ProxyConfig,
    pub catalog: CatalogConfig,
    pub jobs: JobConfig,
    pub log: LogConfig,
    pub state_cookie_required: bool,
}

/// Addresses and limits of the listeners.
#[derive(Debug)]
pub struct HttpConfig {
    pub host: String,
    pub port: u16,
    /// Public base URL, never with a trailing slash.
    pub server_url: String,
    pub public_server_url: String,
    /// Base of `connect_link`; ends with a slash.
    pub connect_url: String,
    pub websocket_path: String,
    pub trusted_proxy_hops: usize,
    pub keep_alive: Duration,
    /// Bytes.
    pub body_limit: u64,
    pub shutdown_delay: Duration,
}

#[derive(Debug)]
pub struct DatabaseConfig {
    /// `None`: the embedded database.
    pub url: Option<Secret>,
    pub schema: String,
    pub additional_schemas: Vec<String>,
    pub pool_min: u32,
    pub pool_max: u32,
    pub application_name: String,
    pub statement_cache: usize,
    pub wait: Duration,
    pub migrate_at_start: bool,
}

#[derive(Debug)]
pub struct KeyConfig {
    /// The text of `NANGO_ENCRYPTION_KEY`; `None`: the key file in the data directory.
    pub encryption: Option<Secret>,
    /// Fixed API keys by lower-case environment name.
    pub provisioned: BTreeMap<String, Secret>,
    pub initial_environments: Vec<String>,
}

#[derive(Debug)]
pub struct LimitConfig {
    pub enabled: bool,
    /// Requests per minute and account.
    pub per_minute: u64,
    /// Whether the limit was set explicitly: only then does it cover `/proxy`.
    pub covers_proxy: bool,
    pub oauth_token_max_length: usize,
}

/// The guard of outgoing requests; the policy texts are parsed by `egress`.
#[derive(Debug)]
pub struct OutboundConfig {
    pub policy: Option<String>,
    pub oauth_policy: Option<String>,
    /// `Some("")` empties the default denylist.
    pub override_denylist: Option<String>,
    pub https_proxy: Option<String>,
    pub http_proxy: Option<String>,
    pub no_proxy: Option<String>,
    pub extra_certificates: Option<PathBuf>,
}

#[derive(Debug)]
pub struct ProxyConfig {
    pub base_url_override: bool,
    pub timeout: Duration,
    pub refresh_on_401: bool,
    pub forward_set_cookie: bool,
    pub strict_base_path: bool,
    pub legacy_status: bool,
    pub legacy_errors: bool,
    pub retryable_network_errors: Vec<String>,
}

#[derive(Debug)]
pub struct CatalogConfig {
    /// Paths and https URLs, each laid over the ones before.
    pub sources: Vec<String>,
    pub reload_interval: Duration,
}

#[derive(Debug)]
pub struct JobConfig {
    /// Zero switches the job off.
    pub refresh_every: Duration,
    pub refresh_page: i64,
    pub cleanup_every: Duration,
    pub keep_deleted_connections_days: i32,
    /// Whether the operator asked for an undo window for deleted connections.
    pub keep_deleted_credentials: bool,
    pub keep_deleted_integrations_days: i32,
    pub keep_connect_sessions_days: i32,
    pub keep_oauth_sessions_days: i32,
}

#[derive(Debug)]
pub struct LogConfig {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

/// What came out of reading the settings: a configuration, and remarks that do not stop the start.
#[derive(Debug)]
pub struct Settings {
    pub config: Config,
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads every setting through `lookup`; `names` are the names that are set, for warnings about unknown ones.
    ///
    /// # Errors
    /// All mistakes, one sentence each.
    pub fn from_env(lookup: Lookup<'_>, names: &[String]) -> Result<Settings, Vec<String>> {
        let reader = Reader::new(lookup);
        reader.check_kinds();
        let mut warnings = unknown_names(names);
        let http = HttpConfig::read(&reader, &mut warnings);
        let config = Config {
            data_dir: reader.text("HITCHPOST_DATA_DIR").unwrap_or_else(|| "./hitchpost-data".into()).into(),
            database: DatabaseConfig::read(&reader),
            redis_url: reader.text("NANGO_REDIS_URL").map(Secret::new),
            keys: KeyConfig::read(&reader, names),
            limits: LimitConfig::read(&reader),
            outbound: OutboundConfig::read(&reader, lookup),
            proxy: ProxyConfig::read(&reader),
            catalog: CatalogConfig::read(&reader),
            jobs: JobConfig::read(&reader),
            log: LogConfig::read(&reader),
            state_cookie_required: reader.bool("HITCHPOST_OAUTH_STATE_COOKIE_REQUIRED", true),
            http,
        };
        config.check_together(&reader);
        let problems = reader.into_problems();
        if problems.is_empty() { Ok(Settings { config, warnings }) } else { Err(problems) }
    }
}

impl Config {
    /// Rules of values that other modules read more closely.
    fn check_together(&self, reader: &Reader<'_>) {
        if let Err(problems) = self.outbound.policies() {
            problems.into_iter().for_each(|problem| reader.complain(problem));
        }
        if let Some(Err(error)) =
            self.keys.encryption.as_ref().map(|list| Cipher::from_key_list(list.expose(), Rng::System))
        {
            reader.complain(format!("NANGO_ENCRYPTION_KEY: number {error}."));
        }
        if let Err(problem) = Fanout::new(self.redis_url.as_ref()) {
            reader.complain(problem);
        }
    }
}

impl HttpConfig {
    fn read(reader: &Reader<'_>, warnings: &mut Vec<String>) -> Self {
        let port = ["SERVER_PORT", "PORT", "NANGO_PORT"].iter().find_map(|name| reader.port(name));
        let port = port.unwrap_or(3003);
        let server_url =
            reader.url("NANGO_SERVER_URL").map_or_else(|| format!("http://localhost:{port}"), without_slash);
        let public = reader.url("NANGO_PUBLIC_SERVER_URL").filter(|url| {
            let stray = is_stray_loopback(url, port);
            if stray {
                warnings.push(format!(
                    "NANGO_PUBLIC_SERVER_URL={url} points at a port of this machine where Hitchpost does not listen; it is ignored."
                ));
            }
            !stray
        });
        HttpConfig {
            host: reader.text("HITCHPOST_HOST").unwrap_or_else(|| "0.0.0.0".into()),
            port,
            public_server_url: public.map_or_else(|| server_url.clone(), without_slash),
            connect_url: connect_url(reader, &server_url),
            server_url,
            websocket_path: websocket_path(reader),
            trusted_proxy_hops: reader.number("HITCHPOST_TRUSTED_PROXY_HOPS", 1) as usize,
            keep_alive: Duration::from_millis(reader.number("NANGO_SERVER_KEEP_ALIVE_TIMEOUT", 61_000)),
            body_limit: reader.size("NANGO_SERVER_PUBLIC_BODY_LIMIT", 75 << 20),
            shutdown_delay: Duration::from_millis(reader.number("SERVER_SHUTDOWN_DELAY_MS", 0)),
        }
    }

    /// The redirect URI of environments that set none.
    pub fn default_callback_url(&self) -> String {
        format!("{}/oauth/callback", self.server_url)
    }
}

fn without_slash(url: Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The reference server's sample file names a development dashboard on port 3000.
fn is_stray_loopback(url: &Url, port: u16) -> bool {
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    loopback && url.port_or_known_default() != Some(port)
}

/// Always ends with a slash and has neither query nor fragment.
fn connect_url(reader: &Reader<'_>, server_url: &str) -> String {
    let Some(mut url) = reader.url("NANGO_PUBLIC_CONNECT_URL") else {
        return format!("{server_url}/connect-ui/");
    };
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.into()
}

fn websocket_path(reader: &Reader<'_>) -> String {
    let path = reader.text("NANGO_SERVER_WEBSOCKETS_PATH").unwrap_or_else(|| "/".into());
    if !path.starts_with('/') {
        reader.complain("NANGO_SERVER_WEBSOCKETS_PATH: expected a path that starts with `/`.");
    }
    path
}

impl DatabaseConfig {
    fn read(reader: &Reader<'_>) -> Self {
        let schema = reader.text("NANGO_DB_SCHEMA").unwrap_or_else(|| "nango".into());
        let additional_schemas = reader.list("NANGO_DB_ADDITIONAL_SCHEMAS");
        for name in std::iter::once(&schema).chain(&additional_schemas) {
            if !is_identifier(name) {
                reader.complain(format!("NANGO_DB_SCHEMA: `{name}` is not a plain identifier."));
            }
        }
        DatabaseConfig {
            url: database_url(reader).map(Secret::new),
            schema,
            additional_schemas,
            pool_min: reader.number("NANGO_DB_POOL_MIN", 0) as u32,
            pool_max: reader.number("NANGO_DB_POOL_MAX", 30) as u32,
            application_name: reader.text("NANGO_DB_APPLICATION_NAME").unwrap_or_else(|| "hitchpost".into()),
            statement_cache: reader.number("HITCHPOST_DB_STATEMENT_CACHE", 100) as usize,
            wait: Duration::from_secs(reader.number("HITCHPOST_DB_WAIT_SECS", 60)),
            migrate_at_start: reader.bool("NANGO_MIGRATE_AT_START", true),
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= 63
}

/// `NANGO_DATABASE_URL`, or a URL built from the parts; `None` when nothing at all is set.
fn database_url(reader: &Reader<'_>) -> Option<String> {
    if let Some(url) = reader.text("NANGO_DATABASE_URL") {
        let postgres = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"));
        if !postgres {
            reader.complain(
                "NANGO_DATABASE_URL: expected a URL such as `postgresql://user:password@host:5432/name`.",
            );
        }
        return Some(url);
    }
    const PARTS: [&str; 5] =
        ["NANGO_DB_HOST", "NANGO_DB_PORT", "NANGO_DB_USER", "NANGO_DB_PASSWORD", "NANGO_DB_NAME"];
    let containerised = reader.text("SERVER_RUN_MODE").is_some_and(|mode| mode == "DOCKERIZED");
    if !containerised && PARTS.iter().all(|name| reader.text(name).is_none()) {
        return None;
    }
    let default_host = if containerised { "nango-db" } else { "localhost" };
    let part = |name: &str, default: &str| reader.text(name).unwrap_or_else(|| default.to_owned());
    let mut url = Url::parse("postgresql://localhost").ok()?;
    url.set_host(Some(&part("NANGO_DB_HOST", default_host))).ok()?;
    url.set_port(Some(reader.port("NANGO_DB_PORT").unwrap_or(5432))).ok()?;
    url.set_username(&part("NANGO_DB_USER", "nango")).ok()?;
    url.set_password(Some(&part("NANGO_DB_PASSWORD", "nango"))).ok()?;
    url.set_path(&part("NANGO_DB_NAME", "nango"));
    let ssl_mode = match part("NANGO_DB_SSL", "false").to_ascii_lowercase().as_str() {
        "true" | "require" => "require",
        "verify-full" => "verify-full",
        _ => "prefer",
    };
    url.query_pairs_mut().append_pair("sslmode", ssl_mode);
    Some(url.into())
}

impl KeyConfig {
    fn read(reader: &Reader<'_>, names: &[String]) -> Self {
        let initial = reader.list("HITCHPOST_INITIAL_ENVIRONMENTS");
        KeyConfig {
            encryption: reader.text("NANGO_ENCRYPTION_KEY").map(Secret::new),
            provisioned: provisioned_keys(reader, names),
            initial_environments: if initial.is_empty() {
                vec!["dev".into(), "prod".into()]
            } else {
                initial
            },
        }
    }
}

/// The `NANGO_SECRET_KEY_<ENV>` variables among `names`, by lower-case environment name.
fn provisioned_keys(reader: &Reader<'_>, names: &[String]) -> BTreeMap<String, Secret> {
    let mut keys = BTreeMap::new();
    for name in names {
        let base = name.strip_suffix("_FILE").unwrap_or(name);
        let suffix =
            base.strip_prefix("NANGO_SECRET_KEY_").or_else(|| base.strip_prefix("HITCHPOST_SECRET_KEY_"));
        let Some(suffix) = suffix.filter(|suffix| !suffix.is_empty()) else { continue };
        let canonical = format!("NANGO_SECRET_KEY_{suffix}");
        let Some(value) = reader.text(&canonical) else { continue };
        if !is_uuid_v4(&value) {
            reader.complain(format!("{canonical}: expected a UUID v4, because API keys have that form."));
        }
        keys.insert(suffix.to_lowercase(), Secret::new(value));
    }
    keys
}

impl LimitConfig {
    fn read(reader: &Reader<'_>) -> Self {
        LimitConfig {
            enabled: reader.bool("FLAG_API_RATE_LIMIT_ENABLED", true),
            per_minute: reader.number("DEFAULT_RATE_LIMIT_PER_MIN", 3000),
            covers_proxy: reader.text("DEFAULT_RATE_LIMIT_PER_MIN").is_some(),
            oauth_token_max_length: reader.number("NANGO_SERVER_OAUTH2_TOKEN_MAX_LENGTH", 16_384) as usize,
        }
    }
}

impl OutboundConfig {
    /// The outbound policies of the settings.
    ///
    /// # Errors
    /// Every mistake, one sentence each.
    pub fn policies(&self) -> Result<PolicySet, Vec<String>> {
        PolicySet::parse(
            self.policy.as_deref(),
            self.oauth_policy.as_deref(),
            self.override_denylist.as_deref(),
        )
    }

    fn read(reader: &Reader<'_>, lookup: Lookup<'_>) -> Self {
        const DENYLIST: &str = "NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST";
        let proxy =
            |name: &str| reader.text(name).or_else(|| lookup(&name.to_lowercase()).filter(|v| !v.is_empty()));
        OutboundConfig {
            policy: reader.text("NANGO_OUTBOUND_URL_POLICY"),
            oauth_policy: reader.text("NANGO_OUTBOUND_URL_POLICY_OAUTH"),
            // Here an empty text means something else than an unset one.
            override_denylist: reader.text(DENYLIST).or_else(|| lookup(DENYLIST)),
            https_proxy: proxy("HTTPS_PROXY"),
            http_proxy: proxy("HTTP_PROXY"),
            no_proxy: proxy("NO_PROXY"),
            extra_certificates: reader.text("NODE_EXTRA_CA_CERTS").map(PathBuf::from),
        }
    }
}

impl ProxyConfig {
    fn read(reader: &Reader<'_>) -> Self {
        ProxyConfig {
            base_url_override: reader.bool("NANGO_PROXY_BASE_URL_OVERRIDE_ENABLED", true),
            timeout: Duration::from_millis(reader.number("HITCHPOST_PROXY_TIMEOUT_MS", 300_000)),
            refresh_on_401: reader.bool("HITCHPOST_PROXY_REFRESH_ON_401", true),
            forward_set_cookie: reader.bool("HITCHPOST_PROXY_FORWARD_SET_COOKIE", false),
            strict_base_path: reader.bool("HITCHPOST_PROXY_STRICT_BASE_PATH", false),
            legacy_status: reader.bool("HITCHPOST_PROXY_LEGACY_STATUS", false),
            legacy_errors: reader.bool("HITCHPOST_PROXY_LEGACY_ERRORS", false),
            retryable_network_errors: reader.list("NANGO_RETRYABLE_NETWORK_ERRORS"),
        }
    }
}

impl CatalogConfig {
    fn read(reader: &Reader<'_>) -> Self {
        let mut sources = reader.list("HITCHPOST_CATALOG");
        sources.extend(reader.text("PROVIDERS_URL"));
        CatalogConfig {
            sources,
            reload_interval: Duration::from_millis(
                reader.number("PROVIDERS_RELOAD_INTERVAL", 60_000).max(1_000),
            ),
        }
    }
}

impl JobConfig {
    fn read(reader: &Reader<'_>) -> Self {
        let minutes = |name, default| Duration::from_secs(reader.number(name, default) * 60);
        let days = |name, default| i32::try_from(reader.number(name, default)).unwrap_or(i32::MAX);
        JobConfig {
            refresh_every: minutes("CRON_REFRESH_CONNECTIONS_EVERY_MIN", 10),
            refresh_page: i64::try_from(reader.number("CRON_REFRESH_CONNECTIONS_LIMIT", 100)).unwrap_or(100),
            cleanup_every: minutes("CRON_DELETE_OLD_DATA_EVERY_MIN", 10),
            keep_deleted_connections_days: days("CRON_DELETE_OLD_CONNECTIONS_MAX_DAYS", 31),
            keep_deleted_credentials: reader.text("CRON_DELETE_OLD_CONNECTIONS_MAX_DAYS").is_some(),
            keep_deleted_integrations_days: days("CRON_DELETE_OLD_CONFIGS_MAX_DAYS", 31),
            keep_connect_sessions_days: days("CRON_DELETE_OLD_CONNECT_SESSION_MAX_DAYS", 31),
            keep_oauth_sessions_days: days("CRON_DELETE_OLD_OAUTH_SESSION_MAX_DAYS", 2),
        }
    }
}

impl LogConfig {
    fn read(reader: &Reader<'_>) -> Self {
        let format = match reader.text("HITCHPOST_LOG_FORMAT").as_deref() {
            Some("json") => LogFormat::Json,
            Some("text") => LogFormat::Text,
            _ => LogFormat::Auto,
        };
        LogConfig { level: reader.text("LOG_LEVEL").unwrap_or_else(|| "info".into()).to_lowercase(), format }
    }
}

/// A warning for each `NANGO_*` and `HITCHPOST_*` name that no setting has, and for settings without effect.
fn unknown_names(names: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = names.iter().filter_map(|name| name_warning(name)).collect();
    warnings.sort();
    warnings
}

fn name_warning(name: &str) -> Option<String> {
    if !(name.starts_with("NANGO_") || name.starts_with("HITCHPOST_")) {
        return None;
    }
    let base = name.strip_suffix("_FILE").unwrap_or(name);
    let canonical = base.strip_prefix("HITCHPOST_").map(|rest| format!("NANGO_{rest}"));
    let spellings = [Some(base.to_owned()), canonical, Some(name.to_owned())];
    let known = spellings.iter().flatten().find_map(|spelling| settings::find(spelling));
    match known.map(|setting| setting.status) {
        Some(settings::Status::Active) => None,
        Some(settings::Status::Reserved) => Some(format!("{name} has no effect in this version.")),
        Some(settings::Status::Ignored) => Some(format!("{name} is ignored: it is not needed here.")),
        None if has_prefix(&spellings, settings::PREFIXES) => None,
        None if has_prefix(&spellings, settings::IGNORED_PREFIXES) => {
            Some(format!("{name} has no effect in this version."))
        }
        None => Some(format!("{name} is not a setting that Hitchpost knows; is it misspelt?")),
    }
}

fn has_prefix(spellings: &[Option<String>], prefixes: &[&str]) -> bool {
    spellings.iter().flatten().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let names: Vec<String> = values.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lookup =
            |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::from_env(&lookup, &names)
    }

    fn config(values: &[(&str, &str)]) -> Config {
        read(values).unwrap().config
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = config(&[]);
        assert!(config.database.url.is_none());
        assert_eq!(config.http.server_url, "http://localhost:3003");
        assert_eq!(config.http.connect_url, "http://localhost:3003/connect-ui/");
        assert_eq!(config.http.default_callback_url(), "http://localhost:3003/oauth/callback");
        assert_eq!(config.keys.initial_environments, ["dev", "prod"]);
    }

    #[test]
    fn all_mistakes_are_reported_together_as_sentences() {
        let problems = read(&[
            ("SERVER_PORT", "99999"),
            ("NANGO_SERVER_URL", "connect.example.com"),
            ("FLAG_API_RATE_LIMIT_ENABLED", "perhaps"),
            ("NANGO_SECRET_KEY_DEV", "secret"),
            ("NANGO_DATABASE_URL", "mysql://x"),
            ("SMTP_URL", "nope"),
            ("NANGO_OUTBOUND_URL_POLICY", r#"{"mode":"strict"}"#),
            ("NANGO_ENCRYPTION_KEY", "short"),
            ("NANGO_REDIS_URL", "http://redis"),
        ])
        .unwrap_err();
        for (name, problem) in [
            ("SERVER_PORT", "expected a port"),
            ("NANGO_SERVER_URL", "expected an absolute URL"),
            ("FLAG_API_RATE_LIMIT_ENABLED", "expected a yes or no word"),
            ("NANGO_SECRET_KEY_DEV", "expected a UUID v4"),
            ("NANGO_DATABASE_URL", "expected a URL such as"),
            ("SMTP_URL", "expected an absolute URL"),
            ("NANGO_ENCRYPTION_KEY", "number 1 of the encryption keys is not"),
            ("NANGO_REDIS_URL", "expected a URL such as"),
        ] {
            let found = problems.iter().any(|text| text.starts_with(&format!("{name}: {problem}")));
            assert!(found, "{name}: {problems:?}");
        }
        assert!(problems.iter().any(|problem| problem.starts_with("NANGO_OUTBOUND_URL_POLICY")));
        assert_eq!(problems.len(), 9, "{problems:?}");
        assert!(!problems.iter().any(|problem| problem.contains("secret")), "values stay unsaid");
    }

    #[test]
    fn a_second_name_wins_and_files_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgresql://u:p@db/x\n").unwrap();
        let path = file.path().display().to_string();
        let config = config(&[
            ("NANGO_SERVER_URL", "https://old.example.com"),
            ("HITCHPOST_SERVER_URL", "https://new.example.com/"),
            ("NANGO_DATABASE_URL_FILE", &path),
            ("LOG_LEVEL", ""),
        ]);
        assert_eq!(config.http.server_url, "https://new.example.com");
        assert_eq!(config.database.url.unwrap().expose(), "postgresql://u:p@db/x");
        assert_eq!(config.log.level, "info");
    }

    #[test]
    fn a_missing_file_is_a_mistake() {
        let problems = read(&[("NANGO_ENCRYPTION_KEY_FILE", "/does/not/exist")]).unwrap_err();
        assert!(
            problems[0].starts_with("NANGO_ENCRYPTION_KEY_FILE: the file /does/not/exist"),
            "{problems:?}"
        );
    }

    #[test]
    fn parts_of_the_database_make_a_url() {
        for (values, expected) in [
            (vec![("NANGO_DB_HOST", "db")], "postgresql://nango:nango@db:5432/nango?sslmode=prefer"),
            (
                vec![("SERVER_RUN_MODE", "DOCKERIZED")],
                "postgresql://nango:nango@nango-db:5432/nango?sslmode=prefer",
            ),
            (
                vec![
                    ("NANGO_DB_USER", "a b"),
                    ("NANGO_DB_PASSWORD", "p@:/"),
                    ("NANGO_DB_SSL", "verify-full"),
                ],
                "postgresql://a%20b:p%40%3A%2F@localhost:5432/nango?sslmode=verify-full",
            ),
        ] {
            assert_eq!(config(&values).database.url.unwrap().expose(), expected);
        }
    }

    #[test]
    fn names_that_nobody_reads_are_warned_about() {
        let warnings = read(&[
            ("NANGO_SERVR_URL", "https://x.example"),
            ("SMTP_FROM", "a@b.example"),
            ("NANGO_LOGS_ES_URL", "http://es"),
            ("NANGO_SECRET_KEY_DEV", "2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a11"),
            ("HITCHPOST_SERVER_URL", "https://y.example"),
            ("PATH", "/bin"),
        ])
        .unwrap()
        .warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("NANGO_LOGS_ES_URL has no effect"));
        assert!(warnings[1].starts_with("NANGO_SERVR_URL is not a setting"));
    }

    #[test]
    fn a_development_dashboard_in_the_public_url_is_ignored() {
        let settings = read(&[("NANGO_PUBLIC_SERVER_URL", "http://localhost:3000")]).unwrap();
        assert_eq!(settings.config.http.public_server_url, "http://localhost:3003");
        assert_eq!(settings.warnings.len(), 1);
    }

    #[test]
    fn an_emptied_denylist_differs_from_an_unset_one() {
        assert_eq!(config(&[]).outbound.override_denylist, None);
        let emptied = config(&[("NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST", "")]);
        assert_eq!(emptied.outbound.override_denylist.as_deref(), Some(""));
    }

    #[test]
    fn every_name_that_is_read_is_in_the_table() {
        let read_names = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let lookup = |name: &str| {
            read_names.borrow_mut().insert(name.to_owned());
            None
        };
        Config::from_env(&lookup, &[]).unwrap();
        for name in read_names.into_inner() {
            let base = name.strip_suffix("_FILE").unwrap_or(&name).to_uppercase();
            let upstream = base.replacen("HITCHPOST_", "NANGO_", 1);
            let known = settings::find(&base).or_else(|| settings::find(&upstream));
            assert!(known.is_some(), "{name} is not in the table of settings");
        }
    }
}
