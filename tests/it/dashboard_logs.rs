//! The pages about operations: filters that are the address, paging, and the story of one operation.

use hitchpost::logs::{Kind, LogError, NewOperation, Operation};
use serde_json::json;

use crate::dashboard::{operator, with_password};
use crate::support::{TestApp, run};

const HOSTILE: &str = "<img src=x onerror=alert(1)>";
const ESCAPED: &str = "&#60;img src=x onerror=alert(1)&#62;";

fn start(app: &TestApp, kind: Kind, integration: &str, connection: &str) -> Operation {
    let new = NewOperation::new(kind, app.environment_id)
        .with("integrationName", integration)
        .with("connectionName", connection);
    app.app.logs.start(new)
}

#[test]
fn the_filters_of_the_address_choose_the_operations() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let logs = format!("/env/{}/logs", app.environment_name);
        assert!(browser.get(&logs).await.text().contains("Nothing happened yet"));
        start(&app, Kind::AuthRefreshToken, "acme-desk", "cust-1")
            .fail(&LogError::new("invalid_grant", "Token has been revoked"));
        start(&app, Kind::ProxyCall, "acme-desk", "cust-2").succeed();
        start(&app, Kind::ProxyCall, HOSTILE, HOSTILE).succeed();
        app.app.logs.flush(&app.app.db).await;
        for (query, expected) in [
            ("", vec!["cust-1", "cust-2", ESCAPED]),
            ("?state=failed", vec!["cust-1"]),
            ("?type=proxy&integration=acme-desk", vec!["cust-2"]),
            ("?search=revoked", vec!["cust-1"]),
            ("?connection=cust-2&period=1h", vec!["cust-2"]),
            (
                "?state=nonsense&type=nonsense&period=nonsense&after=nonsense",
                vec!["cust-1", "cust-2", ESCAPED],
            ),
            ("?search=nothing+like+this", vec![]),
        ] {
            let page = browser.get(&format!("{logs}{query}")).await;
            assert_eq!(page.status, 200, "{query}");
            let html = page.text();
            assert!(!html.contains(HOSTILE), "{query}: what others chose is escaped");
            for name in ["cust-1", "cust-2", ESCAPED] {
                let cell = format!("<td data-label=\"Connection\">{name}</td>");
                assert_eq!(html.contains(&cell), expected.contains(&name), "{query}: {name}");
            }
            assert_eq!(html.contains("Nothing matches"), expected.is_empty(), "{query}");
        }
        let kept = browser.get(&format!("{logs}?search=%22%3E%3Cb%3E&state=failed")).await.text();
        assert!(
            kept.contains("value=\"&#34;&#62;&#60;b&#62;\"") && kept.contains("value=\"failed\" selected")
        );
    });
}

#[test]
fn long_lists_are_read_page_by_page_and_every_operation_once() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        for number in 0..120 {
            start(&app, Kind::AuthRefreshToken, "acme", &format!("cust-{number}.")).succeed();
            app.advance(chrono::TimeDelta::milliseconds(3));
        }
        app.app.logs.flush(&app.app.db).await;
        let mut seen = Vec::new();
        let mut address = format!("/env/{}/logs?integration=acme", app.environment_name);
        for _ in 0..3 {
            let html = browser.get(&address).await.text();
            let cells = html.split("<td data-label=\"Connection\">").skip(1);
            seen.extend(cells.filter_map(|rest| rest.split('<').next()).map(str::to_owned));
            let next = html.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
            let Some(next) = next else { break };
            assert!(next.contains("integration=acme"), "the filters stay: {next}");
            address = next.replace("&#38;", "&");
        }
        let expected: Vec<String> = (0..120).rev().map(|number| format!("cust-{number}.")).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn an_operation_tells_its_story_with_advice() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let operation = start(&app, Kind::AuthRefreshToken, "acme/desk", HOSTILE);
        operation.hide("s3cret-token");
        operation.info("The token endpoint is asked.");
        operation.tell(
            hitchpost::logs::Level::Warn,
            &format!("{HOSTILE} was odd, s3cret-token too"),
            json!({"hint": HOSTILE}),
        );
        operation.fail(&LogError::new("refresh_token_external_error", "The provider said no."));
        app.app.logs.flush(&app.app.db).await;
        let logs = format!("/env/{}/logs", app.environment_name);
        let page = browser.get(&format!("{logs}/{}", operation.id())).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let html = page.text();
        let place = |text: &str| html.rfind(text).unwrap_or_else(|| panic!("{text} is missing: {html}"));
        assert!(place("The token endpoint is asked.") < place("was odd"), "in the order of events");
        assert!(
            place("was odd") < place("the user has to sign in again"),
            "advice stands beside the failure"
        );
        assert!(html.contains("refresh_token_external_error") && html.contains("Failed"));
        assert!(!html.contains(HOSTILE) && !html.contains("s3cret-token"));
        assert!(html.contains("/integrations/acme%2Fdesk\""));
        for id in ["nothing", "1785578400123_a8Kd03LzQ1"] {
            assert_eq!(browser.get(&format!("{logs}/{id}")).await.status, 404, "{id}");
        }
        let other = format!("/env/prod/logs/{}", operation.id());
        assert_eq!(browser.get(&other).await.status, 404, "another environment's operation");
    });
}

#[test]
fn an_open_operation_can_be_followed() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let operation = start(&app, Kind::SyncRun, "acme", "c");
        operation.leave_open();
        app.app.logs.flush(&app.app.db).await;
        let page = format!("/env/{}/logs/{}", app.environment_name, operation.id());
        let html = browser.get(&page).await.text();
        assert!(
            html.contains("data-live-content") && html.contains("data-reload") && html.contains("Running")
        );
    });
}
