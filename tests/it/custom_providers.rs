//! Providers that administrators define in the dashboard: saved, used by a proxied call, changed, and taken away.

use hitchpost::access::Role;
use hitchpost::jobs;
use serde_json::json;

use crate::support::app::TestSettings;
use crate::support::target::Target;
use crate::support::{Browser, Person, Reply, TestApp, run};

const LIST: &str = "/settings/providers";

async fn world() -> TestApp {
    let settings = TestSettings::default().set("HITCHPOST_CUSTOM_PROVIDERS", "true");
    let catalog = "plain: {display_name: Plain, docs: 'https://d', auth_mode: API_KEY, proxy: {base_url: 'https://api.plain.test'}}\n";
    settings.catalog(catalog).start().await
}

/// A name that no other test has: providers belong to the whole server.
fn new_name(app: &TestApp) -> String {
    format!("own-{}", app.app.rng.alphanumeric(12).to_lowercase())
}

fn definition(name: &str, target: &Target, header: &str) -> String {
    format!(
        "{name}:
  display_name: Mine <b>
  docs: https://docs.mine.example
  auth_mode: API_KEY
  proxy:
    base_url: {}
    headers:
      {header}: ${{apiKey}}
  credentials:
    apiKey: {{type: string, title: Key, description: The key}}
",
        target.url()
    )
}

fn editor(app: &TestApp) -> String {
    format!("/env/{}/provider-editor", app.environment_name)
}

async fn save(app: &TestApp, browser: &Browser, of: Option<&str>, fields: &[(&str, &str)]) -> Reply {
    let at = of.map_or_else(|| editor(app), |name| format!("{}?provider={name}", editor(app)));
    let page = browser.get(&at).await;
    let revision = crate::support::browser::hidden(&page, "revision").unwrap_or_default();
    let mut all = vec![("of", of.unwrap_or_default()), ("revision", &*revision)];
    all.extend(fields);
    browser.submit(&at, &format!("{}/save", editor(app)), &all).await
}

async fn connect(app: &TestApp, name: &str) {
    let new = json!({"provider": name, "unique_key": "mine"});
    app.client().post("/integrations", new).expect(200).await;
    let credentials = json!({"type": "API_KEY", "apiKey": "the-key"});
    let body = json!({"provider_config_key": "mine", "connection_id": "c1", "credentials": credentials});
    app.client().post("/connections", body).expect(201).await;
}

async fn call(app: &TestApp) -> Reply {
    let ask =
        app.client().get("/proxy/things").header("connection-id", "c1").header("provider-config-key", "mine");
    ask.send().await
}

async fn take_away(app: &TestApp, browser: &Browser, name: &str) -> String {
    app.client().ask("DELETE", "/integrations/mine").send().await;
    let action = format!("{LIST}/{name}/delete");
    let gone = browser.submit(LIST, &action, &[("confirmation", name)]).await;
    browser.follow(gone).await.text()
}

#[test]
fn a_saved_provider_carries_calls_and_its_changes_apply_at_once() {
    run(async {
        let app = world().await;
        let replica = app.replica().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let (target, name) = (Target::recording().await, new_name(&app));
        let first = definition(&name, &target, "x-first");
        let saved = save(&app, &admin.browser, None, &[("definition", &first)]).await;
        assert_eq!(saved.status, 303, "{}", saved.text());
        let page = admin.browser.follow(saved).await.text();
        assert!(page.contains("is saved") && page.contains("Mine &#60;b&#62;") && !page.contains("Mine <b>"));
        connect(&app, &name).await;
        assert_eq!(call(&app).await.status, 200);
        assert_eq!(target.last().header("x-first"), Some("the-key"));

        hitchpost::custom_providers::reload(&replica.app).await.unwrap();
        assert_eq!(call(&replica).await.status, 200);
        let second = definition(&name, &target, "x-second");
        let saved = save(&app, &admin.browser, Some(&name), &[("definition", &second)]).await;
        assert_eq!(saved.status, 303, "{}", saved.text());
        assert_eq!(call(&app).await.status, 200);
        assert_eq!(
            target.last().header("x-second"),
            Some("the-key"),
            "the target of the old definition is gone"
        );
        assert_eq!(target.last().header("x-first"), None);
        until_told(&replica, &name, "x-second").await;
        assert_eq!(call(&replica).await.status, 200);
        assert_eq!(target.last().header("x-second"), Some("the-key"), "told by the change feed");

        let list = admin.browser.get(LIST).await.text();
        assert!(list.contains(&name) && list.contains("<td data-label=\"Integrations\">1</td>"), "{list}");
        assert!(list.contains("Its integrations need it"), "{list}");
        let token = crate::support::browser::hidden(&admin.browser.get(LIST).await, "csrf").unwrap();
        let fields = vec![("csrf", &*token), ("confirmation", &*name)];
        let refused = admin.browser.post(&format!("{LIST}/{name}/delete"), fields).await;
        assert!(admin.browser.follow(refused).await.text().contains("Integrations use"));
        assert!(take_away(&app, &admin.browser, &name).await.contains("deleted."));
        assert!(app.app.catalog.load().get(&name).is_none());
        let events = audited(&app, &name).await;
        assert_eq!(events, ["created", "updated", "deleted"]);
        jobs::flush(&app.app).await;
    });
}

/// Waits until a replica has read the change feed.
async fn until_told(replica: &TestApp, name: &str, header: &str) {
    for _ in 0..500 {
        let known = replica.app.catalog.load().get(name).map(|provider| json!(provider.raw).to_string());
        if known.is_some_and(|known| known.contains(header)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the replica never heard of the change");
}

async fn audited(app: &TestApp, name: &str) -> Vec<String> {
    let events = "SELECT action FROM audit_events WHERE resource = 'provider' AND targets->0->>'display' = $1 ORDER BY seq";
    sqlx::query_scalar(events).bind(name).fetch_all(&app.app.db).await.unwrap()
}

#[test]
fn what_cannot_be_saved_comes_back_as_it_was_typed() {
    run(async {
        let app = world().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let (target, name) = (Target::recording().await, new_name(&app));
        let two = format!("{}{}", definition("a1", &target, "x"), definition("a2", &target, "x"));
        let shadow = definition("plain", &target, "x-own");
        for (text, problem) in [
            ("", "Here is no provider"),
            (&*two, "Describe one provider at a time; here are 2 providers."),
            ("mine: {auth_mode: NOPE}", "mend the mistakes first"),
            ("<script>alert(1)</script>: {}", "mend the mistakes first"),
            (&*shadow, "The catalog has a provider called plain."),
        ] {
            let reply = save(&app, &admin.browser, None, &[("definition", text)]).await;
            assert_eq!(reply.status, 422, "{text}");
            assert!(reply.text().contains(problem), "{text}: {}", reply.text());
            assert!(!reply.text().contains("<script>alert"), "{text}");
        }
        let kept = save(&app, &admin.browser, None, &[("definition", &two)]).await.text();
        assert!(kept.contains("a2:\n"), "{kept}");

        let mine = definition(&name, &target, "x-one");
        assert_eq!(save(&app, &admin.browser, None, &[("definition", &mine)]).await.status, 303);
        let again =
            save(&app, &admin.browser, None, &[("definition", &mine), ("replaces_entry", "on")]).await;
        assert!(again.text().contains("There is a provider of this name already."), "{}", again.text());
        let renamed = definition(&format!("{name}-2"), &target, "x-one");
        let reply = save(&app, &admin.browser, Some(&name), &[("definition", &renamed)]).await;
        assert!(reply.status == 422 && reply.text().contains("keep this name"), "{}", reply.text());
        let old = [("revision", "0"), ("of", &*name), ("definition", &*mine)];
        let at = format!("{}?provider={name}", editor(&app));
        let late = admin.browser.submit(&at, &format!("{}/save", editor(&app)), &old).await;
        assert!(late.text().contains("Somebody else changed or deleted it meanwhile."), "{}", late.text());

        let builder = format!("{name}-child:\n  alias: {name}\n  display_name: Child\n");
        assert_eq!(save(&app, &admin.browser, None, &[("definition", &builder)]).await.status, 303);
        let child = format!("{name}-child");
        assert!(app.app.catalog.load().get(&child).is_some_and(|provider| provider.display_name == "Child"));
        assert!(take_away(&app, &admin.browser, &name).await.contains("builds on it"));
        assert!(take_away(&app, &admin.browser, &child).await.contains("deleted."));
        assert!(take_away(&app, &admin.browser, &name).await.contains("deleted."));
    });
}

#[test]
fn an_entry_of_the_catalog_is_replaced_only_on_purpose_and_comes_back() {
    run(async {
        let app = world().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let (target, name) = (Target::recording().await, new_name(&app));
        let files = format!(
            "{name}: {{display_name: Theirs, docs: 'https://d', auth_mode: API_KEY, proxy: {{base_url: '{}'}}}}",
            target.url()
        );
        let source = hitchpost::catalog::Source::Text { name: "t.yaml".to_owned(), text: files };
        app.app.replace_catalog(hitchpost::catalog::load(&[], &[source]).catalog);
        connect(&app, &name).await;
        let mine = definition(&name, &target, "x-own");
        assert_eq!(save(&app, &admin.browser, None, &[("definition", &mine)]).await.status, 422);
        let fields = [("definition", &*mine), ("replaces_entry", "on")];
        assert_eq!(save(&app, &admin.browser, None, &fields).await.status, 303);
        call(&app).await;
        assert_eq!(target.last().header("x-own"), Some("the-key"));
        assert!(admin.browser.get(LIST).await.text().contains("Replaces an entry"));
        let action = format!("{LIST}/{name}/delete");
        let gone = admin.browser.submit(LIST, &action, &[("confirmation", &name)]).await;
        assert!(
            admin.browser.follow(gone).await.text().contains("deleted."),
            "its integrations have another"
        );
        call(&app).await;
        assert_eq!(target.last().header("x-own"), None);
    });
}

#[test]
fn only_administrators_define_providers_and_only_where_that_is_on() {
    run(async {
        let app = world().await;
        let developer = Person::with_role(&app, Role::DevelopmentFullAccess).await;
        let page = developer.browser.get(&editor(&app)).await;
        assert!(page.status == 200 && !page.text().contains("Save provider"));
        let token = crate::support::browser::hidden(&page, "csrf").unwrap();
        let fields = vec![("csrf", &*token), ("definition", "x: {}")];
        assert_eq!(developer.browser.post(&format!("{}/save", editor(&app)), fields).await.status, 403);
        assert_eq!(developer.browser.get(LIST).await.status, 403);

        let closed = TestApp::start().await;
        let admin = Person::with_role(&closed, Role::Administrator).await;
        assert!(admin.browser.get(LIST).await.text().contains("HITCHPOST_CUSTOM_PROVIDERS=false"));
        let page = admin.browser.get(&editor(&closed)).await;
        assert!(!page.text().contains("Save provider"));
        let token = crate::support::browser::hidden(&page, "csrf").unwrap();
        let fields = vec![
            ("csrf", &*token),
            ("definition", "x: {display_name: X, docs: 'https://d', auth_mode: NONE}"),
        ];
        let refused = admin.browser.post(&format!("{}/save", editor(&closed)), fields).await;
        assert!(refused.status == 422 && refused.text().contains("HITCHPOST_CUSTOM_PROVIDERS is off"));
        assert!(closed.app.catalog.load().get("x").is_none());
    });
}
