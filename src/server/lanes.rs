//! The threads on which connections are served. The listener stays on the shared runtime and gives each connection to the
//! lane that has the fewest; from then on only that thread polls it. What `crate::lane` calls home is the listener's runtime.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::{Connections, Server};
use crate::lane;

/// A connection on its way to its lane.
struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    counted: Counted,
}

/// The lane threads of one listener.
pub(super) struct Lanes(Vec<Lane>);

struct Lane {
    accepted: mpsc::UnboundedSender<Accepted>,
    /// Connections that the lane has, or is about to get.
    open: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

/// The lane's thread is gone: it panicked.
#[derive(Debug, thiserror::Error)]
#[error("a thread that serves connections ended unexpectedly")]
pub(super) struct LaneGone;

impl Lanes {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system has no thread or no file descriptors left.
    pub fn start(count: usize, server: &Arc<Server>) -> io::Result<Self> {
        (0..count).map(|number| Lane::start(number, server.clone())).collect::<io::Result<_>>().map(Lanes)
    }

    /// Gives a connection away.
    pub fn take(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), LaneGone> {
        let least = self.0.iter().min_by_key(|lane| lane.open.load(Ordering::Relaxed));
        let lane = least.ok_or(LaneGone)?;
        match stream.into_std() {
            Ok(stream) => {
                let counted = Counted::new(&lane.open);
                lane.accepted.send(Accepted { stream, peer, counted }).map_err(|_| LaneGone)
            }
            // The connection cannot be moved, because it is broken already.
            Err(error) => {
                tracing::debug!(error = %error, "a client connection ended early");
                Ok(())
            }
        }
    }

    /// Lets requests in flight finish, as long as `Connections::finish` allows.
    pub async fn finish(self) {
        let ended: Vec<_> = self.0.into_iter().map(|lane| lane.ended).collect();
        for lane in ended {
            // An error tells that the thread is gone, which is what is waited for.
            let _ = lane.await;
        }
    }
}

impl Lane {
    fn start(number: usize, server: Arc<Server>) -> io::Result<Self> {
        let (accepted, incoming) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let home = Handle::current();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("lane-{number}")).spawn(move || {
            lane::enter(number, home);
            run(runtime, &server, incoming);
            let _ = end.send(());
        })?;
        Ok(Lane { accepted, open: Arc::default(), ended })
    }
}

/// Serves until the listener lets go of the lane.
fn run(runtime: Runtime, server: &Arc<Server>, mut incoming: mpsc::UnboundedReceiver<Accepted>) {
    runtime.block_on(async {
        let connections = Connections::default();
        while let Some(Accepted { stream, peer, counted }) = incoming.recv().await {
            match TcpStream::from_std(stream) {
                Ok(stream) => connections.spawn(server, stream, peer, counted),
                Err(error) => tracing::warn!(error = %error, "a connection could not be served"),
            }
        }
        connections.finish().await;
    });
    // A name look-up that hangs must not hold the thread.
    runtime.shutdown_background();
}

/// Counts a connection for as long as it lives. Counted by the listener, so that a burst is spread before any lane wakes.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
