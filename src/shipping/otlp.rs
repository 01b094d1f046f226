//! OpenTelemetry over HTTP with protobuf bodies: operations as traces and their messages as logs, for the collectors of
//! environments and for the server's own, and the metrics for the latter. Environments name their collectors themselves, so those are reached under
//! the outbound policy; the server's is the operator's word.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;
use url::Url;

use super::delivery::Courier;
use super::exporter::{self, Telemetry};
use super::log_records::message_record;
use super::open_metrics;
use super::spans::{is_traced, message_span, operation_span, text};
use crate::app::{App, SharedApp};
use crate::db::EnvironmentId;
use crate::db::environments::{self, Collector};
use crate::egress::BufferedClient;
use crate::integrations::open_object;
use crate::logs::Batch;
use crate::metrics::scrape;

pub(super) const PROTOBUF: &str = "application/x-protobuf";
/// How soon a collector that an environment names is used.
const SETTINGS_EVERY: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 3;
/// Operations under way whose environment is remembered for their messages.
const MAX_OPEN: usize = 20_000;

/// Sends traces and logs until nothing more is logged. Without `batches` the log is followed as soon as an environment has a
/// collector, because a log that nobody follows costs less.
pub async fn ship_operations(app: SharedApp, batches: Option<mpsc::Receiver<Arc<Batch>>>) {
    let mut tracer = Tracer::new(&app);
    let mut batches = match batches {
        Some(batches) => batches,
        None if tracer.awaits_collector().await => super::follow(&app),
        None => return,
    };
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = app.lifecycle.logged.cancelled() => batches.try_recv().ok(),
        };
        let Some(batch) = batch else { return };
        tracer.reload().await;
        tracer.take(&batch);
    }
}

/// One collector: its address and credentials as they were stored, and the queue of its task.
struct Destination {
    stored: Collector,
    queue: mpsc::Sender<Telemetry>,
}

/// What messages need to know of their operation.
#[derive(Clone, Copy)]
struct OpenOperation {
    environment: EnvironmentId,
    is_traced: bool,
}

/// Who gets what.
struct Tracer {
    app: SharedApp,
    server: Option<mpsc::Sender<Telemetry>>,
    environments: HashMap<EnvironmentId, Destination>,
    loaded_at: Option<Instant>,
    /// Operations that have not ended.
    open: HashMap<String, OpenOperation>,
}

impl Tracer {
    fn new(app: &SharedApp) -> Self {
        let server = app.config.shipping.otlp.as_ref().map(|config| {
            let courier = courier(app, &app.egress.operator, config.headers.clone());
            exporter::start(app, courier, &config.endpoint, config.takes_logs)
        });
        Tracer {
            app: app.clone(),
            server,
            environments: HashMap::new(),
            loaded_at: None,
            open: HashMap::new(),
        }
    }

    /// Waits until some environment has a collector; `false` when the application stopped before.
    async fn awaits_collector(&mut self) -> bool {
        loop {
            self.reload().await;
            if !self.environments.is_empty() {
                return true;
            }
            tokio::select! {
                () = self.app.lifecycle.stopping.cancelled() => return false,
                () = tokio::time::sleep(SETTINGS_EVERY) => {}
            }
        }
    }

    /// Reads the collectors of the environments again, when that was long ago. A task whose collector changed ends with its
    /// queue.
    async fn reload(&mut self) {
        if self.loaded_at.is_some_and(|loaded_at| loaded_at.elapsed() < SETTINGS_EVERY) {
            return;
        }
        self.loaded_at = Some(Instant::now());
        let collectors = match environments::list_collectors(&self.app.db).await {
            Ok(collectors) => collectors,
            Err(error) => {
                tracing::warn!(error = %error, "the collectors of environments could not be read");
                return;
            }
        };
        self.environments.retain(|id, known| {
            collectors.iter().any(|collector| collector.environment_id == *id && *collector == known.stored)
        });
        for stored in collectors {
            let id = stored.environment_id;
            if !self.environments.contains_key(&id)
                && let Some(queue) = self.start(&stored)
            {
                self.environments.insert(id, Destination { stored, queue });
            }
        }
    }

    fn start(&self, stored: &Collector) -> Option<mpsc::Sender<Telemetry>> {
        let endpoint = Url::parse(&stored.endpoint).ok()?;
        let headers = open_object(&self.app.cipher, stored.sealed_headers.as_deref()).ok()?;
        let courier = courier(&self.app, &self.app.egress.webhooks, header_map(&headers));
        Some(exporter::start(&self.app, courier, &endpoint, true))
    }

    /// Hands what a batch tells to the collectors that want it.
    fn take(&mut self, batch: &Batch) {
        let mut groups: HashMap<Option<EnvironmentId>, Telemetry> = HashMap::new();
        for operation in &batch.operations {
            let is_traced = is_traced(operation.kind);
            if let Some(environment) = operation.environment_id {
                if self.open.len() >= MAX_OPEN {
                    self.open.clear();
                }
                self.open.insert(operation.id.clone(), OpenOperation { environment, is_traced });
            }
            let group = groups.entry(operation.environment_id).or_default();
            group.logs.extend(operation.messages.iter().map(message_record));
            if is_traced {
                group.spans.extend(operation.messages.iter().filter_map(message_span));
            }
            if is_traced && operation.state.is_final() {
                group.spans.push(operation_span(operation));
            }
        }
        for message in &batch.messages {
            let Some(open) = self.open.get(&message.operation_id).copied() else { continue };
            let group = groups.entry(Some(open.environment)).or_default();
            group.logs.push(message_record(message));
            group.spans.extend(message_span(message).filter(|_| open.is_traced));
        }
        for operation in batch.operations.iter().filter(|operation| operation.state.is_final()) {
            self.open.remove(&operation.id);
        }
        for (environment, group) in groups.into_iter().filter(|(_, group)| group.len() > 0) {
            let own = environment.and_then(|id| self.environments.get(&id));
            for queue in own.map(|own| &own.queue).into_iter().chain(&self.server) {
                if queue.try_send(group.clone()).is_err() {
                    self.app.shipping.lose(
                        group.len(),
                        "spans and logs",
                        "too many wait for a slow collector",
                    );
                }
            }
        }
    }
}

fn courier(app: &App, client: &BufferedClient, headers: HeaderMap) -> Courier {
    let stopping = app.lifecycle.stopping.clone();
    Courier { client: client.clone(), headers, timeout: TIMEOUT, retries: RETRIES, stopping }
}

fn header_map(headers: &Map<String, Value>) -> HeaderMap {
    let pair = |(name, value): (&String, &Value)| {
        let mut value = HeaderValue::from_str(value.as_str()?).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
    };
    headers.iter().filter_map(pair).collect()
}

/// `<endpoint>/v1/<signal>`, also when the endpoint already names a signal.
pub(super) fn signal_url(endpoint: &Url, signal: &str) -> Url {
    let mut url = endpoint.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    let named = ["traces", "logs", "metrics"].map(|signal| format!("/v1/{signal}"));
    let path = named.iter().find_map(|named| path.strip_suffix(named.as_str())).unwrap_or(&path).to_owned();
    url.set_path(&format!("{path}/v1/{signal}"));
    url
}

/// Who tells.
pub(super) fn resource(app: &App) -> Resource {
    let attributes = vec![
        text("service.name", &app.config.shipping.service_name),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", &app.replica.to_string()),
    ];
    Resource { attributes, ..Resource::default() }
}

/// What in it tells.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "hitchpost".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Sends the metrics to the server's own collector every minute, and once more at the end.
pub async fn ship_metrics(app: SharedApp) {
    let Some(config) = &app.config.shipping.otlp else { return };
    let url = signal_url(&config.endpoint, "metrics");
    let courier = courier(&app, &app.egress.operator, config.headers.clone());
    let start = nanos(&app);
    loop {
        let is_last = tokio::select! {
            () = app.lifecycle.stopping.cancelled() => true,
            () = tokio::time::sleep(config.metrics_every) => false,
        };
        let span = open_metrics::Span { start, now: nanos(&app) };
        if let Ok(scrape) = scrape(&app).await {
            let body = Bytes::from(metrics(&app, &scrape, span).encode_to_vec());
            if let Err(error) = courier.deliver(Method::POST, &url, PROTOBUF, body, &[]).await {
                tracing::warn!(error = %error, "the metrics were not delivered");
            }
        }
        if is_last {
            return;
        }
    }
}

fn metrics(app: &App, scrape: &str, span: open_metrics::Span) -> ExportMetricsServiceRequest {
    let metrics = open_metrics::read(scrape, span);
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource(app)), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn nanos(app: &App) -> u64 {
    app.clock.now().timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_its_place_below_the_endpoint() {
        for (endpoint, expected) in [
            ("https://otel.test", "https://otel.test/v1/traces"),
            ("https://otel.test/", "https://otel.test/v1/traces"),
            ("https://otel.test/otlp/", "https://otel.test/otlp/v1/traces"),
            ("https://otel.test/v1/traces", "https://otel.test/v1/traces"),
            ("https://otel.test/v1/logs", "https://otel.test/v1/traces"),
        ] {
            assert_eq!(signal_url(&endpoint.parse().unwrap(), "traces").as_str(), expected, "{endpoint}");
        }
    }
}
