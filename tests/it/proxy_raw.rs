//! What really goes over the sockets: framing and hop-by-hop headers, with clients and providers written by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::run;
use crate::support::target::{RawTarget, World, WorldPlan, read_head};

async fn exchange(world: &World, head: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(world.app.address).await.unwrap();
    let request = format!(
        "{head}\r\nhost: x\r\nauthorization: Bearer {}\r\nprovider-config-key: acme\r\nconnection-id: c1\r\n\r\n{body}",
        world.app.secret
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), stream.read_to_end(&mut rest)).await;
    (head.to_ascii_lowercase(), String::from_utf8_lossy(&rest).into_owned())
}

#[test]
fn hop_by_hop_headers_end_here_both_ways() {
    run(async {
        let target = RawTarget::start(
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
             Trailer: X-T\r\nUpgrade: h2c\r\nX-Stays: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
        let world = WorldPlan::new(target.url()).build().await;
        let (head, body) = exchange(
            &world,
            "GET /proxy/x HTTP/1.1\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\nte: trailers\r\n\
             nango-proxy-te: trailers\r\nnango-proxy-upgrade: h2c\r\nnango-proxy-transfer-encoding: chunked\r\n\
             nango-proxy-keep-alive: 5\r\nnango-proxy-proxy-authorization: x",
            "",
        )
        .await;
        for gone in ["x-hop", "keep-alive", "proxy-authenticate", "trailer", "upgrade", "connection:"] {
            assert!(!head.contains(gone), "{gone} in {head}");
        }
        assert!(head.contains("x-stays: 1\r\n") && head.contains("transfer-encoding: chunked\r\n"));
        assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
        let sent = target.last().to_ascii_lowercase();
        for gone in ["x-mine", "te:", "upgrade", "transfer-encoding", "keep-alive", "proxy-", "connection"] {
            assert!(!sent.contains(&format!("\r\n{gone}")), "{gone} in {sent}");
        }
    });
}

#[test]
fn lengths_are_right_in_every_case() {
    run(async {
        let plain = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let until_close = "HTTP/1.1 200 OK\r\n\r\nhello";
        let nothing = "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n";
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n";
        let head_without = "HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\n";
        for (method, answer, present, absent, body) in [
            ("GET", plain, "content-length: 5\r\n", "transfer-encoding", "hello"),
            (
                "GET",
                until_close,
                "transfer-encoding: chunked\r\n",
                "content-length",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
            ("GET", nothing, "204 no content", "content-length", ""),
            ("HEAD", head, "content-length: 1234\r\n", "transfer-encoding", ""),
            ("HEAD", head_without, "x-a: 1\r\n", "content-length", ""),
        ] {
            let target = RawTarget::start(answer).await;
            let world = WorldPlan::new(target.url()).build().await;
            let (head, rest) = exchange(&world, &format!("{method} /proxy/x HTTP/1.1"), "").await;
            assert!(head.contains(present), "{method} {answer}: {head} {rest}");
            assert!(!head.contains(&format!("\r\n{absent}")), "{method} {answer}: {head}");
            assert_eq!(rest, body, "{method} {answer}");
        }
    });
}

#[test]
fn a_short_answer_is_never_ended_cleanly() {
    run(async {
        let target =
            RawTarget::start("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        let world = WorldPlan::new(target.url()).build().await;
        let (_, body) = exchange(&world, "GET /proxy/x HTTP/1.1", "").await;
        assert!(!body.ends_with("0\r\n\r\n"), "{body}");
    });
}

#[test]
fn the_path_reaches_the_provider_as_it_was_written() {
    run(async {
        let target = RawTarget::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let world = WorldPlan::new(target.url()).build().await;
        for (given, expected) in [
            ("/proxy/a%2Fb/%zz?x=%&y='", "GET /a%2Fb/%zz?x=%&y=' HTTP/1.1"),
            ("/proxy/a/../../b", "GET /b HTTP/1.1"),
            ("/PROXY/V1/X/", "GET /V1/X/ HTTP/1.1"),
            ("/proxy//v1//x", "GET /v1//x HTTP/1.1"),
        ] {
            exchange(&world, &format!("GET {given} HTTP/1.1"), "").await;
            let sent = target.last();
            assert_eq!(sent.lines().next(), Some(expected), "{given}");
        }
    });
}

#[test]
fn a_strict_base_path_cannot_be_left() {
    run(async {
        let target = RawTarget::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let plan = WorldPlan::new(format!("{}/v1", target.url()));
        let world = plan.set("HITCHPOST_PROXY_STRICT_BASE_PATH", "true").build().await;
        let (head, _) = exchange(&world, "GET /proxy/a/%2e%2E/b HTTP/1.1", "").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(target.last().lines().next(), Some("GET /v1/b HTTP/1.1"));
        let (head, _) = exchange(&world, "GET /proxy/a/../../v2 HTTP/1.1", "").await;
        assert!(head.contains("x-hitchpost-error: base_url_override_not_allowed"), "{head}");
    });
}
