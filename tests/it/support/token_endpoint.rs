//! A token endpoint that counts its calls, says what it is told, and can be held.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Default)]
struct Shared {
    calls: AtomicUsize,
    answer: Mutex<Option<(u16, Value)>>,
    is_held: AtomicBool,
    arrived: Notify,
    released: Notify,
}

#[derive(Clone)]
pub struct TokenEndpoint {
    pub url: String,
    shared: Arc<Shared>,
}

impl TokenEndpoint {
    /// Answers with `token-1`, `token-2` ..., each good for an hour.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let router = Router::new().route("/token", post(answer)).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        TokenEndpoint { url, shared }
    }

    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// What every call is answered from now on; `None` goes back to tokens.
    pub fn say(&self, answer: Option<(u16, Value)>) {
        *self.shared.answer.lock().expect("no test panicked here") = answer;
    }

    /// Calls wait until [`TokenEndpoint::release`].
    pub fn hold(&self) {
        self.shared.is_held.store(true, Ordering::SeqCst);
    }

    /// Returns once a call waits.
    pub async fn wait_for_call(&self) {
        self.shared.arrived.notified().await;
    }

    pub fn release(&self) {
        self.shared.is_held.store(false, Ordering::SeqCst);
        self.shared.released.notify_waiters();
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<Value>) {
    let number = shared.calls.fetch_add(1, Ordering::SeqCst) + 1;
    if shared.is_held.load(Ordering::SeqCst) {
        let released = shared.released.notified();
        shared.arrived.notify_one();
        released.await;
    }
    let told = shared.answer.lock().expect("no test panicked here").clone();
    let (status, body) = told.unwrap_or_else(|| {
        (200, json!({"access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 3600}))
    });
    (StatusCode::from_u16(status).expect("a status"), Json(body))
}
