//! Signatures that cover the address, and secrets that a handshake agrees on: Twilio, Square and Asana, as the built-in entries
//! describe them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hitchpost::crypto::{hmac_sha256, sha256};
use hitchpost::integrations;
use ring::hmac;
use serde_json::{Value, json};

use super::{HOOK_SECRET, World, accepted, hmac_hex, is, refused};
use crate::support::client::Ask;
use crate::support::run;
use crate::support::target::insert_connection;

const FORM: &str = "application/x-www-form-urlencoded";

fn twilio_signature(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

impl World {
    /// The address of a webhook as the provider was told it.
    fn address(&self, key: &str) -> String {
        format!("{}{}/{key}", self.app.url(), self.path)
    }

    /// A connection of `tw` to an end user's own Twilio account.
    async fn own_account(&self, id: &str, metadata: Value) {
        let integration =
            integrations::find(&self.app.app, self.app.environment_id, "tw").await.unwrap().unwrap();
        let credentials = json!({"type": "BASIC", "username": "AC1", "password": "p"});
        insert_connection(&self.app, &integration, id, credentials, json!({})).await;
        let body = json!({"provider_config_key": "tw", "connection_id": id, "metadata": metadata});
        self.app.client().post("/connections/metadata", body).expect(201).await;
    }
}

#[test]
fn twilio_signs_the_address_and_the_fields_of_the_form() {
    run(async {
        let world = World::start(&[], json!({})).await;
        let client = world.app.client();
        client.post("/integrations", json!({"provider": "twilio", "unique_key": "tw"})).expect(200).await;
        for (id, account, token) in [("a", "AC1", "token of a"), ("b", "AC2", "token of b")] {
            world.own_account(id, json!({"accountSid": account, "webhookSecret": token})).await;
        }
        let form = "MessageStatus=delivered&AccountSid=AC2&To=%2B18005551212&From=%2B1415";
        let sorted = "AccountSidAC2From+1415MessageStatusdeliveredTo+18005551212";
        let send = |key: &str, signature: String| -> Ask {
            world.post(key, form).header("content-type", FORM).header("x-twilio-signature", &signature)
        };
        let right = |key: &str| twilio_signature("token of b", &format!("{}{sorted}", world.address(key)));
        accepted(send("tw", right("tw"))).await;
        // The query belongs to the address.
        accepted(send("tw?nangoConnectionId=b", right("tw?nangoConnectionId=b"))).await;
        let forwarded = world.forwarded().await;
        assert_eq!(forwarded[0].event.as_deref(), Some("delivered"));
        assert_eq!(forwarded[0].body["payload"]["To"], "+18005551212");
        let wrong = is(401, "webhook_invalid_signature");
        for (key, signature) in [
            ("tw?x=1", right("tw")),
            ("tw", twilio_signature("token of a", &format!("{}{sorted}", world.address("tw")))),
            ("tw", twilio_signature("token of b", &world.address("tw"))),
            ("tw?nangoConnectionId=a", right("tw?nangoConnectionId=a")),
        ] {
            assert_eq!(refused(send(key, signature)).await, wrong, "{key}");
        }
        assert_eq!(refused(world.post("tw", form).header("content-type", FORM)).await.0, 401);
        let b = Some("b".to_owned());
        assert_eq!(world.receivers().await, [b.clone(), b]);
    });
}

#[test]
fn twilio_signs_the_digest_of_json() {
    run(async {
        let world = World::start(&[], json!({})).await;
        let client = world.app.client();
        client.post("/integrations", json!({"provider": "twilio", "unique_key": "tw"})).expect(200).await;
        world.own_account("a", json!({"webhookSecret": "secret"})).await;
        let body = r#"{"EventType": "onMessageAdded"}"#;
        let key = format!("tw?nangoConnectionId=a&bodySHA256={}", hex::encode(sha256(body.as_bytes())));
        let signature = twilio_signature("secret", &world.address(&key));
        let send = |key: &str, body: &'static str| {
            let request = world.post(key, body).header("content-type", "application/json");
            request.header("x-twilio-signature", &signature)
        };
        accepted(send(&key, body)).await;
        assert_eq!(world.forwarded().await[0].event.as_deref(), Some("onMessageAdded"));
        let wrong = is(401, "webhook_invalid_signature");
        assert_eq!(refused(send(&key, r#"{"EventType": "other"}"#)).await, wrong);
        // Without the digest the signature says nothing about a body that is no form.
        let bare = "tw?nangoConnectionId=a";
        let signature = twilio_signature("secret", &world.address(bare));
        let request = world.post(bare, body).header("content-type", "application/json");
        assert_eq!(refused(request.header("x-twilio-signature", &signature)).await, wrong);
    });
}

#[test]
fn square_signs_the_address_and_the_body() {
    run(async {
        let world = World::start(&[], json!({})).await;
        world.integrate("square", "sq").await;
        world.connect("sq", "shop", json!({"merchant_id": "MLEFBHHSJGVHD"}), json!({})).await;
        let body = r#"{"merchant_id":"MLEFBHHSJGVHD","type":"payment.updated","event_id":"e-1"}"#;
        let sign = |address: String| {
            let digest = hmac_sha256(HOOK_SECRET.as_bytes(), format!("{address}{body}").as_bytes());
            world.post("sq", body).header("x-square-hmacsha256-signature", &STANDARD.encode(digest))
        };
        assert_eq!(refused(sign(world.address("other"))).await, is(401, "webhook_invalid_signature"));
        accepted(sign(world.address("sq"))).await;
        assert_eq!(accepted(sign(world.address("sq"))).await, json!({"status": "duplicate"}));
        let forwarded = world.forwarded().await;
        assert_eq!((forwarded[0].connection_id.as_deref(), forwarded.len()), (Some("shop"), 1));
        assert_eq!(forwarded[0].event.as_deref(), Some("payment.updated"));
    });
}

#[test]
fn asana_signs_with_what_its_handshake_brought() {
    run(async {
        let world = World::start(&[], json!({})).await;
        world.integrate("asana", "as").await;
        world.connect("as", "team", json!({}), json!({})).await;
        let target = format!("as?nangoConnectionId=team&token={HOOK_SECRET}");
        let shake = |key: &str, secret: &str| world.post(key, "").header("x-hook-secret", secret);
        // Not everybody may say how he is going to sign.
        for (key, code) in [
            ("as?nangoConnectionId=team", "webhook_missing_token"),
            ("as?nangoConnectionId=team&token=guess", "webhook_invalid_signature"),
        ] {
            assert_eq!(refused(shake(key, "planted")).await, is(401, code), "{key}");
        }
        let body = r#"{"events":[{"action":"changed","resource":{"gid":"1","resource_type":"task"}}]}"#;
        let event = |key: &str, secret: &str| {
            world.post(key, body).header("x-hook-signature", &hmac_hex(secret, body))
        };
        assert_eq!(refused(event(&target, "planted")).await, is(401, "webhook_invalid_secret"));
        for secret in ["first hook", "second hook"] {
            let reply = shake(&target, secret).send().await;
            assert_eq!((reply.status.as_u16(), reply.header("x-hook-secret")), (200, Some(secret)));
        }
        assert!(world.receivers().await.is_empty());
        // Several hooks may lead to one address.
        accepted(event(&target, "first hook")).await;
        accepted(event(&target, "second hook")).await;
        assert_eq!(refused(event(&target, "third hook")).await, is(401, "webhook_invalid_signature"));
        let elsewhere = format!("as?nangoConnectionId=other&token={HOOK_SECRET}");
        assert_eq!(refused(event(&elsewhere, "first hook")).await, is(401, "webhook_invalid_secret"));
        let heartbeat = r#"{"events":[]}"#;
        let request = world.post(&target, heartbeat);
        accepted(request.header("x-hook-signature", &hmac_hex("first hook", heartbeat))).await;
        let forwarded = world.forwarded().await;
        assert_eq!(forwarded.len(), 2);
        assert!(forwarded.iter().all(|one| one.event.as_deref() == Some("task.changed")));
        assert!(forwarded.iter().all(|one| one.connection_id.as_deref() == Some("team")));
        let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT secret FROM webhook_agreed_secrets")
            .fetch_all(&world.app.app.db)
            .await
            .unwrap();
        assert!(
            !stored.iter().any(|sealed| sealed.windows(5).any(|part| part == b" hook")),
            "they are sealed"
        );
    });
}
