//! Who wants to see the requests that a call really made, redirects and retries included: the playground. The proxy itself
//! keeps nothing. What is seen holds secrets; showing it is the watcher's responsibility.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};

/// One request and what came of it. Deliberately without `Debug`: URL and headers carry secrets.
pub struct Attempt {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// The status, or why there was no answer.
    pub outcome: Result<StatusCode, String>,
    /// Until the head of the answer.
    pub duration: Duration,
    /// How long the proxy waited afterwards to try again.
    pub waited: Option<Duration>,
}

type Trace = Arc<Mutex<Vec<Attempt>>>;

tokio::task_local! {
    static TRACE: Trace;
}

/// Runs a call and returns the requests that it made besides its result.
pub async fn watch<F: Future>(call: F) -> (F::Output, Vec<Attempt>) {
    let trace = Trace::default();
    let output = TRACE.scope(Arc::clone(&trace), call).await;
    let attempts = std::mem::take(&mut *trace.lock().unwrap_or_else(PoisonError::into_inner));
    (output, attempts)
}

/// Notes a request, when somebody watches.
pub(super) fn note(build: impl FnOnce() -> Attempt) {
    let _ = TRACE.try_with(|trace| trace.lock().unwrap_or_else(PoisonError::into_inner).push(build()));
}

/// Notes that the proxy waits before it tries again.
pub(super) fn note_wait(time: Duration) {
    let _ = TRACE.try_with(|trace| {
        let mut attempts = trace.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = attempts.last_mut() {
            last.waited = Some(time);
        }
    });
}
