//! The text of one scrape: what was counted, and what is only looked at when somebody asks.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::encoding::text::encode;

use super::Metrics;
use super::labels::StateLabels;
use crate::app::App;
use crate::db::connections;

/// Counting a million connections takes a while, and scrapers come every few seconds.
const COUNTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Everything in the OpenMetrics text form.
pub async fn scrape(app: &App) -> Result<String, std::fmt::Error> {
    let metrics = &app.metrics;
    if metrics.claims_count(app.clock.now()) {
        match connections::count_all(&app.db).await {
            Ok(count) => _ = metrics.connections.set(count),
            Err(error) => tracing::warn!(error = %error, "the connections could not be counted"),
        }
    }
    let (size, idle) = (i64::from(app.db.size()), app.db.num_idle() as i64);
    let state = |state, count| metrics.database_connections.get_or_create(&StateLabels { state }).set(count);
    state("idle", idle);
    state("used", (size - idle).max(0));
    metrics.read_logs(app);
    metrics.memory.set(resident_memory().unwrap_or_default());
    let mut text = String::new();
    encode(&mut text, &metrics.registry)?;
    Ok(text)
}

impl Metrics {
    /// Takes over what the log counts itself.
    fn read_logs(&self, app: &App) {
        let stats = app.logs.stats();
        let shipping = &app.shipping;
        for (state, count) in [
            ("written", stats.operations + stats.messages),
            ("unwritable", stats.unwritable),
            ("not_sampled", stats.not_sampled),
            ("dropped_debug", stats.dropped_debug),
            ("dropped_proxy_success", stats.dropped_proxy_success),
            ("dropped_other", stats.dropped_other),
            ("dropped_failures", stats.dropped_failures),
            ("shipped", shipping.shipped.load(Ordering::Relaxed)),
            ("webhook_refused", app.refused_webhooks.unlogged()),
            ("not_shipped", shipping.lost.load(Ordering::Relaxed)),
        ] {
            self.log_entries.get_or_create(&StateLabels { state }).inner().store(count, Ordering::Relaxed);
        }
        let seconds = stats.write_micros as f64 / 1e6;
        self.log_write_seconds.inner().store(seconds.to_bits(), Ordering::Relaxed);
        self.log_queue.set(i64::try_from(stats.queued).unwrap_or(i64::MAX));
    }

    /// Whether the caller is the one who counts the connections this minute.
    fn claims_count(&self, now: DateTime<Utc>) -> bool {
        let mut counted_at = self.counted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counted_at.is_none_or(|counted_at| now - counted_at >= COUNTED_EVERY);
        if is_due {
            *counted_at = Some(now);
        }
        is_due
    }
}

/// Bytes of memory, where the system tells them.
pub fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
