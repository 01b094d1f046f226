//! Connections served on threads of their own. With `TEST_LANES=2` all other tests run that way too.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::target::{Target, WorldPlan, answer};
use crate::support::{Socket, run};

#[test]
fn every_kind_of_request_is_answered_on_lanes() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).set("HITCHPOST_LANES", "2").build().await;
        // Each client opens a connection of its own, so both lanes get some; the first calls load their target.
        let calls = join_all((0..8).map(|_| world.call("POST", "/x").json(&json!({"n": 1})).send())).await;
        assert!(calls.iter().all(|reply| reply.status == 200));
        assert!(target.seen().iter().all(|seen| seen.header("x-api-key") == Some("key-0123456789")));
        let client = world.app.client();
        let others = ["/integrations", "/connections", "/providers", "/connections/nope"];
        let replies = join_all(others.map(|path| client.get(path).send())).await;
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
        assert_eq!(statuses, [200, 200, 200, 400]);
        let sockets = join_all((0..3).map(|_| Socket::open(&world.app))).await;
        assert!(sockets.iter().all(|socket| !socket.id.is_empty()));
    });
}

#[test]
fn unknown_keys_and_connections_are_refused_on_lanes() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).set("HITCHPOST_LANES", "1").build().await;
        let reply = world.get("/x").header("connection-id", "nope").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "server_error"));
        let stranger = world.app.stranger().await;
        let ask =
            stranger.get("/proxy/x").header("provider-config-key", "acme").header("connection-id", "c1");
        assert_eq!(ask.send().await.code(), "unknown_provider_config");
        let nobody = world.app.anonymous().with_secret("11111111-1111-4111-8111-111111111111");
        assert_eq!(nobody.get("/proxy/x").send().await.code(), "unknown_account");
        assert!(target.seen().is_empty());
    });
}

#[test]
fn requests_in_flight_finish_when_the_server_stops() {
    run(async {
        let (called, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (calling, releasing) = (Arc::clone(&called), Arc::clone(&release));
        let target = Target::start(move |_| {
            calling.notify_one();
            let release = Arc::clone(&releasing);
            let late = stream::once(async move {
                release.notified().await;
                Ok::<_, std::io::Error>("late")
            });
            answer(200, &[], axum::body::Body::from_stream(late))
        })
        .await;
        let world = WorldPlan::new(target.url()).set("HITCHPOST_LANES", "2").build().await;
        let call = tokio::spawn(world.get("/x").send());
        called.notified().await;
        world.app.app.lifecycle.stopping.cancel();
        while TcpStream::connect(world.app.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        release.notify_one();
        let reply = call.await.expect("the call ends");
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "late"));
    });
}
