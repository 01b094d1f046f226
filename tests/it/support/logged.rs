//! What was logged, as the routes of the dashboard show it.

use serde_json::{Value, json};

use super::TestApp;

/// An operation with its messages, the oldest first.
pub struct Logged {
    pub operation: Value,
    pub messages: Vec<Value>,
}

impl Logged {
    /// A member of the operation; empty when it is no text.
    pub fn text(&self, member: &str) -> &str {
        self.operation[member].as_str().unwrap_or_default()
    }

    /// What the messages say.
    pub fn texts(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message["message"].as_str().unwrap_or_default()).collect()
    }

    /// Methods and statuses of its exchanges.
    pub fn exchanges(&self) -> Vec<(String, Value)> {
        let http = self.messages.iter().filter(|message| message["type"] == "http");
        http.map(|message| {
            let method = message["request"]["method"].as_str().unwrap_or_default().to_owned();
            (method, message["response"]["code"].clone())
        })
        .collect()
    }
}

/// Every operation of the environment, the oldest first.
pub async fn logged(app: &TestApp) -> Vec<Logged> {
    let client = app.account_client().await;
    let path = |name: &str| format!("/api/v1/logs/{name}?env={}", app.environment_name);
    app.app.logs.flush(&app.app.db).await;
    let listed = client.post(path("operations"), json!({"limit": 500})).expect(200).await;
    let mut all = Vec::new();
    for operation in listed["data"].as_array().unwrap().iter().rev() {
        let body = json!({"operationId": operation["id"], "limit": 500});
        let page = client.post(path("messages"), body).expect(200).await;
        let messages = page["data"].as_array().unwrap().iter().rev().cloned().collect();
        all.push(Logged { operation: operation.clone(), messages });
    }
    all
}

/// Those of a type and action.
pub fn of_kind<'l>(all: &'l [Logged], kind: &str, action: &str) -> Vec<&'l Logged> {
    let wanted = json!({"type": kind, "action": action});
    all.iter().filter(|one| one.operation["operation"] == wanted).collect()
}
