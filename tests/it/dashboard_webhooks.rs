//! The pages about outgoing webhooks: deliveries under filters, their attempts, and sending them again.

use serde_json::json;

use crate::dashboard::{NAME, PASSWORD, operator};
use crate::support::app::TestSettings;
use crate::support::receiver::Receiver;
use crate::support::target::insert_integration;
use crate::support::{Browser, Reply, TestApp, run};

const HOSTILE: &str = "\"><img>";

struct World {
    app: TestApp,
    browser: Browser,
    receiver: Receiver,
    list: String,
}

impl World {
    async fn start() -> World {
        let catalog = json!({"acme": {"display_name": "Acme", "docs": "https://docs.example.com", "auth_mode": "API_KEY",
                                      "proxy": {"base_url": "https://acme.example"}}});
        let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", NAME);
        let settings = settings.set("NANGO_DASHBOARD_PASSWORD", PASSWORD).set("FLAG_AUTH_ENABLED", "false");
        let app = settings.catalog(catalog.to_string()).start().await;
        insert_integration(&app, "acme", None).await;
        let browser = operator(&app);
        let list = format!("/env/{}/webhooks", app.environment_name);
        World { browser, receiver: Receiver::start().await, list, app }
    }

    /// Imports a connection, which is an event.
    async fn import(&self, connection: &str) {
        let body = json!({"provider_config_key": "acme", "connection_id": connection,
                          "credentials": {"type": "API_KEY", "apiKey": "key-0123456789"}});
        self.app.client().post("/connections", body).expect(201).await;
        self.app.settle_webhooks().await;
    }

    async fn get(&self, query: &str) -> String {
        let page = self.browser.get(&format!("{}{query}", self.list)).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        page.text()
    }
}

/// The addresses of the deliveries that a list shows.
fn deliveries(html: &str) -> Vec<String> {
    let rows = html.split("<th scope=\"row\"><a href=\"").skip(1);
    rows.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn deliveries_are_found_looked_at_and_sent_again() {
    run(async {
        let world = World::start().await;
        assert!(world.get("").await.contains("No webhook address"));
        world.app.send_webhooks_to(&world.receiver.url("/hook")).await;
        assert!(world.get("").await.contains("Nothing was sent yet"));
        world.receiver.answer_next(&[404]);
        world.import("cust-1").await;
        world.import("cust-2").await;

        assert_eq!(deliveries(&world.get("").await).len(), 2);
        for (query, expected) in [
            ("?state=failed", 1),
            ("?state=delivered&type=auth", 1),
            ("?connection=cust-2&integration=acme", 1),
            ("?type=forward", 0),
            ("?state=nonsense&before=nonsense", 2),
        ] {
            assert_eq!(deliveries(&world.get(query).await).len(), expected, "{query}");
        }
        let failed = deliveries(&world.get("?state=failed").await).remove(0);
        let page = world.browser.get(&failed).await.text();
        assert!(
            page.contains("Given up") && page.contains("told to say 404") && page.contains("cust-1"),
            "{page}"
        );

        let sent = world.browser.submit(&failed, &format!("{failed}/send-again"), &[]).await;
        assert!(world.browser.follow(sent).await.text().contains("on its way"));
        world.app.settle_webhooks().await;
        let page = world.browser.get(&failed).await.text();
        assert!(page.contains("Delivered") && page.contains("Attempt 2"), "{page}");
        assert_eq!(world.receiver.seen().len(), 3);
    });
}

#[test]
fn what_was_given_up_is_sent_again_together() {
    run(async {
        let world = World::start().await;
        world.app.send_webhooks_to(&world.receiver.url("/hook")).await;
        world.receiver.answer_next(&[404, 404, 404]);
        for connection in ["cust-1", "cust-2", "cust-3"] {
            world.import(connection).await;
        }
        let at = format!("{}?state=failed&connection=cust-2", world.list);
        let action = format!("{}/send-again", world.list);
        let one = world.browser.submit(&at, &action, &[("connection", "cust-2")]).await;
        assert!(world.browser.follow(one).await.text().contains("1 webhook is on its way"));
        world.app.settle_webhooks().await;
        assert_eq!(deliveries(&world.get("?state=failed").await).len(), 2);
        let rest = world.browser.submit(&format!("{}?state=failed", world.list), &action, &[]).await;
        assert!(world.browser.follow(rest).await.text().contains("2 webhooks are on their way"));
        world.app.settle_webhooks().await;
        assert_eq!(deliveries(&world.get("?state=failed").await).len(), 0);
        let reply: Reply = world.browser.get(&format!("{}/nonsense", world.list)).await;
        assert_eq!(reply.status, 404);
        let told = "SELECT jsonb_array_length(targets) FROM audit_events
                    WHERE environment_id = $1 AND resource = 'webhook' AND action = 'replayed' ORDER BY seq";
        let told = sqlx::query_scalar::<_, i32>(told).bind(world.app.environment_id.0);
        assert_eq!(told.fetch_all(&world.app.app.db).await.unwrap(), [1, 2], "in the audit trail");
    });
}

#[test]
fn hostile_addresses_are_escaped() {
    run(async {
        let world = World::start().await;
        world.app.send_webhooks_to(&world.receiver.url(&format!("/hook?x={HOSTILE}"))).await;
        world.import("cust-1").await;
        let list = world.get("").await;
        let page = world.browser.get(&deliveries(&list)[0]).await.text();
        for html in [list, page] {
            assert!(!html.contains(HOSTILE), "{html}");
            assert!(html.contains("&#60;img") || html.contains("%3Cimg"), "{html}");
        }
    });
}
