//! What the route refuses before and after a provider is known.

use hitchpost::webhooks::incoming::LOGGED_PER_MINUTE;
use serde_json::json;

use super::{HOOK_SECRET, LINEAR, World, accepted, hmac_hex, is, refused};
use crate::support::app::TestSettings;
use crate::support::{Case, check, run};

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    run(async {
        let world = World::start(&[], json!({})).await;
        let post = |path: &str| world.app.anonymous().ask("POST", path).bytes("{}");
        let unknown = format!("{}/nothing", world.path);
        check(vec![
            Case {
                name: "no uuid",
                request: post("/webhook/nonsense/slack"),
                status: 400,
                code: "invalid_uri_params",
            },
            Case {
                name: "no key",
                request: post(&format!("{}/a%2Fb", world.path)),
                status: 400,
                code: "invalid_uri_params",
            },
            Case {
                name: "another environment",
                request: post("/webhook/2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a11/slack"),
                status: 404,
                code: "unknown_environment",
            },
            Case {
                name: "no integration",
                request: post(&unknown),
                status: 404,
                code: "unknown_provider_config",
            },
        ])
        .await;
    });
}

#[test]
fn bodies_have_a_limit() {
    run(async {
        let settings = TestSettings::default().set("NANGO_SERVER_PUBLIC_BODY_LIMIT", "1kb");
        let world = World::with(settings, &[LINEAR], json!({})).await;
        let large = world.post(LINEAR, vec![b' '; 1025]).send().await;
        assert_eq!((large.status.as_u16(), large.code()), (413, "request_too_large".to_owned()));
        assert_eq!(refused(world.post(LINEAR, vec![b' '; 1024])).await, is(401, "webhook_missing_signature"));
    });
}

#[test]
fn the_limit_is_told_and_kept_when_the_operator_wants_that() {
    run(async {
        let limited = TestSettings::default().set("NANGO_WEBHOOK_INGRESS_RATE_LIMIT_PER_MIN", "2");
        for (settings, third) in [
            (limited.clone(), 200),
            (limited.clone().set("NANGO_WEBHOOK_INGRESS_RATE_LIMIT_ENFORCE", "true"), 429),
            (limited.set("NANGO_WEBHOOK_INGRESS_RATE_LIMIT_PER_MIN", "0"), 200),
        ] {
            let is_counted = third == 429;
            let world = World::with(settings, &[LINEAR], json!({})).await;
            world.integrate(LINEAR, "other").await;
            let send = |key: &'static str| {
                let request = world.post(key, "{}").header("linear-signature", &hmac_hex(HOOK_SECRET, "{}"));
                request.send()
            };
            for _ in 0..2 {
                assert_eq!(send(LINEAR).await.status, 200);
            }
            let reply = send(LINEAR).await;
            assert_eq!(reply.status, third);
            assert_eq!(reply.header("retry-after").is_some(), is_counted);
            assert_eq!(send("other").await.status, 200, "each integration has its own");
            if is_counted {
                assert_eq!(reply.json(), json!({"error": {"code": "too_many_request"}}));
                assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
                world.app.advance(chrono::TimeDelta::seconds(60));
                assert_eq!(send(LINEAR).await.status, 200);
            }
        }
    });
}

#[test]
fn requests_that_say_nothing_are_refused() {
    run(async {
        let scripts = [
            "unauthenticatedWebhookRouting",
            "pagerdutyWebhookRouting",
            "shopifyWebhookRouting",
            "xeroWebhookRouting",
        ];
        let world = World::start(&scripts, json!({})).await;
        let [open, pager, shop, xero] = scripts;
        assert_eq!(refused(world.post(open, "{}")).await, is(400, "webhook_missing_connection_id"));
        let request = world.post(pager, "{}").header("x-pagerduty-signature", "v1=00");
        assert_eq!(refused(request).await, is(400, "webhook_missing_nango_connection_id"));
        let sign = |key: &str, body: &str| {
            use base64::Engine;
            let digest = hitchpost::crypto::hmac_sha256(key.as_bytes(), body.as_bytes());
            base64::engine::general_purpose::STANDARD.encode(digest)
        };
        let request = world.post(shop, "{}").header("x-shopify-hmac-sha256", &sign(HOOK_SECRET, "{}"));
        assert_eq!(refused(request).await, is(400, "webhook_missing_shop_domain"));
        for body in ["{}", "{\"events\": 1}", "[", "{\"a\": 1e999}"] {
            let request = world.post(xero, body).header("content-type", "application/json");
            let request = request.header("x-xero-signature", &sign(HOOK_SECRET, body));
            assert_eq!(refused(request).await, is(400, "webhook_invalid_payload"), "{body}");
        }
        let many = json!({"events": vec![json!({}); 1001]}).to_string();
        let request = world.post(xero, many.as_str()).header("x-xero-signature", &sign(HOOK_SECRET, &many));
        assert_eq!(refused(request).await, is(400, "webhook_invalid_payload"));
        let unsigned = world.post(xero, "[").header("content-type", "application/json");
        assert_eq!(refused(unsigned).await, is(401, "webhook_missing_signature"), "judged before it is read");
        assert!(world.receivers().await.is_empty());
    });
}

#[test]
fn a_provider_that_left_the_catalog_is_told() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        world.app.app.replace_catalog(hitchpost::catalog::Catalog::default());
        assert_eq!(refused(world.post(LINEAR, "{}")).await, is(400, "webhook_unknown_provider"));
    });
}

#[test]
fn no_input_is_too_odd() {
    run(async {
        let world = World::start(&[LINEAR, "slackWebhookRouting", "gmailWebhookRouting"], json!({})).await;
        for script in [LINEAR, "slackWebhookRouting", "gmailWebhookRouting"] {
            world.change(script, json!({"accept_unverified_webhooks": true})).await;
        }
        for body in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{\"organizationId\": \"\\u0000\"}",
            "{\"organizationId\": {\"a\": []}, \"team\": 1}",
            "{\"message\": {\"data\": \"!!\"}}",
            "{\"type\": \"url_verification\"}",
            "payload=%7B",
            "{\"a\": \"\\ud800\"}",
        ] {
            for script in [LINEAR, "slackWebhookRouting", "gmailWebhookRouting"] {
                for content_type in ["application/json", "application/x-www-form-urlencoded", "é"] {
                    let request =
                        world.post(script, body).header_bytes("content-type", content_type.as_bytes());
                    let status = request.send().await.status.as_u16();
                    assert!([200, 400, 401].contains(&status), "{script} {content_type} {body}: {status}");
                }
            }
        }
    });
}

#[test]
fn a_flood_of_refused_webhooks_does_not_fill_the_log() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        let body = r#"{"organizationId":"o"}"#;
        for _ in 0..LOGGED_PER_MINUTE + 5 {
            assert_eq!(refused(world.post(LINEAR, body)).await, is(401, "webhook_missing_signature"));
        }
        accepted(world.post(LINEAR, body).header("linear-signature", &hmac_hex(HOOK_SECRET, body))).await;
        let app = &world.app.app;
        app.logs.flush(&app.db).await;
        let states = "SELECT state, count(*) FROM log_operations WHERE environment_id = $1 AND kind = 'webhook:incoming'
            GROUP BY 1 ORDER BY 1";
        let states: Vec<(String, i64)> =
            sqlx::query_as(states).bind(world.app.environment_id.0).fetch_all(&app.db).await.unwrap();
        let expected = [("failed".to_owned(), i64::from(LOGGED_PER_MINUTE)), ("success".to_owned(), 1)];
        assert_eq!((states.as_slice(), app.refused_webhooks.unlogged()), (&expected[..], 5));
        let metrics = hitchpost::metrics::scrape(app).await.unwrap();
        assert!(metrics.contains(r#"hitchpost_log_entries_total{state="webhook_refused"} 5"#), "{metrics}");
    });
}
