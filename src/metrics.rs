//! What the server counts, in the text form that Prometheus reads. Called by everything that is counted, and by the
//! listeners that serve `/metrics`.
//!
//! Cheap where it matters: a proxied call touches handles that its target holds ([`ProxySeries`]), a request looks its
//! series up by a route that is a constant. Labels are names of routes, providers and results, never what callers sent.

mod labels;
mod scrape;

use std::sync::Mutex;
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::labels::{
    AuthLabels, CallResult, JobLabels, JobRunLabels, OperationLabels, ProviderLabels, ProxyLabels,
    RefreshLabels, RouteLabels, StateLabels, StatusClass,
};
pub use self::labels::{AuthResult, JobResult, RefreshResult};
pub use self::scrape::{resident_memory, scrape};
use crate::auth::AuthMode;

/// Upper bounds in seconds: from an answer out of memory to a slow provider.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

type NewHistogram = fn() -> Histogram;

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    /// Whether calls are told apart by integration too, of which there may be very many.
    tells_integrations: bool,
    requests: Family<RouteLabels, Histogram, NewHistogram>,
    proxy_calls: Family<ProxyLabels, Counter>,
    proxy_durations: Family<ProviderLabels, Histogram, NewHistogram>,
    refreshes: Family<RefreshLabels, Counter>,
    authorizations: Family<AuthLabels, Counter>,
    job_runs: Family<JobRunLabels, Counter>,
    job_durations: Family<JobLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    job_successes: Family<JobLabels, Gauge>,
    operations: Family<OperationLabels, Counter>,
    log_entries: Family<StateLabels, Counter>,
    log_write_seconds: Counter<f64, std::sync::atomic::AtomicU64>,
    log_queue: Gauge,
    connections: Gauge,
    database_connections: Family<StateLabels, Gauge>,
    memory: Gauge,
    start_time: Gauge,
    /// When the connections were last counted.
    counted_at: Mutex<Option<DateTime<Utc>>>,
}

impl Metrics {
    pub fn new(tells_integrations: bool) -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("hitchpost"),
            tells_integrations,
            requests: Family::new_with_constructor(histogram),
            proxy_calls: Family::default(),
            proxy_durations: Family::new_with_constructor(histogram),
            refreshes: Family::default(),
            authorizations: Family::default(),
            job_runs: Family::default(),
            job_durations: Family::default(),
            job_successes: Family::default(),
            operations: Family::default(),
            log_entries: Family::default(),
            log_write_seconds: Counter::default(),
            log_queue: Gauge::default(),
            connections: Gauge::default(),
            database_connections: Family::default(),
            memory: Gauge::default(),
            start_time: Gauge::default(),
            counted_at: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    /// The names and meanings; a counter's name gets the suffix `_total`.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "http_request_duration",
            "Time until the head of an answer, by route and class of status",
            Unit::Seconds,
            self.requests.clone(),
        );
        registry.register("proxy_calls", "Proxied calls by provider and result", self.proxy_calls.clone());
        registry.register_with_unit(
            "proxy_call_duration",
            "Time until the head of a provider's answer, retries included",
            Unit::Seconds,
            self.proxy_durations.clone(),
        );
        registry.register(
            "token_refreshes",
            "Credentials that were asked for, by provider and what came of it",
            self.refreshes.clone(),
        );
        registry.register(
            "authorizations",
            "Attempts of end users to connect, by auth mode and result",
            self.authorizations.clone(),
        );
        registry.register("job_runs", "Runs of background jobs on this replica", self.job_runs.clone());
        registry.register_with_unit(
            "job_duration",
            "Length of the last run of a background job on this replica",
            Unit::Seconds,
            self.job_durations.clone(),
        );
        registry.register_with_unit(
            "job_last_success_timestamp",
            "When a background job last succeeded on this replica",
            Unit::Seconds,
            self.job_successes.clone(),
        );
        registry.register(
            "operations",
            "Operations of the log that ended, proxied calls aside: webhooks, refreshes, sign-ins, functions",
            self.operations.clone(),
        );
        registry.register(
            "log_entries",
            "Entries of the operation log by what became of them: written, sent elsewhere, or dropped and why",
            self.log_entries.clone(),
        );
        registry.register_with_unit(
            "log_write",
            "Time spent on writing the operation log",
            Unit::Seconds,
            self.log_write_seconds.clone(),
        );
        registry.register("log_queue", "Entries of the operation log that wait", self.log_queue.clone());
        registry.register("connections", "Live connections of all environments", self.connections.clone());
        registry.register(
            "database_connections",
            "Connections of this replica to the database, in use and idle",
            self.database_connections.clone(),
        );
        registry.register_with_unit(
            "process_resident_memory",
            "Memory of this process",
            Unit::Bytes,
            self.memory.clone(),
        );
        registry.register_with_unit(
            "process_start_time",
            "When this process started",
            Unit::Seconds,
            self.start_time.clone(),
        );
    }

    /// Counts an answered request. `route` is the route's pattern.
    pub fn note_request(&self, route: &'static str, status: StatusCode, took: Duration) {
        let labels = RouteLabels { route, status: StatusClass(status.as_u16() / 100) };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The series of calls to one provider, to be kept with what else the calls share.
    pub fn proxy_series(&self, provider: &str, integration: &str) -> ProxySeries {
        let integration = if self.tells_integrations { integration } else { "" };
        let calls = |result| {
            let (provider, integration) = (provider.to_owned(), integration.to_owned());
            self.proxy_calls.get_or_create_owned(&ProxyLabels { provider, integration, result })
        };
        let labels = ProviderLabels { provider: provider.to_owned() };
        ProxySeries {
            success: calls(CallResult::Success),
            failure: calls(CallResult::Failure),
            duration: self.proxy_durations.get_or_create_owned(&labels),
        }
    }

    pub fn note_refresh(&self, provider: &str, result: RefreshResult) {
        let labels = RefreshLabels { provider: provider.to_owned(), result };
        self.refreshes.get_or_create(&labels).inc();
    }

    /// Counts an attempt to connect; `None`: it ended before the mode was known.
    pub fn note_authorization(&self, mode: Option<AuthMode>, result: AuthResult) {
        let mode = mode.map_or("unknown", AuthMode::as_str);
        self.authorizations.get_or_create(&AuthLabels { mode, result }).inc();
    }

    pub fn note_job(&self, name: &'static str, result: JobResult, took: Duration, now: DateTime<Utc>) {
        self.job_runs.get_or_create(&JobRunLabels { name, result }).inc();
        self.job_durations.get_or_create(&JobLabels { name }).set(took.as_secs_f64());
        if result == JobResult::Success {
            self.job_successes.get_or_create(&JobLabels { name }).set(now.timestamp());
        }
    }

    /// Counts an operation of the log that ended in this state.
    pub fn note_operation(&self, (kind, action): (&'static str, &'static str), state: &'static str) {
        self.operations.get_or_create(&OperationLabels { r#type: kind, action, state }).inc();
    }

    pub fn note_start(&self, now: DateTime<Utc>) {
        self.start_time.set(now.timestamp());
    }
}

/// Counts the calls of one target.
#[derive(Clone)]
pub struct ProxySeries {
    success: Counter,
    failure: Counter,
    duration: Histogram,
}

impl ProxySeries {
    /// Counts a call. Only a provider's 2xx and 3xx are successes.
    pub fn note(&self, status: Option<StatusCode>, took: Duration) {
        let is_success = status.is_some_and(|status| status.is_success() || status.is_redirection());
        if is_success {
            self.success.inc()
        } else {
            self.failure.inc()
        };
        self.duration.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const DASHBOARD: &str = include_str!("../docs/grafana-dashboard.json");

    /// Metrics of which every series has a value.
    fn touched() -> Metrics {
        let metrics = Metrics::new(true);
        let now = DateTime::<Utc>::UNIX_EPOCH;
        metrics.note_request("/proxy/*", StatusCode::OK, Duration::from_millis(3));
        metrics.proxy_series("acme", "acme-prod").note(Some(StatusCode::OK), Duration::from_millis(2));
        metrics.note_refresh("acme", RefreshResult::Success);
        metrics.note_authorization(Some(AuthMode::OAuth2), AuthResult::Failure);
        metrics.note_job("cleanup", JobResult::Success, Duration::from_secs(1), now);
        metrics.database_connections.get_or_create(&StateLabels { state: "idle" }).set(1);
        metrics.note_operation(("webhook", "forward"), "failed");
        metrics.log_entries.get_or_create(&StateLabels { state: "written" }).inc();
        metrics
    }

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
        text
    }

    #[test]
    fn series_have_names_and_labels() {
        let text = text(&touched());
        for line in [
            r#"hitchpost_http_request_duration_seconds_count{route="/proxy/*",status="2xx"} 1"#,
            r#"hitchpost_proxy_calls_total{provider="acme",integration="acme-prod",result="success"} 1"#,
            r#"hitchpost_proxy_call_duration_seconds_count{provider="acme"} 1"#,
            r#"hitchpost_token_refreshes_total{provider="acme",result="success"} 1"#,
            r#"hitchpost_authorizations_total{mode="OAUTH2",result="failure"} 1"#,
            r#"hitchpost_operations_total{type="webhook",action="forward",state="failed"} 1"#,
            r#"hitchpost_job_runs_total{name="cleanup",result="success"} 1"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn integrations_are_told_only_when_asked_for() {
        let metrics = Metrics::new(false);
        metrics.proxy_series("acme", "acme-prod").note(None, Duration::ZERO);
        let text = text(&metrics);
        assert!(!text.contains("acme-prod"));
        assert!(text.contains(r#"result="failure"} 1"#), "{text}");
    }

    #[test]
    fn every_panel_of_the_dashboard_shows_a_metric_that_exists() {
        let text = text(&touched());
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let known: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(|c| !is_name(c)).next())
            .collect();
        let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let mut used = BTreeSet::new();
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{panel}");
            for target in targets {
                let query = target["expr"].as_str().unwrap();
                let names: Vec<&str> =
                    query.split(|c| !is_name(c)).filter(|word| word.starts_with("hitchpost_")).collect();
                assert!(!names.is_empty(), "{query}");
                for name in names {
                    assert!(known.contains(name), "{name} of {} is not a metric", panel["title"]);
                    used.insert(name);
                }
            }
        }
        let base = |name: &str| name.trim_end_matches("_bucket").trim_end_matches("_count").to_owned();
        let used: BTreeSet<String> = used.into_iter().map(base).collect();
        let unused: Vec<String> = known
            .into_iter()
            .map(|name| base(name.trim_end_matches("_sum")))
            .filter(|name| !used.contains(name))
            .collect();
        assert!(unused.is_empty(), "no panel shows {unused:?}");
    }
}
