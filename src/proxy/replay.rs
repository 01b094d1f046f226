//! A request body that streams through and can be sent again as long as it is small: what passed is remembered by
//! reference, up to 8 MiB. Beyond that nothing is kept, and the call is not repeated.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Bytes that are remembered for another attempt.
const KEPT_AT_MOST: usize = 8 << 20;

/// Why a body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyFailure {
    #[error("the request body is larger than allowed")]
    TooLarge,
    #[error("the client did not send its whole body")]
    ClientGone,
    #[error("another attempt took the body over")]
    TakenOver,
}

/// The client's body, shared by the attempts to send it.
pub(super) struct Replay {
    shared: Arc<Mutex<Shared>>,
    length: Option<u64>,
}

struct Shared {
    source: Body,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    passed: u64,
    limit: u64,
    is_replayable: bool,
    is_started: bool,
    is_ended: bool,
    failure: Option<BodyFailure>,
    /// Which attempt may read.
    attempt: u32,
    waker: Option<Waker>,
}

impl Replay {
    /// Wraps a body of at most `limit` bytes; `first` was read from it already.
    pub fn new(source: Body, first: Option<Bytes>, limit: u64) -> Self {
        let read = first.as_ref().map_or(0, Bytes::len);
        let length = source.size_hint().exact().map(|rest| rest + read as u64);
        let shared = Shared {
            source,
            kept: first.into_iter().collect(),
            kept_bytes: read,
            passed: read as u64,
            limit,
            is_replayable: true,
            is_started: false,
            is_ended: false,
            failure: None,
            attempt: 0,
            waker: None,
        };
        Replay { shared: Arc::new(Mutex::new(shared)), length }
    }

    /// The body for one more attempt; none when it was sent before and is no longer known.
    pub fn start(&self) -> Option<Body> {
        let mut shared = lock(&self.shared);
        if shared.is_started && !shared.can_restart() {
            return None;
        }
        shared.is_started = true;
        shared.attempt += 1;
        // An earlier attempt that waits for the source must learn that it is over.
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        let reader =
            Reader { shared: Arc::clone(&self.shared), attempt: shared.attempt, at: 0, length: self.length };
        Some(Body::new(reader))
    }

    /// Whether [`Replay::start`] would give a body.
    pub fn can_restart(&self) -> bool {
        lock(&self.shared).can_restart()
    }

    /// Why the client's body ended early, if it did.
    pub fn failure(&self) -> Option<BodyFailure> {
        lock(&self.shared).failure
    }
}

impl Shared {
    fn can_restart(&self) -> bool {
        self.is_replayable && self.failure.is_none()
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFailure>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.source).poll_frame(context) else {
                self.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            return Poll::Ready(match frame {
                None => {
                    self.is_ended = true;
                    None
                }
                Some(Err(_)) => Some(Err(self.fail(BodyFailure::ClientGone))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => Some(self.pass(chunk)),
                    // Trailers belong to the connection with the client.
                    Err(_) => continue,
                },
            });
        }
    }

    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, BodyFailure> {
        self.passed += chunk.len() as u64;
        if self.passed > self.limit {
            return Err(self.fail(BodyFailure::TooLarge));
        }
        if self.is_replayable {
            self.keep(&chunk);
        }
        Ok(chunk)
    }

    fn keep(&mut self, chunk: &Bytes) {
        self.kept_bytes += chunk.len();
        if self.kept_bytes > KEPT_AT_MOST {
            self.is_replayable = false;
            self.kept = Vec::new();
        } else {
            self.kept.push(chunk.clone());
        }
    }

    fn fail(&mut self, failure: BodyFailure) -> BodyFailure {
        self.failure = Some(failure);
        self.kept = Vec::new();
        failure
    }
}

/// One attempt's view of the body.
struct Reader {
    shared: Arc<Mutex<Shared>>,
    attempt: u32,
    at: usize,
    length: Option<u64>,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let owner = Arc::clone(&self.shared);
        let mut shared = lock(&owner);
        if shared.attempt != self.attempt {
            return Poll::Ready(Some(Err(BodyFailure::TakenOver)));
        }
        if let Some(failure) = shared.failure {
            return Poll::Ready(Some(Err(failure)));
        }
        let at = self.at;
        if let Some(chunk) = shared.kept.get(at).cloned() {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let polled = shared.poll_source(context);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.at += 1;
        }
        polled.map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    fn source(chunks: &[usize]) -> Body {
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            chunks.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn read(body: Body) -> Result<usize, axum::Error> {
        body.collect().await.map(|body| body.to_bytes().len())
    }

    #[tokio::test]
    async fn a_small_body_is_sent_again_whole_even_after_half_of_it() {
        let replay = Replay::new(source(&[3, 4, 5]), None, 100);
        let mut first = replay.start().unwrap();
        first.frame().await.unwrap().unwrap();
        let second = replay.start().unwrap();
        assert_eq!(read(second).await.unwrap(), 12);
        assert!(read(first).await.is_err());
        assert_eq!(read(replay.start().unwrap()).await.unwrap(), 12);
    }

    #[tokio::test]
    async fn a_large_body_streams_once() {
        let replay = Replay::new(source(&[KEPT_AT_MOST, 1, 2]), None, u64::MAX);
        assert_eq!(read(replay.start().unwrap()).await.unwrap(), KEPT_AT_MOST + 3);
        assert!(!replay.can_restart() && replay.start().is_none());
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_fails() {
        let replay = Replay::new(source(&[5, 6]), Some(Bytes::from_static(b"ab")), 12);
        assert!(read(replay.start().unwrap()).await.is_err());
        assert_eq!(replay.failure(), Some(BodyFailure::TooLarge));
        assert!(!replay.can_restart());
    }
}
