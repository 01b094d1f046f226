//! `/connect/telemetry` and `/cli/telemetry`.

use chrono::TimeDelta;
use hitchpost::time_format::format_millis_z;
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::catalog::issue_lines;
use crate::support::{Case, TestApp, check, run};

const PATH: &str = "/connect/telemetry";

/// The token of a new session.
async fn token(app: &TestApp) -> String {
    let reply = app.client().post("/connect/sessions", json!({"tags": {}})).expect(201).await;
    reply["data"]["token"].as_str().expect("a token").to_owned()
}

#[test]
fn events_of_connect_ui_are_taken() {
    run(async {
        let app = TestApp::with_providers().await;
        let token = token(&app).await;
        for (event, offset, dimensions) in [
            ("open", TimeDelta::zero(), json!({})),
            ("click:integration", TimeDelta::hours(2), json!({"integration": "acme-prod"})),
            ("popup:closed_early", TimeDelta::hours(-2), json!({})),
        ] {
            let body = json!({"token": token, "event": event, "dimensions": dimensions,
                "timestamp": format_millis_z(app.now() + offset)});
            let reply = app.anonymous().post(PATH, body).send().await;
            assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0), "{event}");
        }
        let millis = json!({"token": token, "event": "view:list", "timestamp": app.now().timestamp_millis()});
        app.anonymous().post(PATH, millis).expect(204).await;
    });
}

#[test]
fn events_of_connect_ui_are_refused() {
    run(async {
        let app = TestApp::with_providers().await;
        let (nobody, token) = (app.anonymous(), token(&app).await);
        let unknown = format!("nango_connect_session_{}", "0".repeat(64));
        let post = |body: Value| nobody.post(PATH, body);
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no body", nobody.ask("POST", PATH), 401, "missing_auth_header"),
            case("no token", post(json!({"event": "open"})), 401, "missing_auth_header"),
            case("a list", post(json!([])), 401, "missing_auth_header"),
            case("token in the header only", app.client().post(PATH, json!({})), 401, "missing_auth_header"),
            case("wrong form", post(json!({"token": "x"})), 401, "invalid_connect_session_token_format"),
            case("unknown token", post(json!({"token": unknown})), 401, "unknown_connect_session_token"),
            case(
                "wrong content type",
                nobody.ask("POST", PATH).header("content-type", "text/plain").bytes("{}"),
                415,
                "invalid_content_type",
            ),
            case(
                "a parameter",
                nobody.post(format!("{PATH}?a=b"), json!({"token": token})),
                400,
                "invalid_query_params",
            ),
            case("other method", nobody.get(PATH), 404, "not_found"),
        ])
        .await;
        let time = |hours, seconds| {
            format_millis_z(app.now() + TimeDelta::hours(hours) + TimeDelta::seconds(seconds))
        };
        let cases = [
            (json!({}), vec!["invalid_value event", "invalid_type timestamp"]),
            (
                json!({"event": "opened", "timestamp": "soon"}),
                vec!["invalid_value event", "invalid_type timestamp"],
            ),
            (json!({"event": "open", "timestamp": time(2, 1)}), vec!["custom timestamp"]),
            (json!({"event": "open", "timestamp": time(-2, -1)}), vec!["custom timestamp"]),
            (
                json!({"event": "open", "timestamp": time(0, 0), "dimensions": {"integration": "a/b", "x": 1}, "y": 1}),
                vec![
                    "invalid_format dimensions.integration",
                    "unrecognized_keys dimensions",
                    "unrecognized_keys",
                ],
            ),
        ];
        for (mut body, expected) in cases {
            body["token"] = json!(token);
            assert_eq!(issue_lines(&post(body.clone()).expect(400).await), expected, "{body}");
        }
    });
}

#[test]
fn only_connect_ui_may_read_the_answers_to_its_events() {
    run(async {
        let settings =
            TestSettings::default().set("NANGO_PUBLIC_CONNECT_URL", "https://connect.example.com/ui");
        let app = settings.start().await;
        let preflight = app.anonymous().ask("OPTIONS", "/Connect/telemetry/").send().await;
        assert_eq!(preflight.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", "https://connect.example.com"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "Authorization, Content-type"),
            ("access-control-expose-headers", "content-type"),
            ("access-control-max-age", "36000"),
        ] {
            assert_eq!(preflight.header(name), Some(value), "{name}");
        }
        let refused = app.anonymous().post(PATH, json!({})).send().await;
        assert_eq!(refused.header("access-control-allow-origin"), Some("https://connect.example.com"));
        assert_eq!(refused.header("access-control-allow-credentials"), Some("true"));
        let elsewhere = app.anonymous().get("/connections").send().await;
        assert_eq!(elsewhere.header("access-control-allow-credentials"), None);
    });
}

#[test]
fn reports_of_the_cli_cost_ten_points_of_the_address() {
    run(async {
        let app = TestSettings::default().set("DEFAULT_RATE_LIMIT_PER_MIN", "25").start().await;
        let report =
            || app.anonymous().post("/cli/telemetry", json!({"deviceId": "x", "event": "y", "more": 1}));
        let first = report().send().await;
        assert_eq!((first.status.as_u16(), first.header("x-ratelimit-remaining")), (204, Some("15")));
        let list = app.anonymous().post("/cli/telemetry", json!([])).send().await;
        assert_eq!((list.status.as_u16(), list.code()), (400, "invalid_body".to_owned()));
        let blocked = report().send().await;
        assert_eq!((blocked.status.as_u16(), blocked.code()), (429, "too_many_request".to_owned()));
        let catalog = app.anonymous().get("/providers.json").send().await;
        assert_eq!(catalog.status, 429, "the same window");
    });
}
