//! A customer's backend that takes webhooks, checks every signature, and answers as it is told.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::Response;
use hitchpost::crypto::{hmac_sha256, sha256};
use hitchpost::webhooks::outgoing;
use serde_json::{Value, json};

use super::TestApp;
use super::target::{Seen, Target, answer};

/// What a receiver says to the next webhooks, and to all after them.
#[derive(Default)]
struct Script {
    next: Vec<(u16, Vec<(&'static str, String)>)>,
    always: Option<u16>,
}

pub struct Receiver {
    target: Target,
    script: Arc<Mutex<Script>>,
}

impl Receiver {
    /// Takes everything.
    pub async fn start() -> Receiver {
        let script: Arc<Mutex<Script>> = Arc::default();
        let told = Arc::clone(&script);
        let target = Target::start(move |_| reply(&mut told.lock().unwrap())).await;
        Receiver { target, script }
    }

    /// Answers the next webhooks with these statuses, in this order.
    pub fn answer_next(&self, statuses: &[u16]) {
        self.script.lock().unwrap().next.extend(statuses.iter().map(|status| (*status, Vec::new())));
    }

    /// Answers the next webhook with a header too.
    pub fn answer_next_with(&self, status: u16, name: &'static str, value: impl Into<String>) {
        self.script.lock().unwrap().next.push((status, vec![(name, value.into())]));
    }

    /// Answers every webhook with this status from now on; `None` takes them again.
    pub fn always_answer(&self, status: Option<u16>) {
        self.script.lock().unwrap().always = status;
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.target.url())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.target.seen()
    }

    /// The bodies so far, the oldest first.
    pub fn bodies(&self) -> Vec<Value> {
        let parse = |seen: &Seen| serde_json::from_slice(&seen.body).expect("webhooks are JSON");
        self.seen().iter().map(parse).collect()
    }

    /// The last webhook's body.
    pub fn last(&self) -> Value {
        self.bodies().pop().expect("a webhook came")
    }
}

fn reply(script: &mut Script) -> Response<Body> {
    if !script.next.is_empty() {
        let (status, headers) = script.next.remove(0);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        return answer(status, &headers, format!("told to say {status}"));
    }
    answer(script.always.unwrap_or(200), &[], "")
}

/// Both signatures of a webhook are those of this key.
pub fn assert_signed(seen: &Seen, key: &str) {
    let plain = hex::encode(sha256(&[key.as_bytes(), &seen.body].concat()));
    assert_eq!(seen.header("x-nango-signature"), Some(plain.as_str()));
    let hmac = hex::encode(hmac_sha256(key.as_bytes(), &seen.body));
    assert_eq!(seen.header("x-nango-hmac-sha256"), Some(hmac.as_str()));
}

impl TestApp {
    /// Changes the webhook settings of the environment.
    pub async fn set_webhooks(&self, patch: Value) {
        let path = format!("/api/v1/environments/webhook?env={}", self.environment_name);
        self.account_client().await.patch(path, patch).expect(200).await;
    }

    /// Sends all webhooks to `url`.
    pub async fn send_webhooks_to(&self, url: &str) {
        self.set_webhooks(json!({ "primary_url": url })).await;
    }

    /// The key that webhooks are signed with.
    pub async fn webhook_signing_key(&self) -> String {
        let path = format!("/api/v1/environments/current?env={}", self.environment_name);
        let settings = self.account_client().await.get(path).expect(200).await;
        settings["data"]["webhook_signing_key"].as_str().expect("a key").to_owned()
    }

    /// Returns when everything that is due was sent and written down.
    pub async fn settle_webhooks(&self) {
        for _ in 0..6_000 {
            outgoing::deliver_due(&self.app, self.environment_id).await.expect("the database answers");
            // What the server's own task was claiming just then was skipped.
            let is_sending: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM webhook_queues q JOIN webhook_endpoints e ON e.id = q.endpoint_id
                 WHERE e.environment_id = $1 AND (q.lease_owner IS NOT NULL
                     OR (q.due_at <= $2 AND (e.paused_until IS NULL OR e.paused_until <= $2))))",
            )
            .bind(self.environment_id.0)
            .bind(self.now())
            .fetch_one(&self.app.db)
            .await
            .expect("the database answers");
            if !is_sending {
                return;
            }
            // It needs a moment of real time.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("webhooks of environment {} do not come to rest", self.environment_id.0);
    }
}
