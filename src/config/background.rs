//! The catalog, background jobs and the process log.

use std::time::Duration;

use super::reader::Reader;

#[derive(Debug)]
pub struct CatalogConfig {
    /// Paths and https URLs, each laid over the ones before.
    pub sources: Vec<String>,
    pub reload_interval: Duration,
}

impl CatalogConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
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

impl JobConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
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

impl LogConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let format = match reader.text("HITCHPOST_LOG_FORMAT").as_deref() {
            Some("json") => LogFormat::Json,
            Some("text") => LogFormat::Text,
            _ => LogFormat::Auto,
        };
        LogConfig { level: reader.text("LOG_LEVEL").unwrap_or_else(|| "info".into()).to_lowercase(), format }
    }
}
