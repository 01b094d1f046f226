//! What this process knows of the queues: which environments have something new, and what is being sent right now.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::db::{EnvironmentId, WebhookEndpointId};

/// Queues that one process sends from at a time.
const CAPACITY: i64 = 1024;
/// Of these, to one endpoint. A receiver that does not answer holds as many for a whole time-out.
const PER_ENDPOINT: i64 = 16;
/// Queues that may be read or written at a time: requests of the API need the database too.
const TURNS: usize = 4;

pub struct Outbox {
    rung: Mutex<HashSet<EnvironmentId>>,
    bell: Notify,
    sending: Mutex<HashMap<WebhookEndpointId, i64>>,
    turns: Semaphore,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox {
            rung: Mutex::default(),
            bell: Notify::new(),
            sending: Mutex::default(),
            turns: Semaphore::new(TURNS),
        }
    }
}

/// How much more this process may send.
pub(super) struct Room {
    pub per_endpoint: i64,
    pub in_total: i64,
    pub endpoints: Vec<WebhookEndpointId>,
    /// Beside each endpoint, how many of its queues are being sent from.
    pub queues: Vec<i64>,
}

impl Outbox {
    /// Something was queued for this environment and committed: it leaves at once.
    pub fn ring(&self, environment: EnvironmentId) {
        lock(&self.rung).insert(environment);
        self.bell.notify_one();
    }

    /// Waits until somebody rings; gives the environments.
    pub(super) async fn rung(&self) -> Vec<EnvironmentId> {
        self.bell.notified().await;
        lock(&self.rung).drain().collect()
    }

    /// Waits until this task may use the database. Never kept while a receiver is asked.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        self.turns.acquire().await.ok()
    }

    pub(super) fn room(&self) -> Room {
        let sending = lock(&self.sending);
        let total: i64 = sending.values().sum();
        let (endpoints, queues) = sending.iter().map(|(id, queues)| (*id, *queues)).unzip();
        // When many receivers hang at a time, each of them gets less.
        let per_endpoint = if total > CAPACITY / 2 { 1 } else { PER_ENDPOINT };
        Room { per_endpoint, in_total: CAPACITY - total, endpoints, queues }
    }

    /// Counts a queue as being sent from until the guard goes.
    pub(super) fn enter(self: &Arc<Self>, endpoint: WebhookEndpointId) -> Entered {
        *lock(&self.sending).entry(endpoint).or_default() += 1;
        Entered { outbox: Arc::clone(self), endpoint }
    }
}

pub(super) struct Entered {
    outbox: Arc<Outbox>,
    endpoint: WebhookEndpointId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut sending = lock(&self.outbox.sending);
        if let Some(count) = sending.get_mut(&self.endpoint) {
            *count -= 1;
            if *count <= 0 {
                sending.remove(&self.endpoint);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
