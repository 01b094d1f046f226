//! The websocket on which a browser waits for the outcome of its popup (`spec` auth-flows, section 4.2). Public: a socket
//! learns nothing but the outcome of a sign-in that was started with its own unguessable id. What it sends is ignored.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::openapi::{Operation, Tag};
use super::{health, not_found};
use crate::app::SharedApp;

/// Shorter than the idle time-outs of usual reverse proxies, so that they keep the socket open during a slow login.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Nobody has to send anything.
const MAX_MESSAGE: usize = 4 * 1024;

/// This route in the OpenAPI document.
pub fn operations() -> Vec<Operation> {
    let page = || json!({"type": "string"});
    vec![
        Operation::get("/", "get_root", "A page for people, or the websocket of a popup")
            .describe("With `Upgrade: websocket` the socket greets with its id and tells the outcome of one sign-in.")
            .tag(Tag::Server)
            .answers_nothing(101, "The socket.")
            .answers_with(200, "The page, where the dashboard is not served.", "text/html", page())
            .answers_nothing(303, "The way to the dashboard's first page.")
            .answers_with(401, "The dashboard asks for a name and a password.", "text/html", page())
            .answers_with(403, "The dashboard is closed.", "text/html", page())
            .answers_with(400, "A malformed upgrade.", "text/plain", page())
            .answers_with(426, "The connection cannot be upgraded.", "text/plain", page())
            .refuses(404, &["not_found"]),
    ]
}

/// `GET /`: the socket when one is asked for here, else the page for people.
pub async fn get_root(State(app): State<SharedApp>, request: Request) -> Response {
    if asks_for_socket(&request) {
        return get_socket(&app, request).await;
    }
    health::get_index().await.into_response()
}

/// Any unknown path: the socket when the server was told to serve it there.
pub async fn get_elsewhere(State(app): State<SharedApp>, request: Request) -> Response {
    if asks_for_socket(&request) { get_socket(&app, request).await } else { not_found(request).await }
}

fn asks_for_socket(request: &Request) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

async fn get_socket(app: &SharedApp, request: Request) -> Response {
    if request.uri().path() != app.config.http.websocket_path {
        return not_found(request).await;
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, app).await {
        Ok(upgrade) => {
            let app = app.clone();
            let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
            upgrade.on_upgrade(move |socket| wait_for_outcome(app, socket))
        }
        Err(rejection) => rejection.into_response(),
    }
}

/// Greets the socket with its id, waits for its one outcome, and forgets it.
async fn wait_for_outcome(app: SharedApp, mut socket: WebSocket) {
    let id = app.rng.uuid().to_string();
    // Registered first: the outcome may come as soon as the browser knows the id.
    let outcome = app.hub.register(id.clone(), app.clock.now());
    let greeting = json!({"message_type": "connection_ack", "ws_client_id": id});
    if send(&mut socket, &greeting).await.is_ok() {
        serve(&app, socket, outcome).await;
    }
    app.hub.forget(&id);
}

async fn serve(app: &SharedApp, socket: WebSocket, mut outcome: oneshot::Receiver<Value>) {
    let (mut sender, mut receiver) = socket.split();
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.reset();
    loop {
        let message = tokio::select! {
            // An error means that the hub forgot the socket: it waited for an hour.
            outcome = &mut outcome => {
                if let Ok(outcome) = outcome {
                    let _ = sender.send(Message::text(outcome.to_string())).await;
                }
                break;
            }
            () = app.lifecycle.stopping.cancelled() => break,
            _ = pings.tick() => Message::Ping(Default::default()),
            received = receiver.next() => match received {
                // The answer to a close frame is queued already; closing sends it (RFC 6455, section 5.5.1).
                Some(Ok(Message::Close(_))) => break,
                Some(Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if sender.send(message).await.is_err() {
            return;
        }
    }
    let _ = sender.close().await;
}

async fn send(socket: &mut WebSocket, message: &Value) -> Result<(), axum::Error> {
    socket.send(Message::text(message.to_string())).await
}
