//! The websocket hub: which browser waits for the outcome of which sign-in.
//!
//! The outcome is stored in the OAuth session's row first. The hub then wakes the socket at once when it is held
//! by this process; a replica that holds a socket for a sign-in handled elsewhere reads the rows of its open
//! sockets once a second (`crate::jobs`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::sync::oneshot;

/// A socket without a result is forgotten after this time.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

struct Waiting {
    sender: oneshot::Sender<Value>,
    since: DateTime<Utc>,
}

/// Open sockets by their `ws_client_id`.
#[derive(Default)]
pub struct Hub {
    sockets: Mutex<HashMap<String, Waiting>>,
}

impl Hub {
    /// Registers a socket; the receiver gets its one result.
    pub fn register(&self, id: String, now: DateTime<Utc>) -> oneshot::Receiver<Value> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(id, Waiting { sender, since: now });
        receiver
    }

    /// Delivers a result to a socket of this process; `false` when it holds no such socket.
    pub fn deliver(&self, id: &str, message: Value) -> bool {
        let waiting = self.lock().remove(id);
        waiting.is_some_and(|waiting| waiting.sender.send(message).is_ok())
    }

    /// Forgets a socket that closed.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The sockets still waiting, after dropping those that waited too long.
    pub fn waiting(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut sockets = self.lock();
        sockets.retain(|_, waiting| waiting.since + LIFETIME > now && !waiting.sender.is_closed());
        sockets.keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Waiting>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_delivered_once() {
        let hub = Hub::default();
        let mut receiver = hub.register("a".into(), DateTime::default());
        assert!(hub.deliver("a", json!(1)));
        assert!(!hub.deliver("a", json!(2)));
        assert_eq!(receiver.try_recv().unwrap(), json!(1));
    }

    #[test]
    fn sockets_that_closed_or_waited_for_an_hour_are_forgotten() {
        let hub = Hub::default();
        let start = DateTime::default();
        let _kept = hub.register("kept".into(), start);
        drop(hub.register("closed".into(), start));
        assert_eq!(hub.waiting(start), ["kept"]);
        assert!(hub.waiting(start + TimeDelta::hours(1)).is_empty());
    }
}
