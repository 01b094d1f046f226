//! What holds on every route: the order of checks, reading credentials, queries and bodies, CORS, headers, limits.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::app::TestSettings;
use crate::support::catalog::issue_lines;
use crate::support::{Case, Client, TestApp, check, run};

const SECURITY: [(&str, &str); 7] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-xss-protection", "0"),
    ("x-download-options", "noopen"),
    ("x-dns-prefetch-control", "off"),
    ("referrer-policy", "strict-origin"),
    ("strict-transport-security", "max-age=5184000; includeSubDomains"),
];

const EXPOSED: &str = "Authorization, Etag, Content-Type, Content-Length, X-Nango-Signature, X-RateLimit-Limit, \
    X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id";

fn json_post(client: &Client, path: &str, body: &str) -> crate::support::client::Ask {
    client.ask("POST", path).header("content-type", "application/json").bytes(body)
}

#[test]
fn checks_come_in_the_documented_order() {
    run(async {
        let app = TestSettings::default().set("NANGO_SERVER_PUBLIC_BODY_LIMIT", "1kb").start().await;
        let (client, nobody) = (app.client(), app.anonymous());
        let reader = app.client_with(&["connections:read"]).await;
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
        let text = nobody.ask("POST", "/connections?a=b").header("content-type", "text/plain");
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("size before type", text.clone().bytes(large.clone()), 413, "request_too_large"),
            case("size before key", json_post(&nobody, "/connections", &large), 413, "request_too_large"),
            case("JSON before key", json_post(&nobody, "/connections?a=b", "{"), 400, "invalid_json"),
            case("type before key", text.bytes("x"), 415, "invalid_content_type"),
            case(
                "key before query",
                json_post(&nobody, "/connections?a=b", "{}"),
                401,
                "missing_auth_header",
            ),
            case("scope before query", json_post(&reader, "/connections?a=b", "{}"), 403, "forbidden"),
            case(
                "query before body",
                json_post(&client, "/connections?a=b", "[]"),
                400,
                "invalid_query_params",
            ),
            case("body", json_post(&client, "/connections", "[]"), 400, "invalid_body"),
            case("unknown path", json_post(&nobody, "/nope", "{"), 404, "not_found"),
        ])
        .await;
    });
}

#[test]
fn credentials_are_what_follows_the_last_bearer() {
    run(async {
        let app = TestApp::start().await;
        let secret = &app.secret;
        let ask = |value: &str| app.anonymous().get("/integrations").header("authorization", value);
        for value in [
            format!("Bearer {secret}"),
            secret.clone(),
            format!("Basic x, Bearer {secret}"),
            format!("Bearer Bearer {secret}"),
        ] {
            ask(&value).expect(200).await;
        }
        let upper = secret.to_uppercase();
        let sandbox = "Bearer nango_sbx_v1_a.b.c".to_owned();
        for (value, code) in [
            (String::new(), "missing_auth_header"),
            ("Bearer".to_owned(), "invalid_secret_key_format"),
            (format!("bearer {secret}"), "invalid_secret_key_format"),
            (format!("Bearer  {secret}"), "invalid_secret_key_format"),
            ("Bearer 11111111-1111-1111-8111-111111111111".to_owned(), "invalid_secret_key_format"),
            (format!("Bearer {upper}"), "unknown_account"),
            (sandbox, "unknown_account"),
        ] {
            let reply = ask(&value).send().await;
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, code), "{value}");
            assert_eq!(reply.json()["error"]["payload"], json!({}), "{value}");
        }
    });
}

#[test]
fn functions_come_with_the_internal_key_except_where_the_header_is_not_read() {
    run(async {
        let app = TestApp::start().await;
        let kind = hitchpost::db::api_keys::KeyKind::Internal;
        let sealed = hitchpost::db::api_keys::find_secret(&app.app.db, app.environment_id, kind).await;
        let internal = app.app.cipher.open_text(&sealed.unwrap().unwrap()).unwrap();
        let internal = app.anonymous().with_secret(internal.expose());
        let script = |client: &Client, path: &str| client.get(path).header("nango-is-script", "true");
        script(&internal, "/connections").expect(200).await;
        script(&app.client(), "/integrations").expect(200).await;
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("customer key", script(&app.client(), "/connections"), 401, "unknown_account"),
            case("internal key alone", internal.get("/connections"), 401, "unknown_account"),
            case("not read here", script(&internal, "/integrations"), 401, "unknown_account"),
            case(
                "other text",
                internal.get("/connections").header("nango-is-script", "TRUE"),
                401,
                "unknown_account",
            ),
        ])
        .await;
    });
}

#[test]
fn the_guard_compares_the_beginning_of_the_content_type() {
    run(async {
        let app = TestApp::start().await;
        for (content_type, status) in [
            ("application/json", 200),
            ("application/json; charset=utf-8", 200),
            ("", 200),
            ("Application/JSON", 415),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
        ] {
            let ask = app.client().get("/connections").header("content-type", content_type);
            assert_eq!(ask.send().await.status, status, "{content_type}");
        }
        let plain = app.client().get("/config/x").header("content-type", "text/plain").send().await;
        assert_eq!(plain.code(), "unknown_provider_config", "not guarded");
    });
}

#[test]
fn queries_follow_their_grammar() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        client.integration("plain-key", "plain").await;
        for id in ["a b", "a.b", "toString"] {
            client.key_connection("plain", id).await;
        }
        let path = "/connections/a%20b?provider_config_key=plain";
        client.patch(path, json!({"tags": {"plan": "pro+"}})).expect(200).await;
        let found = async |query: &str| {
            let list = client.get(format!("/connections?{query}")).expect(200).await;
            let list = list["connections"].as_array().unwrap().clone();
            list.iter().map(|one| one["connection_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for (query, expected) in [
            ("connectionId=a+b", vec!["a b"]),
            ("connectionId=a%20b", vec!["a b"]),
            ("connectionId=a.b", vec!["a.b"]),
            ("tags[plan]=pro%2B", vec!["a b"]),
            ("tags%5Bplan%5D=pro%2B", vec!["a b"]),
            ("tags[plan]=pro+", vec![]),
            ("toString=1&__proto__=2&connectionId=toString", vec!["toString"]),
            ("limit=1e0&page=%201%20&search=", vec![]),
        ] {
            if query.contains("search=") {
                let error = client.get(format!("/connections?{query}")).expect(400).await;
                assert_eq!(issue_lines(&error), ["too_small search"], "{query}");
                continue;
            }
            assert_eq!(found(query).await, expected, "{query}");
        }
        assert_eq!(found("limit=1e0&page=%201%20").await.len(), 1);
        for (query, issue) in [
            ("limit=1.5", "invalid_type limit"),
            ("limit=", "too_small limit"),
            ("limit=abc", "invalid_type limit"),
            ("page=-1", "too_small page"),
            ("connectionId=a&connectionId=b", "invalid_type connectionId"),
            ("connectionId", "too_small connectionId"),
            ("env=dev", "unrecognized_keys"),
        ] {
            let error = client.get(format!("/connections?{query}")).expect(400).await;
            assert_eq!(issue_lines(&error), [issue], "{query}");
        }
    });
}

#[test]
fn every_answer_can_be_read_by_pages_and_has_its_headers() {
    run(async {
        let settings = TestSettings::default()
            .set("NANGO_SERVER_PUBLIC_BODY_LIMIT", "1kb")
            .set("DEFAULT_RATE_LIMIT_PER_MIN", "4");
        let app = settings.start().await;
        let (client, nobody) = (app.client(), app.anonymous());
        let large = "x".repeat(2000);
        for (request, status) in [
            (client.get("/connections"), 200),
            (client.ask("HEAD", "/connections"), 200),
            (client.get("/connections?a=b"), 400),
            (app.client_with(&["proxy"]).await.get("/connections"), 403),
            (client.get("/connections"), 429),
            (nobody.get("/connections"), 401),
            (json_post(&nobody, "/connections", "{"), 400),
            (json_post(&nobody, "/connections", &large), 413),
            (nobody.get("/connections").header("content-type", "text/plain"), 415),
            (nobody.get("/nope"), 404),
        ] {
            let reply = request.header("x-request-id", "mine").send().await;
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{status}");
            assert_eq!(reply.header("access-control-expose-headers"), Some(EXPOSED), "{status}");
            assert_eq!(reply.header("x-request-id"), Some("mine"), "{status}");
            assert_eq!(reply.header("x-powered-by"), None, "{status}");
            for (name, value) in SECURITY {
                assert_eq!(reply.header(name), Some(value), "{name} of {status}");
            }
            assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"), "{status}");
        }
    });
}

#[test]
fn preflights_need_no_key() {
    run(async {
        let app = TestApp::start().await;
        let allowed = "Authorization, Content-Type, Accept, Origin, X-Requested-With, Nango-Activity-Log-Id, \
            Nango-Is-Dry-Run, Nango-Is-Sync, Provider-Config-Key, Connection-Id, Sentry-Trace, Baggage";
        for path in ["/connections", "/connect/session", "/nope"] {
            let reply = app.anonymous().ask("OPTIONS", path).send().await;
            assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0), "{path}");
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
                ("access-control-allow-headers", allowed),
                ("access-control-expose-headers", EXPOSED),
                ("access-control-max-age", "600"),
            ] {
                assert_eq!(reply.header(name), Some(value), "{name} of {path}");
            }
        }
    });
}

#[test]
fn guessing_keys_ends_when_the_window_of_the_address_is_used_up() {
    run(async {
        let app = TestSettings::default().set("DEFAULT_RATE_LIMIT_PER_MIN", "2").start().await;
        let guess = |address: &str| {
            let unknown = app.anonymous().with_secret(app.app.rng.uuid().to_string());
            unknown.get("/connections").header("x-forwarded-for", address)
        };
        for _ in 0..2 {
            let reply = guess("1.1.1.1").send().await;
            assert_eq!(reply.status, 401);
            assert_eq!(reply.header("x-ratelimit-limit"), None, "failed attempts tell no limit");
        }
        let blocked = guess("9.9.9.9, 1.1.1.1").send().await;
        assert_eq!((blocked.status.as_u16(), blocked.header("retry-after")), (429, Some("60")));
        assert_eq!(
            blocked.json(),
            json!({"error": {"code": "too_many_request", "method": "GET", "path": "/connections"}})
        );
        let session = app.anonymous().with_secret("nango_connect_session_x").get("/connect/session");
        assert_eq!(session.header("x-forwarded-for", "1.1.1.1").send().await.status, 429, "tokens count too");
        assert_eq!(guess("2.2.2.2").send().await.status, 401, "another address");
        app.advance(TimeDelta::seconds(60));
        assert_eq!(guess("1.1.1.1").send().await.status, 401, "another window");
    });
}

#[test]
fn one_end_user_has_a_tenth_of_the_account() {
    run(async {
        let app = TestSettings::default().set("DEFAULT_RATE_LIMIT_PER_MIN", "20").start().await;
        let session = app.client().session(json!({"tags": {}})).await;
        for _ in 0..2 {
            let reply = session.get("/connect/session").send().await;
            assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-limit")), (200, Some("20")));
        }
        let blocked = session.get("/connect/session").send().await;
        let told =
            ["x-ratelimit-limit", "x-ratelimit-remaining", "retry-after"].map(|name| blocked.header(name));
        assert_eq!((blocked.status.as_u16(), told), (429, [Some("2"), Some("0"), Some("60")]));
        let other = app.client().session(json!({"tags": {}})).await;
        other.get("/connect/session").expect(200).await;
    });
}

#[test]
fn limits_can_be_switched_off() {
    run(async {
        let app = TestSettings::default()
            .set("DEFAULT_RATE_LIMIT_PER_MIN", "1")
            .set("FLAG_API_RATE_LIMIT_ENABLED", "false")
            .start()
            .await;
        for _ in 0..3 {
            let reply = app.client().get("/connections").send().await;
            assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-limit")), (200, None));
            assert_eq!(app.anonymous().get("/connections").send().await.status, 401);
        }
    });
}

#[test]
fn answers_of_unguarded_routes_are_tagged_too() {
    run(async {
        let app = TestApp::start().await;
        let first = app.anonymous().get("/health").send().await;
        let tag = first.header("etag").expect("a tag").to_owned();
        let again = app.anonymous().get("/health").header("if-none-match", &tag).send().await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    });
}

#[test]
fn unknown_addresses_are_pages_only_for_those_who_prefer_them() {
    run(async {
        let app = TestApp::start().await;
        for (method, accept, is_page) in [
            ("GET", "text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("GET", "application/json, text/html", false),
            ("GET", "*/*", false),
            ("POST", "text/html", false),
            ("DELETE", "text/html", false),
        ] {
            let reply = app.anonymous().ask(method, "/nope").header("accept", accept).send().await;
            assert_eq!(reply.status, 404);
            let is_html = reply.header("content-type") == Some("text/html; charset=utf-8");
            assert_eq!(is_html, is_page, "{method} {accept}");
            assert!(is_page || reply.code() == "not_found", "{method} {accept}");
        }
    });
}
