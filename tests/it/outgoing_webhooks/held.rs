//! A connection is told when what it is asked about itself was stored, or when that takes too long.

use chrono::TimeDelta;
use hitchpost::integrations;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::receiver::Receiver;
use crate::support::run;
use crate::support::target::{World, WorldPlan, insert_connection, read_head};

/// A provider that is asked for the site of each connection, and answers once it is allowed to.
struct Slow {
    world: World,
    receiver: Receiver,
    gate: watch::Sender<bool>,
}

impl Slow {
    async fn start() -> Slow {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (gate, opened) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut opened = opened.clone();
                tokio::spawn(async move {
                    read_head(&mut stream).await;
                    if opened.wait_for(|is_open| *is_open).await.is_err() {
                        return;
                    }
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\
                                   connection: close\r\n\r\n{\"id\":\"s-1\"}";
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        let steps = json!([{"request": {"url": "/site"}, "set": {"site": {"path": "id"}}}]);
        let world = WorldPlan::new(base).provider(json!({ "post_connection": steps })).build().await;
        let receiver = Receiver::start().await;
        world.app.send_webhooks_to(&receiver.url("/hook")).await;
        Slow { world, receiver, gate }
    }

    async fn connect(&self, id: &str) -> hitchpost::db::ConnectionRowId {
        let app = &self.world.app;
        let integration = integrations::find(&app.app, app.environment_id, "acme").await.unwrap().unwrap();
        let credentials = json!({"type": "API_KEY", "apiKey": "key-1"});
        insert_connection(app, &integration, id, credentials, json!({})).await
    }

    /// The connections that the receiver heard of.
    async fn told(&self) -> Vec<String> {
        self.world.app.settle_webhooks().await;
        let bodies = self.receiver.bodies();
        bodies.iter().map(|body| body["connectionId"].as_str().unwrap().to_owned()).collect()
    }

    async fn hold_ends(&self, id: &str) -> Option<chrono::DateTime<chrono::Utc>> {
        let hold =
            "SELECT held_until FROM webhook_deliveries WHERE environment_id = $1 AND connection_id = $2";
        let hold = sqlx::query_scalar(hold).bind(self.world.app.environment_id.0).bind(id);
        hold.fetch_one(&self.world.app.app.db).await.unwrap()
    }
}

#[test]
fn a_connection_is_told_when_its_hooks_have_ended() {
    run(async {
        let slow = Slow::start().await;
        let row = slow.connect("c2").await;
        assert!(slow.told().await.is_empty(), "its hooks are running");
        assert_eq!(slow.hold_ends("c2").await, Some(slow.world.app.now() + TimeDelta::seconds(30)));
        slow.gate.send_replace(true);
        slow.world.app.hooks_settled(row).await;
        assert_eq!(slow.told().await, ["c2"]);
        let path = "/connections/c2?provider_config_key=acme";
        let shown = slow.world.app.client().get(path).expect(200).await;
        assert_eq!(shown["connection_config"], json!({"site": "s-1"}), "what it was told to read is there");
    });
}

#[test]
fn hooks_that_take_too_long_and_a_process_that_died_keep_nobody_waiting() {
    run(async {
        let slow = Slow::start().await;
        slow.connect("c2").await;
        slow.world.app.advance(TimeDelta::seconds(29));
        assert!(slow.told().await.is_empty());
        slow.world.app.advance(TimeDelta::seconds(2));
        assert_eq!(slow.told().await, ["c2"]);
    });
}

#[test]
fn what_is_held_keeps_its_place_behind_what_was_there_before() {
    run(async {
        let slow = Slow::start().await;
        slow.receiver.answer_next(&[500]);
        slow.connect("c2").await;
        slow.world.app.advance(TimeDelta::seconds(31));
        assert_eq!(slow.told().await, ["c2"], "refused with 500, to be tried again");
        // Authorized again meanwhile: the second event waits behind the first, and for its own hooks.
        slow.connect("c2").await;
        slow.world.app.advance(TimeDelta::seconds(4));
        assert_eq!(slow.told().await, ["c2", "c2"], "the first one again");
        slow.world.app.advance(TimeDelta::seconds(30));
        assert_eq!(slow.told().await, ["c2", "c2", "c2"]);
        let operations: Vec<_> = slow
            .receiver
            .bodies()
            .iter()
            .map(|body| body["operation"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(operations, ["creation", "creation", "override"]);
    });
}
