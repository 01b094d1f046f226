//! The demo provider: a small OAuth 2 authorization server with an API, inside this process, with which a newcomer completes
//! a first sign-in and a first proxied call offline. Off until somebody starts it from the dashboard; it ends with the process.
//!
//! Its token endpoint and its API listen on a port of the loopback interface that the system chooses, and `egress::Inside`
//! leads there under a name that exists nowhere else. What it hands out is sealed, so that it remembers next to nothing.
//! The consent page is the dashboard's (`dashboard/demo.rs`).

mod answers;
mod grant;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use grant::{Consent, grant_code};

use crate::app::{App, SharedApp};
use crate::catalog::{self, Provider, Source};
use crate::egress::DEMO_HOST;
use crate::error::ApiError;

/// The provider's name in the catalog, and the key of the integration that the first steps make.
pub const PROVIDER: &str = "hitchpost-demo";
/// The only client that it knows.
pub const CLIENT_ID: &str = "hitchpost-demo-client";
/// Where the browser is asked, below the server's address.
pub const AUTHORIZE_PATH: &str = "/demo-provider/authorize";

/// The demo provider of this process, if it runs.
#[derive(Default)]
pub struct Demo(Mutex<Option<Running>>);

struct Running {
    provider: Arc<Provider>,
    stop: CancellationToken,
    /// Where browsers may be sent back to.
    callbacks: HashSet<String>,
    /// Codes that were redeemed.
    used: HashSet<String>,
}

impl Demo {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    /// Its entry in the catalog.
    pub fn provider(&self) -> Option<Arc<Provider>> {
        self.lock().as_ref().map(|running| Arc::clone(&running.provider))
    }

    /// Whether a browser may be sent back there.
    pub fn knows_callback(&self, url: &str) -> bool {
        self.lock().as_ref().is_some_and(|running| running.callbacks.contains(url))
    }

    /// Whether it runs already; browsers may come back to this address too from now on.
    fn allow_callback(&self, url: &str) -> bool {
        let mut running = self.lock();
        let Some(running) = running.as_mut() else { return false };
        running.callbacks.insert(url.to_owned());
        true
    }

    /// Marks a code as redeemed; false when it was before.
    fn redeem(&self, code: &str) -> bool {
        self.lock().as_mut().is_some_and(|running| running.used.insert(code.to_owned()))
    }
}

/// Starts the demo provider, whose browsers come back to `callback_url`.
///
/// # Errors
/// The machine has no port to give.
pub async fn start(app: &SharedApp, callback_url: &str) -> Result<(), ApiError> {
    if app.demo.allow_callback(callback_url) {
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(ApiError::unexpected)?;
    let address = listener.local_addr().map_err(ApiError::unexpected)?;
    let provider = definition(app).ok_or_else(|| ApiError::server_error("The demo's entry is wrong."))?;
    let stop = app.lifecycle.stopping.child_token();
    let callbacks = HashSet::from([callback_url.to_owned()]);
    let running = Running { provider, stop: stop.clone(), callbacks, used: HashSet::new() };
    if let Some(other) = app.demo.lock().replace(running) {
        // Somebody else started it at the same moment.
        other.stop.cancel();
    }
    app.egress.inside.open(address);
    let serving = answers::serve(app.clone(), listener, stop);
    app.lifecycle.tasks.spawn(serving);
    app.renew_demo_provider();
    tracing::info!("the demo provider is running");
    Ok(())
}

/// Stops it, and takes it out of the catalog.
pub fn stop(app: &App) {
    let Some(running) = app.demo.lock().take() else { return };
    running.stop.cancel();
    app.egress.inside.close();
    app.renew_demo_provider();
    tracing::info!("the demo provider is stopped");
}

/// The secret of the only client.
pub fn client_secret(app: &App) -> String {
    hex::encode(app.cipher.lookup_hash("client of the demo provider"))
}

/// Its catalog entry.
fn definition(app: &App) -> Option<Arc<Provider>> {
    let server = &app.config.http.server_url;
    let authorize = Value::from(format!("{server}{AUTHORIZE_PATH}"));
    let docs = Value::from(server.as_str());
    let text = format!(
        "{PROVIDER}:
  display_name: Demo provider
  docs: {docs}
  categories: [dev-tools]
  auth_mode: OAUTH2
  authorization_url: {authorize}
  token_url: http://{DEMO_HOST}/token
  default_scopes: [profile, notes]
  proxy:
    base_url: http://{DEMO_HOST}/api
    verification:
      method: GET
      endpoints: [/me]
"
    );
    let source = Source::Text { name: "the demo provider".to_owned(), text };
    catalog::load(&[], &[source]).catalog.get(PROVIDER).cloned()
}
