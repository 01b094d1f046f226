//! A websocket client, as the browser SDK is one.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// No frame of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Socket {
    /// The `ws_client_id` of the greeting.
    pub id: String,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Opens a socket and reads its greeting.
    pub async fn open(app: &super::TestApp) -> Socket {
        Self::open_at(app, "/").await.expect("the server upgrades")
    }

    /// The same at another path.
    pub async fn open_at(app: &super::TestApp, path: &str) -> Result<Socket, Box<tungstenite::Error>> {
        let (stream, _) = connect_async(format!("ws://{}{path}", app.address)).await.map_err(Box::new)?;
        let mut socket = Socket { id: String::new(), stream };
        let greeting = socket.next().await.expect("a greeting");
        assert_eq!(greeting["message_type"], "connection_ack");
        socket.id = greeting["ws_client_id"].as_str().expect("an id").to_owned();
        Ok(socket)
    }

    /// The next JSON frame; `None` when the server closed the socket.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
            match message? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn send(&mut self, message: Message) {
        self.stream.send(message).await.expect("the socket is open");
    }

    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }
}
