//! Providers whose keys are fetched: issuers of tokens, and documents that a request names.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hitchpost::auth::RsaKey;
use serde_json::{Value, json};

use super::{World, accepted, entry, is, refused};
use crate::support::run;
use crate::support::target::{Target, answer};

const RSA_KEY: &str = include_str!("../../../src/auth/test_rsa_key.pem");
const MODULUS: &str = "xSS5Gck-PLTsN_6FwbWilVgW05-zQ_IURor2C4VNJJAZdJE0xuiMcZz-9OWpEmpwVXW-30OBFdAyGbhdcrerxBDrWwhzpEihrnfKNbXkfL4v0Wt1muXRSiDHsET6DSLX7pDNp3CrOv_PeRVBpV-DAHl7-q0utpve9yJlByCGpZ-loNjdjuGbxirsMVh0P1PkB6HSdjSuP14wAel9B5__hvZsMeI2zgLzAxrlHox7tHXh6WM393NYFWCbl2tcfG8OZqwq6cQrTrbD-9ne6SFUjArYtL9Kx3XT3XpYkX8x4CHe4JCTCvBs1XvbSSuJOJ1GvUqAeTVSCcWlKH-zH7f9aw";

#[test]
fn a_token_of_the_issuer_proves_a_push_and_the_mailbox_finds_the_connection() {
    run(async {
        let keys = Target::start(|_| {
            let set = json!({"keys": [{"kid": "k1", "kty": "RSA", "n": MODULUS, "e": "AQAB"}]});
            answer(200, &[("content-type", "application/json")], set.to_string())
        })
        .await;
        let section = json!({
            "verify": [{"signature": "${header.authorization}", "prefix": "Bearer ", "algorithm": "jwt", "jwt": {
                "keys": keys.url(), "issuer": "https://accounts.google.com",
                "audience": ["${webhookUrl}", "${webhookUrlOfProvider}"]}}],
            "wrapped_in": "message.data",
            "connections": [
                {"value": "${event.emailAddress}", "form": "email_hash", "field": "connectionConfig.emailAddressHash"},
                {"value": "${event.emailAddress}", "field": "metadata.email"}],
            "event_id": "${body.message.messageId}",
        });
        let world = World::start(&[], json!({"mail": entry(json!({ "webhook": section }))})).await;
        world.integrate("mail", "my-mail").await;
        let hash = "5add75e13c8e3e64453b46dad8578739075c2ee7cc5e9c8fbc805a0909c39864";
        world.connect("my-mail", "hashed", json!({"emailAddressHash": hash}), json!({})).await;
        world.connect("my-mail", "plain", json!({}), json!({"email": "bob@example.com"})).await;

        let audience = format!("{}{}/my-mail", world.app.url(), world.path);
        let rsa = RsaKey::read(RSA_KEY).expect("a key");
        let token = |audience: &str, ends_in: i64| {
            let ends = world.app.now().timestamp() + ends_in;
            rsa.sign_jwt(&json!({"iss": "https://accounts.google.com", "aud": audience, "exp": ends}))
                .expect("a token")
        };
        let push = |address: &str, id: &str, token: &str| {
            let data = STANDARD.encode(json!({"emailAddress": address, "historyId": 7}).to_string());
            let body = json!({"message": {"data": data, "messageId": id}, "subscription": "s"});
            world.post("my-mail", body.to_string()).header("authorization", &format!("Bearer {token}"))
        };
        accepted(push("Jane@example.com", "1", &token(&audience, 60))).await;
        let of_provider = format!("{}{}/mail", world.app.url(), world.path);
        accepted(push("bob@example.com", "2", &token(&of_provider, 60))).await;
        let repeated = accepted(push("bob@example.com", "2", &token(&of_provider, 61))).await;
        assert_eq!(repeated["status"], "duplicate");
        let receivers = world.receivers().await;
        assert_eq!(receivers, [Some("hashed".to_owned()), Some("plain".to_owned())]);
        assert_eq!(world.forwarded().await[0].body["payload"]["subscription"], "s", "as it came");

        for bad in
            [token("https://elsewhere.test", 60), token(&audience, -61), "a.b.c".to_owned(), "x".to_owned()]
        {
            let reply = refused(push("bob@example.com", "3", &bad)).await;
            assert_eq!(reply, is(401, "webhook_invalid_signature"), "{bad}");
        }
        let unsigned = world.post("my-mail", "{}");
        assert_eq!(refused(unsigned).await, is(401, "webhook_missing_token"));
        assert_eq!(keys.seen().len(), 1, "the keys are kept");
    });
}

#[test]
fn unknown_keys_are_asked_for_once_a_minute() {
    run(async {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let keys = Target::start(|_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            answer(503, &[], "")
        })
        .await;
        let section = json!({"verify": [{"signature": "${header.authorization}", "algorithm": "jwt",
            "jwt": {"keys": keys.url(), "issuer": "i", "audience": "a"}}]});
        let world = World::start(&[], json!({"mail": entry(json!({ "webhook": section }))})).await;
        world.integrate("mail", "mail").await;
        for _ in 0..3 {
            let request = world.post("mail", "{}").header("authorization", "a.b.c");
            assert_eq!(refused(request).await, is(401, "webhook_invalid_secret"));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        world.app.advance(chrono::TimeDelta::minutes(1));
        refused(world.post("mail", "{}").header("authorization", "a.b.c")).await;
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_document_that_the_request_names_has_the_key() {
    run(async {
        let documents = Target::start(|seen| {
            let key = if seen.target == "/keys/1" { json!({"signing_key": "the key"}) } else { json!({}) };
            answer(200, &[("content-type", "application/json")], key.to_string())
        })
        .await;
        let section = json!({
            "verify": [{"signature": "${header.x-content-signature}", "algorithm": "hmac-sha256", "encoding": "base64",
                "key": "${fetchedKey}", "key_encoding": "sha256", "key_document": {
                    "url": "${body.Metadata.key_url}", "member": "signing_key", "origins": [documents.url()]}}],
            "connections": [{"value": "${body.ProductInstanceId}", "field": "metadata.productInstanceId"}],
            "event_type": "${body.Type}",
        });
        let world = World::start(&[], json!({"psa": entry(json!({ "webhook": section }))})).await;
        world.integrate("psa", "psa").await;
        world.connect("psa", "c1", json!({}), json!({"productInstanceId": "p1"})).await;
        let post = |url: &str, key: &str| {
            let body = json!({"Type": "ticket", "ProductInstanceId": "p1", "Metadata": {"key_url": url}})
                .to_string();
            let digest =
                hitchpost::crypto::hmac_sha256(&hitchpost::crypto::sha256(key.as_bytes()), body.as_bytes());
            world.post("psa", body).header("x-content-signature", &STANDARD.encode(digest))
        };
        let good = format!("{}/keys/1", documents.url());
        accepted(post(&good, "the key")).await;
        accepted(post(&good, "the key")).await;
        assert_eq!(world.receivers().await, vec![Some("c1".to_owned()); 2]);
        assert_eq!(documents.seen().len(), 1, "the document is kept");
        assert_eq!(refused(post(&good, "another key")).await, is(401, "webhook_invalid_signature"));
        let without = format!("{}/keys/2", documents.url());
        assert_eq!(refused(post(&without, "")).await, is(401, "webhook_invalid_secret"));
        let (port, asked) = (documents.address.port(), documents.seen().len());
        for elsewhere in [
            format!("http://localhost:{port}/keys/1"),
            format!("https://127.0.0.1:{port}/keys/1"),
            format!("http://me@127.0.0.1:{port}/keys/1"),
            "http://127.0.0.1/keys/1".to_owned(),
            "nonsense".to_owned(),
        ] {
            let reply = refused(post(&elsewhere, "the key")).await;
            assert_eq!(reply, is(401, "webhook_invalid_signature"), "{elsewhere}");
        }
        assert_eq!(documents.seen().len(), asked);
        let unsigned: Value = json!({"Metadata": {"key_url": good}});
        let request = world.post("psa", unsigned.to_string());
        assert_eq!(refused(request).await, is(401, "webhook_missing_signature"));
    });
}
