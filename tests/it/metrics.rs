//! The numbers, and the ports of the operator's own.

use hitchpost::logs::{Kind, LogError, NewOperation};
use hitchpost::server;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::app::TestSettings;
use crate::support::target::Target;
use crate::support::{Client, TestApp, run};

const SECRET: &str = "pl4nted-in-a-metric";

/// A client of the operator's own port.
async fn admin_port(app: &TestApp) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve_admin(app.app.clone(), listener));
    Client::new(format!("http://{address}"), None).of_other_routes()
}

async fn metrics_port(app: &TestApp) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve_metrics(app.app.clone(), listener));
    Client::new(format!("http://{address}"), None).of_other_routes()
}

/// The value of the series that starts like this.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn everything_is_counted_and_nothing_secret_told() {
    run(async {
        let target = Target::recording().await;
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "k").await;
        let import = json!({"provider_config_key": "k", "connection_id": SECRET,
            "credentials": {"type": "API_KEY", "apiKey": SECRET}});
        client.post("/connections", import).expect(201).await;
        let call = |path: &str, base: &str| {
            client
                .get(format!("/proxy/{path}?key={SECRET}"))
                .header("provider-config-key", "k")
                .header("connection-id", SECRET)
                .header("base-url-override", base)
        };
        call("echo", &target.url()).send().await;
        call("echo", &target.url()).send().await;
        assert_eq!(call("echo", "http://127.0.0.1:1").send().await.status, 502);
        let session = client.post("/connect/sessions", json!({"tags": {}})).expect(201).await;
        let token = session["data"]["token"].as_str().unwrap();
        let path = format!("/api-auth/api-key/k?connect_session_token={token}");
        app.anonymous().post(&path, json!({"apiKey": SECRET})).expect(200).await;
        client.get(format!("/nowhere/{SECRET}")).send().await;
        hitchpost::jobs::clean_up(&app.app).await.unwrap();
        let scraper = metrics_port(&app).await;
        let reply = scraper.get("/metrics").send().await;
        assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        let text = reply.text();
        assert!(text.ends_with("# EOF\n"));
        for (series, expected) in [
            (r#"hitchpost_proxy_calls_total{provider="plain-key",integration="",result="success"}"#, 2.0),
            (r#"hitchpost_proxy_calls_total{provider="plain-key",integration="",result="failure"}"#, 1.0),
            (r#"hitchpost_proxy_call_duration_seconds_count{provider="plain-key"}"#, 3.0),
            (r#"hitchpost_http_request_duration_seconds_count{route="/proxy/*",status="2xx"}"#, 2.0),
            (r#"hitchpost_http_request_duration_seconds_count{route="/proxy/*",status="5xx"}"#, 1.0),
            (r#"hitchpost_http_request_duration_seconds_count{route="elsewhere",status="4xx"}"#, 1.0),
            (r#"hitchpost_http_request_duration_seconds_count{route="/connections",status="2xx"}"#, 1.0),
            (r#"hitchpost_authorizations_total{mode="API_KEY",result="success"}"#, 1.0),
        ] {
            assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
        }
        assert!(value(&text, "hitchpost_connections ").unwrap() >= 2.0);
        assert!(value(&text, "hitchpost_process_resident_memory_bytes ").unwrap() > 1e6);
        assert!(!text.contains(SECRET), "{text}");
        assert_eq!(scraper.get("/prometheus").send().await.status, 200);
        assert_eq!(scraper.get("/ready").expect(200).await, json!({"result": "ok"}));
        for path in ["/api/v1/jobs", "/providers", "/proxy/echo", "/connect-ui/"] {
            assert_eq!(scraper.get(path).send().await.status, 404, "{path}");
        }
    });
}

#[test]
fn integrations_are_told_apart_when_asked_for() {
    run(async {
        let target = Target::recording().await;
        let settings = TestSettings::default().set("NANGO_METRICS_INCLUDE_PROVIDER_CONFIG_KEY", "true");
        let app = settings.catalog(crate::support::catalog::ENTRIES).start().await;
        let client = app.client();
        client.integration("plain-key", "k").await;
        let import = json!({"provider_config_key": "k", "connection_id": "c",
            "credentials": {"type": "API_KEY", "apiKey": "x"}});
        client.post("/connections", import).expect(201).await;
        let call = client.get("/proxy/echo").header("provider-config-key", "k").header("connection-id", "c");
        call.header("base-url-override", &target.url()).send().await;
        let text = admin_port(&app).await.get("/metrics").send().await.text();
        let series = r#"hitchpost_proxy_calls_total{provider="plain-key",integration="k",result="success"}"#;
        assert_eq!(value(&text, series), Some(1.0), "{text}");
    });
}

#[test]
fn operations_are_counted_when_they_end() {
    run(async {
        let app = TestSettings::default().set("HITCHPOST_METRICS_PORT", "1").start().await;
        let start = |kind| app.app.logs.start(NewOperation::new(kind, app.environment_id));
        start(Kind::WebhookForward).succeed();
        start(Kind::WebhookForward).fail(&LogError::new("no_answer", "Nobody answered."));
        let running = start(Kind::SyncRun);
        app.app.logs.flush(&app.app.db).await;
        let text = metrics_port(&app).await.get("/metrics").send().await.text();
        for state in ["success", "failed"] {
            let series =
                format!(r#"hitchpost_operations_total{{type="webhook",action="forward",state="{state}"}}"#);
            assert_eq!(value(&text, &series), Some(1.0), "{text}");
        }
        assert!(!text.contains(r#"type="sync""#), "it has not ended");
        assert!(value(&text, r#"hitchpost_log_entries_total{state="written"}"#).unwrap() >= 3.0);
        running.succeed();
    });
}

#[test]
fn the_operators_port_takes_its_routes_off_the_public_one() {
    run(async {
        let app = TestSettings::default().set("HITCHPOST_ADMIN_PORT", "1").start().await;
        let account = app.account_client().await;
        let secret = account.get("/providers").send().await;
        assert_ne!(secret.status, 404, "the public API stays");
        for path in ["/api/v1/environments", "/api/v1/audit-trail", "/api/v1/jobs", "/metrics", "/prometheus"]
        {
            assert_eq!(account.get(path).send().await.status, 404, "{path} on the public port");
        }
        let admin = admin_port(&app).await;
        assert_eq!(admin.get("/api/v1/environments").send().await.status, 401);
        for path in ["/providers", "/proxy/x", "/oauth/callback", "/connect-ui/"] {
            assert_eq!(admin.get(path).send().await.status, 404, "{path} on the operator's port");
        }
        let pages = ["/settings/environments", "/env/dev"];
        for page in pages {
            assert_eq!(
                app.anonymous().of_other_routes().get(page).send().await.status,
                404,
                "{page} in public"
            );
            assert_ne!(admin.get(page).send().await.status, 404, "{page} is the dashboard's");
        }
        let key = app.account_secret().await;
        admin.with_secret(key).get("/api/v1/environments").expect(200).await;
        assert_eq!(admin.get("/metrics").send().await.status, 200);
        assert_eq!(admin.get("/health").expect(200).await["result"], "ok");
        let everything = TestApp::start().await;
        everything.account_client().await.get("/api/v1/environments").expect(200).await;
        for path in ["/metrics", "/prometheus"] {
            assert_eq!(everything.anonymous().get(path).send().await.status, 404, "{path} is never public");
        }
    });
}

#[test]
fn readiness_can_be_looked_at_deeply() {
    run(async {
        let app = TestApp::start().await;
        let deep = app.anonymous().get("/ready?deep=true").expect(200).await;
        assert_eq!(
            deep,
            json!({"result": "ok", "checks": {"database": true, "migrations": true, "catalog": true}})
        );
        app.app.lifecycle.begin_stop();
        assert_eq!(app.anonymous().get("/ready").expect(503).await, json!({"result": "not ready"}));
    });
}
