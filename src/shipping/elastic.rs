//! Elasticsearch or OpenSearch: an index per day and kind, an alias over all days, retention by the cluster's own policy
//! (`spec` logs-and-observability, section 2.1). Operations are merged by id, because they are told in steps; messages are
//! created once, so that a repeated bulk request makes no second copy.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use super::delivery::{Courier, Undelivered};
use crate::app::SharedApp;
use crate::config::{ElasticConfig, SearchProduct};
use crate::logs::{Batch, MessageRecord, OperationRecord};

const JSON: &str = "application/json";
// Wire: the bulk API refuses anything else.
const LINES: &str = "application/x-ndjson";
/// Between attempts to set a cluster up that does not answer.
const SETUP_PAUSE: Duration = Duration::from_secs(5);

/// Sends every batch until nothing more is logged.
pub async fn ship(app: SharedApp, mut batches: mpsc::Receiver<Arc<Batch>>) {
    let Some(config) = &app.config.shipping.elastic else { return };
    let cluster = Cluster::new(&app, config);
    let mut is_set_up = false;
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = app.lifecycle.logged.cancelled() => batches.try_recv().ok(),
        };
        let Some(batch) = batch else { return };
        while !is_set_up {
            match cluster.set_up(app.config.logs.retention.num_days()).await {
                Ok(()) => is_set_up = true,
                Err(_) if app.lifecycle.stopping.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(error = %error, "the log indexes could not be prepared; trying again");
                    tokio::select! {
                        () = app.lifecycle.stopping.cancelled() => {}
                        () = tokio::time::sleep(SETUP_PAUSE) => {}
                    }
                }
            }
        }
        let count = batch.operations.len() + batch.messages.len();
        match cluster.store(&batch).await {
            Ok(0) => app.shipping.ship(count),
            Ok(refused) => {
                app.shipping.ship(count.saturating_sub(refused));
                app.shipping.lose(refused, "operation logs", "the index refused them");
            }
            Err(error) => app.shipping.lose(count, "operation logs", &error.to_string()),
        }
    }
}

/// What is logged into an index of its own.
#[derive(Clone, Copy)]
enum Log {
    Operations,
    Messages,
}

struct Cluster<'a> {
    config: &'a ElasticConfig,
    courier: Courier,
}

impl<'a> Cluster<'a> {
    fn new(app: &SharedApp, config: &'a ElasticConfig) -> Self {
        let courier = Courier {
            client: app.egress.operator.clone(),
            headers: credentials(config),
            timeout: config.timeout,
            retries: config.retries,
            stopping: app.lifecycle.stopping.clone(),
        };
        Cluster { config, courier }
    }

    /// Makes or renews policies and templates. Doing so again changes nothing.
    async fn set_up(&self, retention_days: i64) -> Result<(), Undelivered> {
        for log in [Log::Operations, Log::Messages] {
            match self.config.product {
                SearchProduct::Elasticsearch => self.put_lifecycle(log, retention_days).await?,
                SearchProduct::OpenSearch => self.put_state_policy(log, retention_days).await?,
            }
            let url = self.url(&["_index_template", self.alias(log)]);
            self.put(&url, &self.template(log)).await?;
        }
        Ok(())
    }

    async fn put_lifecycle(&self, log: Log, retention_days: i64) -> Result<(), Undelivered> {
        let delete = json!({"min_age": format!("{retention_days}d"), "actions": {"delete": {}}});
        let warm = json!({"min_age": self.config.warm_min_age, "actions": {"readonly": {}}});
        let phases = match log {
            // They are still changed by what ends late.
            Log::Operations => json!({"hot": {"actions": {}}, "delete": delete}),
            Log::Messages => json!({"hot": {"actions": {}}, "warm": warm, "delete": delete}),
        };
        let url = self.url(&["_ilm", "policy", &self.policy(log)]);
        self.put(&url, &json!({"policy": {"phases": phases}})).await.map(|_| ())
    }

    /// A policy that exists can only be replaced by somebody who says which version he saw.
    async fn put_state_policy(&self, log: Log, retention_days: i64) -> Result<(), Undelivered> {
        let policy = json!({"policy": {
            "description": "Deletes operation logs",
            "default_state": "hot",
            "ism_template": [{"index_patterns": [self.pattern(log)], "priority": 100}],
            "states": [
                {"name": "hot", "actions": [], "transitions":
                    [{"state_name": "delete", "conditions": {"min_index_age": format!("{retention_days}d")}}]},
                {"name": "delete", "actions": [{"delete": {}}], "transitions": []},
            ],
        }});
        let mut url = self.url(&["_plugins", "_ism", "policies", &self.policy(log)]);
        let found = self.courier.deliver(Method::GET, &url, JSON, Bytes::new(), &[404]).await?;
        let seen: Value = serde_json::from_slice(&found.body).unwrap_or_default();
        if let (Some(number), Some(term)) = (seen["_seq_no"].as_i64(), seen["_primary_term"].as_i64()) {
            url.set_query(Some(&format!("if_seq_no={number}&if_primary_term={term}")));
        }
        // Another replica may have been faster with the same policy.
        let body = Bytes::from(policy.to_string());
        self.courier.deliver(Method::PUT, &url, JSON, body, &[409]).await.map(|_| ())
    }

    async fn put(&self, url: &Url, body: &Value) -> Result<(), Undelivered> {
        let body = Bytes::from(body.to_string());
        self.courier.deliver(Method::PUT, url, JSON, body, &[]).await.map(|_| ())
    }

    fn template(&self, log: Log) -> Value {
        let mut settings = json!({
            "number_of_shards": self.shards(log),
            "sort.field": ["createdAt", "id"],
            "sort.order": ["desc", "desc"],
        });
        if self.config.product == SearchProduct::Elasticsearch {
            settings["lifecycle.name"] = self.policy(log).into();
        }
        let alias = self.alias(log);
        json!({
            "index_patterns": [self.pattern(log)],
            "priority": 500,
            "template": {
                "settings": {"index": settings},
                "mappings": {"dynamic": false, "properties": properties(log)},
                "aliases": {alias: {}},
            },
        })
    }

    /// Stores a batch; says how many entries the index refused for good.
    async fn store(&self, batch: &Batch) -> Result<usize, Undelivered> {
        let mut lines: Vec<String> =
            batch.operations.iter().map(|operation| self.operation(operation)).collect();
        let of_operations = batch.operations.iter().flat_map(|operation| &operation.messages);
        lines.extend(of_operations.chain(&batch.messages).map(|message| self.message(message)));
        let mut attempt = 0;
        loop {
            let answer = self.bulk(&lines).await?;
            let Outcome { refused, busy } = judge(&answer, &lines);
            if busy.is_empty() || attempt >= self.courier.retries {
                return Ok(refused + busy.len());
            }
            if refused > 0 {
                tracing::warn!(entries = refused, "the log index refused some entries");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            lines = busy;
            attempt += 1;
        }
    }

    async fn bulk(&self, lines: &[String]) -> Result<Value, Undelivered> {
        let url = self.url(&["_bulk"]);
        let answer =
            self.courier.deliver(Method::POST, &url, LINES, Bytes::from(lines.concat()), &[]).await?;
        serde_json::from_slice(&answer.body)
            .map_err(|_| Undelivered::NoAnswer("the answer to the bulk request is not JSON".into()))
    }

    /// Both lines of an operation: what is known of it is laid over what is stored.
    fn operation(&self, record: &OperationRecord) -> String {
        let mut shown = record.to_json();
        if let Value::Object(members) = &mut shown {
            // A later record that says nothing about a member leaves it as it is.
            members.retain(|_, value| !value.is_null() && *value != "");
            members.insert(
                "meta_search".to_owned(),
                search_text(&record.message, members.get("error"), None).into(),
            );
        }
        let index = self.index(Log::Operations, record.created_at);
        let action = json!({"update": {"_index": index, "_id": record.id, "retry_on_conflict": 3}});
        format!("{action}\n{}\n", json!({"doc": shown, "doc_as_upsert": true}))
    }

    fn message(&self, record: &MessageRecord) -> String {
        let mut shown = record.to_json();
        shown["meta_search"] =
            search_text(&record.message, record.error.as_ref(), record.response.as_ref()).into();
        let index = self.index(Log::Messages, record.created_at);
        format!("{}\n{shown}\n", json!({"create": {"_index": index, "_id": record.id}}))
    }

    fn alias(&self, log: Log) -> &str {
        match log {
            Log::Operations => &self.config.operations,
            Log::Messages => &self.config.messages,
        }
    }

    fn pattern(&self, log: Log) -> String {
        format!("{}.*", self.alias(log))
    }

    fn index(&self, log: Log, time: DateTime<Utc>) -> String {
        format!("{}.{}", self.alias(log), time.format("%Y-%m-%d"))
    }

    fn policy(&self, log: Log) -> String {
        let prefix = &self.config.policy_prefix;
        match log {
            Log::Operations => format!("{prefix}policy_retention_operations"),
            Log::Messages => format!("{prefix}policy_retention"),
        }
    }

    fn shards(&self, log: Log) -> u64 {
        match log {
            Log::Operations => self.config.operation_shards,
            Log::Messages => self.config.message_shards,
        }
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.config.url.clone();
        // Fails only for URLs without a host, which the settings refuse.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

fn credentials(config: &ElasticConfig) -> HeaderMap {
    use base64::Engine;
    let Some((user, password)) = &config.credentials else { return HeaderMap::new() };
    let pair = format!("{user}:{}", password.expose());
    let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let value = HeaderValue::from_str(&value).ok().map(|mut value| {
        value.set_sensitive(true);
        (header::AUTHORIZATION, value)
    });
    value.into_iter().collect()
}

/// Members that filters ask for; everything else is stored without being indexed.
fn properties(log: Log) -> Value {
    let (keyword, date, number) =
        (json!({"type": "keyword"}), json!({"type": "date"}), json!({"type": "long"}));
    let mut properties = json!({
        "id": keyword, "type": keyword, "source": keyword, "level": keyword, "accountId": number, "createdAt": date,
        "endedAt": date, "durationMs": number, "message": {"type": "text"}, "meta_search": {"type": "text"},
    });
    let own = match log {
        Log::Operations => json!({
            "state": keyword, "environmentId": number, "environmentName": keyword, "integrationId": number,
            "integrationName": keyword, "providerName": keyword, "connectionId": number, "connectionName": keyword,
            "syncConfigId": number, "syncConfigName": keyword, "updatedAt": date, "startedAt": date, "expiresAt": date,
            "operation": {"properties": {"type": keyword, "action": keyword}},
        }),
        Log::Messages => json!({"parentId": keyword, "context": keyword}),
    };
    if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
        all.extend(own);
    }
    properties
}

/// What the search looks at: message, error, and the status of an answer.
fn search_text(message: &str, error: Option<&Value>, response: Option<&Value>) -> String {
    let of_error = ["name", "message", "type"].into_iter().filter_map(|name| error?.get(name)?.as_str());
    let mut words: Vec<String> = std::iter::once(message).chain(of_error).map(str::to_owned).collect();
    words.extend(response.and_then(|response| response.get("code")).map(Value::to_string));
    words.join(" ")
}

struct Outcome {
    /// Refused for good.
    refused: usize,
    /// Worth sending again.
    busy: Vec<String>,
}

/// What became of each entry of a bulk request.
fn judge(answer: &Value, lines: &[String]) -> Outcome {
    let mut outcome = Outcome { refused: 0, busy: Vec::new() };
    if answer["errors"] == false {
        return outcome;
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (item, line) in items.iter().zip(lines) {
        let (action, result) = item.as_object().and_then(|item| item.iter().next()).unzip();
        let status = result.and_then(|result| result["status"].as_u64()).unwrap_or(500);
        // A message that is there already came with an earlier attempt.
        let is_repeated = status == 409 && action.is_some_and(|action| action == "create");
        match status {
            200..300 => {}
            _ if is_repeated => {}
            409 | 429 | 502..=504 => outcome.busy.push(line.clone()),
            _ => outcome.refused += 1,
        }
    }
    outcome
}
