//! The clients against a real TLS server with a certificate for `api.test`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::*;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/egress/testdata").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(testdata(name)).unwrap()
}

/// HTTP/2 and HTTP/1.1, a client certificate welcome.
fn server_config() -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(testdata("server.key")).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate("server.pem")], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

async fn serve_one(acceptor: TlsAcceptor, socket: TcpStream) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let has_identity = stream.get_ref().1.peer_certificates().is_some();
    let router =
        Router::new().fallback(any(move || async move { if has_identity { "known" } else { "anonymous" } }));
    let builder = Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

async fn serve_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server_config()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve_one(acceptor.clone(), socket));
        }
    });
    address
}

/// Every name is this machine.
fn egress(extra_ca_file: Option<PathBuf>) -> Egress {
    let policies = PolicySet::parse(Some(r#"{"allowLoopback":true}"#), None, None).unwrap();
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }));
    Egress::new(EgressConfig { extra_ca_file, lookup, ..EgressConfig::new(policies) }).unwrap()
}

async fn stream(client: &ProxyClient, url: &str) -> Result<(Version, Bytes), EgressError> {
    let answer = client.send(http::Request::get(url).body(Body::empty()).unwrap()).await?;
    let version = answer.version();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), 1000).await.unwrap();
    Ok((version, body))
}

async fn buffered(client: &BufferedClient, url: &str) -> Result<Bytes, EgressError> {
    let url = Url::parse(url).unwrap();
    let request = OutgoingRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        follow: true,
    };
    client.send(request).await.map(|answer| answer.body)
}

#[tokio::test]
async fn an_extra_ca_is_trusted_and_http2_is_negotiated() {
    let address = serve_tls().await;
    let (url, egress) = (format!("https://api.test:{}/", address.port()), egress(Some(testdata("ca.pem"))));
    assert_eq!(stream(&egress.proxy, &url).await.unwrap(), (Version::HTTP_2, Bytes::from("anonymous")));
    assert_eq!(buffered(&egress.tokens, &url).await.unwrap(), "anonymous");
}

#[tokio::test]
async fn bad_certificates_are_told_apart() {
    let address = serve_tls().await;
    let (trusting, strict) = (egress(Some(testdata("ca.pem"))), egress(None));
    let table = [
        (&strict, "api.test", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
        (&trusting, "other.test", "ERR_TLS_CERT_ALTNAME_INVALID"),
    ];
    for (egress, host, code) in table {
        let url = format!("https://{host}:{}/", address.port());
        assert_eq!(stream(&egress.proxy, &url).await.unwrap_err().transport_code(), code);
        assert_eq!(buffered(&egress.tokens, &url).await.unwrap_err().transport_code(), code);
    }
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let address = serve_tls().await;
    let egress = egress(Some(testdata("ca.pem")));
    let read = |name: &str| std::fs::read(testdata(name)).unwrap();
    let client = egress.proxy_with_identity(&read("client.pem"), &read("client.key")).unwrap();
    let url = format!("https://api.test:{}/", address.port());
    assert_eq!(stream(&client, &url).await.unwrap().1, "known");
    assert!(matches!(
        egress.proxy_with_identity(&read("client.pem"), &read("server.key")),
        Err(IdentityError::Mismatch)
    ));
}
