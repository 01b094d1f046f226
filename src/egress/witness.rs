//! Who wants to know what is sent and answered: a task may run something with a witness, who sees each exchange of the buffered
//! client, redirects included. What a witness keeps of the secrets it sees is its own responsibility.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::error::EgressError;

/// One request and what came of it. Deliberately without `Debug`: URL and headers carry secrets.
pub struct Witnessed<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    pub headers: &'a HeaderMap,
    pub outcome: Result<(StatusCode, &'a HeaderMap), &'a EgressError>,
    /// Until the head of the answer.
    pub duration: Duration,
}

/// Sees exchanges.
pub type Witness = Arc<dyn Fn(&Witnessed<'_>) + Send + Sync>;

tokio::task_local! {
    static WITNESS: Witness;
}

/// Runs something that `witness` sees the exchanges of.
pub async fn watch<F: Future>(witness: Witness, future: F) -> F::Output {
    WITNESS.scope(witness, future).await
}

/// Who wants to know.
pub(super) fn current() -> Option<Witness> {
    WITNESS.try_with(Arc::clone).ok()
}

pub(super) fn show(seen: &Witnessed<'_>) {
    // Without a witness nobody wants to know.
    let _ = WITNESS.try_with(|witness| witness(seen));
}
