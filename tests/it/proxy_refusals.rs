//! Ways in which the proxy says no, and that the provider then hears nothing.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::target::{RawTarget, Target, WorldPlan, answer};
use crate::support::{Case, check, run};

#[test]
fn bad_calls_are_refused_in_the_order_of_the_checks() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        let client = world.app.client();
        let bare = || client.get("/proxy/x");
        let named = |integration: &str, connection: &str| {
            bare().header("provider-config-key", integration).header("connection-id", connection)
        };
        let stranger = world.app.stranger().await;
        check(vec![
            Case {
                name: "no key",
                request: world.app.anonymous().get("/proxy/x"),
                status: 401,
                code: "missing_auth_header",
            },
            Case { name: "no control headers", request: bare(), status: 400, code: "invalid_headers" },
            Case {
                name: "bad retries",
                request: named("acme", "c1").header("retries", "many"),
                status: 400,
                code: "invalid_headers",
            },
            Case {
                name: "denied override comes before the integration",
                request: named("none", "c1").header("base-url-override", "http://169.254.169.254/"),
                status: 400,
                code: "base_url_override_not_allowed",
            },
            Case {
                name: "override that is no web address",
                request: named("acme", "c1").header("base-url-override", "ftp://example.com"),
                status: 400,
                code: "base_url_override_not_allowed",
            },
            Case {
                name: "unknown integration",
                request: named("none", "c1"),
                status: 404,
                code: "unknown_provider_config",
            },
            Case {
                name: "unknown connection",
                request: named("acme", "none"),
                status: 400,
                code: "server_error",
            },
            Case {
                name: "another environment",
                request: stranger
                    .get("/proxy/x")
                    .header("provider-config-key", "acme")
                    .header("connection-id", "c1"),
                status: 404,
                code: "unknown_provider_config",
            },
        ])
        .await;
        assert!(target.seen().is_empty());
        let reply = bare().send().await;
        assert_eq!(reply.header("x-hitchpost-error"), Some("invalid_headers"));
        let paths: Vec<_> = reply.json()["error"]["errors"].as_array().unwrap().clone();
        assert_eq!(paths[0]["path"], json!(["provider-config-key"]));
        assert_eq!(paths[1]["path"], json!(["connection-id"]));
    });
}

#[test]
fn calls_that_cannot_be_built_are_refused() {
    run(async {
        let target = Target::recording().await;
        let plan = || WorldPlan::new(target.url());
        let worlds = [
            ("off", plan().set("NANGO_PROXY_BASE_URL_OVERRIDE_ENABLED", "false").build().await),
            ("no proxy", plan().provider(json!({"auth_mode": "NONE", "proxy": null})).build().await),
            (
                "an unknown signature",
                plan()
                    .provider(json!({"signature_method": "RSA-SHA512"}))
                    .credentials(json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s"}))
                    .build()
                    .await,
            ),
            (
                "a base of the connection, switched off",
                plan()
                    .set("NANGO_PROXY_BASE_URL_OVERRIDE_ENABLED", "false")
                    .credentials(json!({"type": "AWS_SIGV4", "role_arn": "a", "region": "r", "service": "s3",
                        "access_key_id": "i", "secret_access_key": "s", "session_token": "t", "external_id": "e"}))
                    .config(json!({ "base_url": target.url() }))
                    .build()
                    .await,
            ),
            ("no host", plan().proxy(json!({"base_url": "https://${connectionConfig.host}"})).build().await),
            (
                "host with a path",
                plan()
                    .proxy(json!({"base_url": "https://${connectionConfig.sub}.acme.example"}))
                    .config(json!({"sub": "evil.example/"}))
                    .build()
                    .await,
            ),
        ];
        let expected = [
            "base_url_override_disabled",
            "unsupported_provider",
            "unsupported_auth",
            "base_url_override_disabled",
            "missing_connection_config",
            "base_url_override_not_allowed",
        ];
        for ((name, world), code) in worlds.iter().zip(expected) {
            let mut ask = world.get("/x");
            if *name == "off" {
                ask = ask.header("base-url-override", &target.url());
            }
            let reply = ask.send().await;
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, code), "{name}");
        }
        assert!(target.seen().is_empty());
    });
}

#[test]
fn a_provider_left_out_of_the_catalog_is_named() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        world.get("/x").expect(200).await;
        world.app.app.replace_catalog(hitchpost::catalog::Catalog::default());
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "unknown_provider"));
    });
}

#[test]
fn failures_of_the_provider_have_codes_and_the_flat_members() {
    run(async {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let aborting = RawTarget::start("").await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = format!("https://{}", listener.local_addr().unwrap());
        let not_tls = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        for (base, legacy, status, code, flat) in [
            (nobody.as_str(), "false", 502, "proxy_connect_failed", "ECONNREFUSED"),
            (nobody.as_str(), "true", 500, "proxy_connect_failed", "ECONNREFUSED"),
            (aborting.url().leak(), "false", 502, "proxy_upstream_aborted", "ECONNRESET"),
            (tls.as_str(), "false", 502, "proxy_tls_failed", "EPROTO"),
            ("http://nobody.invalid", "false", 502, "proxy_dns_failed", ""),
        ] {
            let world = WorldPlan::new(base).set("HITCHPOST_PROXY_LEGACY_ERRORS", legacy).build().await;
            let reply = world.get("/x").send().await;
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{base}");
            assert_eq!(reply.header("x-hitchpost-error"), Some(code));
            let body = reply.json();
            assert_eq!(
                (body["method"].as_str(), body["status"].as_u64()),
                (Some("get"), Some(status.into()))
            );
            assert!(body["message"].is_string());
            assert!(flat.is_empty() || body["code"] == flat, "{body}");
        }
        not_tls.await.unwrap();
    });
}

#[test]
fn a_silent_provider_is_given_up() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = WorldPlan::new(url).set("HITCHPOST_PROXY_TIMEOUT_MS", "50").build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (504, "proxy_timeout"));
    });
}

#[test]
fn bodies_beyond_the_limit_are_refused() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).set("NANGO_SERVER_PUBLIC_BODY_LIMIT", "1kb").build().await;
        let reply = world.call("POST", "/x").bytes(vec![0; 2000]).send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (413, "request_too_large"));
        assert!(target.seen().is_empty());
    });
}

#[test]
fn denied_hosts_stay_out_of_reach() {
    run(async {
        let target =
            Target::start(|_| answer(302, &[("location", "http://169.254.169.254/latest")], "")).await;
        let world = WorldPlan::new(target.url()).build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "base_url_override_not_allowed"));
        assert_eq!(target.seen().len(), 1);
        let strict = WorldPlan::new(target.url()).set("NANGO_OUTBOUND_URL_POLICY", "{}").build().await;
        for base in [
            "http://2130706433",
            "http://0x7f.1",
            "http://[::1]",
            "http://localhost",
            "http://0.0.0.0",
            "http://10.0.0.1",
        ] {
            let reply = strict.get("/x").header("base-url-override", base).send().await;
            let found = (reply.status.as_u16(), reply.code());
            assert_eq!(found, (400, "base_url_override_not_allowed".to_owned()), "{base}");
        }
        let reply = strict.get("/x").send().await;
        assert_eq!(reply.code(), "base_url_override_not_allowed");
        assert_eq!(target.seen().len(), 1);
    });
}
