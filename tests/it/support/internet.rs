//! The internet as the server under test sees it through its outbound HTTP proxy: every host answers, with whatever a test
//! wants, and what was sent is kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Sent {
    pub method: Method,
    /// Absolute.
    pub url: String,
    pub headers: HeaderMap,
    pub body: String,
}

type Answer = Arc<dyn Fn(&Sent) -> Response + Send + Sync>;

struct Inside {
    sent: Vec<Sent>,
    answer: Answer,
}

#[derive(Clone)]
pub struct Internet {
    pub address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Internet {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let inside = Inside { sent: Vec::new(), answer: Arc::new(|_| StatusCode::NOT_FOUND.into_response()) };
        let internet = Internet { address, inside: Arc::new(Mutex::new(inside)) };
        let router = Router::new().fallback(answer).with_state(internet.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        internet
    }

    /// Every host answers like this.
    pub fn answer_as(&self, answer: impl Fn(&Sent) -> Response + Send + Sync + 'static) {
        self.lock().answer = Arc::new(answer);
    }

    /// What was sent since this was last asked.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.lock().sent)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no panic while locked")
    }
}

async fn answer(
    State(internet): State<Internet>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let sent = Sent { method, url: uri.to_string(), headers, body };
    let answer = {
        let mut inside = internet.lock();
        inside.sent.push(sent.clone());
        Arc::clone(&inside.answer)
    };
    answer(&sent)
}
