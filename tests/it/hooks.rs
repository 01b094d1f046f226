//! Hooks around a connection: those of the published catalog, each against providers that check what they are sent, and what
//! they may and may not do to the connection.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hitchpost::auth::Credentials;
use hitchpost::connections::open_config;
use hitchpost::db::{ConnectionRowId, connections as rows};
use hitchpost::hooks::look_for_due;
use hitchpost::integrations::{self, OpenIntegration};
use hitchpost::proxy::{VerificationFailure, verify_credentials};
use hitchpost::time_format::format_millis_z;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::support::app::TestSettings;
use crate::support::internet::{Internet, Sent};
use crate::support::target::{
    Target, World, WorldPlan, answer, insert_connection, insert_integration, ok_json,
};
use crate::support::{TestApp, run};

const BASE: &str = "http://api.test/base";

/// What is sent and what is answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Call {
    /// Method and address.
    request: String,
    headers: IndexMap<String, Option<String>>,
    body: Option<Value>,
    form: Option<IndexMap<String, String>>,
    status: Option<u16>,
    answer: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct After {
    script: String,
    entry: Option<String>,
    what: String,
    credentials: Value,
    config: Map<String, Value>,
    calls: Vec<Call>,
    gains: Map<String, Value>,
    loses: Vec<String>,
}

/// The rules of the embedded table over http, each as the keys of an entry.
fn rules() -> Vec<Value> {
    let text = include_str!("../../assets/provider_hooks.yaml").replace("https://", "http://");
    serde_saphyr::from_str(&text).expect("a readable table")
}

/// The rule for a script and an entry.
fn rule(script: &str, entry: Option<&str>) -> Value {
    let holds =
        |value: &Value, text: &str| value.as_array().is_some_and(|items| items.contains(&json!(text)));
    let fits = |rule: &Value| {
        let entries = &rule["entries"];
        holds(&rule["scripts"], script) && entry.map_or(entries.is_null(), |entry| holds(entries, entry))
    };
    rules().into_iter().find(fits).unwrap_or_else(|| panic!("no rule for {script} {entry:?}"))
}

/// A catalog entry with the keys of a rule.
fn entry(rule: &Value) -> Value {
    let mut proxy = json!({"base_url": BASE});
    if rule["verification"].is_object() {
        proxy["verification"] = rule["verification"].clone();
    }
    let mut entry = json!({"display_name": "Acme", "docs": "https://docs.test", "auth_mode": "OAUTH2",
        "authorization_url": "http://login.test/authorize", "token_url": "http://login.test/token", "proxy": proxy});
    for key in ["post_connection", "pre_deletion"] {
        if rule[key].is_array() {
            entry[key] = rule[key].clone();
        }
    }
    entry
}

/// A server whose catalog has these entries and which sees the internet of the test.
async fn start(entries: &IndexMap<String, Value>) -> (TestApp, Internet) {
    let internet = Internet::start().await;
    let app = TestSettings::default()
        .catalog(serde_json::to_string(entries).expect("JSON"))
        .set("HTTP_PROXY", format!("http://{}", internet.address))
        .start()
        .await;
    (app, internet)
}

/// `TOKEN{..}` is a token with these claims.
fn with_token(credentials: &Value) -> Value {
    if credentials.is_null() {
        return json!({"type": "OAUTH2", "access_token": "token-1", "refresh_token": "r/1"});
    }
    let mut credentials = credentials.clone();
    if let Some(claims) = credentials["access_token"].as_str().and_then(|token| token.strip_prefix("TOKEN")) {
        credentials["access_token"] = token(claims).into();
    }
    credentials
}

fn token(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn respond(status: u16, body: &str) -> Response {
    answer(status, &[("content-type", "application/json")], body.to_owned())
}

/// The config of a connection, its secrets opened.
async fn config(app: &TestApp, id: ConnectionRowId) -> Map<String, Value> {
    let found = rows::find_by_row(&app.app.db, app.environment_id, id).await.expect("the database answers");
    open_config(&app.app, &found.expect("it is there"))
}

fn check_sent(name: &str, call: &Call, sent: &Sent, bearer: Option<&str>) {
    assert_eq!(format!("{} {}", sent.method, sent.url), call.request, "{name}");
    let header = |name: &str| sent.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    for (header_name, expected) in &call.headers {
        assert_eq!(header(header_name), *expected, "{name}: {header_name}");
    }
    if !call.headers.contains_key("authorization") {
        assert_eq!(header("authorization"), bearer.map(|token| format!("Bearer {token}")), "{name}");
    }
    match (&call.body, &call.form) {
        (Some(Value::String(text)), _) => assert_eq!(sent.body, *text, "{name}"),
        (Some(body), _) => assert_eq!(sent.body, body.to_string(), "{name}"),
        (None, Some(form)) => {
            let sent: IndexMap<String, String> =
                form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect();
            assert_eq!(sent, *form, "{name}");
        }
        (None, None) => assert_eq!(sent.body, "", "{name}"),
    }
}

/// Every script of the table whose rule has this key, with the entry that it is for.
fn expressed(key: &str) -> BTreeSet<(String, Option<String>)> {
    let mut found = BTreeSet::new();
    for rule in rules().iter().filter(|rule| !rule[key].is_null()) {
        let texts =
            |key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap_or_default() };
        for script in texts("scripts") {
            let entries = texts("entries");
            found.extend(entries.iter().map(|entry| (script.clone(), Some(entry.clone()))));
            if entries.is_empty() {
                found.insert((script, None));
            }
        }
    }
    found
}

#[test]
fn every_hook_after_a_connection_asks_and_keeps_what_it_should() {
    run(async {
        let cases: Vec<After> =
            serde_saphyr::from_str(include_str!("hooks/after.yaml")).expect("readable cases");
        let tried: BTreeSet<_> = cases.iter().map(|case| (case.script.clone(), case.entry.clone())).collect();
        // That one is made during the sign-in: see apps_user.
        let mut expected = expressed("post_connection");
        expected.retain(|(script, _)| script != "githubAppOauthPostConnection");
        assert_eq!(tried, expected);
        let key = |case: &After| format!("{}-{}", case.script, case.entry.as_deref().unwrap_or("any"));
        let entries =
            cases.iter().map(|case| (key(case), entry(&rule(&case.script, case.entry.as_deref())))).collect();
        let (app, internet) = start(&entries).await;
        let mut opened: IndexMap<String, OpenIntegration> = IndexMap::new();
        for (number, case) in cases.iter().enumerate() {
            let key = key(case);
            if !opened.contains_key(&key) {
                opened.insert(key.clone(), insert_integration(&app, &key, None).await);
            }
            check_after(&app, &internet, &opened[&key], case, &format!("c{number}")).await;
        }
    });
}

async fn check_after(
    app: &TestApp,
    internet: &Internet,
    integration: &OpenIntegration,
    case: &After,
    id: &str,
) {
    let name = format!("{} {} {}", case.script, case.entry.as_deref().unwrap_or_default(), case.what);
    let calls = case.calls.clone();
    internet.take();
    internet.answer_as(move |sent| {
        let request = format!("{} {}", sent.method, sent.url);
        match calls.iter().find(|call| call.request == request) {
            Some(call) => respond(call.status.unwrap_or(200), &call.answer.to_string()),
            None => respond(418, "{}"),
        }
    });
    let credentials = with_token(&case.credentials);
    let bearer = Credentials::from_json(credentials.clone()).expect("credentials");
    let bearer = bearer.bearer_token().map(str::to_owned);
    let id = insert_connection(app, integration, id, credentials, case.config.clone().into()).await;
    app.hooks_settled(id).await;
    let sent = internet.take();
    let requests: Vec<String> = sent.iter().map(|sent| format!("{} {}", sent.method, sent.url)).collect();
    assert_eq!(sent.len(), case.calls.len(), "{name}: {requests:?}");
    for (call, sent) in case.calls.iter().zip(&sent) {
        check_sent(&name, call, sent, bearer.as_deref());
    }
    let mut expected = case.config.clone();
    expected.retain(|name, _| !case.loses.contains(name));
    expected.extend(case.gains.clone());
    let mut expected = Value::Object(expected);
    put_moments(&mut expected, app);
    assert_eq!(Value::Object(config(app, id).await), expected, "{name}");
}

/// `IN 60` is the moment a minute from now.
fn put_moments(value: &mut Value, app: &TestApp) {
    match value {
        Value::String(text) => {
            if let Some(seconds) = text.strip_prefix("IN ").and_then(|seconds| seconds.parse().ok()) {
                *text = format_millis_z(app.now() + TimeDelta::seconds(seconds));
            }
        }
        Value::Object(members) => members.values_mut().for_each(|member| put_moments(member, app)),
        _ => {}
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Verdict {
    status: Option<u16>,
    body: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Verification {
    script: String,
    credentials: Value,
    config: Map<String, Value>,
    request: String,
    headers: IndexMap<String, Option<String>>,
    body: Option<String>,
    form: Option<IndexMap<String, String>>,
    /// The scope of an AWS signature.
    signed: Option<String>,
    good: Vec<Verdict>,
    bad: Vec<Verdict>,
}

#[test]
fn every_verification_asks_what_it_should_and_understands_the_answer() {
    run(async {
        let cases: Vec<Verification> =
            serde_saphyr::from_str(include_str!("hooks/verification.yaml")).expect("readable cases");
        let tried: BTreeSet<_> = cases.iter().map(|case| (case.script.clone(), None)).collect();
        assert_eq!(tried, expressed("verification"));
        let entries =
            cases.iter().map(|case| (case.script.clone(), entry(&rule(&case.script, None)))).collect();
        let (app, internet) = start(&entries).await;
        for case in &cases {
            insert_integration(&app, &case.script, None).await;
            for (verdict, is_good) in
                case.good.iter().map(|verdict| (verdict, true)).chain(case.bad.iter().map(|bad| (bad, false)))
            {
                check_verification(&app, &internet, case, verdict, is_good).await;
            }
        }
    });
}

async fn check_verification(
    app: &TestApp,
    internet: &Internet,
    case: &Verification,
    verdict: &Verdict,
    is_good: bool,
) {
    let name = format!("{}: {} {}", case.script, verdict.status.unwrap_or(200), verdict.body);
    internet.take();
    let (status, body) = (verdict.status.unwrap_or(200), verdict.body.clone());
    internet.answer_as(move |_| respond(status, &body));
    let integration = integrations::find(&app.app, app.environment_id, &case.script).await;
    let integration = integration.expect("readable").expect("there");
    let typed = json!({"type": "BASIC", "username": "user-1", "password": "pass\"1"});
    let credentials = if case.credentials.is_null() { typed } else { case.credentials.clone() };
    let credentials = Credentials::from_json(credentials).expect("credentials");
    let outcome = verify_credentials(&app.app, &integration, &credentials, &case.config).await;
    match is_good {
        true => assert_eq!(outcome, Ok(()), "{name}"),
        false => assert!(matches!(outcome, Err(VerificationFailure::Rejected { .. })), "{name}: {outcome:?}"),
    }
    let sent = internet.take();
    assert_eq!(sent.len(), 1, "{name}");
    let mut headers = case.headers.clone();
    let authorization = sent[0].headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    if let Some(scope) = &case.signed {
        let authorization = authorization.as_deref().expect("a signature");
        assert!(authorization.contains("Credential=user-1/"), "{authorization}");
        assert!(authorization.contains(&format!("/{scope}/aws4_request")), "{authorization}");
        assert!(sent[0].headers.contains_key("x-amz-date"));
    }
    headers.entry("authorization".to_owned()).or_insert(authorization);
    let body = case.body.clone().map(Value::String);
    let call =
        Call { request: case.request.clone(), headers, body, form: case.form.clone(), ..Call::default() };
    check_sent(&name, &call, &sent[0], None);
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Deletion {
    script: String,
    what: String,
    metadata: Value,
    /// None: nothing is asked.
    request: Option<String>,
    headers: IndexMap<String, Option<String>>,
    body: Option<String>,
}

#[test]
fn every_hook_before_a_deletion_asks_and_keeps_nothing_from_being_deleted() {
    run(async {
        let cases: Vec<Deletion> =
            serde_saphyr::from_str(include_str!("hooks/deletion.yaml")).expect("readable cases");
        let tried: BTreeSet<_> = cases.iter().map(|case| (case.script.clone(), None)).collect();
        assert_eq!(tried, expressed("pre_deletion"));
        let entries =
            cases.iter().map(|case| (case.script.clone(), entry(&rule(&case.script, None)))).collect();
        let (app, internet) = start(&entries).await;
        let mut opened: IndexMap<String, OpenIntegration> = IndexMap::new();
        for (number, case) in cases.iter().enumerate() {
            if !opened.contains_key(&case.script) {
                opened.insert(case.script.clone(), insert_integration(&app, &case.script, None).await);
            }
            for (status, id) in [(200, format!("a{number}")), (500, format!("b{number}"))] {
                insert_connection(&app, &opened[&case.script], &id, with_token(&Value::Null), json!({}))
                    .await;
                check_deletion(&app, &internet, case, &id, status).await;
            }
        }
    });
}

async fn check_deletion(app: &TestApp, internet: &Internet, case: &Deletion, id: &str, status: u16) {
    let name = format!("{} {} {status}", case.script, case.what);
    if !case.metadata.is_null() {
        let body =
            json!({"connection_id": id, "provider_config_key": case.script, "metadata": case.metadata});
        app.client().post("/connections/metadata", body).expect(201).await;
    }
    internet.take();
    internet.answer_as(move |_| respond(status, "{}"));
    let path = format!("/connections/{id}?provider_config_key={}", case.script);
    assert_eq!(app.client().delete(path.clone()).expect(200).await, json!({"success": true}), "{name}");
    app.client().get(path).expect(404).await;
    let sent = internet.take();
    assert_eq!(sent.len(), usize::from(case.request.is_some()), "{name}");
    let Some(request) = &case.request else { return };
    let body = case.body.clone().map(Value::String);
    let call = Call { request: request.clone(), headers: case.headers.clone(), body, ..Call::default() };
    check_sent(&name, &call, &sent[0], Some("token-1"));
}

/// An API-key provider with these steps after a connection.
async fn world(target: &Target, steps: Value) -> World {
    WorldPlan::new(target.url()).provider(json!({ "post_connection": steps })).build().await
}

fn asks_for_site() -> Value {
    json!([{"request": {"url": "/site"}, "set": {"site": {"path": "id"}, "region": {"path": "region"}}}])
}

#[test]
fn the_session_decides_before_the_hook_does() {
    run(async {
        let target = Target::start(|_| ok_json(r#"{"id": "s-1", "region": "eu"}"#)).await;
        let world = world(&target, asks_for_site()).await;
        let session = json!({"tags": {}, "integrations_config_defaults": {"acme": {"connection_config": {"site": "fixed"}}}});
        let reply = world.app.client().post("/connect/sessions", session).expect(201).await;
        let session = reply["data"]["token"].as_str().unwrap();
        let path = format!("/api-auth/api-key/acme?connect_session_token={session}");
        let made = world.app.anonymous().post(path, json!({"apiKey": "k"})).expect(200).await;
        let id = made["connectionId"].as_str().unwrap();
        let integration = integrations::find(&world.app.app, world.app.environment_id, "acme").await;
        let integration = integration.unwrap().unwrap();
        let row = rows::find(&world.app.app.db, world.app.environment_id, integration.row.id, id).await;
        let row = row.unwrap().unwrap().id;
        world.app.hooks_settled(row).await;
        assert_eq!(Value::Object(config(&world.app, row).await), json!({"site": "fixed", "region": "eu"}));
    });
}

#[test]
fn authorizing_again_asks_again_and_readers_see_it() {
    run(async {
        let target = Target::start(|seen| {
            let key = seen.header("x-api-key").unwrap_or_default();
            if key == "key-2" { ok_json(r#"{"id": "s-2"}"#) } else { ok_json(r#"{"id": "s-1"}"#) }
        })
        .await;
        let world = world(&target, asks_for_site()).await;
        world.app.hooks_settled(world.connection).await;
        let path = "/connections/c1?provider_config_key=acme";
        let shown = world.app.client().get(path).expect(200).await;
        assert_eq!(shown["connection_config"], json!({"site": "s-1"}));
        let integration = integrations::find(&world.app.app, world.app.environment_id, "acme").await;
        let credentials = json!({"type": "API_KEY", "apiKey": "key-2"});
        let again =
            insert_connection(&world.app, &integration.unwrap().unwrap(), "c1", credentials, json!({})).await;
        assert_eq!(again, world.connection);
        world.app.hooks_settled(again).await;
        let shown = world.app.client().get(path).expect(200).await;
        assert_eq!(shown["connection_config"], json!({"site": "s-2"}));
    });
}

#[test]
fn a_provider_in_trouble_is_asked_again_later_and_one_that_refuses_is_not() {
    run(async {
        let is_up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let state = is_up.clone();
        let target = Target::start(move |_| {
            let is_up = state.load(std::sync::atomic::Ordering::SeqCst);
            if is_up { ok_json(r#"{"id": "s-1"}"#) } else { answer(503, &[], "later") }
        })
        .await;
        let world = world(&target, asks_for_site()).await;
        world.app.hooks_settled(world.connection).await;
        assert_eq!(Value::Object(config(&world.app, world.connection).await), json!({}));
        is_up.store(true, std::sync::atomic::Ordering::SeqCst);
        look_for_due(&world.app.app).await;
        assert_eq!(target.seen().len(), 1, "not before the pause is over");
        world.app.advance(TimeDelta::seconds(31));
        look_for_due(&world.app.app).await;
        for _ in 0..250 {
            if config(&world.app, world.connection).await.contains_key("site") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(config(&world.app, world.connection).await["site"], "s-1");

        let refusing = Target::start(|_| answer(403, &[], "no")).await;
        let world = self::world(&refusing, asks_for_site()).await;
        world.app.hooks_settled(world.connection).await;
        let left = sqlx::query("SELECT 1 FROM post_connection_runs WHERE connection_row_id = $1");
        let left = left.bind(world.connection.0).fetch_optional(&world.app.app.db).await.unwrap();
        assert!(left.is_none());
        // The connection works all the same.
        assert_eq!(world.get("/x").send().await.status, 403);
    });
}

#[test]
fn values_stay_in_their_place_and_out_of_the_base() {
    run(async {
        let target = Target::recording().await;
        let steps = json!([
            {"request": {"url": "/things/${connectionConfig.odd}?q=${connectionConfig.odd}"}},
            {"request": {"url": "/up/${connectionConfig.up}/x"}},
            {"request": {"url": "/missing/${connectionConfig.none}"}},
            {"set": {"copied": {"value": "${connectionConfig.up}!"}}, "source": "config",
             "set_metadata": {"seen": {"path": "odd"}}},
        ]);
        let world = WorldPlan::new(format!("{}/v1", target.url()))
            .provider(json!({ "post_connection": steps }))
            .config(json!({"odd": "a/b?c#d&e", "up": ".."}))
            .build()
            .await;
        world.app.hooks_settled(world.connection).await;
        let seen: Vec<String> = target.seen().into_iter().map(|seen| seen.target).collect();
        let odd = "a%2Fb%3Fc%23d%26e";
        assert_eq!(seen, [format!("/v1/things/{odd}?q={odd}")]);
        assert_eq!(config(&world.app, world.connection).await["copied"], "..!");
        let shown = world.app.client().get("/connections/c1?provider_config_key=acme").expect(200).await;
        assert_eq!(shown["metadata"], json!({"seen": "a/b?c#d&e"}));
    });
}

#[test]
fn a_hook_cannot_reach_what_the_policy_closes() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url())
            .provider(json!({ "post_connection": asks_for_site() }))
            .set("NANGO_OUTBOUND_URL_POLICY", "{}")
            .build()
            .await;
        world.app.hooks_settled(world.connection).await;
        assert!(target.seen().is_empty());
    });
}
