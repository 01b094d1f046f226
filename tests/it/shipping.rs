//! Operation logs, traces and metrics on their way to other systems, which here enforce the protocols that they speak.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::response::Response;
use hitchpost::jobs;
use hitchpost::logs::{HttpExchange, Kind, LogError, NewOperation, Operation};
use http::{HeaderMap, Method};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::support::app::TestSettings;
use crate::support::catalog::ENTRIES;
use crate::support::target::{Seen, Target, answer};
use crate::support::{TestApp, run};

const SECRET: &str = "pl4nted-shipping-s3cret";
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until there is something.
async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An operation that failed after two exchanges, with secrets wherever one fits.
async fn failed_operation(app: &TestApp) -> String {
    let operation = app.app.logs.start(NewOperation::new(Kind::AuthRefreshToken, app.environment_id));
    operation.hide(SECRET);
    operation.about_connection(Some(7), "cust-42");
    operation.set("providerName", "acme");
    app.app.logs.flush(&app.app.db).await;
    for status in [503, 200] {
        exchange(app, &operation, status);
    }
    operation.info(&format!("the token is {SECRET}"));
    operation.fail(&LogError::new("invalid_grant", format!("Refused: {SECRET}")));
    app.app.logs.flush(&app.app.db).await;
    operation.id().to_owned()
}

fn exchange(app: &TestApp, operation: &Operation, status: u16) {
    let headers = HeaderMap::new();
    operation.http(&HttpExchange {
        method: &Method::POST,
        url: &format!("https://login.acme.example/token?secret={SECRET}"),
        request_headers: &headers,
        outcome: Ok((status, &headers)),
        ended_at: app.now(),
        duration_ms: 25,
        retry: None,
        meta: None,
    });
}

/// A cluster of Elasticsearch or OpenSearch, as far as the log uses one. What it is not asked correctly it refuses.
#[derive(Default)]
struct Cluster {
    is_open_search: bool,
    policies: Mutex<BTreeMap<String, Value>>,
    templates: Mutex<BTreeMap<String, Value>>,
    documents: Mutex<BTreeMap<(String, String), Value>>,
    bulks: AtomicUsize,
    problems: Mutex<Vec<String>>,
}

type Refusal = (u16, String);

impl Cluster {
    fn answer(&self, seen: &Seen) -> Response {
        let outcome = self.judge(seen);
        let (status, body) = match outcome {
            Ok(body) => (200, body),
            Err((status, problem)) => {
                let body = json!({"error": problem, "status": status});
                if ![404, 409, 503].contains(&status) {
                    self.problems.lock().unwrap().push(format!("{} {}: {problem}", seen.method, seen.target));
                }
                (status, body)
            }
        };
        answer(status, &[("content-type", "application/json")], body.to_string())
    }

    fn judge(&self, seen: &Seen) -> Result<Value, Refusal> {
        // log:p:w
        if seen.header("authorization") != Some("Basic bG9nOnA6dw==") {
            return Err((401, "who are you".into()));
        }
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let parts: Vec<&str> = path.trim_start_matches("/base/").split('/').collect();
        match (seen.method.as_str(), &parts[..]) {
            ("PUT", ["_ilm", "policy", name]) if !self.is_open_search => {
                let body = json_body(seen)?;
                if !body["policy"]["phases"]["delete"]["min_age"].is_string() {
                    return Err((400, "no age".into()));
                }
                self.policies.lock().unwrap().insert((*name).to_owned(), body);
                Ok(json!({"acknowledged": true}))
            }
            ("GET", ["_plugins", "_ism", "policies", name]) if self.is_open_search => {
                let policies = self.policies.lock().unwrap();
                policies
                    .contains_key(*name)
                    .then(|| json!({"_seq_no": 7, "_primary_term": 1}))
                    .ok_or((404, "no policy".into()))
            }
            ("PUT", ["_plugins", "_ism", "policies", name]) if self.is_open_search => {
                let body = json_body(seen)?;
                let mut policies = self.policies.lock().unwrap();
                if policies.contains_key(*name) && query != "if_seq_no=7&if_primary_term=1" {
                    return Err((409, "it exists".into()));
                }
                policies.insert((*name).to_owned(), body);
                Ok(json!({}))
            }
            ("PUT", ["_index_template", name]) => {
                let body = json_body(seen)?;
                let settings = &body["template"]["settings"]["index"];
                if self.is_open_search == settings.get("lifecycle.name").is_some() {
                    return Err((400, "unknown setting [index.lifecycle.name]".into()));
                }
                self.templates.lock().unwrap().insert((*name).to_owned(), body);
                Ok(json!({"acknowledged": true}))
            }
            ("POST", ["_bulk"]) => self.bulk(seen),
            _ => Err((400, "no handler found".into())),
        }
    }

    fn bulk(&self, seen: &Seen) -> Result<Value, Refusal> {
        if seen.header("content-type") != Some("application/x-ndjson") {
            return Err((406, "Content-Type header is not supported".into()));
        }
        let text = String::from_utf8(seen.body.clone()).map_err(|_| (400, "not UTF-8".to_owned()))?;
        if !text.ends_with('\n') {
            return Err((400, "The bulk request must be terminated by a newline [\\n]".into()));
        }
        // The first one comes while the cluster is busy.
        let number = self.bulks.fetch_add(1, Ordering::SeqCst);
        if number == 0 {
            return Err((503, "busy".into()));
        }
        let mut lines =
            text.lines().map(|line| serde_json::from_str::<Value>(line).map_err(|_| (400, line.to_owned())));
        let mut items = Vec::new();
        while let Some(action) = lines.next() {
            let action = action?;
            let (verb, target) = action
                .as_object()
                .and_then(|action| action.iter().next())
                .ok_or((400, "no action".into()))?;
            let source = lines.next().ok_or((400, "no source".to_owned()))??;
            // One entry is refused because the shard is busy.
            let status =
                if number == 1 && items.is_empty() { 429 } else { self.store(verb, target, &source)? };
            items.push(json!({verb: {"_index": target["_index"], "_id": target["_id"], "status": status}}));
        }
        let errors = items.iter().any(|item| item.to_string().contains("\"status\":4"));
        Ok(json!({"took": 1, "errors": errors, "items": items}))
    }

    fn store(&self, verb: &str, target: &Value, source: &Value) -> Result<u16, Refusal> {
        let (index, id) =
            (target["_index"].as_str().unwrap_or_default(), target["_id"].as_str().unwrap_or_default());
        let templates = self.templates.lock().unwrap();
        let fits = |template: &Value| {
            let pattern = template["index_patterns"][0].as_str().unwrap_or_default();
            index.starts_with(pattern.trim_end_matches('*'))
        };
        if id.is_empty() || !templates.values().any(fits) {
            return Err((400, format!("no template for {index}")));
        }
        let mut documents = self.documents.lock().unwrap();
        let key = (index.to_owned(), id.to_owned());
        match verb {
            "create" if documents.contains_key(&key) => Ok(409),
            "create" => {
                documents.insert(key, source.clone());
                Ok(201)
            }
            "update" if source["doc_as_upsert"] == true && source["doc"].is_object() => {
                let document = documents.entry(key).or_insert_with(|| json!(Map::new()));
                let members = source["doc"].as_object().unwrap().clone();
                document.as_object_mut().unwrap().extend(members);
                Ok(200)
            }
            _ => Err((400, format!("Malformed action [{verb}]"))),
        }
    }

    fn of_operation(&self, id: &str) -> Option<(String, Value)> {
        let documents = self.documents.lock().unwrap();
        documents
            .iter()
            .find(|((_, key), _)| key == id)
            .map(|((index, _), document)| (index.clone(), document.clone()))
    }

    fn messages_of(&self, id: &str) -> Vec<Value> {
        let documents = self.documents.lock().unwrap();
        documents.values().filter(|document| document["parentId"] == id).cloned().collect()
    }
}

fn json_body(seen: &Seen) -> Result<Value, Refusal> {
    if seen.header("content-type") != Some("application/json") {
        return Err((406, "Content-Type header is not supported".into()));
    }
    serde_json::from_slice(&seen.body).map_err(|_| (400, "not JSON".into()))
}

async fn shipped_to(cluster: &Arc<Cluster>, provider: &str) -> (TestApp, Target, String) {
    let answering = Arc::clone(cluster);
    let target = Target::start(move |seen| answering.answer(seen)).await;
    let settings = TestSettings::default()
        .set("NANGO_LOGS_PROVIDER", provider)
        .set("NANGO_LOGS_ES_URL", format!("{}/base/", target.url()))
        .set("NANGO_LOGS_ES_USER", "log")
        .set("NANGO_LOGS_ES_PWD", "p:w")
        .set("NANGO_LOGS_ES_PREFIX", "acme")
        .set("NANGO_LOGS_ES_RETENTION_DAYS", "9")
        .set("NANGO_LOGS_ES_MAX_RETRIES", "3");
    let app = settings.start().await;
    let id = failed_operation(&app).await;
    (app, target, id)
}

#[test]
fn elasticsearch_gets_operations_and_messages() {
    run(async {
        let cluster = Arc::new(Cluster::default());
        let (app, target, id) = shipped_to(&cluster, "elasticsearch").await;
        let is_failed = |(_, document): &(String, Value)| document["state"] == "failed";
        let (index, document) =
            wait_for("the operation's arrival", || cluster.of_operation(&id).filter(is_failed)).await;
        assert_eq!(index, format!("acme_20250724_operations.{}", app.now().format("%Y-%m-%d")));
        assert_eq!(document["operation"], json!({"type": "auth", "action": "refresh_token"}));
        assert_eq!(
            (&document["connectionName"], &document["environmentName"]),
            (&json!("cust-42"), &json!(app.environment_name))
        );
        assert!(document["meta_search"].as_str().unwrap().contains("invalid_grant"));
        let messages = wait_for("the messages' arrival", || {
            Some(cluster.messages_of(&id)).filter(|messages| messages.len() == 4)
        })
        .await;
        let codes: Vec<&Value> =
            messages.iter().filter_map(|message| message["response"].get("code")).collect();
        assert_eq!(codes.len(), 2);
        let policies = cluster.policies.lock().unwrap().clone();
        assert_eq!(policies["acme_policy_retention"]["policy"]["phases"]["delete"]["min_age"], "9d");
        assert!(policies.contains_key("acme_policy_retention_operations"));
        let templates = cluster.templates.lock().unwrap().clone();
        let template = &templates["acme_20240528_messages"];
        assert_eq!(template["template"]["settings"]["index"]["lifecycle.name"], "acme_policy_retention");
        assert_eq!(template["template"]["mappings"]["dynamic"], false);
        assert!(template["template"]["aliases"].get("acme_20240528_messages").is_some());
        assert!(cluster.problems.lock().unwrap().is_empty(), "{:?}", cluster.problems);
        assert!(target.seen().iter().all(|seen| !seen.text().contains(SECRET)));
        assert_eq!(app.app.shipping.lost.load(Ordering::SeqCst), 0, "what was busy was sent again");
    });
}

#[test]
fn opensearch_keeps_its_policies_its_own_way() {
    run(async {
        let old = BTreeMap::from([("acme_policy_retention".to_owned(), json!({"policy": "of last year"}))]);
        let cluster = Cluster { is_open_search: true, policies: Mutex::new(old), ..Cluster::default() };
        let cluster = Arc::new(cluster);
        let (_app, _target, id) = shipped_to(&cluster, "opensearch").await;
        wait_for("the operation's arrival", || cluster.of_operation(&id)).await;
        let policies = cluster.policies.lock().unwrap().clone();
        assert_eq!(policies.len(), 2);
        let policy = &policies["acme_policy_retention"]["policy"];
        assert_eq!(
            policy["states"][0]["transitions"][0]["conditions"]["min_index_age"], "9d",
            "it is replaced"
        );
        assert_eq!(policy["ism_template"][0]["index_patterns"], json!(["acme_20240528_messages.*"]));
        assert!(cluster.problems.lock().unwrap().is_empty(), "{:?}", cluster.problems);
    });
}

/// Every span that a collector got.
fn spans(target: &Target) -> Vec<Span> {
    let requests = target.seen().into_iter().filter(|seen| seen.target.ends_with("/v1/traces"));
    let decoded = requests.map(|seen| {
        assert_eq!(seen.header("content-type"), Some("application/x-protobuf"));
        ExportTraceServiceRequest::decode(&seen.body[..]).expect("a request of the protocol")
    });
    decoded
        .flat_map(|request| request.resource_spans)
        .inspect(|resource| {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            assert!(attributes.iter().any(|one| one.key == "service.name" && text_of(one) == "hitchpost"));
        })
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect()
}

/// Every log record that a collector got.
fn log_records(target: &Target) -> Vec<LogRecord> {
    let requests = target.seen().into_iter().filter(|seen| seen.target.ends_with("/v1/logs"));
    let decoded = requests.map(|seen| {
        assert_eq!(seen.header("content-type"), Some("application/x-protobuf"));
        ExportLogsServiceRequest::decode(&seen.body[..]).expect("a request of the protocol")
    });
    let resources = decoded.flat_map(|request| request.resource_logs);
    resources.flat_map(|resource| resource.scope_logs).flat_map(|scope| scope.log_records).collect()
}

fn text_of(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.clone()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key == key).map(text_of)
}

#[test]
fn the_servers_collector_gets_traces_of_operations_and_exchanges() {
    run(async {
        let collector = Target::start(|_| answer(200, &[], "")).await;
        let settings = TestSettings::default()
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .set("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b");
        let app = settings.start().await;
        let id = failed_operation(&app).await;
        let all = wait_for("three spans", || Some(spans(&collector)).filter(|spans| spans.len() >= 3)).await;
        let of_operation: Vec<&Span> = all.iter().filter(|span| span.parent_span_id.is_empty()).collect();
        assert_eq!(of_operation.len(), 1);
        let root = of_operation[0];
        assert_eq!(root.name, "nango.auth.refresh_token");
        for (key, value) in [
            ("nango.operation.id", id.as_str()),
            ("nango.operation.type", "auth"),
            ("nango.operation.action", "refresh_token"),
            ("nango.operation.status", "failed"),
            ("nango.environment", &app.environment_name),
            ("nango.provider", "acme"),
            ("nango.connection", "cust-42"),
            ("nango.error.type", "invalid_grant"),
            ("nango.error.message", "Refused: REDACTED"),
        ] {
            assert_eq!(attribute(root, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!((root.status.as_ref().unwrap().code, root.trace_id.len(), root.span_id.len()), (2, 16, 8));
        assert!(root.start_time_unix_nano > 0 && root.end_time_unix_nano >= root.start_time_unix_nano);
        let children: Vec<&Span> = all.iter().filter(|span| span.parent_span_id == root.span_id).collect();
        assert_eq!(children.len(), 2);
        assert!(
            children
                .iter()
                .all(|child| child.trace_id == root.trace_id && child.name == "POST login.acme.example")
        );
        assert!(
            children
                .iter()
                .any(|child| attribute(child, "http.response.status_code").unwrap().contains("503"))
        );
        let request = collector.last();
        assert_eq!(request.header("x-tenant"), Some("a b"));
        assert!(collector.seen().iter().all(|seen| !seen.text().contains(SECRET)));
    });
}

#[test]
fn the_servers_collector_gets_the_messages_as_logs() {
    run(async {
        let collector = Target::start(|_| answer(200, &[], "")).await;
        let settings = TestSettings::default().set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
        let app = settings.start().await;
        let id = failed_operation(&app).await;
        let has_all = |records: &Vec<LogRecord>| records.len() >= 4;
        let records = wait_for("four records", || Some(log_records(&collector)).filter(has_all)).await;
        let said = |record: &LogRecord| match record.body.clone().and_then(|body| body.value) {
            Some(any_value::Value::StringValue(text)) => (text, record.severity_text.clone()),
            other => panic!("{other:?}"),
        };
        let all: Vec<(String, String)> = records.iter().map(said).collect();
        let expected = [
            ("POST https://login.acme.example/token?secret=REDACTED", "ERROR"),
            ("POST https://login.acme.example/token?secret=REDACTED", "INFO"),
            ("the token is REDACTED", "INFO"),
            ("Refused: REDACTED", "ERROR"),
        ];
        assert_eq!(all, expected.map(|(text, level)| (text.to_owned(), level.to_owned())));
        let spans = wait_for("the span", || {
            spans(&collector).into_iter().find(|span| span.parent_span_id.is_empty())
        });
        let span = spans.await;
        for record in &records {
            assert_eq!((&record.trace_id, &record.span_id), (&span.trace_id, &span.span_id));
            let operation = record.attributes.iter().find(|one| one.key == "nango.operation.id").map(text_of);
            assert_eq!(operation.as_deref(), Some(id.as_str()));
            assert!(record.time_unix_nano > 0 && record.severity_number > 0);
        }
        assert!(collector.seen().iter().all(|seen| !seen.text().contains(SECRET)));
    });
}

#[test]
fn a_collector_of_traces_only_is_not_told_the_rest_and_nothing_is_lost() {
    run(async {
        for (setting, asked) in [("otlp", 1), ("none", 0)] {
            let collector = Target::start(|seen| {
                let status = if seen.target == "/v1/traces" { 200 } else { 404 };
                answer(status, &[], "")
            })
            .await;
            let settings = TestSettings::default()
                .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
                .set("OTEL_LOGS_EXPORTER", setting);
            let app = settings.start().await;
            for count in [3, 6] {
                failed_operation(&app).await;
                let has_all = |spans: &Vec<Span>| spans.len() >= count;
                wait_for("the spans", || Some(spans(&collector)).filter(has_all)).await;
            }
            let of_logs = collector.seen().into_iter().filter(|seen| seen.target == "/v1/logs").count();
            assert!(of_logs <= asked, "{setting}: {of_logs}");
            assert_eq!(app.app.shipping.lost.load(Ordering::SeqCst), 0, "{setting}");
        }
    });
}

#[test]
fn what_was_logged_last_leaves_before_the_process_does() {
    run(async {
        let collector = Target::start(|_| answer(200, &[], "")).await;
        let cluster = Arc::new(Cluster { bulks: AtomicUsize::new(2), ..Cluster::default() });
        let answering = Arc::clone(&cluster);
        let elastic = Target::start(move |seen| answering.answer(seen)).await;
        let settings = TestSettings::default()
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .set("NANGO_LOGS_ES_URL", format!("{}/base/", elastic.url()))
            .set("NANGO_LOGS_ES_USER", "log")
            .set("NANGO_LOGS_ES_PWD", "p:w");
        let app = settings.start().await;
        app.app.lifecycle.stopping.cancel();
        let operation = app.app.logs.start(NewOperation::new(Kind::WebhookForward, app.environment_id));
        operation.succeed();
        jobs::flush(&app.app).await;
        hitchpost::shipping::finish(&app.app, PATIENCE).await;
        let named = |span: &Span| attribute(span, "nango.operation.id").as_deref() == Some(operation.id());
        assert!(spans(&collector).iter().any(named));
        assert_eq!(cluster.of_operation(operation.id()).unwrap().1["state"], "success");
    });
}

/// The test's environment names a collector; the answer is another process that knows it from its start.
async fn with_collector(app: &TestApp, endpoint: &str) -> TestApp {
    let path = format!("/api/v1/environments?env={}", app.environment_name);
    let headers = json!([{"name": "authorization", "value": "Bearer collector"}]);
    let patch = json!({"otlp_endpoint": endpoint, "otlp_headers": headers});
    app.account_client().await.patch(path, patch).expect(200).await;
    app.replica().await
}

/// Logs until the process has noticed the collector.
async fn log_until(app: &TestApp, is_done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < deadline, "nobody noticed the collector");
        failed_operation(app).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn an_environments_collector_gets_its_own_traces_only() {
    run(async {
        let collector = Target::start(|_| answer(200, &[], "")).await;
        let app = TestApp::start().await;
        let process = with_collector(&app, &format!("{}/otlp/", collector.url())).await;
        log_until(&process, || !spans(&collector).is_empty()).await;
        let requests = collector.seen();
        let request = requests.iter().find(|seen| seen.target == "/otlp/v1/traces").expect("a trace");
        assert_eq!(request.header("authorization"), Some("Bearer collector"));
        let stranger = TestApp::start().await;
        let operation =
            process.app.logs.start(NewOperation::new(Kind::WebhookForward, stranger.environment_id));
        operation.succeed();
        let foreign = operation.id().to_owned();
        log_until(&process, || spans(&collector).len() > 9).await;
        let named = |span: &Span| attribute(span, "nango.operation.id") == Some(foreign.clone());
        assert!(!spans(&collector).iter().any(named), "it belongs to another environment");
    });
}

#[test]
fn an_environments_collector_is_reached_under_the_outbound_policy() {
    run(async {
        let collector = Target::recording().await;
        // As it is unless somebody sets it: private networks and this machine are closed.
        let app = TestSettings::default().set("NANGO_OUTBOUND_URL_POLICY", "{}").start().await;
        let process = with_collector(&app, &collector.url()).await;
        log_until(&process, || process.app.shipping.lost.load(Ordering::SeqCst) > 0).await;
        assert!(collector.seen().is_empty());
    });
}

#[test]
fn a_dead_collector_slows_nothing() {
    run(async {
        // It takes connections and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let settings = TestSettings::default()
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.clone())
            .set("NANGO_LOGS_ES_URL", endpoint);
        let app = settings.start().await;
        let started = Instant::now();
        for _ in 0..100 {
            let operation = app.app.logs.start(NewOperation::new(Kind::WebhookForward, app.environment_id));
            operation.succeed();
            app.app.logs.flush(&app.app.db).await;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(app.app.shipping.lost.load(Ordering::SeqCst) > 0, "what waits is bounded");
        assert_eq!(app.app.logs.stats().operations, 100, "the database has them all");
    });
}

#[test]
fn metrics_are_sent_to_the_servers_collector() {
    run(async {
        let collector = Target::start(|_| answer(200, &[], "")).await;
        let settings = TestSettings::default()
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .set("OTEL_METRIC_EXPORT_INTERVAL", "200");
        let app = settings.start().await;
        app.client().get("/integrations").expect(200).await;
        let found = wait_for("the metrics' arrival", || {
            let requests = collector.seen().into_iter().filter(|seen| seen.target == "/v1/metrics");
            let mut metrics = requests
                .map(|seen| {
                    ExportMetricsServiceRequest::decode(&seen.body[..]).expect("a request of the protocol")
                })
                .flat_map(|request| request.resource_metrics)
                .flat_map(|resource| resource.scope_metrics)
                .flat_map(|scope| scope.metrics);
            metrics.find(|metric| metric.name == "hitchpost_http_request_duration_seconds")
        })
        .await;
        let Some(Data::Histogram(histogram)) = found.data else { panic!("a histogram") };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert!(point.attributes.iter().any(|one| one.key == "route" && text_of(one) == "/integrations"));
    });
}

#[test]
fn providers_are_told_of_traces_only_when_asked_to() {
    run(async {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (setting, is_told) in [("false", false), ("true", true)] {
            let target = Target::recording().await;
            let settings = TestSettings::default().set("HITCHPOST_PROXY_TRACE_HEADERS", setting);
            let app = settings.catalog(ENTRIES).start().await;
            let client = app.client();
            client.integration("plain-key", "k").await;
            let import = json!({"provider_config_key": "k", "connection_id": "c",
                "credentials": {"type": "API_KEY", "apiKey": "x"}});
            client.post("/connections", import).expect(201).await;
            let call = client.get("/proxy/x").header("provider-config-key", "k").header("connection-id", "c");
            let call = call.header("base-url-override", &target.url()).header("x-request-id", "req-1");
            call.header("traceparent", PARENT).header("tracestate", "a=1").send().await;
            let seen = target.last();
            for (name, value) in [("traceparent", PARENT), ("tracestate", "a=1"), ("x-request-id", "req-1")] {
                assert_eq!(seen.header(name), is_told.then_some(value), "{name} {setting}");
            }
        }
    });
}
