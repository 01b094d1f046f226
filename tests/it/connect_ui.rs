//! The Connect UI as it is served: headers, caching, addresses behind a proxy, and the files that it is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use hitchpost::server;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::app::TestSettings;
use crate::support::{Client, Reply, TestApp, run};

const PAGE: &str = "/connect-ui/";

/// A client of the page's own port.
async fn own_port(app: &TestApp) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve_connect_ui(app.app.clone(), listener));
    Client::new(format!("http://{address}"), None).of_other_routes()
}

/// A directive of the page's policy, without its name.
fn directive(page: &Reply, name: &str) -> Option<String> {
    let policy = page.header("content-security-policy")?;
    let mut directives = policy.split(';').map(str::trim);
    directives.find_map(|text| text.strip_prefix(name).map(|rest| rest.trim().to_owned()))
}

/// The relative addresses that the page loads.
fn assets_of(page: &Reply) -> Vec<String> {
    let html = page.text();
    let quoted = html.split('"').filter(|text| text.starts_with("assets/")).map(str::to_owned);
    quoted.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn the_page_may_be_framed_and_runs_no_inline_script() {
    run(async {
        let app = TestApp::start().await;
        let nobody = app.anonymous();
        for (client, path) in [(nobody.clone(), PAGE), (own_port(&app).await, "/")] {
            let page = client.get(path).header("accept-encoding", "identity").send().await;
            assert_eq!(page.status, 200);
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(page.header("cache-control"), Some("no-cache"));
            assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
            assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
            for header in
                ["x-frame-options", "strict-transport-security", "access-control-allow-origin", "set-cookie"]
            {
                assert_eq!(page.header(header), None, "{header}");
            }
            assert_eq!(directive(&page, "default-src").unwrap(), "'none'");
            assert_eq!(directive(&page, "script-src").unwrap(), "'self'");
            assert_eq!(directive(&page, "style-src").unwrap(), "'self'");
            assert_eq!(directive(&page, "frame-ancestors").unwrap(), "*");
            assert_eq!(directive(&page, "base-uri").unwrap(), "'none'");
            assert_eq!(directive(&page, "require-trusted-types-for").unwrap(), "'script'");
            let api = app.url();
            let expected = format!("'self' {api} {}", api.replace("http", "ws"));
            assert_eq!(directive(&page, "connect-src").unwrap(), expected);
            let html = page.text();
            for inline in ["<style", "style=", "onload=", "onclick=", "javascript:", "<script>"] {
                assert!(!html.contains(inline), "{inline}");
            }
            let post = client.post(path, json!({})).send().await;
            assert_eq!((post.status.as_u16(), post.header("allow")), (405, Some("GET, HEAD")));
        }
    });
}

#[test]
fn the_operator_says_who_may_frame_the_page_and_which_api_it_may_use() {
    run(async {
        let app = TestSettings::default()
            .set("HITCHPOST_CONNECT_UI_FRAME_ANCESTORS", "https://app.acme.test, https://*.acme.test")
            .set("HITCHPOST_CONNECT_UI_API_ORIGINS", "https://api.acme.test")
            .start()
            .await;
        let page = app.anonymous().get(PAGE).header("accept-encoding", "identity").send().await;
        assert_eq!(directive(&page, "frame-ancestors").unwrap(), "https://app.acme.test https://*.acme.test");
        let connect = directive(&page, "connect-src").unwrap();
        assert!(connect.ends_with(" https://api.acme.test wss://api.acme.test"), "{connect}");
        assert!(page.text().contains(r#"data-trusted="https://api.acme.test""#));
    });
}

#[test]
fn assets_are_cached_for_ever_and_small() {
    run(async {
        let app = TestApp::start().await;
        let nobody = app.anonymous();
        let page = nobody.get(PAGE).header("accept-encoding", "identity").send().await;
        let mut assets = assets_of(&page);
        assert!(assets.len() > 10, "{assets:?}");
        let build = assets[0].split('/').nth(1).unwrap().to_owned();
        assets.push(format!("assets/{build}/i18n/connect/en.json"));
        let mut bytes = nobody.get(PAGE).header("accept-encoding", "br").send().await.body.len();
        for asset in &assets {
            let path = format!("{PAGE}{asset}");
            let packed = nobody.get(&path).header("accept-encoding", "gzip;q=0.5, br").send().await;
            assert_eq!(packed.status, 200, "{asset}");
            assert_eq!(packed.header("content-encoding"), Some("br"), "{asset}");
            assert_eq!(packed.header("vary"), Some("accept-encoding"), "{asset}");
            assert_eq!(
                packed.header("cache-control"),
                Some("public, max-age=31536000, immutable"),
                "{asset}"
            );
            assert_ne!(packed.header("content-type"), Some("application/octet-stream"), "{asset}");
            let plain = nobody.get(&path).header("accept-encoding", "identity").send().await;
            assert_eq!(plain.header("content-encoding"), None);
            assert!(packed.body.len() < plain.body.len(), "{asset}");
            bytes += packed.body.len();
        }
        assert!(bytes < 60_000, "{bytes} bytes");
        // A document of another build still works; what it gets is not kept.
        let other = nobody.get(format!("{PAGE}assets/0123456789ab/css/connect.css")).send().await;
        assert_eq!((other.status.as_u16(), other.header("cache-control")), (200, Some("no-store")));
    });
}

#[test]
fn other_paths_are_not_found() {
    run(async {
        let app = TestApp::start().await;
        let build = assets_of(&app.anonymous().get(PAGE).header("accept-encoding", "identity").send().await);
        let build = build[0].split('/').nth(1).unwrap().to_owned();
        for path in [
            "nope".to_owned(),
            "assets/".to_owned(),
            format!("assets/{build}"),
            format!("assets/{build}/nope.js"),
            format!("assets/{build}/../catalog/crm.yaml"),
            format!("assets/{build}/%2e%2e/catalog/crm.yaml"),
            "favicon.ico".to_owned(),
        ] {
            for (client, base) in [(app.anonymous(), PAGE), (own_port(&app).await, "/")] {
                let reply = client.get(format!("{base}{path}")).send().await;
                assert_eq!(reply.status, 404, "{base}{path}");
            }
        }
        // The API is not on the page's own port.
        assert_eq!(own_port(&app).await.get("/health").send().await.status, 404);
    });
}

#[test]
fn every_address_is_relative_so_that_any_base_path_works() {
    run(async {
        let app = TestApp::start().await;
        let nobody = app.anonymous();
        let page = nobody.get(PAGE).header("accept-encoding", "identity").send().await;
        let html = page.text();
        assert!(html.contains(r#"name="hitchpost-api" content="../""#));
        for attribute in ["src=\"/", "href=\"/", "src=\"http", "href=\"http"] {
            assert!(!html.contains(attribute), "{attribute}");
        }
        for (path, location) in [
            ("/connect-ui?session_token=t", "connect-ui/?session_token=t"),
            ("/connect-ui/go", "./"),
            ("/connect-ui/integrations?lang=fr", "./?lang=fr"),
        ] {
            let reply = nobody.get(path).send().await;
            assert_eq!((reply.status.as_u16(), reply.header("location")), (307, Some(location)), "{path}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        }
        // On its own port the page names the server instead.
        let alone = own_port(&app).await.get("/").header("accept-encoding", "identity").send().await.text();
        assert!(alone.contains(&format!(r#"content="{}/""#, app.url())));
    });
}

#[test]
fn the_page_can_be_switched_off() {
    run(async {
        let app = TestSettings::default().set("FLAG_SERVE_CONNECT_UI", "false").start().await;
        assert_eq!(app.app.config.connect_ui.port, None);
        for path in [PAGE, "/connect-ui"] {
            assert_eq!(app.anonymous().get(path).send().await.status, 404);
        }
    });
}

#[test]
fn an_expired_session_says_so_beside_its_code() {
    run(async {
        let app = TestApp::start().await;
        let body = json!({"end_user": {"id": "u1"}});
        let session = app.client().post("/connect/sessions", body).expect(201).await;
        let token = session["data"]["token"].as_str().unwrap().to_owned();
        let caller = app.anonymous().with_secret(&token);
        caller.get("/connect/session").expect(200).await;
        app.advance(TimeDelta::minutes(31));
        for (token, reason) in
            [(token, "expired"), (format!("nango_connect_session_{}", "a".repeat(64)), "unknown")]
        {
            let reply = caller.with_secret(token).get("/connect/session").expect(401).await;
            assert_eq!(reply["error"]["code"], "unknown_connect_session_token");
            assert_eq!(reply["error"]["reason"], reason);
        }
    });
}

fn static_files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/static").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_language_has_every_text_with_its_placeholders() {
    let languages: Vec<(PathBuf, Value)> = static_files("i18n/connect")
        .into_iter()
        .map(|(path, text)| (path, serde_json::from_str(&text).unwrap()))
        .collect();
    let (_, english) = languages.iter().find(|(path, _)| path.ends_with("en.json")).unwrap();
    let english = english.as_object().unwrap();
    for (path, texts) in &languages {
        let texts = texts.as_object().unwrap();
        assert_eq!(
            texts.keys().collect::<BTreeSet<_>>(),
            english.keys().collect::<BTreeSet<_>>(),
            "{}",
            path.display()
        );
        for (key, text) in texts {
            let text = text.as_str().unwrap();
            assert!(!text.trim().is_empty(), "{} {key}", path.display());
            assert_eq!(
                placeholders(text),
                placeholders(english[key].as_str().unwrap()),
                "{} {key}",
                path.display()
            );
        }
    }
    assert_eq!(languages.len(), 6);
}

fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

#[test]
fn no_script_of_the_page_parses_text_or_names_another_host() {
    for (path, text) in static_files("js/connect") {
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!code.iter().any(|line| line.contains(sink)), "{} uses {sink}", path.display());
        }
        let hosts = code.iter().filter(|line| line.contains("https://") || line.contains("nango.dev"));
        for line in hosts {
            let is_known = line.contains("https://github.com/hitchpost/hitchpost");
            assert!(is_known, "{}: {line}", path.display());
        }
    }
}
