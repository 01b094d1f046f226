//! OpenTelemetry over HTTP with protobuf bodies: operations as traces, for the collectors of environments and for the
//! server's own, and the metrics for the latter. Environments name their collectors themselves, so those are reached under
//! the outbound policy; the server's is the operator's word.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;
use url::Url;

use super::delivery::Courier;
use super::open_metrics;
use super::spans::{is_traced, message_span, operation_span, text};
use crate::app::{App, SharedApp};
use crate::db::EnvironmentId;
use crate::db::environments::{self, Collector};
use crate::egress::BufferedClient;
use crate::integrations::open_object;
use crate::logs::Batch;
use crate::metrics::scrape;

const PROTOBUF: &str = "application/x-protobuf";
/// How soon a collector that an environment names is used.
const SETTINGS_EVERY: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 3;
/// Groups of spans that wait for one collector.
const WAITING_GROUPS: usize = 32;
/// Spans of one request, about.
const SPANS_PER_REQUEST: usize = 512;
/// Operations under way whose environment is remembered for their messages.
const MAX_OPEN: usize = 20_000;

/// Sends traces until the application stops. Without `batches` the log is followed as soon as an environment has a
/// collector, because a log that nobody follows costs less.
pub async fn ship_traces(app: SharedApp, batches: Option<mpsc::Receiver<Arc<Batch>>>) {
    let mut tracer = Tracer::new(&app);
    let mut batches = match batches {
        Some(batches) => batches,
        None if tracer.awaits_collector().await => super::follow(&app),
        None => return,
    };
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = app.lifecycle.stopping.cancelled() => batches.try_recv().ok(),
        };
        let Some(batch) = batch else { return };
        tracer.reload().await;
        tracer.take(&batch);
    }
}

/// One collector: its address and credentials as they were stored, and the queue of its task.
struct Destination {
    stored: Collector,
    queue: mpsc::Sender<Vec<Span>>,
}

/// Who gets which spans.
struct Tracer {
    app: SharedApp,
    server: Option<mpsc::Sender<Vec<Span>>>,
    environments: HashMap<EnvironmentId, Destination>,
    loaded_at: Option<Instant>,
    /// Environments of operations that have not ended.
    open: HashMap<String, EnvironmentId>,
}

impl Tracer {
    fn new(app: &SharedApp) -> Self {
        let server = app.config.shipping.otlp.as_ref().map(|config| {
            let url = signal_url(&config.endpoint, "traces");
            start(app, courier(app, &app.egress.operator, config.headers.clone()), url)
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

    fn start(&self, stored: &Collector) -> Option<mpsc::Sender<Vec<Span>>> {
        let endpoint = Url::parse(&stored.endpoint).ok()?;
        let headers = open_object(&self.app.cipher, stored.sealed_headers.as_deref()).ok()?;
        let courier = courier(&self.app, &self.app.egress.webhooks, header_map(&headers));
        Some(start(&self.app, courier, signal_url(&endpoint, "traces")))
    }

    /// Hands the spans of a batch to the collectors that want them.
    fn take(&mut self, batch: &Batch) {
        let mut spans: HashMap<Option<EnvironmentId>, Vec<Span>> = HashMap::new();
        for operation in batch.operations.iter().filter(|operation| is_traced(operation.kind)) {
            let environment = operation.environment_id;
            if let Some(environment) = environment {
                if self.open.len() >= MAX_OPEN {
                    self.open.clear();
                }
                self.open.insert(operation.id.clone(), environment);
            }
            let of_messages = operation.messages.iter().filter_map(message_span);
            let group = spans.entry(environment).or_default();
            group.extend(of_messages);
            if operation.state.is_final() {
                group.push(operation_span(operation));
            }
        }
        for message in &batch.messages {
            let environment = self.open.get(&message.operation_id).copied();
            if environment.is_some() {
                spans.entry(environment).or_default().extend(message_span(message));
            }
        }
        for operation in batch.operations.iter().filter(|operation| operation.state.is_final()) {
            self.open.remove(&operation.id);
        }
        for (environment, spans) in spans.into_iter().filter(|(_, spans)| !spans.is_empty()) {
            let own = environment.and_then(|id| self.environments.get(&id));
            for queue in own.map(|own| &own.queue).into_iter().chain(&self.server) {
                if queue.try_send(spans.clone()).is_err() {
                    self.app.shipping.lose(spans.len(), "spans", "too many wait for a slow collector");
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

/// `<endpoint>/v1/<signal>`, also when the endpoint already names it.
fn signal_url(endpoint: &Url, signal: &str) -> Url {
    let mut url = endpoint.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    let path = path.strip_suffix(&format!("/v1/{signal}")).unwrap_or(&path).to_owned();
    url.set_path(&format!("{path}/v1/{signal}"));
    url
}

/// Starts the task of a collector; it ends when nobody can give it spans any more.
fn start(app: &SharedApp, courier: Courier, url: Url) -> mpsc::Sender<Vec<Span>> {
    let (sender, receiver) = mpsc::channel(WAITING_GROUPS);
    app.lifecycle.tasks.spawn(export(app.clone(), courier, url, receiver));
    sender
}

async fn export(app: SharedApp, courier: Courier, url: Url, mut groups: mpsc::Receiver<Vec<Span>>) {
    while let Some(mut spans) = groups.recv().await {
        while spans.len() < SPANS_PER_REQUEST
            && let Ok(more) = groups.try_recv()
        {
            spans.extend(more);
        }
        let count = spans.len();
        let body = Bytes::from(traces(&app, spans).encode_to_vec());
        match courier.deliver(Method::POST, &url, PROTOBUF, body, &[]).await {
            Ok(answer) => {
                let refused = ExportTraceServiceResponse::decode(answer.body).ok();
                let refused = refused.and_then(|answer| answer.partial_success);
                let refused =
                    refused.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0));
                app.shipping.ship(count.saturating_sub(refused));
                if refused > 0 {
                    app.shipping.lose(refused, "spans", "the collector refused them");
                }
            }
            Err(error) => app.shipping.lose(count, "spans", &error.to_string()),
        }
    }
}

fn traces(app: &App, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource(app)), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn resource(app: &App) -> Resource {
    let attributes = vec![
        text("service.name", &app.config.shipping.service_name),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", &app.replica.to_string()),
    ];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
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
        ] {
            assert_eq!(signal_url(&endpoint.parse().unwrap(), "traces").as_str(), expected, "{endpoint}");
        }
    }
}
