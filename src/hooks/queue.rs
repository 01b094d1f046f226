//! Which hooks run when. The process that stored a connection runs its hooks at once; the rows of `post_connection_runs` are
//! for those that have to be repeated, and for those of a process that died.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::run::{LEASE, run};
use crate::app::{App, SharedApp};
use crate::db::post_connection_runs::{self, PostConnectionRun};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// At the same time, so that an import of thousands does not take all there is.
const AT_ONCE: usize = 16;
/// More wait in the database only.
const LONGEST: usize = 10_000;

/// The hooks that this process runs next.
#[derive(Default)]
pub struct HookQueue {
    waiting: Mutex<Vec<PostConnectionRun>>,
    filled: Notify,
}

impl HookQueue {
    /// Adds a run that is stored already.
    pub fn push(&self, run: PostConnectionRun) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < LONGEST {
            waiting.push(run);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<PostConnectionRun> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs hooks until the application stops.
pub async fn follow_hooks(app: SharedApp) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            () = app.hooks.filled.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => look_for_due(&app).await,
        }
        for run_now in app.hooks.take() {
            let permit = tokio::select! {
                () = app.lifecycle.stopping.cancelled() => return,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let app = app.clone();
            app.lifecycle.tasks.clone().spawn(async move {
                run(&app, &run_now).await;
                drop(permit);
            });
        }
    }
}

/// Takes over what is due: what has to be repeated, and what a process that died has left.
pub async fn look_for_due(app: &App) {
    let now = app.clock.now();
    match post_connection_runs::take_due(&app.db, now, now + LEASE).await {
        Ok(due) => due.into_iter().for_each(|run| app.hooks.push(run)),
        Err(error) => tracing::warn!(error = %error, "waiting hooks could not be read; they will be later"),
    }
}
