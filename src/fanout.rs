//! Wakes the other replicas through Redis, when one is configured. Only for speed: what is to be done is always
//! written to Postgres first, and every replica looks there on its own as well.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, Client, RedisError};
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::crypto::Secret;

const CHANNEL: &str = "hitchpost:wake";
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// What the others should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The change feed: something was changed that may be cached.
    Feed,
    /// The outcomes of sign-ins: one was stored whose socket is not here.
    Sockets,
}

impl Wake {
    fn as_str(self) -> &'static str {
        match self {
            Wake::Feed => "feed",
            Wake::Sockets => "sockets",
        }
    }
}

/// Sends and receives wake-up calls.
#[derive(Default)]
pub struct Fanout {
    client: Option<Client>,
    publisher: OnceCell<ConnectionManager>,
    feed: Notify,
    sockets: Notify,
}

impl Fanout {
    /// # Errors
    /// A sentence, when the URL cannot be used. Whether Redis answers does not matter here.
    pub fn new(url: Option<&Secret>) -> Result<Self, String> {
        let client = url.map(|url| Client::open(url.expose())).transpose();
        let client =
            client.map_err(|_| "NANGO_REDIS_URL: expected a URL such as `redis://host:6379`.".to_owned())?;
        Ok(Fanout { client, ..Fanout::default() })
    }

    /// Returns when another replica has something for this part, or never.
    pub async fn called(&self, wake: Wake) {
        self.notify(wake).notified().await;
    }

    fn notify(&self, wake: Wake) -> &Notify {
        match wake {
            Wake::Feed => &self.feed,
            Wake::Sockets => &self.sockets,
        }
    }

    /// Wakes the other replicas. A Redis that does not answer costs nothing but their speed.
    pub async fn call(&self, wake: Wake) {
        let Some(client) = &self.client else { return };
        if let Err(error) = self.publish(client, wake).await {
            tracing::debug!(error = %error, "Redis did not take a wake-up call");
        }
    }

    /// How long Redis takes to answer; `None` without one.
    ///
    /// # Errors
    /// Why it does not, without its address.
    pub async fn ping(&self, patience: Duration) -> Option<Result<Duration, String>> {
        let client = self.client.as_ref()?;
        let began = tokio::time::Instant::now();
        let asked = async {
            let manager = self.publisher.get_or_try_init(|| client.get_connection_manager()).await?;
            manager.clone().ping::<String>().await.map(drop)
        };
        Some(match tokio::time::timeout(patience, asked).await {
            Ok(Ok(())) => Ok(began.elapsed()),
            Ok(Err(error)) => Err(error.category().to_owned()),
            Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
        })
    }

    async fn publish(&self, client: &Client, wake: Wake) -> Result<(), RedisError> {
        let manager = self.publisher.get_or_try_init(|| client.get_connection_manager()).await?;
        manager.clone().publish(CHANNEL, wake.as_str()).await
    }

    /// Listens until the server stops; reconnects for ever.
    pub async fn listen(self: Arc<Self>, stopping: CancellationToken) {
        let Some(client) = self.client.clone() else { return };
        loop {
            let ended = tokio::select! {
                () = stopping.cancelled() => return,
                ended = self.receive(&client) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(error = %error, "Redis is not reachable; other replicas are found through Postgres");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RECONNECT_AFTER) => {}
            }
        }
    }

    async fn receive(&self, client: &Client) -> Result<(), RedisError> {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(CHANNEL).await?;
        let mut messages = subscription.on_message();
        while let Some(message) = messages.next().await {
            match message.get_payload::<String>().as_deref() {
                Ok("feed") => self.feed.notify_one(),
                Ok("sockets") => self.sockets.notify_one(),
                _ => {}
            }
        }
        Ok(())
    }
}
