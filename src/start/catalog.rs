//! Loading the catalog from the embedded files and the operator's sources, and loading it again when they change.

use std::time::Duration;

use http::{HeaderMap, Method};
use url::Url;

use crate::app::SharedApp;
use crate::catalog::{self, Catalog, Fingerprint, Loaded, Source};
use crate::config::CatalogConfig;
use crate::egress::{Egress, OutgoingRequest};

const FILE_POLL: Duration = Duration::from_secs(2);

/// The catalog of these settings. Bad entries and unreachable sources are reported and left out, never fatal.
pub async fn load_catalog(config: &CatalogConfig, egress: &Egress) -> Catalog {
    let sources = fetch_sources(config, egress).await;
    load(&sources).catalog
}

/// The same, unless a whole source is missing.
async fn try_load(config: &CatalogConfig, egress: &Egress) -> Option<Catalog> {
    let sources = fetch_sources(config, egress).await;
    if sources.len() < config.sources.len() {
        return None;
    }
    let loaded = load(&sources);
    (!loaded.has_unusable_source()).then_some(loaded.catalog)
}

fn load(sources: &[Source]) -> Loaded {
    let loaded = catalog::load(&catalog::embedded_files(), sources);
    for problem in &loaded.problems {
        let entry = problem.entry.as_deref().unwrap_or("-");
        tracing::warn!(catalog.source = problem.source, catalog.entry = entry, "{}", problem.message);
    }
    tracing::info!(
        providers = loaded.catalog.len(),
        refused = loaded.problems.len(),
        sources = sources.len() + 1,
        "catalog loaded"
    );
    loaded
}

async fn fetch_sources(config: &CatalogConfig, egress: &Egress) -> Vec<Source> {
    let mut sources = Vec::with_capacity(config.sources.len());
    for name in &config.sources {
        match Url::parse(name) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => match fetch_catalog(egress, url).await {
                Ok(text) => sources.push(Source::Text { name: name.clone(), text }),
                Err(reason) => {
                    tracing::warn!(catalog.source = name, "the catalog cannot be fetched: {reason}")
                }
            },
            _ => sources.push(Source::Path(name.into())),
        }
    }
    sources
}

/// The text of a catalog at an address.
///
/// # Errors
/// Why it could not be had, as a part of a sentence.
pub async fn fetch_catalog(egress: &Egress, url: Url) -> Result<String, String> {
    let request = OutgoingRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        follow: true,
    };
    // The operator names these sources, as token endpoints are named: private addresses are normal.
    let answer = egress.tokens.send(request).await.map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("status {}", answer.status.as_u16()));
    }
    String::from_utf8(answer.body.to_vec()).map_err(|_| "the answer is not UTF-8".to_owned())
}

/// Watches the sources until the server stops: files for changes, URLs at their interval, and SIGHUP.
pub async fn watch_catalog(app: SharedApp) {
    let paths = path_sources(&app.config.catalog);
    let has_urls = paths.len() < app.config.catalog.sources.len();
    let mut known = catalog::fingerprint(&paths);
    let mut hangup = Hangup::listen();
    let mut next_fetch = tokio::time::Instant::now() + app.config.catalog.reload_interval;
    loop {
        let asked = tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            () = hangup.recv() => true,
            () = tokio::time::sleep(FILE_POLL) => false,
        };
        let due = has_urls && tokio::time::Instant::now() >= next_fetch;
        let current: Fingerprint = catalog::fingerprint(&paths);
        if asked || due || current != known {
            next_fetch = tokio::time::Instant::now() + app.config.catalog.reload_interval;
            known = current;
            reload(&app).await;
        }
    }
}

/// Loads again; a source that cannot be used now leaves everything as it was.
async fn reload(app: &SharedApp) {
    match try_load(&app.config.catalog, &app.egress).await {
        Some(catalog) => app.replace_catalog(catalog),
        None => tracing::warn!("the catalog stays as it was, because one of its sources cannot be used"),
    }
}

fn path_sources(config: &CatalogConfig) -> Vec<Source> {
    let is_path = |name: &&String| !name.starts_with("http://") && !name.starts_with("https://");
    config.sources.iter().filter(is_path).map(|name| Source::Path(name.into())).collect()
}

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    #[cfg(unix)]
    fn listen() -> Self {
        Hangup { signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok() }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Hangup {}
    }

    #[cfg(unix)]
    async fn recv(&mut self) {
        let received = match &mut self.signal {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    async fn recv(&mut self) {
        std::future::pending().await
    }
}
