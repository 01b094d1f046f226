//! The clients against real servers on loopback.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::*;

const OPEN: &str = r#"{"allowLoopback":true}"#;

fn config(policy: &str) -> EgressConfig {
    EgressConfig::new(PolicySet::parse(Some(policy), None, None).unwrap())
}

/// Every name is this machine.
fn loopback_lookup() -> Lookup {
    Arc::new(|_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }))
}

fn egress(policy: &str) -> Egress {
    Egress::new(config(policy)).unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn serve(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

/// Answers with what it was sent: method, headers, body, and the caller's port.
async fn echo(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers: serde_json::Map<String, serde_json::Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let uri = parts.uri.to_string();
    Json(serde_json::json!({
        "method": parts.method.as_str(), "uri": uri, "headers": headers, "body": String::from_utf8_lossy(&body), "port": peer.port(),
    }))
    .into_response()
}

/// A connection that gets these bytes after its first request bytes arrived, then is closed.
async fn serve_raw(answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut seen = [0; 1024];
            let _ = socket.read(&mut seen).await;
            let _ = socket.write_all(answer).await;
        }
    });
    address
}

fn request(method: Method, url: &str) -> OutgoingRequest {
    OutgoingRequest {
        method,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        follow: true,
    }
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap()
}

async fn stream(client: &ProxyClient, url: &str) -> Result<serde_json::Value, EgressError> {
    let request = http::Request::get(url).body(Body::empty()).unwrap();
    let answer = client.send(request).await?;
    let body = answer.into_body().collect().await.map_err(|error| classify(&error))?.to_bytes();
    Ok(serde_json::from_slice(&body).unwrap())
}

fn denial<T>(outcome: Result<T, EgressError>) -> &'static str {
    match outcome {
        Err(EgressError::Denied(denied)) => denied.reason.code(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the call was allowed"),
    }
}

fn code<T>(outcome: Result<T, EgressError>) -> &'static str {
    outcome.err().unwrap().transport_code()
}

#[tokio::test]
async fn loopback_is_denied_unless_allowed() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let url = format!("http://{address}/x");
    let closed = egress(r#"{"mode":"permissive"}"#);
    assert_eq!(denial(stream(&closed.proxy, &url).await), "denied_ip");
    assert_eq!(denial(closed.tokens.send(request(Method::GET, &url)).await), "denied_ip");
    assert_eq!(denial(closed.webhooks.send(request(Method::GET, &url)).await), "denied_ip");
    let open = egress(OPEN);
    assert_eq!(stream(&open.proxy, &url).await.unwrap()["uri"], "/x");
    assert_eq!(open.tokens.send(request(Method::GET, &url)).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_denied_at_connect_time() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let url = format!("http://localhost:{}/x", address.port());
    let permissive = egress(r#"{"mode":"permissive"}"#);
    assert_eq!(denial(stream(&permissive.proxy, &url).await), "denied_dns");
    assert_eq!(denial(permissive.tokens.send(request(Method::GET, &url)).await), "denied_dns");
    let listed = egress("{}");
    assert_eq!(denial(stream(&listed.proxy, &url).await), "denied_hostname");
    assert_eq!(stream(&egress(OPEN).proxy, &url).await.unwrap()["uri"], "/x");
}

#[tokio::test]
async fn hosts_that_only_the_system_reads_as_loopback_are_denied() {
    let permissive = egress(r#"{"mode":"permissive"}"#);
    for host in ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"] {
        let outcome = stream(&permissive.proxy, &format!("http://{host}:9/")).await;
        assert!(
            matches!(outcome, Err(EgressError::Denied(_) | EgressError::Dns { .. })),
            "{host}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_checked() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let turn = Arc::new(AtomicUsize::new(0));
    let counter = turn.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let ip = if counter.fetch_add(1, Ordering::SeqCst) == 0 { [127, 0, 0, 1] } else { [10, 0, 0, 1] };
        Box::pin(async move { Ok(vec![IpAddr::from(ip)]) })
    });
    let egress = Egress::new(EgressConfig { lookup, ..config(OPEN) }).unwrap();
    let url = format!("http://rebind.test:{}/", address.port());
    assert_eq!(stream(&egress.proxy, &url).await.unwrap()["method"], "GET");
    assert_eq!(turn.load(Ordering::SeqCst), 1, "one lookup serves check and connection");
    assert_eq!(denial(egress.webhooks.send(request(Method::GET, &url)).await), "denied_dns");
}

#[tokio::test]
async fn the_streaming_client_reuses_its_connection() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let (egress, url) = (egress(OPEN), format!("http://{address}/"));
    let first = stream(&egress.proxy, &url).await.unwrap();
    let second = stream(&egress.proxy.clone(), &url).await.unwrap();
    assert_eq!(first["port"], second["port"]);
    assert_eq!(first["headers"]["host"], address.to_string());
}

async fn redirect_to(status: u16, to: String) -> Response {
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, to)]).into_response()
}

fn redirecting_router(other: SocketAddr) -> Router {
    let route = move |Path((status, place)): Path<(u16, String)>| {
        let to = match place.as_str() {
            "other" => format!("http://{other}/echo"),
            "userinfo" => format!("http://user:pass@{other}/echo"),
            "private" => "http://10.0.0.1/".to_owned(),
            "metadata" => "http://169.254.169.254/latest".to_owned(),
            "file" => "file:///etc/passwd".to_owned(),
            "broken" => "http://[".to_owned(),
            _ => "/echo?from=redirect".to_owned(),
        };
        redirect_to(status, to)
    };
    Router::new()
        .route("/echo", any(echo))
        .route("/loop", any(|| async { Redirect::temporary("/loop") }))
        .route("/to/{status}/{place}", any(route))
}

fn credentialed(method: Method, url: &str) -> OutgoingRequest {
    let mut request = request(method, url);
    for (name, value) in [
        ("authorization", "Bearer s3cret"),
        ("cookie", "a=b"),
        ("x-api-key", "s3cret"),
        ("accept", "application/json"),
        ("content-type", "text/plain"),
        ("user-agent", "custom/1"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    request.body = Bytes::from_static(b"hello");
    request
}

#[tokio::test]
async fn redirects_change_method_and_lose_every_credential() {
    let other = serve(Router::new().fallback(any(echo))).await;
    let address = serve(redirecting_router(other)).await;
    let tokens = egress(OPEN).tokens;
    for (status, method, place, arrives_as, body) in [
        (301, Method::POST, "same", "GET", ""),
        (302, Method::POST, "other", "GET", ""),
        (302, Method::POST, "userinfo", "GET", ""),
        (303, Method::PUT, "other", "GET", ""),
        (307, Method::POST, "same", "POST", "hello"),
        (308, Method::PUT, "same", "PUT", "hello"),
    ] {
        let url = format!("http://{address}/to/{status}/{place}");
        let answer = tokens.send(credentialed(method, &url)).await.unwrap();
        let seen = json(&answer);
        assert_eq!(
            (seen["method"].as_str(), seen["body"].as_str()),
            (Some(arrives_as), Some(body)),
            "{status} {place}"
        );
        for gone in ["authorization", "cookie", "x-api-key"] {
            assert!(seen["headers"].get(gone).is_none(), "{status} {place} {gone}");
        }
        assert_eq!(seen["headers"]["accept"], "application/json");
        assert_eq!(seen["headers"]["user-agent"], "custom/1");
        assert_eq!(seen["headers"].get("content-type").is_some(), !body.is_empty());
        assert_eq!(answer.final_url.path(), "/echo");
    }
}

#[tokio::test]
async fn bad_redirects_are_refused() {
    let other = serve(Router::new().fallback(any(echo))).await;
    let address = serve(redirecting_router(other)).await;
    let egress = egress(OPEN);
    let send = async |method: Method, path: &str| {
        egress.webhooks.send(credentialed(method, &format!("http://{address}{path}"))).await
    };
    assert_eq!(denial(send(Method::POST, "/to/302/private").await), "denied_ip");
    assert_eq!(denial(send(Method::POST, "/to/302/metadata").await), "denied_hostname");
    assert_eq!(denial(send(Method::POST, "/to/303/file").await), "invalid_scheme");
    for path in ["/to/307/other", "/to/308/other", "/to/302/broken"] {
        assert!(matches!(send(Method::POST, path).await, Err(EgressError::RefusedRedirect(_))), "{path}");
    }
    assert!(matches!(send(Method::PUT, "/to/301/other").await, Err(EgressError::RefusedRedirect(_))));
    assert!(matches!(send(Method::POST, "/loop").await, Err(EgressError::TooManyRedirects { limit: 5 })));
}

#[tokio::test]
async fn unfollowed_redirects_are_answers() {
    let other = serve(Router::new().fallback(any(echo))).await;
    let address = serve(redirecting_router(other)).await;
    let url = format!("http://{address}/to/302/private");
    let unfollowed = OutgoingRequest { follow: false, ..request(Method::GET, &url) };
    assert_eq!(egress(OPEN).tokens.send(unfollowed).await.unwrap().status, StatusCode::FOUND);
    let none = egress(r#"{"allowLoopback":true,"maxRedirects":0}"#);
    let answer = none.tokens.send(request(Method::GET, &url)).await.unwrap();
    assert_eq!(answer.headers[header::LOCATION], "http://10.0.0.1/");
}

#[tokio::test]
async fn the_buffered_client_names_the_product() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let answer =
        egress(OPEN).tokens.send(request(Method::POST, &format!("http://{address}/?a=1"))).await.unwrap();
    let seen = json(&answer);
    assert_eq!(seen["headers"]["user-agent"], concat!("Hitchpost/", env!("CARGO_PKG_VERSION")));
    assert_eq!(seen["uri"], "/?a=1");
    // Some token endpoints answer 411 without it (RFC 9110 section 8.6).
    assert_eq!(seen["headers"]["content-length"], "0");
}

#[tokio::test]
async fn answers_are_bounded_in_time_and_in_size_after_decompression() {
    let router = Router::new()
        .route("/big", get(|| async { "x".repeat(2000) }))
        .route("/fits", get(|| async { "x".repeat(1000) }))
        .route("/slow", get(std::future::pending::<&'static str>))
        .layer(tower_http::compression::CompressionLayer::new());
    let address = serve(router).await;
    let limits = Limits { timeout: Duration::from_millis(200), max_body: 1000, ..Limits::default() };
    let tokens = Egress::new(EgressConfig { limits, ..config(OPEN) }).unwrap().tokens;
    let send = async |path: &str| {
        tokens.send(request(Method::GET, &format!("http://{address}{path}?secret=1"))).await
    };
    assert_eq!(send("/fits").await.unwrap().body.len(), 1000);
    assert!(matches!(send("/big").await, Err(EgressError::TooLarge { limit: 1000 })));
    assert!(matches!(send("/slow").await, Err(EgressError::Timeout)));
}

#[tokio::test]
async fn transport_failures_have_nodes_codes_and_no_query_in_their_text() {
    let (unused, refused) = listen().await;
    drop(unused);
    let cut = serve_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await;
    let silent = serve_raw(b"").await;
    let garbage = serve_raw(b"this is not http\r\n\r\n").await;
    let failing: Lookup =
        Arc::new(|_| Box::pin(async { Err(io::Error::other("Name or service not known")) }));
    let egress = Egress::new(EgressConfig { lookup: failing, ..config(OPEN) }).unwrap();
    let table = [
        (format!("http://{refused}/?secret=1"), "ECONNREFUSED"),
        (format!("http://{cut}/?secret=1"), "ECONNRESET"),
        (format!("http://{silent}/?secret=1"), "ECONNRESET"),
        (format!("http://{garbage}/?secret=1"), "EPROTO"),
        (format!("https://{garbage}/?secret=1"), "EPROTO"),
        (format!("https://{silent}/?secret=1"), "ECONNRESET"),
        ("http://nowhere.test/?secret=1".to_owned(), "ENOTFOUND"),
    ];
    for (url, expected) in table {
        let streamed = stream(&egress.proxy, &url).await;
        let buffered = egress.tokens.send(request(Method::GET, &url)).await.map(|_| ());
        for error in [streamed.unwrap_err(), buffered.unwrap_err()] {
            assert_eq!(error.transport_code(), expected, "{url}: {error:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_silent_tls_peer_is_given_up_after_the_connect_timeout() {
    let (listener, address) = listen().await;
    let _kept: tokio::task::JoinHandle<Vec<TcpStream>> = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            open.push(socket);
        }
        open
    });
    let limits = Limits { connect_timeout: Duration::from_millis(100), ..Limits::default() };
    let egress = Egress::new(EgressConfig { limits, ..config(OPEN) }).unwrap();
    let url = format!("https://{address}/");
    assert!(matches!(stream(&egress.proxy, &url).await, Err(EgressError::Timeout)));
    assert!(matches!(egress.tokens.send(request(Method::GET, &url)).await, Err(EgressError::Timeout)));
}

/// An HTTP proxy that forwards nothing: it answers absolute-form requests itself and refuses tunnels.
fn outbound(address: SocketAddr) -> OutboundProxyConfig {
    let url = Some(format!("http://user:pass@{address}"));
    OutboundProxyConfig { http: url.clone(), https: url, except: Some("127.0.0.2".to_owned()) }
}

#[tokio::test]
async fn the_operators_proxy_gets_whole_urls_and_its_password() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let egress = Egress::new(EgressConfig { outbound_proxy: outbound(address), ..config("{}") }).unwrap();
    let url = "http://api.example.test/v1?a=1";
    let streamed = stream(&egress.proxy, url).await.unwrap();
    let buffered = json(&egress.tokens.send(request(Method::GET, url)).await.unwrap());
    for seen in [streamed, buffered] {
        assert_eq!(seen["uri"], url);
        assert_eq!(seen["headers"]["host"], "api.example.test");
        assert_eq!(seen["headers"]["proxy-authorization"], "Basic dXNlcjpwYXNz");
    }
    assert_eq!(denial(stream(&egress.proxy, "http://localhost/").await), "denied_hostname");
    assert_eq!(
        denial(egress.tokens.send(request(Method::GET, "http://localhost/")).await),
        "denied_hostname"
    );
}

#[tokio::test]
async fn a_tunnel_carries_the_password_and_its_refusal_is_told() {
    let (listener, address) = listen().await;
    let heard = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 1024];
        let length = socket.read(&mut seen).await.unwrap();
        socket.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&seen[..length]).to_lowercase()
    });
    let egress = Egress::new(EgressConfig { outbound_proxy: outbound(address), ..config("{}") }).unwrap();
    let outcome = stream(&egress.proxy, "https://api.example.test/v1").await;
    assert!(matches!(outcome, Err(EgressError::Tunnel(_))), "{outcome:?}");
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("connect api.example.test:443 http/1.1\r\n"), "{heard}");
    assert!(heard.contains("proxy-authorization: basic dxnlcjpwyxnz"), "{heard}");
}

#[tokio::test]
async fn the_operators_proxy_is_reached_by_a_private_name_but_never_a_target() {
    let address = serve(Router::new().fallback(any(echo))).await;
    let proxy = Some(format!("http://proxy.corp:{}", address.port()));
    let outbound_proxy =
        OutboundProxyConfig { http: proxy, https: None, except: Some("proxy.corp".to_owned()) };
    let lookup = loopback_lookup();
    let egress = Egress::new(EgressConfig { outbound_proxy, lookup, ..config("{}") }).unwrap();
    let answer = egress.tokens.send(request(Method::GET, "http://api.example.test/x")).await.unwrap();
    assert_eq!(json(&answer)["uri"], "http://api.example.test/x");
    let target = format!("http://proxy.corp:{}/", address.port());
    assert_eq!(denial(egress.tokens.send(request(Method::GET, &target)).await), "denied_hostname");
    assert_eq!(denial(stream(&egress.proxy, &target).await), "denied_dns");
}

#[tokio::test]
async fn refused_connections_to_a_host_are_told_apart_from_denials() {
    let (unused, refused) = listen().await;
    drop(unused);
    let egress = Egress::new(EgressConfig { lookup: loopback_lookup(), ..config(OPEN) }).unwrap();
    assert_eq!(
        code(stream(&egress.proxy, &format!("http://api.test:{}/", refused.port())).await),
        "ECONNREFUSED"
    );
}
