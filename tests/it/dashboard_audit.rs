//! The page of the audit trail: filters that are the address, differences, links to what is still there, and files.

use hitchpost::access::Role;
use hitchpost::environments::settings::{self, EnvironmentPatch};
use serde_json::{Value, json};

use crate::dashboard::{operator, password_settings};
use crate::support::catalog::ENTRIES;
use crate::support::{Browser, Person, TestApp, run};

const PATH: &str = "/settings/audit-trail";
const HOSTILE: &str = "<img src=x onerror=alert(1)>";
const KEY: &str = "k";
const ESCAPED: &str = "&#60;img src=x onerror=alert(1)&#62;";

async fn with_providers() -> TestApp {
    password_settings().catalog(ENTRIES).start().await
}

/// The page under filters, and the environment of the test.
async fn shown(browser: &Browser, app: &TestApp, filters: &str) -> String {
    let reply = browser.get(&format!("{PATH}?environment={}{filters}", app.environment_name)).await;
    assert_eq!(reply.status, 200, "{filters}: {}", reply.text());
    reply.text()
}

/// The titles of the events of a page, in its order.
fn titles(html: &str) -> Vec<String> {
    let events = html.split("<span class=\"trail-what\">").skip(1);
    events
        .map(|rest| rest.split(" <span").next().unwrap().split('<').next().unwrap().trim().to_owned())
        .collect()
}

#[test]
fn every_change_is_told_with_its_difference() {
    run(async {
        let app = with_providers().await;
        let browser = operator(&app);
        app.client().integration("plain-key", KEY).await;
        app.client()
            .patch(format!("/integrations/{KEY}"), json!({"display_name": HOSTILE}))
            .expect(200)
            .await;
        let patch = EnvironmentPatch { is_production: Some(true), ..EnvironmentPatch::default() };
        settings::change(&app.app, app.environment_id, patch).await.unwrap();
        let html = shown(&browser, &app, "").await;
        assert_eq!(titles(&html), ["Environment updated", "Integration updated", "Integration created"]);
        assert!(html.contains("<ins>true</ins>") && html.contains("<del>false</del>"), "{html}");
        assert!(html.contains(&format!("<ins>{ESCAPED}</ins>")) && !html.contains(HOSTILE));
        let integration = format!("href=\"/env/{}/integrations/{KEY}\"", app.environment_name);
        assert!(html.contains(&integration), "{html}");
        assert!(html.contains("This server itself") && html.contains("127.0.0.1"), "{html}");
        app.client().delete(format!("/integrations/{KEY}")).expect(200).await;
        let html = shown(&browser, &app, "").await;
        assert!(!html.contains(&integration), "what is gone has no page");
    });
}

#[test]
fn the_filters_of_the_address_choose_the_events() {
    run(async {
        let app = with_providers().await;
        let browser = operator(&app);
        app.client().integration("plain-key", "needle").await;
        let keys = format!("/env/{}/api-keys", app.environment_name);
        browser.submit(&keys, &keys, &[("name", "ci"), ("access", "full")]).await;
        let tomorrow = (app.now() + chrono::TimeDelta::days(1)).format("%Y-%m-%d").to_string();
        let today = app.now().format("%Y-%m-%d").to_string();
        for (filters, expected) in [
            ("", vec!["API key created", "Integration created"]),
            ("&action=integration", vec!["Integration created"]),
            ("&action=integration%3Acreated", vec!["Integration created"]),
            ("&action=integration%3Adeleted", vec![]),
            ("&who=OPS", vec!["API key created"]),
            ("&who=nobody", vec![]),
            ("&text=NEEDLE", vec!["Integration created"]),
            ("&text=dashboard&outcome=success", vec![]),
            ("&outcome=denied", vec![]),
            (&format!("&from={today}&to={today}T23:59"), vec!["API key created", "Integration created"]),
            (&format!("&from={tomorrow}"), vec![]),
            (
                "&action=nonsense&outcome=nonsense&below=nonsense",
                vec!["API key created", "Integration created"],
            ),
        ] {
            let html = shown(&browser, &app, filters).await;
            assert_eq!(titles(&html), expected, "{filters}");
            assert_eq!(html.contains("Nothing matches"), expected.is_empty(), "{filters}");
        }
        let odd = browser.get(&format!("{PATH}?from=yesterday&who=%22%3E%3Cb%3E")).await;
        assert_eq!(odd.status, 422);
        let html = odd.text();
        assert!(
            html.contains("Use a date and a time") && html.contains("value=\"&#34;&#62;&#60;b&#62;\""),
            "{html}"
        );
    });
}

#[test]
fn long_trails_are_read_page_by_page_and_every_event_once() {
    run(async {
        let app = with_providers().await;
        let browser = operator(&app);
        for _ in 0..70 {
            let key = app.app.rng.alphanumeric(12).to_lowercase();
            app.client().integration("plain-key", &key).await;
        }
        for search in ["", "&who=a"] {
            let mut seen = std::collections::BTreeSet::new();
            let mut address =
                format!("{PATH}?environment={}&action=integration{search}", app.environment_name);
            for _ in 0..4 {
                let html = browser.get(&address).await.text();
                seen.extend(html.split("<details id=\"event-").skip(1).map(|rest| rest[..36].to_owned()));
                let next = html.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
                let Some(next) = next else { break };
                assert!(next.contains("action=integration"), "the filters stay: {next}");
                address = next.replace("&#38;", "&");
            }
            assert_eq!(seen.len(), 70, "{search}");
        }
    });
}

#[test]
fn files_hold_what_the_filters_let_through() {
    run(async {
        let app = with_providers().await;
        let browser = operator(&app);
        app.client().integration("plain-key", "one").await;
        app.client().integration("plain-key", "two").await;
        app.client().delete("/integrations/two").expect(200).await;
        let html = shown(&browser, &app, "&action=integration%3Acreated").await;
        let files = html.split("href=\"").filter_map(|rest| rest.split('"').next());
        let files: Vec<String> =
            files.filter(|href| href.contains("/export?")).map(|href| href.replace("&#38;", "&")).collect();
        assert_eq!(files.len(), 2, "{html}");
        let csv = browser.get(&files[0]).await;
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
        assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"audit-trail.csv\""));
        let text = csv.text();
        let rows: Vec<_> =
            csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row[3].to_owned()).collect::<Vec<_>>(), ["created", "created"]);
        let lines = browser.get(&files[1]).await;
        assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
        let events: Vec<Value> =
            lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[1]["targets"][0]["display"], "one");
        assert_eq!(browser.get(&format!("{PATH}/export?from=x")).await.status, 400);
        let told = browser.get(&format!("{PATH}?action=audit_trail%3Aexported&who=ops")).await.text();
        assert!(titles(&told).contains(&"Audit trail exported".to_owned()));
    });
}

#[test]
fn the_trail_is_for_administrators() {
    run(async {
        let app = TestApp::start().await;
        for (role, status) in
            [(Role::Administrator, 200), (Role::ProductionSupport, 403), (Role::DevelopmentFullAccess, 403)]
        {
            let person = Person::with_role(&app, role).await;
            for path in [PATH, "/settings/audit-trail/export", "/settings/health"] {
                assert_eq!(person.browser.get(path).await.status, status, "{path} as {role:?}");
            }
        }
        let off = password_settings().set("FLAG_AUDIT_TRAIL_ENABLED", "false").start().await;
        let html = operator(&off).get(PATH).await.text();
        assert!(html.contains("switched off by FLAG_AUDIT_TRAIL_ENABLED"), "{html}");
    });
}
