//! SIGNATURE: username tokens that carry a hash of the password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::{Stage, lifetime};
use crate::support::run;
use crate::support::target::{Seen, answer, ok_json};

fn entry() -> Value {
    json!({
        "auth_mode": "SIGNATURE",
        "signature": {"protocol": "WSSE"},
        "token": {"expires_in_ms": 300_000},
        "proxy": {"base_url": "TARGET", "headers": {"x-wsse": "${accessToken}"},
                  "verification": {"endpoints": ["/settings"]}},
    })
}

/// The moment in the header, when it proves the password `lovelace`.
fn proven(seen: &Seen) -> Option<String> {
    let header = seen.header("x-wsse")?.strip_prefix("UsernameToken ")?;
    let field = |name: &str| {
        let (_, rest) = header.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let (nonce, created) = (field("Nonce")?, field("Created")?);
    let hash = hex::encode(Sha1::digest(format!("{nonce}{created}lovelace")));
    let is_right =
        nonce.len() == 32 && field("Username")? == "ada" && field("PasswordDigest")? == STANDARD.encode(hash);
    is_right.then_some(created)
}

fn guarded(seen: &Seen) -> axum::response::Response {
    if proven(seen).is_some() { ok_json("{}") } else { answer(401, &[], "no") }
}

fn typed() -> Value {
    json!({"type": "SIGNATURE", "username": "ada", "password": "lovelace"})
}

#[test]
fn a_password_becomes_tokens_that_end_and_are_made_again() {
    run(async {
        let stage = Stage::start(entry(), guarded).await;
        let id = stage.connect("signature", "", typed()).await;
        assert_eq!(stage.target.last().target, "/settings");
        let first = stage.credentials(&id).await;
        assert_eq!(lifetime(&stage, &first), 300_000);
        assert_eq!(
            first,
            json!({"type": "SIGNATURE", "username": "ada", "password": "lovelace", "token": first["token"],
                   "expires_at": first["expires_at"]})
        );
        let seen = stage.proxied(&id, "/x").await;
        assert_eq!(
            seen.header("authorization"),
            Some(&*format!("Bearer {}", first["token"].as_str().unwrap()))
        );
        for _ in 0..2 {
            stage.advance(201);
            let renewed = stage.credentials(&id).await;
            assert_eq!(lifetime(&stage, &renewed), 300_000);
            let created = proven(&stage.proxied(&id, "/x").await).expect("a good token");
            assert_eq!(created, hitchpost::time_format::format_millis_z(stage.app.now()));
        }
        let stored = String::from_utf8_lossy(&stage.stored().await).into_owned();
        assert!(!stored.contains("lovelace"), "{stored}");
    });
}

#[test]
fn bad_passwords_and_entries_are_refused() {
    run(async {
        let stage = Stage::start(entry(), guarded).await;
        let wrong = json!({"username": "ada", "password": "byron-12"});
        let (code, message) = stage.refusal("signature", "", wrong, true).await;
        assert_eq!(code, "connection_test_failed");
        assert!(message.contains("401") && !message.contains("byron-12"), "{message}");
        for body in [
            json!({"username": "ada"}),
            json!({"username": "ada", "password": "x", "other": 1}),
            json!({"username": "ada", "password": "x", "type": "BASIC"}),
        ] {
            assert_eq!(
                stage.submit("signature", "", body).await.expect(400).await["error"]["code"],
                "invalid_body"
            );
        }
        let quoted = json!({"username": "a\"b", "password": "x"});
        assert_eq!(stage.refusal("signature", "", quoted, false).await.0, "signature_token_generation_error");
        let mut other = entry();
        other["signature"]["protocol"] = "RSA".into();
        let stage = Stage::start(other, guarded).await;
        assert_eq!(
            stage.refusal("signature", "", typed(), false).await.0,
            "signature_token_generation_error"
        );
    });
}
