//! JWT: tokens that are signed here, tried out before they are stored, and signed again when they end.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::{Stage, lifetime};
use crate::support::run;
use crate::support::target::{Seen, answer, ok_json};

/// The shape of Ghost's admin API.
fn entry(extra: Value) -> Value {
    let mut entry = json!({
        "auth_mode": "JWT",
        "signature": {"protocol": "HMAC"},
        "token": {
            "signing_key": "${credentials.privateKey.secret}", "expires_in_ms": 300_000,
            "header": {"alg": "HS256", "typ": "JWT", "kid": "${credentials.privateKey.id}"},
            "payload": {"aud": "/admin/", "site": "${connectionConfig.site}"},
        },
        "proxy": {"base_url": "TARGET", "headers": {"authorization": "Ghost ${accessToken}"},
                  "verification": {"endpoints": ["/verify"]}},
        "credentials": {"privateKey": {"secret": true, "pattern": "^[0-9a-f]+:[0-9a-f]+$"}},
    });
    entry.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    entry
}

/// The claims, when the key `00ff` signed them.
fn verified(seen: &Seen) -> Option<Value> {
    let token = seen.header("authorization")?.strip_prefix("Ghost ")?;
    let (signed, signature) = token.rsplit_once('.')?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[0x00, 0xff]);
    hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()
}

fn guarded(seen: &Seen) -> axum::response::Response {
    match verified(seen) {
        Some(_) => ok_json("{}"),
        None => answer(401, &[], r#"{"message": "not with 0bad0bad"}"#),
    }
}

#[test]
fn a_key_becomes_a_connection_whose_tokens_the_provider_accepts() {
    run(async {
        let stage = Stage::start(entry(json!({})), guarded).await;
        let forms = [
            json!({"privateKey": "ab12:00ff"}),
            json!({"privateKey": {"id": "ab12", "secret": "00ff"}, "type": "JWT"}),
        ];
        for body in forms {
            let id = stage.connect("jwt", "&params[site]=x", body).await;
            assert_eq!(stage.target.last().target, "/verify");
            let claims = verified(&stage.target.last()).expect("verified");
            let now = stage.app.now().timestamp();
            assert_eq!(claims, json!({"aud": "/admin/", "site": "x", "iat": now, "exp": now + 300}));
            let credentials = stage.credentials(&id).await;
            assert_eq!(lifetime(&stage, &credentials), 300_000);
            assert_eq!(
                credentials,
                json!({"type": "JWT", "privateKey": "ab12:00ff", "token": credentials["token"],
                       "expires_at": credentials["expires_at"]})
            );
            assert!(verified(&stage.proxied(&id, "/x").await).is_some());
        }
        let stored = String::from_utf8_lossy(&stage.stored().await).into_owned();
        assert!(!stored.contains("00ff"), "{stored}");
    });
}

#[test]
fn tokens_are_signed_again_in_the_last_third_of_their_life() {
    run(async {
        let stage = Stage::start(entry(json!({})), guarded).await;
        let id = stage.connect("jwt", "", json!({"privateKey": "ab12:00ff"})).await;
        let first = stage.credentials(&id).await["token"].clone();
        stage.advance(190);
        assert_eq!(stage.credentials(&id).await["token"], first);
        stage.advance(20);
        let second = stage.credentials(&id).await;
        assert_ne!(second["token"], first);
        assert_eq!((lifetime(&stage, &second), &second["privateKey"]), (300_000, &json!("ab12:00ff")));
        stage.advance(400);
        let claims = verified(&stage.proxied(&id, "/x").await).expect("signed again");
        assert_eq!(claims["iat"], stage.app.now().timestamp());
        stage.advance(1);
        let forced = stage.read(&id, "&force_refresh=true").expect(200).await;
        assert_eq!(lifetime(&stage, &forced["credentials"]), 300_000);
    });
}

#[test]
fn a_provider_that_refuses_a_token_gets_a_new_one() {
    run(async {
        let refuses = AtomicBool::new(false);
        let stage = Stage::start(entry(json!({})), move |seen| {
            if seen.target == "/once" && !refuses.swap(true, Ordering::SeqCst) {
                answer(401, &[], "")
            } else {
                guarded(seen)
            }
        })
        .await;
        let id = stage.connect("jwt", "", json!({"privateKey": "ab12:00ff"})).await;
        // A token that was made a moment ago would not be the reason.
        stage.advance(90);
        let claims = verified(&stage.proxied(&id, "/once").await).expect("signed again");
        assert_eq!((claims["iat"].clone(), stage.calls("/once")), (json!(stage.app.now().timestamp()), 2));
    });
}

#[test]
fn unusable_keys_are_refused_and_not_repeated() {
    run(async {
        let rsa = json!({"signature": {"protocol": "RSA"}, "credentials": {},
            "token": {"signing_key": "${credentials.key}", "expires_in_ms": 1000, "header": {"alg": "RS256"}}});
        for (extra, body, is_legacy, code, text) in [
            (json!({}), json!({"privateKey": "ab12:0bad0bad"}), true, "connection_test_failed", "401"),
            (
                json!({}),
                json!({"privateKey": "0bad0bad"}),
                false,
                "invalid_connection_config",
                "`privateKey` does not have",
            ),
            (json!({}), json!({}), false, "invalid_connection_config", "`privateKey` is required"),
            (rsa, json!({}), true, "failed_to_generate", "credentials.key"),
            (
                json!({"token": null}),
                json!({"privateKey": "ab12:00ff"}),
                true,
                "missing_token_body",
                "`token`",
            ),
            (
                json!({"signature": null}),
                json!({"privateKey": "ab12:00ff"}),
                true,
                "missing_signature_type",
                "`signature`",
            ),
        ] {
            let stage = Stage::start(entry(extra.clone()), guarded).await;
            let (found, message) = stage.refusal("jwt", "", body.clone(), is_legacy).await;
            assert_eq!(found, code, "{extra} {body}: {message}");
            assert!(message.contains(text) && !message.contains("0bad"), "{message}");
            assert!(stage.stored().await.is_empty());
        }
    });
}

#[test]
fn a_key_that_cannot_sign_is_told_without_naming_it() {
    run(async {
        let rsa = json!({"signature": {"protocol": "RSA"}, "credentials": {},
            "token": {"signing_key": "${credentials.key}", "expires_in_ms": 1000, "header": {"alg": "RS256"}}});
        for (extra, body, text) in [
            (json!({}), json!({"privateKey": "ab12:bad"}), "hexadecimal"),
            (rsa, json!({"key": "0bad0bad-key"}), "neither PEM nor base64"),
        ] {
            let stage = Stage::start(entry(extra.clone()), guarded).await;
            let answer = stage.submit("jwt", "", body).await.expect(500).await;
            assert_eq!(answer["error"]["code"], "failed_to_sign", "{answer}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(text) && !message.contains("0bad"), "{message}");
            assert!(stage.stored().await.is_empty());
        }
    });
}

#[test]
fn a_provider_in_trouble_is_told_apart_from_a_refusal() {
    run(async {
        let stage = Stage::start(entry(json!({})), |_| answer(503, &[], "later")).await;
        let (code, message) = stage.refusal("jwt", "", json!({"privateKey": "ab12:00ff"}), true).await;
        assert_eq!(code, "connection_test_failed");
        assert!(message.contains("could not check"), "{message}");
    });
}
