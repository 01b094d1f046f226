//! `/integrations/{key}/functions*`, templates, and the routes whose work is not built: scopes first, then 501.

use serde_json::json;

use crate::support::app::TestSettings;
use crate::support::catalog::issue_lines;
use crate::support::{Case, TestApp, check, run};

/// Method, path and scope of everything that answers 501.
const PENDING: &[(&str, &str, &str)] = &[
    ("GET", "/records", "records:read"),
    ("GET", "/records/?model=A", "records:read"),
    ("PATCH", "/records/prune", "records:write"),
    ("POST", "/action/trigger", "actions:execute"),
    ("GET", "/action/1", "actions:execute"),
    ("GET", "/v1/anything/below", "proxy"),
    ("POST", "/v1/anything", "proxy"),
    ("POST", "/sync/trigger", "syncs:execute"),
    ("POST", "/sync/pause", "syncs:execute"),
    ("POST", "/sync/start", "syncs:execute"),
    ("GET", "/sync/status", "syncs:read"),
    ("PUT", "/sync/update-connection-frequency", "syncs:update"),
    ("POST", "/sync/a/variant/b", "syncs:variant:create"),
    ("DELETE", "/sync/a/variant/b", "syncs:variant:delete"),
    ("GET", "/scripts/config", "integrations:list_functions"),
    ("POST", "/mcp", "mcp"),
    ("POST", "/sync/deploy", "deploy"),
    ("POST", "/sync/deploy/confirmation", "deploy"),
    ("POST", "/functions/deployments/bundle", "deploy"),
    ("POST", "/functions/deployments/bundle/preview", "deploy"),
    ("POST", "/functions/compile", "functions:compile"),
    ("POST", "/functions/dryruns", "functions:dryrun"),
    ("GET", "/functions/dryruns/1", "functions:dryrun"),
    ("POST", "/functions/deployments", "deploy"),
    ("GET", "/functions/deployments/1", "deploy"),
    ("POST", "/functions/invocations", "functions:invocations"),
];

#[test]
fn what_needs_functions_is_not_implemented_for_those_who_may() {
    run(async {
        let app = TestApp::start().await;
        let other = app.client_with(&["connections:read"]).await;
        let account = app.account_client().await;
        for (method, path, scope) in PENDING {
            let allowed = app.client_with(&[*scope]).await;
            let ask = |client: &crate::support::Client| client.ask(method, *path);
            let mut cases = vec![
                Case { name: path, request: ask(&app.anonymous()), status: 401, code: "missing_auth_header" },
                Case { name: path, request: ask(&account), status: 403, code: "forbidden" },
                Case { name: path, request: ask(&allowed), status: 501, code: "not_implemented" },
                Case {
                    name: path,
                    request: ask(&allowed).header("content-type", "text/plain"),
                    status: 415,
                    code: "invalid_content_type",
                },
            ];
            if !path.starts_with("/v1/") {
                cases.push(Case { name: path, request: ask(&other), status: 403, code: "forbidden" });
            }
            check(cases).await;
        }
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("staff only", app.client().post("/sync/deploy/internal", json!({})), 404, "not_found"),
            case("sandbox", app.client().post("/functions/dryruns/1/result", json!({})), 403, "forbidden"),
            case(
                "sandbox",
                app.client().post("/functions/deployments/1/result", json!({})),
                403,
                "forbidden",
            ),
        ])
        .await;
    });
}

#[test]
fn there_is_no_stream_of_the_mcp_server() {
    run(async {
        let app = TestApp::start().await;
        let reply = app.client().get("/mcp").send().await;
        assert_eq!(reply.status, 405);
        assert_eq!(
            reply.json(),
            json!({"jsonrpc": "2.0", "error": {"code": -32000, "message": "Method not allowed."}, "id": null})
        );
        assert_eq!(reply.header("content-type"), None);
        assert_eq!(app.anonymous().get("/mcp").send().await.status, 401);
    });
}

#[test]
fn an_integration_has_no_functions() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "plain").await;
        let path = "/integrations/plain/functions";
        let page = |page: i64, limit: i64| json!({"data": [], "pagination": {"total": 0, "page": page, "limit": limit}});
        assert_eq!(client.get(path).expect(200).await, page(0, 20));
        let asked = format!("{path}?type=on-event&search=%20a_%25&page=2&limit=100");
        assert_eq!(client.get(asked).expect(200).await, page(2, 100));
        let wrong = format!("{path}?type=x&search=%20&page=-1&limit=1.5&env=dev");
        assert_eq!(
            issue_lines(&client.get(wrong).expect(400).await),
            [
                "invalid_value type",
                "too_small search",
                "too_small page",
                "invalid_type limit",
                "unrecognized_keys"
            ]
        );
    });
}

#[test]
fn functions_refuse() {
    run(async {
        let app = TestApp::with_providers().await;
        let (client, nobody) = (app.client(), app.anonymous());
        client.integration("plain-key", "plain").await;
        let other = app.client_with(&["integrations:*", "functions:compile"]).await;
        let one = "/integrations/plain/functions/sync-a";
        let code = "/integrations/plain/functions/sync-a/code";
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("list without key", nobody.get("/integrations/plain/functions"), 401, "missing_auth_header"),
            case("read without key", nobody.get(one), 401, "missing_auth_header"),
            case("code without key", nobody.get(code), 401, "missing_auth_header"),
            case("delete without key", nobody.delete(one), 401, "missing_auth_header"),
            case("list with other scope", other.get("/integrations/plain/functions"), 403, "forbidden"),
            case("read with other scope", other.get(one), 403, "forbidden"),
            case("code with other scope", other.get(code), 403, "forbidden"),
            case("delete with other scope", other.delete(one), 403, "forbidden"),
            case("list of unknown", client.get("/integrations/nope/functions"), 404, "not_found"),
            case(
                "list: query before path",
                client.get("/integrations/a%2Fb/functions?a=b"),
                400,
                "invalid_query_params",
            ),
            case("list: path", client.get("/integrations/a%2Fb/functions"), 400, "invalid_uri_params"),
            case("read", client.get(one), 404, "not_found"),
            case("read: type", client.get(format!("{one}?type=x")), 400, "invalid_query_params"),
            case("read: name", client.get("/integrations/plain/functions/a.b"), 400, "invalid_uri_params"),
            case("code", client.get(code), 404, "not_found"),
            case(
                "code: path before query",
                client.get("/integrations/plain/functions/a.b/code?a=b"),
                400,
                "invalid_uri_params",
            ),
            case("code: query", client.get(format!("{code}?a=b")), 400, "invalid_query_params"),
            case("delete", client.delete(format!("{one}?type=sync")), 404, "not_found"),
            case("delete without type", client.delete(one), 400, "invalid_query_params"),
            case(
                "delete an event script",
                client.delete(format!("{one}?type=on-event")),
                400,
                "invalid_query_params",
            ),
        ])
        .await;
        let error = client.get("/integrations/a%2Fb/functions/a.b").expect(400).await;
        assert_eq!(issue_lines(&error), ["invalid_format uniqueKey", "invalid_format name"]);
    });
}

#[test]
fn there_are_no_templates() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client_with(&["proxy"]).await;
        for provider in ["acme", "nobody"] {
            let path = format!("/providers/{provider}/templates");
            assert_eq!(client.get(path).expect(200).await, json!({"data": []}));
        }
        let path = "/providers/acme/templates";
        let session = app.client().session(json!({"tags": {}})).await;
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no key", app.anonymous().get(path), 401, "missing_auth_header"),
            case("end user", session.get(path), 401, "invalid_secret_key_format"),
            case("account key", app.account_client().await.get(path), 403, "forbidden"),
            case("a parameter", client.get(format!("{path}?a=b")), 400, "invalid_query_params"),
            case("a name", client.get("/providers/a.b/templates"), 400, "invalid_uri_params"),
        ])
        .await;
    });
}

#[test]
fn the_version_of_the_cli_is_judged() {
    run(async {
        let app = TestApp::start().await;
        let deploy = |version: &str| {
            app.client()
                .post("/sync/deploy", json!({}))
                .header("user-agent", &format!("nango-cli/{version} (linux; node.js/22)"))
        };
        let nobody = app.anonymous().post("/sync/deploy", json!({})).header("user-agent", "nango-cli/0.1.0");
        let elsewhere = app.client().get("/records").header("user-agent", "nango-cli/0.1.0");
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("too old", deploy("0.39.24"), 400, "invalid_cli_version"),
            case("old enough", deploy("0.39.25"), 501, "not_implemented"),
            case("newer, without the switch", deploy("9.0.0"), 501, "not_implemented"),
            case("the key is judged first", nobody, 401, "missing_auth_header"),
            case("only deploys need a version", elsewhere, 501, "not_implemented"),
        ])
        .await;
        let strict = TestSettings::default().set("FLAG_ENFORCE_CLI_VERSION", "true").start().await;
        let ask = |version: &str| {
            strict.anonymous().get("/connections").header("user-agent", &format!("nango-cli/{version}"))
        };
        let broken = strict
            .client()
            .ask("POST", "/integrations")
            .header("content-type", "application/json")
            .header("user-agent", "nango-cli/1.0.0")
            .bytes("{");
        check(vec![
            case("too new", ask("0.72.0"), 400, "invalid_cli_version"),
            case("new enough", ask("0.71.9"), 401, "missing_auth_header"),
            case("judged before the body", broken, 400, "invalid_cli_version"),
            case("not the CLI", strict.anonymous().get("/connections"), 401, "missing_auth_header"),
        ])
        .await;
    });
}

#[test]
fn an_mcp_client_is_described_at_its_own_address() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("mcp-box", "m c@p").await;
        client.integration("plain-key", "plain").await;
        let found = hitchpost::db::environments::find(&app.app.db, app.environment_id).await;
        let base = format!("/oauth/client-metadata/{}", found.unwrap().unwrap().uuid);
        let reply = app.anonymous().get(format!("{base}/m%20c@p")).send().await;
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(
            reply.json(),
            json!({
                "client_id": format!("{}{base}/m%20c%40p", app.url()),
                "client_name": "Hitchpost",
                "client_uri": app.url(),
                "redirect_uris": [format!("{}/oauth/callback", app.url())],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            })
        );
        let nobody = app.anonymous();
        let other = format!("/oauth/client-metadata/{}/plain", app.app.rng.uuid());
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no UUID", nobody.get("/oauth/client-metadata/x/plain"), 400, "invalid_uri_params"),
            case("no key", nobody.get(format!("{base}/a%2Fb")), 400, "invalid_uri_params"),
            case("unknown environment", nobody.get(other), 404, "unknown_environment"),
            case("unknown integration", nobody.get(format!("{base}/nope")), 404, "unknown_provider_config"),
            case("another kind", nobody.get(format!("{base}/plain")), 404, "feature_disabled"),
        ])
        .await;
    });
}
