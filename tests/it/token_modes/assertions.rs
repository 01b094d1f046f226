//! TWO_STEP: assertions that token requests carry. `tests/sdk` lets other libraries verify their signatures.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{RSA_KEY, Stage};
use crate::support::run;
use crate::support::target::{Seen, answer, ok_json};

fn entry(assertion: Value, extra: Value) -> Value {
    let mut entry = json!({
        "auth_mode": "TWO_STEP",
        "token_url": "TARGET/login",
        "body_format": "json",
        "token_params": {"assertion": "${credentials.assertion}"},
        "token_response": {"token": "token"},
        "token_expires_in_ms": 600_000,
        "assertion": assertion,
        "proxy": {"base_url": "TARGET"},
        "credentials": {"privateKey": {"secret": true}, "assertion": {"automated": true, "secret": true}},
        "assertion_option": {"userId": {}},
    });
    entry.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    entry
}

fn jwt() -> Value {
    json!({"type": "jwt", "key": "${credentials.privateKey}", "lifetimeInSeconds": 900,
           "header": {"alg": "RS256"}, "payload": {"sub": "${assertionOption.userId}", "jti": "${random}"}})
}

fn saml() -> Value {
    json!({"issuer": "acme", "audiences": "www.acme.test", "recipient": "https://acme.test/token",
           "nameIdentifier": "${assertionOption.userId}", "key": "${credentials.privateKey}",
           "attributes": {"api_key": "k"}})
}

fn typed() -> Value {
    json!({"privateKey": RSA_KEY, "assertionOption": {"userId": "jane"}})
}

fn assertion(seen: &Seen) -> String {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    body["assertion"].as_str().unwrap().to_owned()
}

#[test]
fn an_assertion_is_used_again_until_it_is_about_to_end() {
    run(async {
        let stage = Stage::start(entry(jwt(), json!({})), |_| ok_json(r#"{"token": "t"}"#)).await;
        let id = stage.connect("two-step", "", typed()).await;
        let first = assertion(&stage.target.last());
        let payload = URL_SAFE_NO_PAD.decode(first.split('.').nth(1).unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((&payload["sub"], &payload["iat"]), (&json!("jane"), &json!(stage.app.now().timestamp())));
        let credentials = stage.credentials(&id).await;
        assert_eq!(credentials["assertion"], first);
        assert_eq!(credentials["token"], "t");
        // What the next assertion is built from is kept, but not shown.
        assert!(!credentials.to_string().contains("jane"), "{credentials}");
        let whole = stage.read(&id, "&refresh_token=true").expect(200).await.to_string();
        assert!(!whole.contains("assertionOption"), "{whole}");
        stage.advance(500);
        assert_eq!(stage.credentials(&id).await["assertion"], first);
        assert_eq!((stage.calls("/login"), assertion(&stage.target.last())), (2, first.clone()));
        stage.advance(500);
        let renewed = stage.credentials(&id).await["assertion"].clone();
        assert_ne!(renewed, first);
        assert_eq!((stage.calls("/login"), json!(assertion(&stage.target.last()))), (3, renewed));
    });
}

#[test]
fn a_single_use_assertion_is_made_for_every_request() {
    run(async {
        let mut once = jwt();
        once["singleUse"] = true.into();
        let steps = json!([{"token_url": "TARGET/second", "token_params": {"assertion": "${credentials.assertion}"}}]);
        let stage =
            Stage::start(entry(once, json!({ "additional_steps": steps })), |_| ok_json(r#"{"token": "t"}"#))
                .await;
        let id = stage.connect("two-step", "", typed()).await;
        let seen = stage.target.seen();
        assert_ne!(assertion(&seen[0]), assertion(&seen[1]));
        assert_eq!(stage.credentials(&id).await.get("assertion"), None);
    });
}

#[test]
fn no_assertion_is_made_while_a_refresh_token_is_good() {
    run(async {
        let extra = json!({"refresh_token_params": {"refresh": "${credentials.refresh_token}"},
                           "token_response": {"token": "token", "refresh_token": "refresh"}});
        let stage = Stage::start(entry(jwt(), extra), |seen| {
            if seen.text().contains("refresh-1") && seen.text().contains("assertion") {
                return answer(400, &[], "too much");
            }
            ok_json(r#"{"token": "t", "refresh": "refresh-1"}"#)
        })
        .await;
        let id = stage.connect("two-step", "", typed()).await;
        stage.advance(3600);
        stage.credentials(&id).await;
        assert_eq!(stage.target.last().text(), r#"{"refresh":"refresh-1"}"#);
        let stored = stage.credentials(&id).await;
        assert!(stored["assertion"].is_string());
    });
}

#[test]
fn a_saml_assertion_names_the_user_and_is_rebuilt_by_a_renewal() {
    run(async {
        let stage = Stage::start(entry(saml(), json!({})), |_| ok_json(r#"{"token": "t"}"#)).await;
        // Providers of this kind hand out keys as base64 of base64.
        let body =
            json!({"privateKey": STANDARD.encode(RSA_KEY), "assertionOption": {"userId": "jane & co"}});
        let id = stage.connect("two-step", "", body).await;
        stage.advance(3600);
        stage.credentials(&id).await;
        let seen = stage.target.seen();
        assert_eq!(seen.len(), 2);
        assert_ne!(assertion(&seen[0]), assertion(&seen[1]));
        for seen in &seen {
            let xml = String::from_utf8(STANDARD.decode(assertion(seen)).unwrap()).unwrap();
            for part in [
                "<saml:Issuer>acme</saml:Issuer><ds:Signature",
                ">jane &amp; co</saml:NameID>",
                "Name=\"api_key\"",
            ] {
                assert!(xml.contains(part), "{part}: {xml}");
            }
        }
    });
}

#[test]
fn options_that_the_entry_asks_for_are_required() {
    run(async {
        let stage = Stage::start(entry(saml(), json!({})), |_| ok_json(r#"{"token": "t"}"#)).await;
        let body = json!({"privateKey": RSA_KEY});
        let (code, message) = stage.refusal("two-step", "", body, false).await;
        assert_eq!((code.as_str(), message.as_str()), ("invalid_connection_config", "`userId` is required."));
        let newer = Stage::start(entry(json!({"type": "newer"}), json!({})), |_| ok_json("{}")).await;
        assert_eq!(newer.refusal("two-step", "", typed(), true).await.0, "missing_assertion_config");
        let keyless = json!({"privateKey": " ", "assertionOption": {"userId": "x"}});
        assert_eq!(stage.refusal("two-step", "", keyless, true).await.0, "missing_private_key");
        assert!(stage.target.seen().is_empty());
    });
}
