//! Who gets into the dashboard, and what every page of it has: headers, forms that only its own pages may send, and
//! nothing that a browser would run.

use chrono::TimeDelta;
use hitchpost::api;
use hitchpost::dashboard::AREAS;

use crate::support::app::TestSettings;
use crate::support::{Browser, Socket, TestApp, run};

pub const NAME: &str = "ops";
pub const PASSWORD: &str = "correct horse";

/// Settings of a server whose dashboard asks for one name and password.
pub fn password_settings() -> TestSettings {
    let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", NAME);
    settings.set("NANGO_DASHBOARD_PASSWORD", PASSWORD).set("FLAG_AUTH_ENABLED", "false")
}

/// A server whose dashboard asks for one name and password.
pub async fn with_password() -> TestApp {
    password_settings().start().await
}

/// Somebody who knows it.
pub fn operator(app: &TestApp) -> Browser {
    Browser::new(app).with_password(NAME, PASSWORD)
}

#[test]
fn name_and_password_open_every_page() {
    run(async {
        let app = with_password().await;
        let home = format!("/env/{}", app.environment_name);
        for browser in [Browser::new(&app), Browser::new(&app).with_password(NAME, "wrong")] {
            for path in ["/", &home, "/settings/environments", "/settings/nothing/here"] {
                app.advance(TimeDelta::seconds(10));
                let reply = browser.get(path).await;
                let is_page = path != "/settings/nothing/here";
                assert_eq!(reply.status, if is_page { 401 } else { 404 }, "{path}");
                let asks =
                    reply.header("www-authenticate").is_some_and(|text| text.starts_with("Basic realm="));
                assert_eq!(asks, is_page, "{path}");
                assert!(!reply.text().contains(&app.environment_name), "{path}");
            }
        }
        let reply = operator(&app).get(&home).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains(&app.environment_name));
    });
}

#[test]
fn guessing_the_password_is_slow() {
    run(async {
        let app = with_password().await;
        let guesser = Browser::new(&app).with_password(NAME, "wrong");
        for number in 0..30 {
            assert_eq!(guesser.get("/").await.status, 401, "{number}");
        }
        assert_eq!(operator(&app).get("/").await.status, 429);
        app.advance(TimeDelta::seconds(61));
        assert_eq!(operator(&app).get("/").await.status, 303);
    });
}

#[test]
fn without_accounts_and_password_the_dashboard_is_closed_and_says_why() {
    run(async {
        let app = TestSettings::default().set("FLAG_AUTH_ENABLED", "false").start().await;
        let browser = Browser::new(&app);
        for path in ["/", "/settings/environments"] {
            let reply = browser.get(path).await;
            assert_eq!(reply.status, 403, "{path}");
            for choice in ["NANGO_DASHBOARD_USERNAME", "HITCHPOST_OPEN_DASHBOARD"] {
                assert!(reply.text().contains(choice), "{path}: {}", reply.text());
            }
        }
    });
}

#[test]
fn an_open_dashboard_warns_on_every_page() {
    run(async {
        let settings = TestSettings::default().set("FLAG_AUTH_ENABLED", "false");
        let app = settings.set("HITCHPOST_OPEN_DASHBOARD", "true").start().await;
        let browser = Browser::new(&app);
        for path in ["/settings/environments", &format!("/env/{}/api-keys", app.environment_name)] {
            let reply = browser.get(path).await;
            assert_eq!(reply.status, 200, "{path}");
            assert!(reply.text().contains("open to everybody who reaches it"), "{path}");
        }
    });
}

#[test]
fn pages_run_nothing_inline_and_are_not_kept() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let keys = format!("/env/{}/api-keys", app.environment_name);
        for path in ["/settings/environments", &keys, "/settings/environments/nope"] {
            let page = browser.get(path).await;
            let policy = page.header("content-security-policy").unwrap().to_owned();
            for directive in
                ["default-src 'none'", "script-src 'self';", "form-action 'self'", "frame-ancestors 'none'"]
            {
                assert!(policy.contains(directive), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe"), "{path}");
            assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(page.header("access-control-allow-origin"), None, "{path}");
            for inline in ["<style", "style=\"", "onload=", "onclick=", "javascript:", "<script>"] {
                assert!(!page.text().contains(inline), "{path}: {inline}");
            }
        }
        let asset = browser.get(&keys).await.text();
        let asset = asset.split('"').find(|text| text.ends_with("js/dashboard/main.js")).unwrap().to_owned();
        let file = Browser::new(&app).get(&asset).await;
        assert_eq!(file.status, 200, "files are public");
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
    });
}

#[test]
fn only_pages_of_the_dashboard_may_send_its_forms() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let list = "/settings/environments";
        let token = crate::support::browser::hidden(&browser.get(list).await, "csrf").unwrap();
        let post = |token: Option<&str>, headers: &[(&str, &str)]| {
            let mut ask =
                browser.ask("POST", list).header("content-type", "application/x-www-form-urlencoded");
            for (name, value) in headers {
                ask = ask.header(name, value);
            }
            let token = token.map(|token| format!("&csrf={token}")).unwrap_or_default();
            browser.send(ask.bytes(format!("name=NOT+VALID{token}")))
        };
        let own = app.url();
        for (name, token, headers, status) in [
            ("no token", None, vec![], 403),
            ("another token", Some("x"), vec![], 403),
            ("another site", Some(&*token), vec![("sec-fetch-site", "cross-site")], 403),
            ("another origin", Some(&*token), vec![("origin", "https://evil.example")], 403),
            ("a sandboxed frame", Some(&*token), vec![("origin", "null")], 403),
            ("its own page", Some(&*token), vec![("origin", &own), ("sec-fetch-site", "same-origin")], 422),
            ("an old browser", Some(&*token), vec![], 422),
        ] {
            let reply = post(token, &headers).await;
            assert_eq!(reply.status.as_u16(), status, "{name}: {}", reply.text());
        }
    });
}

#[test]
fn the_dashboard_leaves_the_api_and_the_socket_alone() {
    run(async {
        let app = with_password().await;
        for pattern in api::patterns() {
            let first = pattern.split('/').nth(1).unwrap_or_default();
            assert!(!AREAS.contains(&first), "{pattern} is a path of the dashboard");
        }
        assert!(Socket::open_at(&app, "/").await.is_ok());
        assert_eq!(app.anonymous().post("/", serde_json::json!({})).send().await.status, 404);
        app.client().get("/connections").expect(200).await;
    });
}

#[test]
fn links_and_cookies_fit_a_server_behind_a_prefix_and_https() {
    run(async {
        let settings = TestSettings::default().set("FLAG_AUTH_ENABLED", "false");
        let settings = settings.set("HITCHPOST_OPEN_DASHBOARD", "true");
        let app = settings.set("NANGO_SERVER_URL", "https://tools.acme.test/hitch").start().await;
        let browser = Browser::new(&app);
        let home = browser.get(&format!("/env/{}", app.environment_name)).await;
        let html = home.text();
        for address in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(address.starts_with("/hitch/") || address.starts_with('#'), "{address}");
        }
        assert!(home.header("set-cookie").unwrap().contains("; HttpOnly; SameSite=Lax; Secure"));
        let start = browser.get("/").await;
        assert_eq!(start.header("location"), Some(&*format!("/hitch/env/{}", app.environment_name)));
    });
}
