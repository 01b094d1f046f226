//! Operation logs and metrics on their way to other systems: Elasticsearch or OpenSearch, and OpenTelemetry collectors. Fed
//! by the writer of the logs after a batch was stored, and never waited for: every destination has a bounded queue and a
//! task of its own, so a dead one delays neither the server nor another destination. What does not fit is counted and lost;
//! the database has it.

mod delivery;
mod elastic;
mod exporter;
mod log_records;
mod open_metrics;
mod otlp;
mod spans;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app::{App, SharedApp};
use crate::logs::{Batch, Kind, OperationRecord};

/// Batches of the log that wait for a destination; each holds a thousand entries at most.
const WAITING_BATCHES: usize = 32;

/// Entries that a destination did not get.
#[derive(Default)]
pub struct ShippingStats {
    pub shipped: AtomicU64,
    pub lost: AtomicU64,
}

impl ShippingStats {
    fn ship(&self, count: usize) {
        self.shipped.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn lose(&self, count: usize, what: &str, why: &str) {
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
        tracing::warn!(entries = count, reason = why, "{what} were not delivered; they are dropped");
    }
}

/// Starts what the settings ask for; it ends when the application stops and everything that was logged has left.
pub fn spawn(app: &SharedApp) {
    if app.config.shipping.elastic.is_some() {
        let batches = follow(app);
        app.lifecycle.couriers.spawn(elastic::ship(app.clone(), batches));
    }
    if wants_metrics(app) {
        count_operations(app);
    }
    let has_collector = app.config.shipping.otlp.is_some();
    let batches = has_collector.then(|| follow(app));
    // Without one, too: any environment may get a collector while the server runs.
    app.lifecycle.couriers.spawn(otlp::ship_operations(app.clone(), batches));
    if has_collector {
        app.lifecycle.tasks.spawn(otlp::ship_metrics(app.clone()));
    }
}

/// Waits until the last of what was logged has left, or `patience` is over. Called when everything was written.
pub async fn finish(app: &App, patience: Duration) {
    app.lifecycle.logged.cancel();
    app.lifecycle.couriers.close();
    if tokio::time::timeout(patience, app.lifecycle.couriers.wait()).await.is_err() {
        tracing::warn!("the last operation logs were not sent elsewhere in time; the database has them");
    }
}

/// Whether anybody can read the metrics.
fn wants_metrics(app: &SharedApp) -> bool {
    let http = &app.config.http;
    http.admin_port.is_some() || http.metrics_port.is_some() || app.config.shipping.otlp.is_some()
}

/// Counts the operations that end. Proxied calls are counted where they happen, because not all of them are logged.
fn count_operations(app: &SharedApp) {
    let weak = Arc::downgrade(app);
    app.logs.subscribe(Box::new(move |batch: &Arc<Batch>| {
        let Some(app) = weak.upgrade() else { return };
        let has_ended =
            |operation: &&OperationRecord| operation.state.is_final() && operation.kind != Kind::ProxyCall;
        for operation in batch.operations.iter().filter(has_ended) {
            app.metrics.note_operation(operation.kind.parts(), operation.state.as_str());
        }
    }));
}

/// Every batch of the log from now on.
fn follow(app: &SharedApp) -> mpsc::Receiver<Arc<Batch>> {
    let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
    let weak = Arc::downgrade(app);
    app.logs.subscribe(Box::new(move |batch: &Arc<Batch>| {
        if sender.try_send(Arc::clone(batch)).is_err()
            && let Some(app) = weak.upgrade()
        {
            let count = batch.operations.len() + batch.messages.len();
            app.shipping.lose(count, "operation logs", "too many wait for a slow destination");
        }
    }));
    receiver
}
