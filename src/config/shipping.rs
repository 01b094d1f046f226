//! Where operation logs, traces and metrics are sent.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::reader::Reader;
use crate::crypto::Secret;

#[derive(Debug)]
pub struct ShippingConfig {
    pub elastic: Option<ElasticConfig>,
    /// The server's own collector.
    pub otlp: Option<OtlpConfig>,
    /// What collectors call this server.
    pub service_name: String,
}

/// The products differ in how retention is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchProduct {
    Elasticsearch,
    OpenSearch,
}

/// A cluster that gets a copy of the operation logs.
#[derive(Debug)]
pub struct ElasticConfig {
    pub product: SearchProduct,
    pub url: Url,
    pub credentials: Option<(String, Secret)>,
    pub timeout: Duration,
    pub retries: u32,
    /// Aliases over all days.
    pub operations: String,
    pub messages: String,
    pub policy_prefix: String,
    pub operation_shards: u64,
    pub message_shards: u64,
    /// As Elasticsearch writes times, such as `48h`.
    pub warm_min_age: String,
}

#[derive(Debug)]
pub struct OtlpConfig {
    pub endpoint: Url,
    pub headers: HeaderMap,
    pub metrics_every: Duration,
    /// Whether it is told the messages of operations too.
    pub takes_logs: bool,
}

impl ShippingConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        ShippingConfig {
            elastic: ElasticConfig::read(reader),
            otlp: OtlpConfig::read(reader),
            service_name: reader.text("OTEL_SERVICE_NAME").unwrap_or_else(|| "hitchpost".into()),
        }
    }
}

impl ElasticConfig {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let url = http_url(reader, "NANGO_LOGS_ES_URL")?;
        // Files written for the reference server say `false` where there is no cluster.
        if !reader.bool("NANGO_LOGS_ENABLED", true) {
            return None;
        }
        let (user, password) = (reader.text("NANGO_LOGS_ES_USER"), reader.text("NANGO_LOGS_ES_PWD"));
        if user.is_some() != password.is_some() {
            reader.complain("NANGO_LOGS_ES_USER and NANGO_LOGS_ES_PWD: expected both or neither.");
        }
        let prefix =
            reader.text("NANGO_LOGS_ES_PREFIX").map(|prefix| format!("{prefix}_")).unwrap_or_default();
        let index = |name: &str, default: &str| {
            let index = format!("{prefix}{}", reader.text(name).unwrap_or_else(|| default.to_owned()));
            if !is_index_name(&index) {
                reader.complain(format!("{name}: expected lower-case letters, digits, `_` and `-`."));
            }
            index
        };
        let is_open_search = reader
            .text("NANGO_LOGS_PROVIDER")
            .is_some_and(|name| name.trim().eq_ignore_ascii_case("opensearch"));
        Some(ElasticConfig {
            product: if is_open_search { SearchProduct::OpenSearch } else { SearchProduct::Elasticsearch },
            url,
            credentials: user.zip(password.map(Secret::new)),
            timeout: Duration::from_millis(reader.number("NANGO_LOGS_ES_REQUEST_TIMEOUT_MS", 5000).max(1)),
            retries: u32::try_from(reader.number("NANGO_LOGS_ES_MAX_RETRIES", 1)).unwrap_or(u32::MAX),
            operations: index("NANGO_LOGS_ES_INDEX_OPERATIONS", "20250724_operations"),
            messages: index("NANGO_LOGS_ES_INDEX_MESSAGES", "20240528_messages"),
            policy_prefix: if prefix.is_empty() { "hitchpost_".into() } else { prefix.clone() },
            operation_shards: reader.number("NANGO_LOGS_ES_SHARD_PER_DAY_OPERATIONS", 1),
            message_shards: reader.number("NANGO_LOGS_ES_SHARD_PER_DAY_MESSAGES", 1),
            warm_min_age: reader.text("NANGO_LOGS_ES_WARM_MIN_AGE").unwrap_or_else(|| "48h".into()),
        })
    }
}

impl OtlpConfig {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let endpoint = http_url(reader, "OTEL_EXPORTER_OTLP_ENDPOINT")?;
        let every = reader.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000).max(100);
        Some(OtlpConfig {
            endpoint,
            headers: otlp_headers(reader),
            metrics_every: Duration::from_millis(every),
            takes_logs: takes_logs(reader),
        })
    }
}

/// The words of the OpenTelemetry specification that have a meaning here.
fn takes_logs(reader: &Reader<'_>) -> bool {
    const NAME: &str = "OTEL_LOGS_EXPORTER";
    match reader.text(NAME).as_deref().map(str::trim) {
        None | Some("otlp") => true,
        Some("none") => false,
        Some(_) => {
            reader.complain(format!("{NAME}: expected otlp or none."));
            true
        }
    }
}

fn http_url(reader: &Reader<'_>, name: &str) -> Option<Url> {
    let url = reader.url(name)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        reader.complain(format!("{name}: expected an http or https URL."));
    }
    Some(url)
}

/// What both products accept (Elasticsearch, "Index name limitations").
fn is_index_name(name: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=200).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with(['_', '-'])
}

/// `name=value,name=value`, values percent-encoded (W3C Baggage, as the OpenTelemetry specification says).
fn otlp_headers(reader: &Reader<'_>) -> HeaderMap {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let mut headers = HeaderMap::new();
    for pair in reader.list(NAME) {
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        let value = percent_decode_str(value.trim()).decode_utf8_lossy();
        match (HeaderName::from_bytes(name.trim().as_bytes()), HeaderValue::from_str(&value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            _ => {
                reader.complain(format!("{NAME}: expected a comma list such as `authorization=Bearer%20x`."))
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (ShippingConfig, Vec<String>) {
        let lookup =
            |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let reader = Reader::new(&lookup);
        let config = ShippingConfig::read(&reader);
        (config, reader.into_problems())
    }

    #[test]
    fn nothing_is_sent_anywhere_unless_asked() {
        let (config, problems) = read(&[("NANGO_LOGS_PROVIDER", "opensearch")]);
        assert!(config.elastic.is_none() && config.otlp.is_none() && problems.is_empty());
        let off = [("NANGO_LOGS_ES_URL", "http://es:9200"), ("NANGO_LOGS_ENABLED", "false")];
        assert!(read(&off).0.elastic.is_none());
    }

    #[test]
    fn names_and_headers_are_read() {
        let (config, problems) = read(&[
            ("NANGO_LOGS_ES_URL", "http://es:9200"),
            ("NANGO_LOGS_ES_PREFIX", "acme"),
            ("NANGO_LOGS_PROVIDER", "OpenSearch"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, tenant=1"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        let elastic = config.elastic.unwrap();
        assert_eq!(
            (elastic.operations.as_str(), elastic.policy_prefix.as_str()),
            ("acme_20250724_operations", "acme_")
        );
        assert_eq!(elastic.product, SearchProduct::OpenSearch);
        let otlp = config.otlp.unwrap();
        assert_eq!((&otlp.headers["authorization"], otlp.takes_logs), (&"Bearer x".parse().unwrap(), true));
        let none = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_LOGS_EXPORTER", "none")];
        assert!(!read(&none).0.otlp.unwrap().takes_logs);
    }

    #[test]
    fn mistakes_are_told() {
        for (values, expected) in [
            (vec![("NANGO_LOGS_ES_URL", "ftp://es")], "NANGO_LOGS_ES_URL"),
            (vec![("NANGO_LOGS_ES_URL", "http://es"), ("NANGO_LOGS_ES_USER", "u")], "NANGO_LOGS_ES_USER"),
            (
                vec![("NANGO_LOGS_ES_URL", "http://es"), ("NANGO_LOGS_ES_INDEX_MESSAGES", "A*")],
                "NANGO_LOGS_ES_INDEX_MESSAGES",
            ),
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c")],
                "OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_LOGS_EXPORTER", "console")],
                "OTEL_LOGS_EXPORTER",
            ),
        ] {
            let (_, problems) = read(&values);
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{values:?}: {problems:?}");
        }
    }
}
