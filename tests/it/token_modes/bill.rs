//! BILL: sessions of Bill.com.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{Stage, lifetime};
use crate::support::run;
use crate::support::target::{answer, ok_json};

fn entry() -> Value {
    json!({"auth_mode": "BILL", "token_url": "TARGET/login", "proxy": {"base_url": "TARGET/v3"}})
}

fn typed() -> Value {
    json!({"username": "ada", "password": "lovelace", "organization_id": "org-typed", "dev_key": "dev-key-1"})
}

#[test]
fn a_login_opens_a_session_that_is_opened_again_when_it_ends() {
    run(async {
        let logins = AtomicUsize::new(0);
        let stage = Stage::start(entry(), move |seen| {
            if seen.target != "/login" {
                return ok_json("{}");
            }
            let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
            let body = json!({"sessionId": format!("session-{number}"), "organizationId": "org-1", "userId": "user-1"});
            answer(200, &[("content-type", "application/json")], body.to_string())
        })
        .await;
        let id = stage.connect("bill", "", typed()).await;
        let sent: Value = serde_json::from_slice(&stage.target.last().body).unwrap();
        assert_eq!(
            sent,
            json!({"username": "ada", "password": "lovelace", "organizationId": "org-typed", "devKey": "dev-key-1"})
        );
        let credentials = stage.credentials(&id).await;
        assert_eq!(lifetime(&stage, &credentials), 35 * 60_000);
        assert_eq!(
            credentials,
            json!({"type": "BILL", "username": "ada", "password": "lovelace", "organization_id": "org-1",
                   "dev_key": "dev-key-1", "session_id": "session-1", "user_id": "user-1",
                   "expires_at": credentials["expires_at"],
                   "raw": {"sessionId": "session-1", "organizationId": "org-1", "userId": "user-1"}})
        );
        for number in 2..=3 {
            stage.advance(34 * 60);
            stage.credentials(&id).await;
            let seen = stage.proxied(&id, "/bills").await;
            assert_eq!(seen.header("sessionid"), Some(&*format!("session-{number}")));
            assert_eq!((seen.header("devkey"), seen.header("authorization")), (Some("dev-key-1"), None));
        }
        // Callers may bring their own.
        let ask = stage.app.client().get("/proxy/bills").header("nango-proxy-sessionid", "mine");
        ask.header("provider-config-key", "acme").header("connection-id", &id).expect(200).await;
        assert_eq!(stage.target.last().header("sessionid"), Some("mine"));
        let stored = String::from_utf8_lossy(&stage.stored().await).into_owned();
        assert!(!stored.contains("lovelace") && !stored.contains("session-3"), "{stored}");
    });
}

#[test]
fn failed_logins_are_told_in_the_providers_words() {
    run(async {
        for (status, body, code, text) in [
            (
                401,
                r#"[{"code": "BDC_1109", "message": "wrong dev-key-1"}]"#,
                "bill_tokens_fetch_error",
                "BDC_1109",
            ),
            (400, r#"{"error": "invalid lovelace"}"#, "bill_tokens_fetch_error", "invalid REDACTED"),
            (200, r#"{"userId": "u"}"#, "invalid_bill_credentials", "200"),
            (200, "<html>", "invalid_bill_credentials", "neither JSON"),
            (503, "<title>Down</title>", "bill_tokens_fetch_error", "titled \"Down\""),
        ] {
            let stage = Stage::start(entry(), move |_| answer(status, &[], body)).await;
            let (found, message) = stage.refusal("bill", "", typed(), false).await;
            assert_eq!(found, code, "{message}");
            assert!(message.contains(text), "{message}");
            assert!(!message.contains("lovelace") && !message.contains("dev-key-1"), "{message}");
            assert!(stage.stored().await.is_empty());
        }
        let stage = Stage::start(entry(), |_| ok_json("{}")).await;
        let lacking = json!({"username": "ada", "password": "p", "dev_key": "d"});
        assert_eq!(
            stage.submit("bill", "", lacking).await.expect(400).await["error"]["code"],
            "invalid_body"
        );
    });
}
