//! The embedded database: a real PostgreSQL in this process, for installations that configure none.
//!
//! It listens on a Unix socket inside the data directory, which only its owner may enter, and serves exactly
//! one connection.

use std::path::Path;
use std::sync::mpsc;

use pglite_oxide::PgliteServer;

/// The usual reason is a second process.
const ADVICE: &str = "Only one process at a time can use it: stop the server first, or let the server do it (HITCHPOST_SETTINGS \
                      at its start, the JSON routes under /api/v1 while it runs).";

/// Keeps the database running; dropping it stops the database.
pub struct EmbeddedDatabase {
    server: Option<PgliteServer>,
    url: String,
}

impl EmbeddedDatabase {
    /// Starts the database kept in `directory`, creating it at the first start. Blocks for about a second.
    ///
    /// # Errors
    /// A sentence, for example when another process uses the same directory.
    pub fn start(directory: &Path) -> Result<Self, String> {
        let builder = PgliteServer::builder().path(directory);
        Self::launch(builder, &directory.display().to_string())
    }

    /// A database that lives in a temporary directory until it is dropped, for tests.
    pub fn temporary() -> Result<Self, String> {
        Self::launch(PgliteServer::builder().temporary(), "a temporary directory")
    }

    fn launch(builder: pglite_oxide::PgliteServerBuilder, place: &str) -> Result<Self, String> {
        // The runtime needs a deeper stack than the caller may have, and must not block an async worker.
        let (sender, receiver) = mpsc::channel();
        let spawned = std::thread::Builder::new().name("embedded-database".into()).spawn(move || {
            let started = builder.start().map_err(|error| format!("{error:#}"));
            // The receiver waits for exactly this.
            let _ = sender.send(started);
        });
        spawned.map_err(|error| format!("The embedded database could not be started: {error}."))?;
        let started =
            receiver.recv().map_err(|_| "The embedded database stopped while starting.".to_owned())?;
        let server = started.map_err(|error| {
            format!("The embedded database in {place} could not be started: {error}. {ADVICE}")
        })?;
        Ok(EmbeddedDatabase { url: server.database_url(), server: Some(server) })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the database after every client has disconnected.
    pub fn stop(mut self) {
        if let Some(server) = self.server.take()
            && let Err(error) = server.shutdown()
        {
            tracing::warn!(error = %error, "the embedded database did not stop cleanly");
        }
    }
}
