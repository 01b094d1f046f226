//! The search of an environment, used without scripts: what is found, by whom, and what a palette would be told.

use hitchpost::access::Role;
use hitchpost::environments::settings::{self, EnvironmentPatch};
use hitchpost::logs::{Kind, NewOperation};
use serde_json::{Value, json};

use crate::dashboard::{NAME, PASSWORD, operator};
use crate::support::app::TestSettings;
use crate::support::{Browser, Person, Reply, TestApp, run};

const HOSTILE: &str = "<script>alert(1)</script>";
const CATALOG: &str = "
plain: {display_name: Plain Desk, docs: 'https://d', auth_mode: API_KEY, proxy: {base_url: 'https://api.plain.test'}}
plain-two: {display_name: '<script>alert(1)</script>', docs: 'https://d', auth_mode: API_KEY}
";

async fn world() -> (TestApp, Browser) {
    let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", NAME);
    let settings = settings.set("NANGO_DASHBOARD_PASSWORD", PASSWORD).set("FLAG_AUTH_ENABLED", "false");
    let app = settings.catalog(CATALOG).start().await;
    let new = json!({"provider": "plain", "unique_key": "help-desk", "display_name": "Our helpdesk"});
    app.client().post("/integrations", new).expect(200).await;
    let browser = operator(&app);
    (app, browser)
}

async fn import(app: &TestApp, id: &str, more: Value) {
    let mut body = json!({"provider_config_key": "help-desk", "connection_id": id,
        "credentials": {"type": "API_KEY", "apiKey": "pl4nted-s3cret"}});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    app.client().post("/connections", body).expect(201).await;
}

fn path(app: &TestApp, query: &str) -> String {
    format!("/env/{}/search{query}", app.environment_name)
}

/// The titles of what was found under a heading, in order.
fn found(page: &Reply, group: &str) -> Vec<String> {
    let html = page.text();
    let Some(section) = html.split(&format!("aria-label=\"{group}\">")).nth(1) else { return Vec::new() };
    let section = section.split("</section>").next().unwrap();
    let titles = section.split("class=\"hit-title\">").skip(1).filter_map(|rest| rest.split('<').next());
    titles.map(str::to_owned).collect()
}

#[test]
fn everything_of_an_environment_is_found_by_what_people_know_of_it() {
    run(async {
        let (app, browser) = world().await;
        let ann = json!({"end_user": {"id": "user-7", "email": "ann@acme.test", "display_name": "Ann"}});
        import(&app, "cust-ann", ann).await;
        import(&app, "cust-bob", json!({"tags": {"plan": "pro"}})).await;
        import(&app, "cust-evil", json!({"end_user": {"id": "evil", "display_name": HOSTILE}})).await;
        for number in 0..7 {
            import(&app, &format!("many-{number}"), json!({})).await;
        }
        let new = NewOperation::new(Kind::ProxyCall, app.environment_id).with("connectionName", "cust-ann");
        let operation = app.app.logs.start(new);
        operation.info("Zanzibar answered");
        operation.succeed();
        app.app.logs.flush(&app.app.db).await;
        let hostile = "&#60;script&#62;alert(1)&#60;/script&#62;";
        for (query, group, expected) in [
            ("cust-ann", "Connections", vec!["cust-ann"]),
            ("ann%40acme", "Connections", vec!["cust-ann"]),
            ("user-7", "Connections", vec!["cust-ann"]),
            ("plan%3Dpro", "Connections", vec!["cust-bob"]),
            ("%3CSCRIPT", "Connections", vec!["cust-evil"]),
            ("many", "Connections", vec!["many-6", "many-5", "many-4", "many-3", "many-2"]),
            ("%25", "Connections", vec![]),
            ("helpdesk", "Integrations", vec!["help-desk"]),
            ("plain+desk", "Integrations", vec!["help-desk"]),
            ("%3Cscript", "Catalog", vec![hostile]),
            ("plain", "Catalog", vec!["Plain Desk", hostile]),
            ("plain", "Connections", vec![]),
            ("POST_connection", "Documentation", vec!["Keys of an entry", "Hooks"]),
            ("a+first+entry", "Documentation", vec!["A first entry"]),
            ("refused+nothing+like", "Documentation", vec![]),
            ("playground", "Go to", vec!["Playground"]),
            ("key+api", "Do", vec!["Create API key"]),
            ("night", "Do", vec!["Dark theme"]),
            ("switch+prod", "Go to", vec!["Switch to prod"]),
        ] {
            let page = browser.get(&path(&app, &format!("?q={query}"))).await;
            assert_eq!(page.status, 200, "{query}");
            assert_eq!(found(&page, group), expected, "{query}: {group}");
            assert!(!page.text().contains(HOSTILE), "{query}: what others chose is escaped");
        }
        let words = browser.get(&path(&app, "?q=zanzibar")).await;
        let [title] = &found(&words, "Operations")[..] else { panic!("{}", words.text()) };
        let link = words.text().split("/logs/").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let by_id = browser.get(&path(&app, &format!("?q={link}"))).await;
        assert_eq!(found(&by_id, "Operations"), [title.as_str()]);
        let marks = browser.get(&path(&app, "?q=%21%21")).await;
        assert!(marks.text().contains("Nothing here is called “!!”"), "no word is not every operation");
    });
}

#[test]
fn an_empty_search_tells_what_can_be_done_and_the_palette_gets_the_same_without_a_frame() {
    run(async {
        let (app, browser) = world().await;
        let page = browser.get(&path(&app, "")).await;
        assert!(found(&page, "Go to").contains(&"Connections".to_owned()));
        assert!(found(&page, "Do").contains(&"New environment".to_owned()));
        assert!(found(&page, "Connections").is_empty());
        let part = browser.get(&path(&app, "?part=results")).await;
        assert_eq!(found(&part, "Do"), found(&page, "Do"));
        assert!(part.text().contains("data-search-results") && !part.text().contains("<main"));
        assert!(part.header("content-security-policy").is_some());
    });
}

#[test]
fn the_guides_are_pages_of_this_server() {
    run(async {
        let (app, browser) = world().await;
        let found = browser.get(&path(&app, "?q=hooks")).await.text();
        assert!(found.contains("href=\"/guide/catalog#hooks\""), "{found}");
        let guide = browser.get("/guide/catalog").await;
        assert_eq!(guide.status, 200);
        let html = guide.text();
        assert!(
            html.contains("<h2 id=\"hooks\">") && html.contains("<code>post_connection</code>"),
            "{html}"
        );
        assert!(browser.get("/guide/hitchpost").await.text().contains("href=\"/guide/catalog#hooks\""));
        assert_eq!(browser.get("/guide/nothing").await.status, 404);
    });
}

#[test]
fn nobody_finds_what_they_may_not_see_or_do() {
    run(async {
        let app = TestApp::with_catalog(CATALOG).await;
        let new = json!({"provider": "plain", "unique_key": "help-desk"});
        app.client().post("/integrations", new).expect(200).await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let support = Person::with_role(&app, Role::ProductionSupport).await;
        let developer = Person::with_role(&app, Role::DevelopmentFullAccess).await;
        let patch = EnvironmentPatch { is_production: Some(true), ..EnvironmentPatch::default() };
        settings::change(&app.app, app.environment_id, patch).await.unwrap();
        let all = admin.browser.get(&path(&app, "")).await;
        let some = support.browser.get(&path(&app, "")).await;
        for title in ["Create API key", "Add an integration", "New environment", "Invite somebody"] {
            assert!(found(&all, "Do").contains(&title.to_owned()), "{title}");
            assert!(!found(&some, "Do").contains(&title.to_owned()), "{title}");
        }
        assert!(found(&some, "Do").contains(&"Log out".to_owned()));
        assert!(!found(&some, "Go to").contains(&"API keys".to_owned()));
        assert_eq!(found(&support.browser.get(&path(&app, "?q=help")).await, "Integrations"), ["help-desk"]);
        let catalog = support.browser.get(&path(&app, "?q=plain+desk")).await.text();
        assert!(catalog.contains("/catalog?q=plain\"") && !catalog.contains("/catalog/plain\""));
        assert_eq!(developer.browser.get(&path(&app, "?q=help")).await.status, 403);
        let switch = developer.browser.get("/env/dev/search?q=switch").await;
        let name = format!("Switch to {}", app.environment_name);
        assert!(!found(&switch, "Go to").contains(&name), "{:?}", found(&switch, "Go to"));

        let stranger = app.stranger().await;
        let other = json!({"provider": "plain", "unique_key": "foreign-desk"});
        stranger.post("/integrations", other).expect(200).await;
        let page = admin.browser.get(&path(&app, "?q=foreign")).await;
        assert!(found(&page, "Integrations").is_empty(), "another environment's");
    });
}
