//! `GET /providers*`, the raw catalog, the pictures, and the rules that hold for every JSON route.

use hitchpost::catalog::{Source, load};
use serde_json::json;

use crate::support::app::TestSettings;
use crate::support::catalog::issue_lines;
use crate::support::{Case, TestApp, check, run};

#[test]
fn providers_refuse() {
    run(async {
        let app = TestApp::with_providers().await;
        let (client, nobody) = (app.client(), app.anonymous());
        let account = app.account_client().await;
        let session = "nango_connect_session_".to_owned() + &"0".repeat(64);
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("no key", nobody.get("/providers"), 401, "missing_auth_header"),
            case("no key, one provider", nobody.get("/providers/acme"), 401, "missing_auth_header"),
            case(
                "key is no UUID",
                nobody.with_secret("x").get("/providers"),
                401,
                "invalid_secret_key_format",
            ),
            case(
                "unknown key",
                nobody.with_secret(app.app.rng.uuid().to_string()).get("/providers"),
                401,
                "unknown_account",
            ),
            case(
                "unknown session",
                nobody.with_secret(session).get("/providers"),
                401,
                "unknown_connect_session_token",
            ),
            case(
                "malformed session",
                nobody.with_secret("nango_connect_session_x").get("/providers"),
                401,
                "invalid_connect_session_token_format",
            ),
            case("account key", account.get("/providers"), 403, "forbidden"),
            case("unknown parameter", client.get("/providers?a=b"), 400, "invalid_query_params"),
            case(
                "search of the wrong form",
                client.get("/providers?search=a/b"),
                400,
                "invalid_query_params",
            ),
            case("search twice", client.get("/providers?search=a&search=b"), 400, "invalid_query_params"),
            case(
                "any parameter on one provider",
                client.get("/providers/acme?a=b"),
                400,
                "invalid_query_params",
            ),
            case("query before path", client.get("/providers/a.b?a=b"), 400, "invalid_query_params"),
            case("name of the wrong form", client.get("/providers/a.b"), 400, "invalid_uri_params"),
            case("name that is no text", client.get("/providers/%ff"), 400, "invalid_uri_params"),
            case("unknown provider", client.get("/providers/nobody"), 404, "not_found"),
            case("other method", client.post("/providers", json!({})), 404, "not_found"),
            case(
                "wrong content type",
                client.get("/providers").header("content-type", "text/plain"),
                415,
                "invalid_content_type",
            ),
            case(
                "wrong content type without a key",
                nobody.get("/providers").header("content-type", "application/xml"),
                415,
                "invalid_content_type",
            ),
        ])
        .await;
    });
}

#[test]
fn a_provider_is_shown_as_published_with_name_and_logo() {
    run(async {
        let app = TestApp::with_providers().await;
        let shown = app.client().get("/providers/plain-key").expect(200).await;
        let logo = format!("{}/images/template-logos/plain-key.svg", app.url());
        assert_eq!(
            shown,
            json!({"data": {
                "display_name": "Plain Key", "auth_mode": "API_KEY", "docs": "https://docs.example/plain",
                "name": "plain-key", "logo_url": logo,
            }})
        );
        let picture = app.anonymous().get("/images/template-logos/plain-key.svg").send().await;
        assert_eq!(picture.status, 200);
        assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
        assert_eq!(picture.header("cache-control"), Some("public, max-age=3600"));
        for part in [">PK</text>", "fill=\"#0e7490\""] {
            assert!(picture.text().contains(part), "{}", picture.text());
        }
        for file in ["plain-key.png", "a%3Cb.svg", "../x.svg"] {
            let reply = app.anonymous().get(format!("/images/template-logos/{file}")).send().await;
            assert_eq!(reply.status, 404, "{file}");
        }
    });
}

#[test]
fn providers_are_found_by_part_of_the_name() {
    run(async {
        let app = TestApp::with_providers().await;
        let names = async |search: &str| {
            let found = app.client().get(format!("/providers{search}")).expect(200).await;
            let list = found["data"].as_array().unwrap().clone();
            list.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(names("").await.len() > 10);
        assert_eq!(names("?search=acme-").await, ["acme-cc", "acme-one"]);
        assert_eq!(names("?search=PLAIN-K").await, ["plain-key"]);
        assert_eq!(names("?search=plain.key").await, Vec::<String>::new(), "a dot is a dot");
        assert_eq!(names("?search=no-such").await, Vec::<String>::new());
    });
}

#[test]
fn end_users_see_providers_too() {
    run(async {
        let app = TestApp::with_providers().await;
        let session = app.client().session(json!({"end_user": {"id": "u1"}})).await;
        assert_eq!(
            session.get("/providers?search=open-door").expect(200).await["data"][0]["name"],
            "open-door"
        );
        let translated = session.get("/providers/open-door").header("accept-language", "fr;q=0.8, de");
        assert_eq!(translated.expect(200).await["data"]["display_name"], "Open Door");
    });
}

#[test]
fn the_raw_catalog_is_public_and_limited_by_address() {
    run(async {
        let app = TestSettings::default().set("DEFAULT_RATE_LIMIT_PER_MIN", "2").start().await;
        let ask = || app.anonymous().get("/providers.json").send();
        let first = ask().await;
        assert!(first.json()["github"]["auth_mode"].is_string());
        assert_eq!(first.json()["github"].get("name"), None);
        assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
        ask().await;
        let blocked = ask().await;
        assert_eq!(blocked.status, 429);
        assert_eq!(
            blocked.json(),
            json!({"error": {"code": "too_many_request", "method": "GET", "path": "/providers.json"}})
        );
    });
}

#[test]
fn limits_count_per_account_and_are_told_in_headers() {
    run(async {
        let app = TestSettings::default().set("DEFAULT_RATE_LIMIT_PER_MIN", "2").start().await;
        let ask = || app.client().get("/integrations").send();
        let reply = ask().await;
        assert_eq!(reply.header("x-ratelimit-limit"), Some("2"));
        assert_eq!(reply.header("x-ratelimit-remaining"), Some("1"));
        let reset: i64 = reply.header("x-ratelimit-reset").unwrap().parse().unwrap();
        assert_eq!(reset, app.now().timestamp() + 60);
        assert_eq!(ask().await.status, 200);
        let blocked = ask().await;
        assert_eq!(blocked.status, 429);
        assert_eq!(blocked.code(), "too_many_request");
        assert_eq!(blocked.header("retry-after"), Some("60"));
        app.advance(chrono::TimeDelta::seconds(61));
        assert_eq!(ask().await.status, 200);
        let refused = app.anonymous().get("/integrations").send().await;
        assert_eq!(refused.header("x-ratelimit-limit"), None, "failed authentications carry no limit");
    });
}

#[test]
fn paths_ignore_case_and_slashes_and_every_get_answers_head() {
    run(async {
        let app = TestApp::with_providers().await;
        let client = app.client();
        for path in ["/Providers/acme", "/providers/acme/", "/PROVIDERS/acme//"] {
            assert_eq!(client.get(path).expect(200).await["data"]["name"], "acme", "{path}");
        }
        client.get("/providers/ACME").expect(404).await;
        let head = client.ask("HEAD", "/providers/acme").send().await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-type"), Some("application/json; charset=utf-8"));
    });
}

#[test]
fn answers_are_tagged_so_that_unchanged_ones_need_not_be_sent() {
    run(async {
        let app = TestApp::with_providers().await;
        let first = app.client().get("/providers/acme").send().await;
        let tag = first.header("etag").unwrap().to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        let second = app.client().get("/providers/acme").header("if-none-match", &tag).send().await;
        assert_eq!((second.status.as_u16(), second.body.len()), (304, 0));
        let other = app.client().get("/providers/acme-cc").header("if-none-match", &tag).send().await;
        assert_eq!(other.status, 200);
    });
}

#[test]
fn bodies_must_be_json_objects_or_lists_of_bounded_size() {
    run(async {
        let app = TestSettings::default().set("NANGO_SERVER_PUBLIC_BODY_LIMIT", "1kb").start().await;
        let post = |body: &str| {
            app.client().ask("POST", "/integrations").header("content-type", "application/json").bytes(body)
        };
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("broken", post("{"), 400, "invalid_json"),
            case("a number", post("1"), 400, "invalid_json"),
            case("null", post("null"), 400, "invalid_json"),
            case("a list", post("[]"), 400, "invalid_body"),
            case("too large", post(&large), 413, "request_too_large"),
            case("empty is an empty object", post(""), 400, "invalid_body"),
            case(
                "broken JSON is told before a missing key",
                app.anonymous()
                    .ask("POST", "/integrations")
                    .header("content-type", "application/json")
                    .bytes("{"),
                400,
                "invalid_json",
            ),
        ])
        .await;
        let nothing = app.client().ask("POST", "/integrations").expect(400).await;
        assert_eq!(issue_lines(&nothing), ["invalid_type"], "no body at all");
    });
}

#[test]
fn the_list_is_sent_in_the_coding_that_the_caller_prefers() {
    run(async {
        let app = TestApp::with_providers().await;
        for path in ["/providers", "/providers.json"] {
            let ask =
                async |coding: &str| app.client().get(path).header("accept-encoding", coding).send().await;
            let plain = ask("identity").await;
            assert_eq!(plain.header("content-encoding"), None);
            let tag = plain.header("etag").unwrap().to_owned();
            for (coding, expected) in [("br", "br"), ("gzip", "gzip"), ("zstd;q=1, br;q=0.5", "zstd")] {
                let reply = ask(coding).await;
                assert_eq!(reply.header("content-encoding"), Some(expected), "{path}");
                assert_eq!(reply.header("etag"), Some(tag.as_str()), "one weak tag for every coding");
                assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
                assert!(reply.header("vary").unwrap().contains("accept-encoding"));
                assert!(reply.body.len() * 2 < plain.body.len(), "{} bytes", reply.body.len());
                assert_eq!(decoded(expected, &reply.body).await, plain.body, "{path} {coding}");
            }
            let request = app.client().get(path).header("accept-encoding", "br");
            let unchanged = request.header("if-none-match", &tag).send().await;
            assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
            assert_eq!(unchanged.header("content-encoding"), None);
            assert_eq!(unchanged.header("etag"), Some(tag.as_str()));
            assert!(unchanged.header("vary").is_some());
            let head = app.client().ask("HEAD", path).header("accept-encoding", "gzip").send().await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        }
    });
}

async fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
    use tokio::io::AsyncReadExt;
    let mut text = Vec::new();
    let read = match coding {
        "br" => BrotliDecoder::new(body).read_to_end(&mut text).await,
        "gzip" => GzipDecoder::new(body).read_to_end(&mut text).await,
        _ => ZstdDecoder::new(body).read_to_end(&mut text).await,
    };
    read.unwrap();
    text
}

#[test]
fn a_new_catalog_is_shown_at_once() {
    run(async {
        let app = TestApp::with_providers().await;
        let first = app.client().get("/providers").send().await;
        let entry = "later: {display_name: Later, docs: 'https://d', auth_mode: NONE}".to_owned();
        let source = Source::Text { name: "later.yaml".to_owned(), text: entry };
        app.app.replace_catalog(load(&[], &[source]).catalog);
        let request = app.client().get("/providers").header("if-none-match", first.header("etag").unwrap());
        let second = request.expect(200).await;
        assert_eq!(second["data"].as_array().unwrap().len(), 1);
        assert_eq!(second["data"][0]["name"], "later");
    });
}
