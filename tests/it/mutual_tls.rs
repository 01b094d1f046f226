//! Client certificates: for the token endpoint and for the calls of entries that ask for one, against a TLS server that lets
//! nobody in without a certificate of its CA.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::any;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::app::TestSettings;
use crate::support::target::{Target, answer, insert_integration};
use crate::support::{Case, TestApp, check, run};

const KEY: &str = "bank";

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/testdata").join(name)
}

fn pem(name: &str) -> String {
    std::fs::read_to_string(testdata(name)).unwrap()
}

fn server_config() -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(testdata("ca.pem")).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let certificate = CertificateDer::from_pem_file(testdata("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(testdata("server.key")).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// A bank: `/token` gives `t-1`, `t-2` ...; every other path redirects to `away` or says who called.
struct Bank {
    address: SocketAddr,
    handshakes: Arc<AtomicUsize>,
}

impl Bank {
    async fn open(away: String) -> Bank {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config()));
        let (handshakes, tokens) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&handshakes);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let serving =
                    serve(acceptor.clone(), socket, Arc::clone(&counter), Arc::clone(&tokens), away.clone());
                tokio::spawn(serving);
            }
        });
        Bank { address, handshakes }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    handshakes: Arc<AtomicUsize>,
    tokens: Arc<AtomicUsize>,
    away: String,
) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    handshakes.fetch_add(1, Ordering::SeqCst);
    let caller = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    let expected = CertificateDer::from_pem_file(testdata("client.pem")).unwrap();
    let is_client = caller.is_some_and(|caller| caller == expected);
    let token = move || async move {
        let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
        Json(json!({"access_token": format!("t-{number}"), "expires_in": 3600}))
    };
    let router = Router::new()
        .route("/token", any(token))
        .route("/away", any(move || async move { answer(307, &[("location", &away)], "") }))
        .fallback(any(move || async move { Json(json!({ "is_client": is_client })) }));
    let builder = Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

async fn app(bank: &Bank, trusts_bank: bool) -> TestApp {
    let entry = |requires: bool| {
        json!({
            "display_name": "Bank", "docs": "https://docs.example.com", "auth_mode": "OAUTH2_CC",
            "token_url": format!("{}/token", bank.url()), "token_params": {"grant_type": "client_credentials"},
            "require_client_certificate": requires, "proxy": {"base_url": bank.url()},
        })
    };
    let catalog = json!({ "bank": entry(true), "lax": entry(false) }).to_string();
    // One, because each lane opens connections of its own, and a test counts them.
    let mut settings = TestSettings::default().catalog(catalog).set("HITCHPOST_LANES", "1");
    if trusts_bank {
        settings = settings.set("NODE_EXTRA_CA_CERTS", testdata("ca.pem").display().to_string());
    }
    let app = settings.start().await;
    for key in [KEY, "lax"] {
        insert_integration(&app, key, None).await;
    }
    app
}

async fn path(app: &TestApp, key: &str) -> String {
    let session = app.client().post("/connect/sessions", json!({"end_user": {"id": "u1"}})).expect(201).await;
    format!("/oauth2/auth/{key}?connect_session_token={}", session["data"]["token"].as_str().unwrap())
}

fn body(certificate: &str, key: &str) -> Value {
    json!({"client_id": "i", "client_secret": "s", "client_certificate": certificate, "client_private_key": key})
}

async fn call(app: &TestApp, key: &str, id: &str, path: &str) -> crate::support::Reply {
    let ask = app.client().get(format!("/proxy{path}")).header("provider-config-key", key);
    ask.header("connection-id", id).send().await
}

#[test]
fn the_certificate_opens_the_token_endpoint_and_the_api() {
    run(async {
        let other = Target::recording().await;
        let bank = Bank::open(format!("{}/landed", other.url())).await;
        let app = app(&bank, true).await;
        // As people paste them: on one line, with the two characters `\n`.
        let body = body(&pem("client.pem").replace('\n', "\\n"), &pem("client.key").replace('\n', " "));
        let answer = app.anonymous().post(path(&app, KEY).await, body.clone()).expect(200).await;
        let id = answer["connectionId"].as_str().unwrap();
        let connection =
            app.client().get(format!("/connections/{id}?provider_config_key={KEY}")).expect(200).await;
        assert_eq!(connection["credentials"]["token"], "t-1");
        assert_eq!(connection["credentials"]["client_certificate"], body["client_certificate"]);
        let before = bank.handshakes.load(Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(call(&app, KEY, id, "/me").await.json(), json!({"is_client": true}));
            app.app.targets.forget_all();
        }
        assert_eq!(bank.handshakes.load(Ordering::SeqCst) - before, 1, "the connection is used again");
        assert_eq!(call(&app, KEY, id, "/away").await.status, 200);
        assert_eq!(other.last().target, "/landed");

        app.advance(chrono::TimeDelta::hours(2));
        assert_eq!(call(&app, KEY, id, "/me").await.json(), json!({"is_client": true}));
        let connection =
            app.client().get(format!("/connections/{id}?provider_config_key={KEY}")).expect(200).await;
        assert_eq!(connection["credentials"]["token"], "t-2", "the renewal presents the certificate too");

        // The API asks for a certificate, but the entry does not say so.
        let answer = app.anonymous().post(path(&app, "lax").await, body).expect(200).await;
        let reply = call(&app, "lax", answer["connectionId"].as_str().unwrap(), "/me").await;
        assert_eq!(reply.status, 502, "{}", reply.text());
    });
}

#[test]
fn unusable_certificates_are_refused() {
    run(async {
        let bank = Bank::open(String::new()).await;
        let app = app(&bank, true).await;
        let (certificate, key, path) = (pem("client.pem"), pem("client.key"), path(&app, KEY).await);
        let post = |certificate: &str, key: &str| app.anonymous().post(&path, body(certificate, key));
        let format_error = "invalid_certificate_or_key_format";
        let case = |name, request, code| Case { name, request, status: 400, code };
        check(vec![
            case("nothing", post("", ""), format_error),
            case("no key", post(&certificate, ""), "missing_client_private_key"),
            case("no PEM", post("certificate", &key), format_error),
            case("a key that is none", post(&certificate, "a key"), format_error),
            case("another key", post(&certificate, &pem("server.key")), format_error),
            case(
                "a stranger",
                post(&pem("stranger.pem"), &pem("stranger.key")),
                "client_credentials_fetch_error",
            ),
        ])
        .await;
        let reply = post(&certificate, "hunter2-hunter2").send().await;
        assert!(!reply.text().contains("hunter2"), "{}", reply.text());
    });
}

#[test]
fn a_server_that_cannot_be_verified_is_shown_no_certificate() {
    run(async {
        let bank = Bank::open(String::new()).await;
        let app = app(&bank, false).await;
        let request =
            app.anonymous().post(path(&app, KEY).await, body(&pem("client.pem"), &pem("client.key")));
        let code = "client_credentials_fetch_error";
        check(vec![Case { name: "unknown issuer", request, status: 400, code }]).await;
        assert_eq!(bank.handshakes.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_stored_certificate_that_cannot_be_used_is_named_by_the_proxy() {
    run(async {
        let bank = Bank::open(String::new()).await;
        let app = app(&bank, true).await;
        let credentials = json!({"type": "OAUTH2_CC", "token": "t", "client_id": "i", "client_secret": "s",
            "client_certificate": "nonsense", "client_private_key": "nonsense"});
        let body = json!({"provider_config_key": KEY, "connection_id": "c1", "credentials": credentials});
        app.client().post("/connections", body).expect(201).await;
        let reply = call(&app, KEY, "c1", "/me").await;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (400, "invalid_certificate_or_key_format")
        );
    });
}
