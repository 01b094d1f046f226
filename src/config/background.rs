//! The catalog, background jobs, the process log and operation logs.

use std::time::Duration;

use chrono::TimeDelta;

use super::reader::Reader;

#[derive(Debug)]
pub struct CatalogConfig {
    /// Paths and https URLs, each laid over the ones before.
    pub sources: Vec<String>,
    pub reload_interval: Duration,
    /// Whether administrators may define providers of their own.
    pub has_custom_providers: bool,
}

impl CatalogConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let mut sources = reader.list("HITCHPOST_CATALOG");
        sources.extend(reader.text("PROVIDERS_URL"));
        CatalogConfig {
            sources,
            has_custom_providers: reader.bool("HITCHPOST_CUSTOM_PROVIDERS", true),
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
    pub keep_deleted_environments_days: i32,
    pub keep_connect_sessions_days: i32,
    pub keep_oauth_sessions_days: i32,
    /// Of operations that never ended.
    pub timeout_operations_every: Duration,
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
            keep_deleted_environments_days: days("CRON_DELETE_OLD_ENVIRONMENTS_MAX_DAYS", 31),
            keep_connect_sessions_days: days("CRON_DELETE_OLD_CONNECT_SESSION_MAX_DAYS", 31),
            keep_oauth_sessions_days: days("CRON_DELETE_OLD_OAUTH_SESSION_MAX_DAYS", 2),
            timeout_operations_every: minutes("CRON_TIMEOUT_LOGS_MINUTES", 10),
        }
    }
}

#[derive(Debug)]
pub struct AuditConfig {
    pub is_enabled: bool,
    /// `None`: for ever.
    pub kept: Option<TimeDelta>,
}

impl AuditConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let days = i64::try_from(reader.number("HITCHPOST_AUDIT_RETENTION_DAYS", 365)).ok();
        AuditConfig {
            is_enabled: reader.bool("FLAG_AUDIT_TRAIL_ENABLED", true),
            kept: days.filter(|days| *days > 0).and_then(TimeDelta::try_days),
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

/// What is stored of operations, and for how long.
#[derive(Debug, Clone)]
pub struct OperationLogConfig {
    pub enabled: bool,
    pub retention: TimeDelta,
    /// Of every hundred successful proxied calls.
    pub proxy_success_pct: u8,
    /// Of successful proxied calls.
    pub proxy_success_retention: TimeDelta,
    /// Of all partitions, in bytes.
    pub max_size: u64,
}

impl OperationLogConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        // Longer than anybody keeps logs, and short enough for dates to be computed.
        const MOST_DAYS: u64 = 3650;
        let days = |name, default| reader.number(name, default).clamp(1, MOST_DAYS);
        let retention = days("NANGO_LOGS_ES_RETENTION_DAYS", 15);
        let of_successes = days("HITCHPOST_LOG_PROXY_SUCCESS_RETENTION_DAYS", 3).min(retention);
        let in_days = |days| TimeDelta::days(i64::try_from(days).unwrap_or_default());
        OperationLogConfig {
            enabled: reader.bool("NANGO_LOGS_ENABLED", true),
            retention: in_days(retention),
            proxy_success_pct: u8::try_from(reader.number("HITCHPOST_LOG_PROXY_SUCCESS_PCT", 100).min(100))
                .unwrap_or(100),
            proxy_success_retention: in_days(of_successes),
            max_size: reader.size("HITCHPOST_LOGS_MAX_SIZE", 20 << 30),
        }
    }
}
