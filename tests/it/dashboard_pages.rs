//! The pages of the dashboard about environments and API keys, used without scripts.

use chrono::TimeDelta;

use crate::dashboard::{operator, with_password};
use crate::support::{Reply, TestApp, run};

const ENVIRONMENTS: &str = "/settings/environments";

/// The secret that a page shows once.
fn shown_secret(page: &Reply) -> String {
    let html = page.text();
    let rest = &html[html.find("data-copy=\"").expect("a secret is shown") + "data-copy=\"".len()..];
    rest.split('"').next().unwrap().to_owned()
}

fn new_name(app: &TestApp) -> String {
    format!("d{}", app.app.rng.alphanumeric(10).to_lowercase())
}

#[test]
fn environments_are_made_renamed_protected_and_deleted() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let (first, second) = (new_name(&app), new_name(&app));
        let made = browser.submit(ENVIRONMENTS, ENVIRONMENTS, &[("name", &first)]).await;
        assert_eq!(made.status, 303, "{}", made.text());
        let list = browser.follow(made).await.text();
        assert!(list.contains(&format!("Environment {first} created.")));
        assert!(!browser.get(ENVIRONMENTS).await.text().contains("created."), "told once");

        let own = format!("{ENVIRONMENTS}/{first}");
        let saved = browser.submit(&own, &own, &[("name", &second), ("is_production", "on")]).await;
        assert!(browser.follow(saved).await.text().contains(&format!("Environment {second} saved.")));
        let home = browser.get(&format!("/env/{second}")).await.text();
        assert!(home.contains("Production"), "{home}");
        assert_eq!(browser.get(&format!("/env/{first}")).await.status, 404);

        let own = format!("{ENVIRONMENTS}/{second}");
        let delete = format!("{own}/delete");
        let refused = browser.submit(&own, &delete, &[("confirmation", "something else")]).await;
        assert!(browser.follow(refused).await.text().contains("Nothing was deleted"));
        let deleted = browser.submit(&own, &delete, &[("confirmation", &second)]).await;
        assert!(browser.follow(deleted).await.text().contains(&format!("Environment {second} deleted.")));
        assert_eq!(browser.get(&own).await.status, 404);
    });
}

#[test]
fn a_form_with_problems_comes_back_with_what_was_typed() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        for (name, problem) in [
            ("", "Fill this in."),
            ("Not \"valid\" <b>", "at most"),
            (&*app.environment_name, "Another environment has this name."),
        ] {
            let reply = browser.submit(ENVIRONMENTS, ENVIRONMENTS, &[("name", name)]).await;
            assert_eq!(reply.status, 422, "{name}");
            let html = reply.text();
            assert!(html.contains(problem) && html.contains("aria-invalid=\"true\""), "{name}: {html}");
            assert!(!html.contains("<b>"), "what was typed is escaped");
        }
        let page = browser.get(&format!("{ENVIRONMENTS}/prod")).await.text();
        assert!(page.contains("keeps its name") && !page.contains("/prod/delete"));
        let token = crate::support::browser::hidden(&browser.get(ENVIRONMENTS).await, "csrf").unwrap();
        let fields = vec![("csrf", &*token), ("confirmation", "prod")];
        let reply = browser.post(&format!("{ENVIRONMENTS}/prod/delete"), fields).await;
        assert!(browser.follow(reply).await.text().contains("cannot be deleted"));
    });
}

#[test]
fn a_key_is_shown_once_and_does_what_its_scopes_say() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let keys = format!("/env/{}/api-keys", app.environment_name);
        let fields = [("name", "ci <script>"), ("access", "some"), ("scope", "environment:connections:list")];
        let made = browser.submit(&keys, &keys, &fields).await;
        let page = browser.follow(made).await;
        let secret = shown_secret(&page);
        assert!(
            page.text().contains("ci &#60;script&#62;")
                && page.text().contains("environment:connections:list")
        );
        assert!(!browser.get(&keys).await.text().contains(&secret), "shown once");
        let client = app.anonymous().with_secret(&secret);
        client.get("/connections").expect(200).await;
        client.get("/integrations").expect(403).await;

        let nothing = browser.submit(&keys, &keys, &[("name", "x"), ("access", "some")]).await;
        assert!(nothing.status == 422 && nothing.text().contains("Choose at least one scope"));
        let again = browser.submit(&keys, &keys, &[("name", "ci <script>"), ("access", "full")]).await;
        assert!(again.status == 422 && again.text().contains("Another key has this name."));
    });
}

/// The address of the first form of a page whose path ends like this.
fn action(page: &Reply, end: &str) -> String {
    let html = page.text();
    let found =
        html.split("action=\"").filter_map(|rest| rest.split('"').next()).find(|path| path.ends_with(end));
    found.unwrap_or_else(|| panic!("no form ends with {end}: {html}")).to_owned()
}

#[test]
fn a_replaced_key_works_until_its_time_is_over() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let keys = format!("/env/{}/api-keys", app.environment_name);
        app.client().get("/connections").expect(200).await;
        let rotate = action(&browser.get(&keys).await, "/rotate");
        let page = browser.follow(browser.submit(&keys, &rotate, &[("grace", "1")]).await).await;
        let successor = app.anonymous().with_secret(shown_secret(&page));
        assert!(page.text().contains("Replaced"));
        app.client().get("/connections").expect(200).await;
        successor.get("/connections").expect(200).await;
        app.advance(TimeDelta::minutes(61));
        assert_eq!(app.client().get("/connections").send().await.status, 401);
        successor.get("/connections").expect(200).await;
        assert!(!browser.get(&keys).await.text().contains("Replaced"));

        let odd =
            browser.submit(&keys, &action(&browser.get(&keys).await, "/rotate"), &[("grace", "9")]).await;
        assert!(browser.follow(odd).await.text().contains("Choose how long"));
        let revoke = action(&browser.get(&keys).await, "/revoke");
        let page = browser.follow(browser.submit(&keys, &revoke, &[]).await).await;
        assert!(page.text().contains("Key revoked.") && page.text().contains("No keys"));
        assert_eq!(successor.get("/connections").send().await.status, 401);
    });
}

#[test]
fn the_theme_is_remembered_and_the_browser_comes_back() {
    run(async {
        let app = with_password().await;
        let browser = operator(&app);
        let chosen = browser.submit(ENVIRONMENTS, "/me/theme", &[("theme", "dark")]).await;
        assert_eq!(chosen.status, 303);
        assert!(browser.get(ENVIRONMENTS).await.text().contains("data-theme=\"dark\""));
        let system = browser.submit(ENVIRONMENTS, "/me/theme", &[("theme", "system")]).await;
        assert_eq!(system.status, 303);
        assert!(!browser.get(ENVIRONMENTS).await.text().contains("data-theme="));
    });
}
