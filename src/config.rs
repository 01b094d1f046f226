//! All settings, read once at start from a lookup function. The only place that knows variable names.
//!
//! Every mistake is reported together, as sentences, before anything starts. The table of settings
//! ([`settings`]) is also the source of `.env.example` and of the README's table.

mod background;
mod connect_ui;
mod dashboard;
mod database;
mod document;
mod http;
mod keys;
mod names;
mod outgoing;
mod reader;
pub mod settings;
mod shipping;

use std::path::PathBuf;

pub use background::{AuditConfig, CatalogConfig, JobConfig, LogConfig, LogFormat, OperationLogConfig};
pub use connect_ui::ConnectUiConfig;
pub use dashboard::{DashboardAccess, DashboardConfig, DashboardCredentials, OidcConfig, SmtpConfig};
pub use database::DatabaseConfig;
pub use document::{env_example, settings_table};
pub use http::HttpConfig;
pub use keys::KeyConfig;
use names::unknown_names;
pub use outgoing::{LimitConfig, OutboundConfig, ProxyConfig, WebhookConfig};
use reader::Reader;
pub use reader::{Lookup, is_uuid_v4};
pub use shipping::{ElasticConfig, OtlpConfig, SearchProduct, ShippingConfig};

use crate::crypto::{Cipher, Secret};
use crate::fanout::Fanout;
use crate::rng::Rng;

#[derive(Debug)]
pub struct Config {
    pub http: HttpConfig,
    pub connect_ui: ConnectUiConfig,
    pub data_dir: PathBuf,
    pub database: DatabaseConfig,
    pub redis_url: Option<Secret>,
    pub keys: KeyConfig,
    pub dashboard: DashboardConfig,
    /// A file that is applied at every start.
    pub settings_file: Option<PathBuf>,
    pub limits: LimitConfig,
    pub outbound: OutboundConfig,
    pub proxy: ProxyConfig,
    pub webhooks: WebhookConfig,
    pub catalog: CatalogConfig,
    pub jobs: JobConfig,
    pub audit: AuditConfig,
    /// Whether metrics tell integrations apart, of which there may be many.
    pub metrics_tell_integrations: bool,
    /// The process log.
    pub log: LogConfig,
    /// Operation logs.
    pub logs: OperationLogConfig,
    pub shipping: ShippingConfig,
    pub state_cookie_required: bool,
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
            connect_ui: ConnectUiConfig::read(&reader, http.port),
            data_dir: reader.text("HITCHPOST_DATA_DIR").unwrap_or_else(|| "./hitchpost-data".into()).into(),
            database: DatabaseConfig::read(&reader),
            redis_url: reader.text("NANGO_REDIS_URL").map(Secret::new),
            keys: KeyConfig::read(&reader, names),
            dashboard: DashboardConfig::read(&reader),
            settings_file: reader.text("HITCHPOST_SETTINGS").map(PathBuf::from),
            limits: LimitConfig::read(&reader),
            outbound: OutboundConfig::read(&reader, lookup),
            proxy: ProxyConfig::read(&reader),
            webhooks: WebhookConfig::read(&reader),
            catalog: CatalogConfig::read(&reader),
            jobs: JobConfig::read(&reader),
            audit: AuditConfig::read(&reader),
            metrics_tell_integrations: reader.bool("NANGO_METRICS_INCLUDE_PROVIDER_CONFIG_KEY", false),
            log: LogConfig::read(&reader),
            logs: OperationLogConfig::read(&reader),
            shipping: ShippingConfig::read(&reader),
            state_cookie_required: reader.bool("HITCHPOST_OAUTH_STATE_COOKIE_REQUIRED", true),
            http,
        };
        config.check_together(&reader);
        if !config.logs.enabled {
            // Settings made for the reference server often switch them off, because it needs Elasticsearch for them.
            warnings.push(
                "NANGO_LOGS_ENABLED is off: no operation logs. Here they need nothing but the database."
                    .into(),
            );
        }
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
    fn credentials_of_the_dashboard_come_in_pairs_and_exclude_accounts() {
        let (name, password) = (("NANGO_DASHBOARD_USERNAME", "ops"), ("NANGO_DASHBOARD_PASSWORD", "pw"));
        for (values, expected) in [
            (vec![name], "NANGO_DASHBOARD_PASSWORD: it is missing"),
            (vec![password], "NANGO_DASHBOARD_USERNAME: it is missing"),
            (
                vec![("NANGO_DASHBOARD_USERNAME", "a:b"), password],
                "NANGO_DASHBOARD_USERNAME: HTTP basic auth",
            ),
            (vec![name, password, ("FLAG_AUTH_ENABLED", "yes")], "FLAG_AUTH_ENABLED: it asks for accounts"),
        ] {
            let problems = read(&values).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:?}");
        }
        for flag in ["", "false"] {
            let both = config(&[name, password, ("FLAG_AUTH_ENABLED", flag)]);
            assert_eq!(both.dashboard.credentials.unwrap().username, "ops");
        }
        assert!(config(&[]).dashboard.credentials.is_none());
    }

    #[test]
    fn a_dashboard_without_login_is_asked_for_twice() {
        let (off, open) = (("FLAG_AUTH_ENABLED", "false"), ("HITCHPOST_OPEN_DASHBOARD", "true"));
        let credentials = [("NANGO_DASHBOARD_USERNAME", "ops"), ("NANGO_DASHBOARD_PASSWORD", "pw")];
        for (values, expected) in [
            (vec![], DashboardAccess::Accounts),
            (vec![open], DashboardAccess::Accounts),
            (vec![off], DashboardAccess::Closed),
            (vec![off, open], DashboardAccess::Open),
            (credentials.to_vec(), DashboardAccess::Password),
            ([&credentials[..], &[off, open]].concat(), DashboardAccess::Password),
        ] {
            assert_eq!(config(&values).dashboard.access, expected, "{values:?}");
        }
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
            ("NANGO_LOGS_CIRCUIT_BREAKER_FAILURES", "3"),
            ("NANGO_SECRET_KEY_DEV", "2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a11"),
            ("HITCHPOST_SERVER_URL", "https://y.example"),
            ("PATH", "/bin"),
        ])
        .unwrap()
        .warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("NANGO_LOGS_CIRCUIT_BREAKER_FAILURES has no effect"));
        assert!(warnings[1].starts_with("NANGO_SERVR_URL is not a setting"));
    }

    #[test]
    fn what_is_kept_off_the_public_port_has_its_own() {
        let ports = |values: &[(&str, &str)]| {
            let http = config(values).http;
            (http.admin_port, http.metrics_port)
        };
        assert_eq!(ports(&[]), (None, None));
        assert_eq!(
            ports(&[("HITCHPOST_ADMIN_PORT", "0"), ("HITCHPOST_METRICS_PORT", "9100")]),
            (None, Some(9100))
        );
        for (admin, metrics, expected) in [
            ("3003", "", "HITCHPOST_ADMIN_PORT: expected another port"),
            ("", "3003", "HITCHPOST_METRICS_PORT: expected a port"),
            ("4000", "4000", "HITCHPOST_METRICS_PORT: expected a port"),
        ] {
            let problems =
                read(&[("HITCHPOST_ADMIN_PORT", admin), ("HITCHPOST_METRICS_PORT", metrics)]).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:?}");
        }
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
