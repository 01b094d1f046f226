//! Lanes: threads that each serve connections of their own on a single-threaded runtime, so that a proxied call wakes no
//! other thread. Here a thread learns which lane it is, and sends home, to the runtime that all share, what must not live
//! and die with a lane: whatever may open a pooled connection (database, Redis, token endpoints) and background tasks.
//! Started by `server`; asked by the domain where it leaves the warm path. A thread that is no lane is at home.

use std::cell::OnceCell;
use std::panic::resume_unwind;

use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body::Body as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

thread_local! {
    static LANE: OnceCell<Lane> = const { OnceCell::new() };
}

struct Lane {
    number: usize,
    home: Handle,
}

/// Makes the calling thread a lane for the rest of its life. `number` counts from 0.
pub fn enter(number: usize, home: Handle) {
    // A thread is made a lane once, by the code that starts it.
    let _ = LANE.with(|lane| lane.set(Lane { number, home }));
}

/// The lane that runs the caller; none at home.
pub fn number() -> Option<usize> {
    LANE.with(|lane| lane.get().map(|lane| lane.number))
}

/// The runtime for background tasks.
///
/// # Panics
/// Outside any runtime, as spawning does.
pub fn home() -> Handle {
    LANE.with(|lane| lane.get().map(|lane| lane.home.clone())).unwrap_or_else(Handle::current)
}

/// Runs `work` at home; work of a caller that goes away ends with it. At home already, it runs right here.
pub async fn at_home<F>(work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    if number().is_none() {
        return work.await;
    }
    match AbortOnDropHandle::new(home().spawn(work)).await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Home is gone: the process is ending, and this lane with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A body that was made at home, for a caller anywhere. One that is still being made goes on being made at home.
pub fn body_from_home(body: Body) -> Body {
    if number().is_none() || body.is_end_stream() || body.size_hint().exact().is_some() {
        return body;
    }
    let (sender, receiver) = mpsc::channel(1);
    home().spawn(async move {
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
    });
    Body::from_stream(unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))))
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use tokio::runtime::{Builder, Handle};

    use super::*;

    /// Runs `work` on a lane whose home is the caller's runtime.
    async fn on_a_lane<F>(work: impl FnOnce() -> F + Send + 'static) -> F::Output
    where
        F: Future<Output: Send + 'static>,
    {
        let home = Handle::current();
        let lane = move || {
            enter(3, home);
            Builder::new_current_thread().build().unwrap().block_on(work())
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        thread::spawn(move || sender.send(lane()));
        receiver.await.unwrap()
    }

    fn here() -> ThreadId {
        thread::current().id()
    }

    #[tokio::test]
    async fn work_goes_home_and_its_result_comes_back() {
        let (lane, home, number_there) = on_a_lane(|| async {
            assert_eq!(number(), Some(3));
            (here(), at_home(async { here() }).await, at_home(async { number() }).await)
        })
        .await;
        assert_ne!(lane, home);
        assert_eq!((home, number_there), (here(), None));
    }

    #[tokio::test]
    async fn at_home_work_stays_where_it_is() {
        assert_eq!(number(), None);
        assert_eq!(at_home(async { here() }).await, here());
    }

    #[tokio::test]
    async fn streams_are_made_at_home() {
        let threads = on_a_lane(|| async {
            let stream = unfold(0, |count| async move {
                let name = format!("{:?} ", here());
                (count < 2).then_some((Ok::<_, std::io::Error>(name), count + 1))
            });
            axum::body::to_bytes(body_from_home(Body::from_stream(stream)), 1000).await.unwrap()
        })
        .await;
        assert_eq!(threads, format!("{:?} ", here()).repeat(2));
    }

    #[tokio::test]
    #[should_panic(expected = "at home")]
    async fn a_panic_at_home_is_a_panic_here() {
        let caught = on_a_lane(|| async {
            let work = std::panic::AssertUnwindSafe(at_home(async { panic!("at home") }));
            futures_util::FutureExt::catch_unwind(work).await.unwrap_err()
        })
        .await;
        resume_unwind(caught);
    }
}
