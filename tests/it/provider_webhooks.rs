//! Webhooks of providers: verified, matched, passed on, answered, and refused.

mod addresses;
mod keys;
mod providers;
mod refusals;
mod waiting;

use std::time::Duration;

use hitchpost::db;
use hitchpost::db::webhook_deliveries::{Filter, WebhookType};
use hitchpost::db::webhook_settings::{self, WebhookSettings};
use hitchpost::webhooks::deliveries;
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::client::Ask;
use crate::support::target::Target;
use crate::support::{TestApp, run};

const CLIENT_SECRET: &str = "client-secret";
const HOOK_SECRET: &str = "hook-secret";

/// A server whose environment has one webhook address.
struct World {
    app: TestApp,
    receiver: Target,
    /// Before the key of the integration.
    path: String,
}

/// What was passed on.
#[derive(Debug, PartialEq)]
struct Forwarded {
    connection_id: Option<String>,
    event: Option<String>,
    body: Value,
}

impl World {
    /// A server with an OAuth 2 provider for each routing script, named like it, and these further entries.
    async fn start(scripts: &[&str], more: Value) -> World {
        Self::with(TestSettings::default(), scripts, more).await
    }

    async fn with(settings: TestSettings, scripts: &[&str], more: Value) -> World {
        let mut catalog = more;
        for script in scripts {
            catalog[*script] = entry(json!({ "webhook_routing_script": script }));
        }
        let app = settings.catalog(catalog.to_string()).start().await;
        let receiver = Target::recording().await;
        let settings = WebhookSettings { primary_url: Some(receiver.url()), ..WebhookSettings::default() };
        let stored = webhook_settings::upsert(&app.app.db, app.environment_id, &settings, app.now()).await;
        stored.expect("the database answers");
        let environment = db::environments::find(&app.app.db, app.environment_id).await;
        let uuid = environment.expect("the database answers").expect("an environment").uuid;
        let world = World { app, receiver, path: format!("/webhook/{uuid}") };
        for script in scripts {
            world.integrate(script, script).await;
        }
        world
    }

    /// Creates an integration with both secrets.
    async fn integrate(&self, provider: &str, key: &str) {
        let credentials = json!({"type": "OAUTH2", "client_id": "client", "client_secret": CLIENT_SECRET,
            "webhook_secret": HOOK_SECRET});
        let body = json!({"provider": provider, "unique_key": key, "credentials": credentials});
        self.app.client().post("/integrations", body).expect(200).await;
    }

    async fn change(&self, key: &str, patch: Value) {
        self.app.client().patch(format!("/integrations/{key}"), patch).expect(200).await;
    }

    /// Takes the webhook secret away.
    async fn forget_secret(&self, key: &str) {
        let credentials = json!({"type": "OAUTH2", "client_id": "client", "client_secret": CLIENT_SECRET,
            "webhook_secret": ""});
        self.change(key, json!({ "credentials": credentials })).await;
    }

    async fn connect(&self, key: &str, id: &str, config: Value, metadata: Value) {
        let body = json!({"provider_config_key": key, "connection_id": id, "connection_config": config,
            "metadata": metadata, "credentials": {"type": "OAUTH2", "access_token": "token"}});
        self.app.client().post("/connections", body).expect(201).await;
    }

    /// A webhook for the integration; `key` may have a query.
    fn post(&self, key: &str, body: impl Into<Vec<u8>>) -> Ask {
        self.app.anonymous().ask("POST", format!("{}/{key}", self.path)).bytes(body)
    }

    /// What was passed on so far, oldest first.
    async fn forwarded(&self) -> Vec<Forwarded> {
        let app = &self.app.app;
        let filter = Filter { kind: Some(WebhookType::Forward), limit: 1000, ..Filter::default() };
        let page = deliveries::list(app, self.app.environment_id, &filter).await.expect("the deliveries");
        let mut found = Vec::new();
        for delivery in page.deliveries.iter().rev() {
            let detail = deliveries::find(app, self.app.environment_id, delivery.uuid).await;
            let detail = detail.expect("the database answers").expect("a delivery");
            let body = serde_json::from_str(&detail.body).expect("JSON");
            let (connection_id, event) = (delivery.connection_id.clone(), delivery.event.clone());
            found.push(Forwarded { connection_id, event, body });
        }
        found
    }

    /// The connections and the number of requests that were passed on without one.
    async fn receivers(&self) -> Vec<Option<String>> {
        self.forwarded().await.into_iter().map(|forwarded| forwarded.connection_id).collect()
    }
}

fn entry(more: Value) -> Value {
    let mut entry = json!({"display_name": "Test", "docs": "https://docs.example", "auth_mode": "OAUTH2",
        "authorization_url": "https://login.example/authorize", "token_url": "https://login.example/token",
        "webhook_allowed_query_params": ["nangoConnectionId", "validationToken"]});
    entry.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    entry
}

fn hmac_hex(key: &str, message: &str) -> String {
    hex::encode(hitchpost::crypto::hmac_sha256(key.as_bytes(), message.as_bytes()))
}

/// Sends a webhook and expects its answer.
#[track_caller]
fn accepted(request: Ask) -> impl Future<Output = Value> {
    request.expect(200)
}

/// The status and the code of a refusal, whose body has a text where others have an object.
async fn refused(request: Ask) -> (u16, String) {
    let reply = request.send().await;
    let code = reply.header("x-hitchpost-error").unwrap_or_default().to_owned();
    let text = reply.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(text.starts_with(&format!("{code}: ")), "{}", reply.text());
    (reply.status.as_u16(), code)
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const LINEAR: &str = "linearWebhookRouting";

#[test]
fn a_signed_webhook_arrives_at_the_customer_in_an_envelope() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        world.connect(LINEAR, "c1", json!({"organizationId": "org-1"}), json!({})).await;
        let body = r#"{"type":"Issue","organizationId":"org-1","b":{"z":1,"a":[1.50]}}"#;
        let request = world.post(LINEAR, body).header("content-type", "application/json; charset=utf-8");
        let request = request.header("linear-signature", &hmac_hex(HOOK_SECRET, body));
        let request = request.header("x-extra", "1").header("cookie", "a=b").header("user-agent", "Linear");
        let reply = request.send().await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"status": "success"})));
        assert_eq!(reply.header("x-ratelimit-limit"), Some("4000"));
        assert_eq!(reply.header("x-ratelimit-remaining"), Some("3999"));

        let envelope = json!({"connectionId": "c1", "from": LINEAR, "providerConfigKey": LINEAR, "type": "forward",
            "payload": {"type": "Issue", "organizationId": "org-1", "b": {"z": 1, "a": [1.5]}}});
        let expected = Forwarded {
            connection_id: Some("c1".to_owned()),
            event: Some("Issue".to_owned()),
            body: envelope,
        };
        assert_eq!(world.forwarded().await, [expected]);
        let is_forward = |text: &str| text.contains("\"forward\"");
        let arrived = async {
            loop {
                if let Some(seen) = world.receiver.seen().into_iter().find(|seen| is_forward(&seen.text())) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("it arrives");
        assert_eq!(arrived.header("x-extra"), Some("1"));
        assert!(
            arrived.header("linear-signature").is_some() && arrived.header("x-nango-hmac-sha256").is_some()
        );
        assert_eq!(arrived.header("cookie"), None);
        assert!(!arrived.header("user-agent").unwrap_or_default().contains("Linear"));
    });
}

#[test]
fn nobody_known_means_the_bare_payload_and_a_switch_ends_forwarding() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        let send = |body: &'static str| {
            let request = world.post(LINEAR, body).header("linear-signature", &hmac_hex(HOOK_SECRET, body));
            accepted(request)
        };
        send(r#"{"type":"Issue","organizationId":"org-9"}"#).await;
        let bare = json!({"type": "Issue", "organizationId": "org-9"});
        assert_eq!(world.forwarded().await[0].body, bare);
        assert_eq!(world.receivers().await, [None]);
        world.change(LINEAR, json!({"forward_webhooks": false})).await;
        send(r#"{"type":"Issue","organizationId":"org-8"}"#).await;
        assert_eq!(world.receivers().await.len(), 1);
    });
}

#[test]
fn every_spelling_of_the_address_is_understood() {
    run(async {
        let world = World::start(&[], json!({})).await;
        world.integrate("slack", "my slack@1").await;
        let (uuid, body) =
            (world.path.replace("/webhook/", ""), r#"{"type":"url_verification","challenge":"c"}"#);
        for path in [
            format!("/webhook/{uuid}/my%20slack@1"),
            format!("/Webhook/{}/my%20slack%401/", uuid.to_uppercase()),
            format!("/WEBHOOK/{uuid}/my%20slack%401?any=thing&x[y]=z"),
        ] {
            let time = world.app.now().timestamp();
            let signature = hmac_hex(HOOK_SECRET, &format!("v0:{time}:{body}"));
            let request = world.app.anonymous().ask("POST", path).bytes(body);
            let request = request.header("x-slack-signature", &format!("v0={signature}"));
            let reply = request.header("x-slack-request-timestamp", &time.to_string()).send().await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "c".to_owned()));
            assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        }
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let reply = world.app.anonymous().ask(method, format!("/webhook/{uuid}/x")).send().await;
            assert_eq!(reply.status, 404, "{method}");
        }
    });
}

#[test]
fn a_delivery_is_accepted_once() {
    run(async {
        let world = World::start(&[LINEAR, "slackWebhookRouting"], json!({})).await;
        let body = r#"{"type":"Issue","organizationId":"o"}"#;
        let send = |id: &str| {
            let request = world.post(LINEAR, body).header("linear-signature", &hmac_hex(HOOK_SECRET, body));
            accepted(request.header("linear-delivery", id))
        };
        assert_eq!(send("d1").await["status"], "success");
        assert_eq!(send("d1").await["status"], "duplicate");
        assert_eq!(send("d2").await["status"], "success");
        assert_eq!(world.receivers().await.len(), 2);
        // A forger cannot use up an id.
        let forged =
            world.post(LINEAR, "{}").header("linear-signature", "00").header("linear-delivery", "d3");
        assert_eq!(refused(forged).await, is(401, "webhook_invalid_signature"));
        assert_eq!(send("d3").await["status"], "success");
        world.app.advance(chrono::TimeDelta::days(3));
        assert_eq!(send("d1").await["status"], "success", "forgotten after three days");

        // Without an id, the signature tells deliveries apart as soon as it covers the time.
        let time = world.app.now().timestamp();
        let body = r#"{"type":"event_callback","team_id":"T1"}"#;
        let signature = format!("v0={}", hmac_hex(HOOK_SECRET, &format!("v0:{time}:{body}")));
        for expected in ["success", "duplicate"] {
            let request = world.post("slackWebhookRouting", body).header("x-slack-signature", &signature);
            let request = request.header("x-slack-request-timestamp", &time.to_string());
            assert_eq!(accepted(request).await["status"], expected);
        }
        let integration = hitchpost::integrations::find(&world.app.app, world.app.environment_id, LINEAR)
            .await
            .unwrap()
            .unwrap();
        let hash = hitchpost::crypto::sha256(b"d4");
        let (db, now) = (&world.app.app.db, world.app.now());
        let until = now + chrono::TimeDelta::minutes(1);
        db::seen_webhooks::claim(db, integration.row.id, &hash, until, now).await.unwrap();
        let body = r#"{"type":"Issue","organizationId":"o"}"#;
        let again = || {
            let request = world.post(LINEAR, body).header("linear-signature", &hmac_hex(HOOK_SECRET, body));
            request.header("linear-delivery", "d4")
        };
        assert_eq!(refused(again()).await, is(409, "webhook_in_progress"));
        world.app.advance(chrono::TimeDelta::minutes(1));
        assert_eq!(accepted(again()).await["status"], "success", "whoever claimed it is gone");
    });
}

#[test]
fn the_raw_bytes_are_what_is_signed() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        world.connect(LINEAR, "c1", json!({"organizationId": "5"}), json!({})).await;
        // Not what any serializer would write, and a number where the connection has a text.
        for (content_type, body) in [
            ("application/json", "{ \"organizationId\" :5,\t\"type\":\"a\\u002fb\"  }\r\n"),
            ("application/vnd.linear+json", "{\"organizationId\":\"5\"}"),
            ("text/plain", "{\"organizationId\":\"5\" }"),
            ("application/x-www-form-urlencoded", "organizationId=5&x[y]=%20+"),
        ] {
            let request = world.post(LINEAR, body).header("content-type", content_type);
            accepted(request.header("linear-signature", &hmac_hex(HOOK_SECRET, body))).await;
        }
        assert_eq!(world.receivers().await, vec![Some("c1".to_owned()); 4]);
        assert_eq!(
            world.forwarded().await[3].body["payload"],
            json!({"organizationId": "5", "x": {"y": "  "}})
        );
        let body = b"\xff\xfe plain";
        let signature = hex::encode(hitchpost::crypto::hmac_sha256(HOOK_SECRET.as_bytes(), body));
        accepted(world.post(LINEAR, body.to_vec()).header("linear-signature", &signature)).await;
        assert_eq!(world.forwarded().await[4].body, json!("\u{fffd}\u{fffd} plain"));
    });
}

#[test]
fn what_the_catalog_does_not_describe_is_passed_on_only_when_wanted() {
    run(async {
        let world = World::start(&[], json!({"quiet": entry(json!({}))})).await;
        world.integrate("quiet", "quiet").await;
        world.connect("quiet", "c1", json!({}), json!({})).await;
        let address = |client: crate::support::Client| async move {
            client.get("/integrations/quiet?include=webhook").expect(200).await["data"].clone()
        };
        let shown = address(world.app.client()).await;
        assert_eq!((&shown["webhook_url"], shown.get("accept_unverified_webhooks")), (&Value::Null, None));
        let reply = world.post("quiet", "{}").send().await;
        assert_eq!((reply.status.as_u16(), reply.text()), (204, String::new()));
        assert!(world.receivers().await.is_empty());

        world.change("quiet", json!({"accept_unverified_webhooks": true})).await;
        let shown = address(world.app.client()).await;
        assert_eq!(shown["accept_unverified_webhooks"], true);
        assert_eq!(shown["webhook_url"], format!("{}{}/quiet", world.app.url(), world.path));
        for query in ["", "?connection_id=c1", "?nangoConnectionId=c1", "?connection_id=nobody"] {
            accepted(world.post(&format!("quiet{query}"), "{\"a\":1}")).await;
        }
        let c1 = Some("c1".to_owned());
        assert_eq!(world.receivers().await, [None, c1.clone(), c1, None]);
        assert_eq!(world.forwarded().await[0].body, json!({"a": 1}));
    });
}

#[test]
fn what_nobody_can_verify_is_accepted_only_when_wanted() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        let body = r#"{"organizationId":"o"}"#;
        let signed = || world.post(LINEAR, body).header("linear-signature", &hmac_hex("another", body));
        let unsigned = || world.post(LINEAR, body);
        assert_eq!(refused(unsigned()).await, is(401, "webhook_missing_signature"));
        assert_eq!(refused(signed()).await, is(401, "webhook_invalid_signature"));
        world.forget_secret(LINEAR).await;
        assert_eq!(refused(unsigned()).await, is(401, "webhook_invalid_secret"));
        assert_eq!(refused(signed()).await, is(401, "webhook_invalid_secret"));
        assert!(world.receivers().await.is_empty());

        world.change(LINEAR, json!({"accept_unverified_webhooks": true})).await;
        accepted(signed()).await;
        world.integrate(LINEAR, "second").await;
        world.change("second", json!({"accept_unverified_webhooks": true})).await;
        accepted(world.post("second", body)).await;
        // A wrong signature is worse than none.
        let wrong = world.post("second", body).header("linear-signature", "00");
        assert_eq!(refused(wrong).await, is(401, "webhook_invalid_signature"));
        assert_eq!(world.receivers().await.len(), 2);
    });
}

#[test]
fn each_webhook_is_an_operation_without_secrets() {
    run(async {
        let world = World::start(&[LINEAR], json!({})).await;
        world.connect(LINEAR, "c1", json!({"organizationId": "org-1"}), json!({})).await;
        let body = r#"{"type":"Issue","organizationId":"org-1","token":"in-the-body"}"#;
        let send = |key: &str, id: &str| {
            let request = world.post(LINEAR, body).header("linear-signature", &hmac_hex(key, body));
            request.header("linear-delivery", id).send()
        };
        send(HOOK_SECRET, "d1").await;
        send(HOOK_SECRET, "d1").await;
        send("nobody's", "d2").await;
        world.app.app.logs.flush(&world.app.app.db).await;
        let operations: Vec<(String, Value)> = sqlx::query_as(
            "SELECT state, data FROM log_operations WHERE environment_id = $1 AND kind = 'webhook:incoming' ORDER BY state DESC",
        )
        .bind(world.app.environment_id.0)
        .fetch_all(&world.app.app.db)
        .await
        .expect("the operations");
        let states: Vec<&str> = operations.iter().map(|(state, _)| state.as_str()).collect();
        assert_eq!(states, ["success", "success", "failed"]);
        assert!(operations.iter().all(|(_, data)| data["integrationName"] == LINEAR));
        assert_eq!(operations[2].1["error"]["name"], "webhook_invalid_signature");
        let messages: Vec<Value> = sqlx::query_scalar(
            "SELECT m.body FROM log_messages m JOIN log_operations o ON o.id = m.operation_id
             WHERE o.environment_id = $1 AND o.kind = 'webhook:incoming' ORDER BY m.seq",
        )
        .bind(world.app.environment_id.0)
        .fetch_all(&world.app.app.db)
        .await
        .expect("the messages");
        let texts: Vec<&str> = messages.iter().filter_map(|message| message["message"].as_str()).collect();
        let refusal = "The signature does not fit, or is of another time.";
        assert_eq!(texts, ["Passed on for a connection", "The delivery was seen before", refusal]);
        assert_eq!(messages[0]["meta"], json!({"event": "Issue", "connections": ["c1"]}));
        let all = format!("{operations:?}{messages:?}");
        for secret in [HOOK_SECRET, CLIENT_SECRET, "in-the-body", &hmac_hex(HOOK_SECRET, body)] {
            assert!(!all.contains(secret), "{secret}");
        }
    });
}
