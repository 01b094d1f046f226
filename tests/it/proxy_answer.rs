//! Answers: codings, bodiless answers, streams, and what happens when one side goes away.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::proxy_body::plain_client;
use crate::support::run;
use crate::support::target::{Target, World, WorldPlan, answer};

const PLAIN: &str = "{\"text\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}";

async fn coded(coding: &'static str) -> Vec<u8> {
    use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    match coding {
        "gzip" => GzipEncoder::new(PLAIN.as_bytes()).read_to_end(&mut bytes).await.unwrap(),
        "deflate" => ZlibEncoder::new(PLAIN.as_bytes()).read_to_end(&mut bytes).await.unwrap(),
        "br" => BrotliEncoder::new(PLAIN.as_bytes()).read_to_end(&mut bytes).await.unwrap(),
        _ => ZstdEncoder::new(PLAIN.as_bytes()).read_to_end(&mut bytes).await.unwrap(),
    };
    bytes
}

#[test]
fn coded_answers_are_decoded_unless_the_client_takes_them() {
    run(async {
        for coding in ["gzip", "br", "zstd", "deflate"] {
            let bytes = coded(coding).await;
            let sent = bytes.clone();
            let target = Target::start(move |_| {
                answer(200, &[("content-encoding", coding), ("etag", "\"x\"")], sent.clone())
            })
            .await;
            let world = WorldPlan::new(target.url()).build().await;
            for (accepted, decompress, is_decoded, offered) in [
                (None, None, true, "identity"),
                (Some("*"), None, true, "identity"),
                (Some(coding), None, false, coding),
                (Some(coding), Some("true"), true, "gzip, br, zstd, deflate"),
            ] {
                let mut request = plain_client()
                    .get(format!("{}/proxy/z", world.app.url()))
                    .bearer_auth(&world.app.secret)
                    .header("provider-config-key", "acme")
                    .header("connection-id", "c1");
                // Without its own value the client would offer and undo gzip by itself.
                request = match accepted {
                    Some(accepted) => request.header("accept-encoding", accepted),
                    None => request.header("accept-encoding", "identity"),
                };
                if let Some(decompress) = decompress {
                    request = request.header("decompress", decompress);
                }
                let response = request.send().await.unwrap();
                let headers = response.headers().clone();
                let body = response.bytes().await.unwrap();
                let case = format!("{coding} {accepted:?} {decompress:?}");
                assert_eq!(target.last().header("accept-encoding"), Some(offered), "{case}");
                let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                if is_decoded {
                    assert_eq!(body, PLAIN, "{case}");
                    assert_eq!((text("content-encoding"), text("content-length")), (None, None), "{case}");
                } else {
                    assert_eq!(body, bytes, "{case}");
                    assert_eq!(text("content-encoding").as_deref(), Some(coding));
                    assert_eq!(text("content-length"), Some(bytes.len().to_string()));
                }
            }
        }
    });
}

#[test]
fn answers_without_a_body_keep_their_status_and_headers() {
    run(async {
        let target = Target::start(|seen| match seen.target.as_str() {
            "/204" => answer(204, &[("x-a", "1")], ""),
            "/304" => answer(304, &[("etag", "\"v1\"")], ""),
            "/206" => answer(206, &[("content-range", "bytes 0-2/10")], "abc"),
            "/500" => answer(500, &[("content-type", "image/png")], vec![0u8, 159, 146, 150]),
            _ => answer(200, &[("content-length", "1234"), ("x-a", "1")], ""),
        })
        .await;
        let world = WorldPlan::new(target.url()).build().await;
        let reply = world.get("/204").send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("x-a"), reply.header("content-length")),
            (204, Some("1"), None)
        );
        let reply = world.get("/304").send().await;
        assert_eq!((reply.status.as_u16(), reply.header("etag")), (304, Some("\"v1\"")));
        let reply = world.get("/206").send().await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (206, "abc"));
        assert_eq!(
            (reply.header("content-range"), reply.header("content-length")),
            (Some("bytes 0-2/10"), Some("3"))
        );
        let reply = world.get("/500").send().await;
        assert_eq!((reply.status.as_u16(), reply.body), (500, vec![0, 159, 146, 150]));
        assert_eq!(reply.headers.get("content-type").unwrap(), "image/png");
        let reply = world.call("HEAD", "/head").send().await;
        assert_eq!((reply.status.as_u16(), reply.header("content-length")), (200, Some("1234")));
        assert_eq!(target.last().method, "HEAD");
    });
}

#[test]
fn the_status_of_the_reference_server_is_an_option() {
    run(async {
        let target = Target::start(|_| answer(201, &[], "{}")).await;
        let world = WorldPlan::new(target.url()).set("HITCHPOST_PROXY_LEGACY_STATUS", "true").build().await;
        world.call("POST", "/x").expect(200).await;
    });
}

/// A target whose answer is fed by the test.
async fn fed() -> (Target, mpsc::UnboundedSender<Result<Bytes, std::io::Error>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let slot = std::sync::Mutex::new(Some(receiver));
    let target = Target::start(move |_| {
        let receiver = slot.lock().unwrap().take().expect("one call");
        let body = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        answer(200, &[("content-type", "text/event-stream")], Body::from_stream(body))
    })
    .await;
    (target, sender)
}

async fn open_stream(world: &World) -> reqwest::Response {
    plain_client()
        .get(format!("{}/proxy/events", world.app.url()))
        .bearer_auth(&world.app.secret)
        .header("provider-config-key", "acme")
        .header("connection-id", "c1")
        .send()
        .await
        .unwrap()
}

#[test]
fn events_arrive_while_the_stream_is_open_and_a_gone_client_closes_it() {
    run(async {
        let (target, events) = fed().await;
        let world = WorldPlan::new(target.url()).build().await;
        let mut response = open_stream(&world).await;
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            events.send(Ok(Bytes::from_static(event.as_bytes()))).unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), event);
        }
        drop(response);
        let closed = tokio::time::timeout(Duration::from_secs(10), events.closed());
        closed.await.expect("the provider's connection is closed");
    });
}

#[test]
fn an_answer_that_breaks_off_breaks_the_clients_connection() {
    run(async {
        let (target, events) = fed().await;
        let world = WorldPlan::new(target.url()).build().await;
        let response = open_stream(&world).await;
        events.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
        let mut body = response.bytes_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
        events.send(Err(std::io::Error::other("crash"))).unwrap();
        drop(events);
        assert!(body.next().await.unwrap().is_err());
    });
}
