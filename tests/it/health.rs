//! Health, unknown addresses, and what every answer carries.

use crate::support::{Case, TestApp, check, run};

#[test]
fn a_started_server_is_healthy_and_ready() {
    run(async {
        let app = TestApp::start().await;
        for path in ["/health", "/ready", "/ready?deep=true", "/Health/"] {
            assert_eq!(app.anonymous().get(path).expect(200).await["result"], "ok", "{path}");
        }
    });
}

#[test]
fn unknown_addresses_and_methods_are_not_found() {
    run(async {
        let app = TestApp::start().await;
        let client = app.anonymous();
        check(vec![
            Case { name: "unknown path", request: client.get("/nope"), status: 404, code: "not_found" },
            Case {
                name: "unknown method",
                request: client.delete("/health"),
                status: 404,
                code: "not_found",
            },
        ])
        .await;
        let page = client.get("/nope").header("accept", "text/html").send().await;
        assert_eq!(page.status, 404);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    });
}

#[test]
fn every_answer_has_an_id_and_its_headers() {
    run(async {
        let app = TestApp::start().await;
        let reply = app.anonymous().get("/health").header("x-request-id", "abc-1").send().await;
        assert_eq!(reply.header("x-request-id"), Some("abc-1"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let reply = app.anonymous().get("/health").header("x-request-id", "a b").send().await;
        assert_eq!(reply.header("x-request-id").map(str::len), Some(36));
        let preflight = app.anonymous().ask("OPTIONS", "/connections").send().await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-max-age"), Some("600"));
    });
}
