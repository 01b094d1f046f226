//! `/api/v1/logs/*`: filters, search, cursors, live tail, and who may read.

use std::collections::HashSet;

use hitchpost::logs::{Kind, LogError, NewOperation, Operation};
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::{Case, Client, TestApp, check, run};

struct World {
    app: TestApp,
    client: Client,
}

impl World {
    async fn start() -> World {
        let app = TestApp::start().await;
        let client = app.account_client().await;
        World { app, client }
    }

    fn path(&self, name: &str) -> String {
        format!("/api/v1/logs/{name}?env={}", self.app.environment_name)
    }

    async fn ask(&self, name: &str, body: Value) -> Value {
        self.app.app.logs.flush(&self.app.app.db).await;
        self.client.post(self.path(name), body).expect(200).await
    }

    fn start_operation(&self, kind: Kind, integration: &str, connection: &str) -> Operation {
        let new = NewOperation::new(kind, self.app.environment_id)
            .with("integrationName", integration)
            .with("connectionName", connection);
        self.app.app.logs.start(new)
    }

    /// Connection names of the operations that match.
    async fn found(&self, body: Value) -> Vec<String> {
        let answer = self.ask("operations", body).await;
        let names = answer["data"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            names.map(|operation| operation["connectionName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn operations_are_found_by_every_filter() {
    run(async {
        let world = World::start().await;
        let refresh = world.start_operation(Kind::AuthRefreshToken, "acme-desk", "c-1");
        refresh.info("The token endpoint at https://login.acme.example/v2 was asked.");
        refresh.fail(&LogError::new("invalid_grant", "Token has been revoked"));
        let call = world.start_operation(Kind::ProxyCall, "acme-desk", "c-2");
        call.succeed();
        let sync = world.start_operation(Kind::SyncRun, "it's odd", "c-3");
        sync.set("syncConfigName", "fetchTickets");
        sync.leave_open();
        let now = world.app.now();
        let period = |from: i64, to: i64| {
            let time =
                |offset| hitchpost::time_format::format_millis_z(now + chrono::TimeDelta::minutes(offset));
            json!({"from": time(from), "to": time(to)})
        };
        for (filter, expected) in [
            (json!({}), vec!["c-1", "c-2", "c-3"]),
            (
                json!({"states": ["all"], "types": ["all"], "integrations": ["all"]}),
                vec!["c-1", "c-2", "c-3"],
            ),
            (json!({"states": ["failed"]}), vec!["c-1"]),
            (json!({"states": ["failed", "running"]}), vec!["c-1", "c-3"]),
            (json!({"types": ["proxy"]}), vec!["c-2"]),
            (json!({"types": ["auth:refresh_token", "sync"]}), vec!["c-1", "c-3"]),
            (json!({"types": ["auth:create_connection"]}), vec![]),
            (json!({"integrations": ["acme-desk"]}), vec!["c-1", "c-2"]),
            (json!({"integrations": ["it's odd"], "states": ["running"]}), vec!["c-3"]),
            (json!({"connections": ["c-2", "c-3"]}), vec!["c-2", "c-3"]),
            (json!({"connections": ["c-"]}), vec![]),
            (json!({"syncs": ["fetchTickets"]}), vec!["c-3"]),
            (json!({"search": "REVOKED"}), vec!["c-1"]),
            (json!({"search": "login.acme v2"}), vec!["c-1"]),
            (json!({"search": "invalid_gr"}), vec!["c-1"]),
            (json!({"search": "nothing' & | !"}), vec![]),
            (json!({"search": "refresh", "states": ["success"]}), vec![]),
            (json!({"period": period(-5, 5)}), vec!["c-1", "c-2", "c-3"]),
            (json!({"period": period(-5, -1)}), vec![]),
        ] {
            assert_eq!(world.found(filter.clone()).await, expected, "{filter}");
        }
        let stranger = World { app: TestApp::start().await, client: world.client.clone() };
        assert_eq!(stranger.found(json!({})).await, Vec::<String>::new());
    });
}

#[test]
fn pages_follow_each_other_without_gaps_or_repeats() {
    run(async {
        let world = World::start().await;
        for index in 0..7 {
            world.start_operation(Kind::ActionRun, "acme", &format!("c-{index}")).succeed();
        }
        for filter in [json!({}), json!({"types": ["action"]})] {
            let (mut seen, mut cursor, mut sizes) = (HashSet::new(), Value::Null, Vec::new());
            loop {
                let mut body = filter.clone();
                body["limit"] = json!(3);
                body["cursor"] = cursor;
                let page = world.ask("operations", body).await;
                let rows = page["data"].as_array().unwrap();
                sizes.push(rows.len());
                assert_eq!(page["pagination"]["total"], 7);
                for row in rows {
                    assert!(seen.insert(row["id"].as_str().unwrap().to_owned()));
                }
                cursor = page["pagination"]["cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            assert_eq!((sizes, seen.len()), (vec![3, 3, 1], 7), "{filter}");
        }
    });
}

#[test]
fn one_operation_is_read_with_its_names() {
    run(async {
        let world = World::start().await;
        let operation = world.start_operation(Kind::AuthRefreshToken, "acme", "c-1");
        operation.succeed();
        world.ask("operations", json!({})).await;
        let path = format!("operations/{}", operation.id());
        let found = world.client.get(world.path(&path)).expect(200).await["data"].clone();
        for (member, expected) in [
            ("id", json!(operation.id())),
            ("operation", json!({"type": "auth", "action": "refresh_token"})),
            ("state", json!("success")),
            ("environmentId", json!(world.app.environment_id)),
            ("environmentName", json!(world.app.environment_name)),
            ("integrationName", json!("acme")),
            ("connectionName", json!("c-1")),
            ("source", json!("internal")),
            ("type", json!("operation")),
        ] {
            assert_eq!(found[member], expected, "{member}");
        }
        assert!(found["accountName"].is_string() && found["endedAt"].is_string(), "{found}");
    });
}

#[test]
fn messages_are_searched_paged_and_followed() {
    run(async {
        let world = World::start().await;
        let operation = world.start_operation(Kind::ActionRun, "acme", "c-1");
        let ask = async |more: Value| {
            let mut body = json!({"operationId": operation.id(), "limit": 2});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let page = world.ask("messages", body).await;
            let texts: Vec<String> = page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|message| message["message"].as_str().unwrap().to_owned())
                .collect();
            (texts, page["pagination"].clone())
        };
        for index in 1..=3 {
            operation.info(&format!("step {index}"));
        }
        operation.warn("slow");
        let (texts, first) = ask(json!({})).await;
        assert_eq!((texts, &first["total"]), (vec!["slow".into(), "step 3".into()], &json!(4)));
        let (texts, older) = ask(json!({"cursorAfter": first["cursorAfter"]})).await;
        assert_eq!(texts, ["step 2", "step 1"]);
        let (texts, last) = ask(json!({"cursorAfter": older["cursorAfter"]})).await;
        assert_eq!((texts.len(), &last["cursorAfter"]), (0, &Value::Null));

        // The live tail: three new messages in pages of two.
        let (texts, tail) = ask(json!({"cursorBefore": first["cursorBefore"]})).await;
        assert_eq!((texts.len(), &tail["cursorBefore"]), (0, &first["cursorBefore"]));
        for index in 4..=6 {
            operation.info(&format!("step {index}"));
        }
        let (texts, tail) = ask(json!({"cursorBefore": tail["cursorBefore"]})).await;
        assert_eq!((texts, &tail["cursorAfter"]), (vec!["step 5".into(), "step 4".into()], &Value::Null));
        let (texts, tail) = ask(json!({"cursorBefore": tail["cursorBefore"]})).await;
        assert_eq!(texts, ["step 6"]);
        assert_eq!(ask(json!({"cursorBefore": tail["cursorBefore"]})).await.0, Vec::<String>::new());

        assert_eq!(ask(json!({"search": "STEP 2"})).await.0, ["step 2"]);
        assert_eq!(ask(json!({"levels": ["warn"], "states": ["failed"]})).await.0, ["slow"]);
    });
}

#[test]
fn names_and_days_are_counted() {
    run(async {
        let world = World::start().await;
        for (integration, connection) in [("acme", "c-1"), ("acme", "c-2"), ("beta", "c-1")] {
            world.start_operation(Kind::ActionRun, integration, connection).succeed();
        }
        world.start_operation(Kind::ActionRun, "acme", "c-1").fail(&LogError::new("x", "y"));
        let keys = |answer: Value| answer["data"].clone();
        assert_eq!(
            keys(world.ask("filters", json!({"category": "integration"})).await),
            json!([{"key": "acme", "doc_count": 3}, {"key": "beta", "doc_count": 1}])
        );
        assert_eq!(
            keys(world.ask("filters", json!({"category": "connection", "search": "-2"})).await),
            json!([{"key": "c-2", "doc_count": 1}])
        );
        let days = world.ask("insights", json!({"type": "action"})).await["data"]["histogram"].clone();
        let days = days.as_array().unwrap();
        assert_eq!(days.len(), 15);
        assert_eq!(
            days.last().unwrap(),
            &json!({"key": world.app.now().date_naive().to_string(), "total": 4, "success": 3, "failure": 1,
                "cancelled": 0, "expired": 0, "running": 0})
        );
    });
}

#[test]
fn logs_are_refused() {
    run(async {
        let world = World::start().await;
        let other = TestApp::start().await;
        let key = world.app.client_with(&["logs:read"]).await;
        let weak = world.app.client_with(&["proxy"]).await;
        let operations = world.path("operations");
        let case = |name, request, status, code| Case { name, request, status, code };
        let post = |body: Value| world.client.post(world.path("operations"), body);
        let unknown = world.path("operations/1785578400123_a8Kd03Lz");
        check(vec![
            case("nobody", world.app.anonymous().post(&operations, json!({})), 401, "missing_auth_header"),
            case("a key without the scope", weak.post(&operations, json!({})), 403, "forbidden"),
            case(
                "a key of another environment",
                key.post(format!("/api/v1/logs/operations?env={}", other.environment_name), json!({})),
                404,
                "not_found",
            ),
            case(
                "no environment",
                world.client.post("/api/v1/logs/operations", json!({})),
                400,
                "invalid_query_params",
            ),
            case("a strange member", post(json!({"x": 1})), 400, "invalid_body"),
            case("a strange state", post(json!({"states": ["done"]})), 400, "invalid_body"),
            case("a strange pair", post(json!({"types": ["proxy:call"]})), 400, "invalid_body"),
            case("too many rows", post(json!({"limit": 501})), 400, "invalid_body"),
            case(
                "half a period",
                post(json!({"period": {"from": "2026-08-01T10:00:00.000Z"}})),
                400,
                "invalid_body",
            ),
            case("a strange cursor", post(json!({"cursor": "x"})), 400, "invalid_body"),
            case("a malformed id", world.client.get(world.path("operations/x")), 400, "invalid_uri_params"),
            case("an unknown id", world.client.get(unknown), 404, "not_found"),
            case(
                "messages of an unknown operation",
                world.client.post(world.path("messages"), json!({"operationId": "1785578400123_a8Kd03Lz"})),
                404,
                "not_found",
            ),
            case("no category", world.client.post(world.path("filters"), json!({})), 400, "invalid_body"),
            case("no type", world.client.post(world.path("insights"), json!({})), 400, "invalid_body"),
        ])
        .await;
        key.post(&operations, json!({})).expect(200).await;
    });
}

#[test]
fn logs_that_are_off_are_not_there() {
    run(async {
        let app = TestSettings::default().set("NANGO_LOGS_ENABLED", "false").start().await;
        let client = app.account_client().await;
        let path = format!("/api/v1/logs/operations?env={}", app.environment_name);
        check(vec![Case {
            name: "off",
            request: client.post(path, json!({})),
            status: 404,
            code: "feature_disabled",
        }])
        .await;
    });
}
