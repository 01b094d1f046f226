//! Which database is used.

use std::time::Duration;

use url::Url;

use super::reader::Reader;
use crate::crypto::Secret;

#[derive(Debug)]
pub struct DatabaseConfig {
    /// `None`: the embedded database.
    pub url: Option<Secret>,
    /// Where operation logs are stored; `None`: in the same.
    pub logs_url: Option<Secret>,
    pub schema: String,
    pub additional_schemas: Vec<String>,
    pub pool_min: u32,
    pub pool_max: u32,
    pub application_name: String,
    pub wait: Duration,
    pub migrate_at_start: bool,
}

impl DatabaseConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let schema = reader.text("NANGO_DB_SCHEMA").unwrap_or_else(|| "nango".into());
        let additional_schemas = reader.list("NANGO_DB_ADDITIONAL_SCHEMAS");
        for name in std::iter::once(&schema).chain(&additional_schemas) {
            if !is_identifier(name) {
                reader.complain(format!("NANGO_DB_SCHEMA: `{name}` is not a plain identifier."));
            }
        }
        DatabaseConfig {
            url: database_url(reader).map(Secret::new),
            logs_url: postgres_url(reader, "HITCHPOST_LOGS_DATABASE_URL").map(Secret::new),
            schema,
            additional_schemas,
            pool_min: reader.number("NANGO_DB_POOL_MIN", 0) as u32,
            pool_max: reader.number("NANGO_DB_POOL_MAX", 30) as u32,
            application_name: reader.text("NANGO_DB_APPLICATION_NAME").unwrap_or_else(|| "hitchpost".into()),
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

/// A URL of PostgreSQL; any other one is a mistake.
fn postgres_url(reader: &Reader<'_>, name: &str) -> Option<String> {
    let url = reader.text(name)?;
    let is_postgres = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    if !is_postgres {
        reader
            .complain(format!("{name}: expected a URL such as `postgresql://user:password@host:5432/name`."));
    }
    Some(url)
}

/// `NANGO_DATABASE_URL`, or a URL built from the parts; `None` when nothing at all is set.
fn database_url(reader: &Reader<'_>) -> Option<String> {
    if let Some(url) = postgres_url(reader, "NANGO_DATABASE_URL") {
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
