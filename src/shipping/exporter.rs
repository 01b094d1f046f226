//! The task of one collector: puts what waits together and sends spans and log records, each to its own address.

use bytes::Bytes;
use http::Method;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::mpsc;
use url::Url;

use super::delivery::{Courier, Undelivered};
use super::otlp::{PROTOBUF, resource, scope, signal_url};
use crate::app::{App, SharedApp};

/// Groups that wait for one collector.
const WAITING_GROUPS: usize = 32;
/// Spans and log records of one request, about.
const PER_REQUEST: usize = 512;

/// What a collector is told.
#[derive(Clone, Default)]
pub struct Telemetry {
    pub spans: Vec<Span>,
    pub logs: Vec<LogRecord>,
}

impl Telemetry {
    pub fn len(&self) -> usize {
        self.spans.len() + self.logs.len()
    }

    fn extend(&mut self, more: Telemetry) {
        self.spans.extend(more.spans);
        self.logs.extend(more.logs);
    }
}

struct Exporter {
    app: SharedApp,
    courier: Courier,
    traces: Url,
    /// `None`: it is not told any, or has no place for them.
    logs: Option<Url>,
}

/// Starts the task of a collector; it ends when nobody can give it anything any more.
pub fn start(app: &SharedApp, courier: Courier, endpoint: &Url, takes_logs: bool) -> mpsc::Sender<Telemetry> {
    let (sender, receiver) = mpsc::channel(WAITING_GROUPS);
    let logs = takes_logs.then(|| signal_url(endpoint, "logs"));
    let exporter = Exporter { app: app.clone(), courier, traces: signal_url(endpoint, "traces"), logs };
    app.lifecycle.couriers.spawn(exporter.run(receiver));
    sender
}

impl Exporter {
    async fn run(mut self, mut groups: mpsc::Receiver<Telemetry>) {
        while let Some(mut group) = groups.recv().await {
            while group.len() < PER_REQUEST
                && let Ok(more) = groups.try_recv()
            {
                group.extend(more);
            }
            self.send_spans(group.spans).await;
            self.send_logs(group.logs).await;
        }
    }

    async fn send_spans(&self, spans: Vec<Span>) {
        let count = spans.len();
        if count == 0 {
            return;
        }
        let body = Bytes::from(traces(&self.app, spans).encode_to_vec());
        match self.courier.deliver(Method::POST, &self.traces, PROTOBUF, body, &[]).await {
            Ok(answer) => {
                let refused = ExportTraceServiceResponse::decode(answer.body).ok();
                let refused = refused.and_then(|answer| answer.partial_success);
                self.settle(count, refused.map_or(0, |partial| partial.rejected_spans), "spans");
            }
            Err(error) => self.app.shipping.lose(count, "spans", &error.to_string()),
        }
    }

    async fn send_logs(&mut self, logs: Vec<LogRecord>) {
        let count = logs.len();
        let Some(url) = self.logs.as_ref().filter(|_| count > 0) else { return };
        let body = Bytes::from(log_request(&self.app, logs).encode_to_vec());
        match self.courier.deliver(Method::POST, url, PROTOBUF, body, &[]).await {
            Ok(answer) => {
                let refused = ExportLogsServiceResponse::decode(answer.body).ok();
                let refused = refused.and_then(|answer| answer.partial_success);
                self.settle(count, refused.map_or(0, |partial| partial.rejected_log_records), "log records");
            }
            // A collector of traces only; what it never wanted is not lost.
            Err(Undelivered::Refused(status)) if matches!(status.as_u16(), 404 | 405 | 501) => {
                tracing::info!(status = status.as_u16(), "a collector takes no logs; it gets traces only");
                self.logs = None;
            }
            Err(error) => self.app.shipping.lose(count, "log records", &error.to_string()),
        }
    }

    fn settle(&self, count: usize, refused: i64, what: &str) {
        let refused = usize::try_from(refused).unwrap_or(0);
        self.app.shipping.ship(count.saturating_sub(refused));
        if refused > 0 {
            self.app.shipping.lose(refused, what, "the collector refused them");
        }
    }
}

fn traces(app: &App, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource(app)), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn log_request(app: &App, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: Some(resource(app)), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}
