//! The proxy: where a call goes, which headers it carries, and that a warm call asks no database.

use serde_json::json;

use crate::support::run;
use crate::support::target::{Target, WorldPlan, insert_connection, insert_integration};

#[test]
fn the_key_of_the_connection_is_added_and_the_answer_comes_back() {
    run(async {
        let target = Target::start(|_| {
            crate::support::target::answer(
                201,
                &[
                    ("content-type", "application/json"),
                    ("location", "/v1/things/7"),
                    ("link", "<a>; rel=next"),
                    ("link", "<b>; rel=prev"),
                    ("x-ratelimit-remaining", "99"),
                    ("x-request-id", "theirs"),
                    ("set-cookie", "a=b"),
                    ("access-control-allow-origin", "https://evil.example.com"),
                    ("x-frame-options", "ALLOWALL"),
                ],
                r#"{"id": 12345678901234567890123, "id": 1}"#,
            )
        })
        .await;
        let world = WorldPlan::new(target.url()).build().await;
        let reply = world.call("POST", "/v1/things?a=1&a=2").json(&json!({"n": 1})).send().await;
        assert_eq!(reply.status, 201);
        assert_eq!(reply.text(), r#"{"id": 12345678901234567890123, "id": 1}"#);
        for (name, expected) in [
            ("location", Some("/v1/things/7")),
            ("x-ratelimit-remaining", Some("99")),
            ("x-request-id", Some("theirs")),
            ("set-cookie", None),
            ("access-control-allow-origin", Some("*")),
            ("x-frame-options", Some("SAMEORIGIN")),
            ("x-hitchpost-error", None),
            ("content-length", Some("40")),
        ] {
            assert_eq!(reply.header(name), expected, "{name}");
        }
        assert!(reply.header("x-hitchpost-request-id").is_some());
        let links: Vec<_> = reply.headers.get_all("link").iter().collect();
        assert_eq!(links, ["<a>; rel=next", "<b>; rel=prev"]);
        let seen = target.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/things?a=1&a=2"));
        assert_eq!(seen.header("x-api-key"), Some("key-0123456789"));
        assert_eq!(seen.header("authorization"), None);
    });
}

#[test]
fn each_kind_of_credentials_is_injected() {
    run(async {
        let target = Target::recording().await;
        for (mode, credentials, expected) in [
            ("OAUTH2", json!({"type": "OAUTH2", "access_token": "at"}), Some("Bearer at")),
            (
                "OAUTH2_CC",
                json!({"type": "OAUTH2_CC", "token": "cc", "client_id": "i", "client_secret": "s"}),
                Some("Bearer cc"),
            ),
            ("BASIC", json!({"type": "BASIC", "username": "ada", "password": ""}), Some("Basic YWRhOg==")),
            ("API_KEY", json!({"type": "API_KEY", "apiKey": "k"}), None),
            ("NONE", json!({}), None),
        ] {
            let world = WorldPlan::new(target.url())
                .provider(json!({"auth_mode": mode, "proxy": {"base_url": target.url()}}))
                .credentials(credentials)
                .build()
                .await;
            world.get("/x").expect(200).await;
            assert_eq!(target.last().header("authorization"), expected, "{mode}");
        }
    });
}

#[test]
fn urls_are_joined_from_base_and_request_target() {
    run(async {
        let target = Target::recording().await;
        let host = target.address.to_string();
        let repeated = format!("/http://{host}/v1/x");
        for (base, path, expected) in [
            ("http://${connectionConfig.host}/", "/v1/x?a=1&a=2", "/v1/x?a=1&a=2"),
            ("http://${connectionConfig.host}", "", "/"),
            ("http://${connectionConfig.host}", "?x=1", "/?x=1"),
            ("http://${connectionConfig.host}", "//v1/x", "/v1/x"),
            ("http://${connectionConfig.missing} || http://${connectionConfig.host}/v2", "/x", "/v2/x"),
            ("http://${connectionConfig.host}", "/https://evil.example/x", "/https://evil.example/x"),
            (
                "http://${connectionConfig.host}",
                "/a%20b;c+d?q=a||b&r=%2F&s=$%7Bx%7D&t=%&q=+",
                "/a%20b;c+d?q=a||b&r=%2F&s=$%7Bx%7D&t=%&q=+",
            ),
            ("http://${connectionConfig.host}/t/${metadata.none}x", "/never", ""),
            (target.url().leak(), repeated.leak(), "/v1/x"),
        ] {
            let world = WorldPlan::new(base).config(json!({"host": host, "empty": ""})).build().await;
            let reply = world.get(path).send().await;
            if expected.is_empty() {
                assert_eq!(
                    (reply.status.as_u16(), reply.code().as_str()),
                    (400, "missing_connection_config")
                );
            } else {
                assert_eq!(reply.status, 200, "{base} {path}: {}", reply.text());
                assert_eq!(target.last().target, expected, "{base} {path}");
            }
        }
    });
}

#[test]
fn only_the_named_headers_reach_the_provider() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url())
            .proxy(json!({"headers": {
                "x-api-key": "${apiKey}",
                "x-version": "${connectionConfig.version}",
                "x-default": "${connectionConfig.version} || v1",
                "x-method": "${method} ${host} ${path} ${params}",
                "user-agent": "Catalog/1",
                "x-mine": "entry",
            }}))
            .build()
            .await;
        world
            .get("/p?b=2&a=1")
            .header("cookie", "a=b")
            .header("x-custom", "dropped")
            .header("nango-proxy-x-custom", "kept")
            .header("Nango-Proxy-X-Mine", "caller")
            .header("nango-proxy-x-empty", "")
            .header("nango-proxy-user-agent", "Caller/1")
            .header("nango-proxy-host", "evil.example")
            .header("nango-proxy-connection", "close")
            .header("nango-proxy-content-length", "7")
            .expect(200)
            .await;
        let seen = target.last();
        let host = target.address.ip().to_string();
        for (name, expected) in [
            ("x-api-key", Some("key-0123456789")),
            ("x-version", None),
            ("x-default", Some("v1")),
            ("x-method", Some(format!("GET {host} /p a=1&b=2").leak())),
            ("cookie", None),
            ("x-custom", Some("kept")),
            ("x-mine", Some("caller")),
            ("x-empty", Some("")),
            ("user-agent", Some("Catalog/1")),
            ("connection", None),
            ("content-length", None),
            ("connection-id", None),
            ("authorization", None),
            ("accept", Some("application/json, text/plain, */*")),
        ] {
            assert_eq!(seen.header(name), expected, "{name}");
        }
        assert_eq!(seen.header("host"), Some(target.address.to_string().as_str()));
    });
}

#[test]
fn entry_queries_and_operator_values_are_added() {
    run(async {
        let target = Target::recording().await;
        let plan = || {
            WorldPlan::new(target.url())
                .provider(json!({"integration_config": {"keyName": {"type": "string", "title": "K", "optional": true}}}))
        };
        let world =
            plan().proxy(json!({"headers": {}, "query": {"key": "${apiKey} x", "n": 1}})).build().await;
        world.get("/q?key=mine&b=+").expect(200).await;
        assert_eq!(target.last().target, "/q?b=+&key=key-0123456789%20x");
        let elsewhere = format!("{}/base", target.url());
        let custom = json!({"keyName": "X-Secret", "valueTemplate": "Token ${apiKey}", "baseUrl": elsewhere});
        let world = plan().custom(custom).build().await;
        world.get("/c").expect(200).await;
        let seen = target.last();
        assert_eq!(seen.target, "/base/c");
        assert_eq!(seen.header("x-secret"), Some("Token key-0123456789"));
        assert_eq!(seen.header("x-api-key"), Some("key-0123456789"));
        let world = plan().custom(json!({"keyName": "tok", "keyPlacement": "query"})).build().await;
        world.get("/c").expect(200).await;
        assert_eq!(target.last().target, "/c?tok=key-0123456789");
    });
}

#[test]
fn a_base_url_of_the_caller_replaces_the_catalogs() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new("http://127.0.0.1:1").config(json!({"v": "v9"})).build().await;
        let base = format!("{}/${{connectionConfig.v}}", target.url());
        world.get("/x").header("base-url-override", &base).expect(200).await;
        assert_eq!(target.last().target, "/v9/x");
        let endpoint = "/y?to=${connectionConfig.v}||${nothing}";
        let reply = world.get(endpoint).header("base-url-override", &target.url()).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(target.last().target, "/y?to=v9||${nothing}");
    });
}

#[test]
fn every_method_is_passed_on() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "REPORT", "TRACE"] {
            let reply = world.call(method, "/m").send().await;
            assert_eq!((reply.status.as_u16(), target.last().method.as_str()), (200, method));
        }
        let before = target.seen().len();
        assert_eq!(world.call("OPTIONS", "/m").send().await.status, 204);
        assert_eq!(target.seen().len(), before);
    });
}

#[test]
fn a_warm_call_needs_no_database() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        world.get("/x").expect(200).await;
        // With every connection of the pool taken, a statement could not be sent.
        let pool = &world.app.app.db;
        let mut taken = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            taken.push(pool.acquire().await.expect("a connection"));
        }
        for _ in 0..50 {
            let call = tokio::time::timeout(std::time::Duration::from_secs(5), world.get("/x").expect(200));
            call.await.expect("no statement is sent");
        }
        drop(taken);
        assert_eq!(target.seen().len(), 51);
        let (fetched, _) = world.app.app.fetched.drain();
        // The background flush may have been first.
        assert!(fetched.is_empty() || fetched == [world.connection]);
    });
}

#[test]
fn a_changed_connection_is_used_at_once() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        world.get("/x").expect(200).await;
        let integration =
            hitchpost::integrations::find(&world.app.app, world.app.environment_id, "acme").await.unwrap();
        let new = json!({"type": "API_KEY", "apiKey": "another-key"});
        insert_connection(&world.app, &integration.unwrap(), "c1", new, json!({})).await;
        world.get("/x").expect(200).await;
        assert_eq!(target.last().header("x-api-key"), Some("another-key"));
    });
}

#[test]
fn connections_of_other_integrations_are_not_mixed_up() {
    run(async {
        let target = Target::recording().await;
        let entry = |name: &str| {
            json!({"display_name": name, "docs": "https://d.example", "auth_mode": "API_KEY",
                   "proxy": {"base_url": format!("{}/{name}", target.url()), "headers": {"k": "${apiKey}"}}})
        };
        let catalog = json!({"one": entry("one"), "two": entry("two")}).to_string();
        let app = crate::support::TestApp::with_catalog(catalog).await;
        for name in ["one", "two"] {
            let integration = insert_integration(&app, name, None).await;
            let key = json!({"type": "API_KEY", "apiKey": name});
            insert_connection(&app, &integration, "c1", key, json!({})).await;
        }
        for name in ["one", "two", "one"] {
            let ask = app.client().get("/proxy/x").header("provider-config-key", name);
            ask.header("connection-id", "c1").expect(200).await;
            let seen = target.last();
            assert_eq!((seen.target, seen.headers["k"].to_str().unwrap()), (format!("/{name}/x"), name));
        }
    });
}
