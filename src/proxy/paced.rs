//! A provider's body with a bound on how long it may stay silent. The gap is measured only while nothing comes, so a
//! body that is already here costs no timer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::call_log::CallLog;

/// Why the client's connection breaks in the middle of an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken<E> {
    #[error("the provider's answer stopped for longer than {0:?}")]
    Silent(Duration),
    #[error("the provider's answer broke off: {0}")]
    Cut(#[source] E),
}

pub(super) struct Paced<B> {
    body: B,
    gap: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
    /// The answer to a HEAD: its length is not that of its empty body.
    hides_length: bool,
    log: Option<CallLog>,
}

impl<B> Paced<B> {
    pub fn new(body: B, gap: Duration, hides_length: bool) -> Self {
        Paced { body, gap, timer: None, is_armed: false, hides_length, log: None }
    }

    /// The same, whose bytes and end the log learns.
    pub fn logged(self, log: CallLog) -> Self {
        Paced { log: Some(log), ..self }
    }

    fn note<E: std::fmt::Display>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>) {
        let Some(log) = &mut self.log else { return };
        match frame {
            Some(Ok(frame)) => log.note_bytes(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(error)) => log.note_failure("proxy_upstream_aborted", error.to_string()),
            None => {}
        }
    }

    /// Pending while the gap has not passed.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let gap = self.gap;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(gap)));
        if !self.is_armed {
            timer.as_mut().reset(Instant::now() + gap);
            self.is_armed = true;
        }
        timer.as_mut().poll(context)
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Paced<B>
where
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Broken<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.is_armed = false;
                let frame = frame.map(|frame| frame.map_err(Broken::Cut));
                self.note(frame.as_ref());
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let gap = self.gap;
                let silence = self.poll_silence(context).map(|()| Err(Broken::Silent(gap)));
                if let Poll::Ready(broken) = &silence {
                    self.note(Some(broken));
                }
                silence.map(Some)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.hides_length { SizeHint::default() } else { self.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn silence_breaks_the_body() {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        let silent = Body::from_stream(first.chain(stream::pending()));
        let mut body = Paced::new(silent, Duration::from_millis(1), false);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(matches!(body.frame().await, Some(Err(Broken::Silent(_)))));
    }

    #[tokio::test]
    async fn the_length_of_an_answer_to_head_is_not_that_of_its_body() {
        assert_eq!(Paced::new(Body::from("abc"), Duration::ZERO, false).size_hint().exact(), Some(3));
        assert_eq!(Paced::new(Body::empty(), Duration::ZERO, true).size_hint().exact(), None);
    }
}
