//! The dashboard's pages about connections, used without scripts.

use hitchpost::db::{connection_errors, connections, integrations};
use serde_json::{Value, json};

use crate::dashboard::{operator, with_password};
use crate::support::app::TestSettings;
use crate::support::{Browser, Reply, TestApp, run};

const HOSTILE: &str = "\"><script>alert(1)</script>";
const SECRET: &str = "pl4nted-s3cret";

async fn world() -> (TestApp, Browser) {
    let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", crate::dashboard::NAME);
    let settings = settings.set("NANGO_DASHBOARD_PASSWORD", crate::dashboard::PASSWORD);
    let settings = settings.set("FLAG_AUTH_ENABLED", "false");
    let catalog = "plain: {display_name: Plain, docs: 'https://d', auth_mode: API_KEY, proxy: {base_url: 'https://api.plain.test'}}\n";
    let app = settings.catalog(catalog).start().await;
    let new = json!({"provider": "plain", "unique_key": "main"});
    app.client().post("/integrations", new).expect(200).await;
    let browser = operator(&app);
    (app, browser)
}

async fn import(app: &TestApp, id: &str, more: Value) {
    let mut body = json!({"provider_config_key": "main", "connection_id": id,
        "credentials": {"type": "API_KEY", "apiKey": SECRET}});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    app.client().post("/connections", body).expect(201).await;
}

fn list(app: &TestApp) -> String {
    format!("/env/{}/connections", app.environment_name)
}

/// The address of the page of a connection, as the list links it.
async fn page_of(app: &TestApp, browser: &Browser, id: &str) -> String {
    let found = browser.get(&format!("{}?q={id}", list(app))).await.text();
    let link = format!("href=\"{}/", list(app));
    let rest = found.split(&link).find(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let row = rest.unwrap_or_else(|| panic!("{id} is not listed: {found}")).split('"').next().unwrap();
    format!("{}/{row}", list(app))
}

/// The ids of a list's rows, in order.
fn listed(page: &Reply) -> Vec<String> {
    let html = page.text();
    let labels = html.split("aria-label=\"Choose ").skip(1).filter_map(|rest| rest.split('"').next());
    labels.filter(|label| *label != "all on this page").map(str::to_owned).collect()
}

/// Where a link with this `rel` leads.
fn neighbour(page: &Reply, rel: &str) -> Option<String> {
    let html = page.text();
    let rest = html.split(&format!("rel=\"{rel}\" href=\"")).nth(1)?.to_owned();
    Some(rest.split('"').next()?.replace("&#38;", "&"))
}

#[test]
fn connections_are_found_by_everything_that_people_know_of_them() {
    run(async {
        let (app, browser) = world().await;
        import(
            &app,
            "c-ann",
            json!({"end_user": {"id": "u1", "email": "ann@acme.test", "display_name": "Ann"}}),
        )
        .await;
        import(&app, "c-bob", json!({"tags": {"plan": "pro"}})).await;
        import(&app, "c-eve", json!({})).await;
        let (db, environment) = (&app.app.db, app.environment_id);
        let integration = integrations::list(db, environment).await.unwrap()[0].id;
        let found =
            connections::list_rows(db, environment, integration, &["c-eve".to_owned()]).await.unwrap();
        let eve = found[0].0;
        connection_errors::insert_auth(db, eve, "log", app.now()).await.unwrap();
        for (query, expected) in [
            ("", vec!["c-eve", "c-bob", "c-ann"]),
            ("?q=C-B", vec!["c-bob"]),
            ("?q=ann%40acme", vec!["c-ann"]),
            ("?user=u1", vec!["c-ann"]),
            ("?tag=plan%3Dpro", vec!["c-bob"]),
            ("?tag=plan%3Dfree", vec![]),
            ("?state=attention", vec!["c-eve"]),
            ("?state=healthy&integration=main", vec!["c-bob", "c-ann"]),
            ("?integration=other", vec![]),
            ("?q=%25", vec![]),
        ] {
            let page = browser.get(&format!("{}{query}", list(&app))).await;
            assert_eq!(page.status, 200, "{query}");
            assert_eq!(listed(&page), expected, "{query}");
        }
        let broken = page_of(&app, &browser, "c-eve").await;
        assert!(browser.get(&broken).await.text().contains("The provider refuses the stored credentials"));
        let odd = browser.get(&format!("{}?tag=plan&after=x", list(&app))).await.text();
        assert!(odd.contains("Write it as name=value"));
    });
}

#[test]
fn long_lists_are_walked_in_both_directions() {
    run(async {
        let (app, browser) = world().await;
        for number in 0..103 {
            import(&app, &format!("n{number:03}"), json!({})).await;
        }
        let expected: Vec<String> = (0..103).rev().map(|number| format!("n{number:03}")).collect();
        let first = browser.get(&list(&app)).await;
        assert!(neighbour(&first, "prev").is_none());
        let second = browser.get(&neighbour(&first, "next").unwrap()).await;
        let third = browser.get(&neighbour(&second, "next").unwrap()).await;
        assert!(neighbour(&third, "next").is_none());
        let walked: Vec<String> = [&first, &second, &third].into_iter().flat_map(listed).collect();
        assert_eq!(walked, expected);
        let back = browser.get(&neighbour(&third, "prev").unwrap()).await;
        assert_eq!(listed(&back), listed(&second));
        let start = browser.get(&neighbour(&back, "prev").unwrap()).await;
        assert_eq!(listed(&start), listed(&first));
        assert!(neighbour(&start, "prev").is_none());
        let searched = browser.get(&format!("{}?q=n&state=healthy", list(&app))).await;
        let next = neighbour(&searched, "next").unwrap();
        assert_eq!(listed(&browser.get(&next).await), listed(&second), "{next}");
    });
}

#[test]
fn credentials_are_shown_on_purpose_only_and_the_trail_tells() {
    run(async {
        let (app, browser) = world().await;
        import(&app, "c1", json!({})).await;
        let own = page_of(&app, &browser, "c1").await;
        let page = browser.get(&own).await.text();
        assert!(!page.contains(SECRET) && page.contains("apiKey"), "{page}");
        let revealed = browser.submit(&own, &format!("{own}/credentials"), &[]).await;
        assert!(revealed.text().contains(SECRET));
        assert!(!browser.get(&own).await.text().contains(SECRET));
        let account = app.account_client().await;
        let path = format!("/api/v1/audit-trail?env={}&resources=connection", app.environment_name);
        let events = account.get(path).expect(200).await;
        assert_eq!(events["data"][0]["action"], "credentials_revealed");
        assert_eq!(events["data"][0]["targets"][0]["display"], "c1");
    });
}

#[test]
fn metadata_and_tags_are_edited_and_mistakes_keep_what_was_typed() {
    run(async {
        let (app, browser) = world().await;
        import(&app, "c1", json!({"metadata": {"a": 1}, "tags": {"plan": "pro"}})).await;
        let own = page_of(&app, &browser, "c1").await;
        let metadata = format!("{own}/metadata");
        let wrong = browser.submit(&own, &metadata, &[("metadata", "{\"a\": oops")]).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.text().contains("not a JSON object (line 1") && wrong.text().contains("oops"));
        let saved = browser.submit(&own, &metadata, &[("metadata", "{\"b\": [2]}")]).await;
        assert!(browser.follow(saved).await.text().contains("Metadata saved."));
        let tags = format!("{own}/tags");
        for (typed, problem) in [("plan", "line of its own"), ("1x=2", "cannot be used")] {
            let wrong = browser.submit(&own, &tags, &[("tags", typed)]).await;
            assert!(wrong.status == 422 && wrong.text().contains(problem), "{typed}: {}", wrong.text());
        }
        let saved = browser.submit(&own, &tags, &[("tags", "plan=free\n team = red ")]).await;
        assert!(browser.follow(saved).await.text().contains("Tags saved."));
        let read = app.client().get("/connections/c1?provider_config_key=main").expect(200).await;
        assert_eq!(read["metadata"], json!({"b": [2]}));
        assert_eq!(read["tags"], json!({"plan": "free", "team": "red"}));
    });
}

#[test]
fn connections_are_deleted_one_by_one_and_together() {
    run(async {
        let (app, browser) = world().await;
        for id in ["c1", "c2", "c3"] {
            import(&app, id, json!({})).await;
        }
        let own = page_of(&app, &browser, "c1").await;
        let gone = browser.submit(&own, &format!("{own}/delete"), &[]).await;
        assert!(browser.follow(gone).await.text().contains("Connection c1 deleted."));
        assert_eq!(browser.get(&own).await.status, 404);
        let two = page_of(&app, &browser, "c2").await;
        let number = two.rsplit('/').next().unwrap();
        let (at, action) = (list(&app), format!("{}/delete", list(&app)));
        let none = browser.submit(&at, &action, &[]).await;
        assert!(browser.follow(none).await.text().contains("Choose the connections"));
        let chosen = [("connection", number), ("connection", "999999999"), ("connection", "x")];
        let deleted = browser.submit(&at, &action, &chosen).await;
        assert!(browser.follow(deleted).await.text().contains("1 connection deleted."));
        assert_eq!(listed(&browser.get(&at).await), ["c3"]);
    });
}

/// The token of the link that a page shows.
fn session_token(html: &str) -> String {
    let rest = html.split("session_token=").nth(1).expect("a link").chars();
    rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn a_link_for_an_end_user_opens_a_session() {
    run(async {
        let (app, browser) = world().await;
        let invite = format!("{}/invite", list(&app));
        let wrong = browser.submit(&invite, &invite, &[("end_user.id", ""), ("end_user.email", "x")]).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.text().contains("problem-end_user.email"), "{}", wrong.text());
        let fields = [("end_user.id", "u1"), ("integration", "main"), ("organization.id", "")];
        let made = browser.submit(&invite, &invite, &fields).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let html = made.text();
        let token = session_token(&html);
        let session = app.anonymous().with_secret(token).get("/connect/session").expect(200).await;
        assert_eq!(session["data"]["endUser"]["id"], "u1");
        assert_eq!(session["data"]["allowed_integrations"], json!(["main"]));

        import(&app, "c1", json!({})).await;
        let own = page_of(&app, &browser, "c1").await;
        let again = browser.submit(&own, &format!("{own}/invite"), &[]).await.text();
        let token = session_token(&again);
        let session = app.anonymous().with_secret(token).get("/connect/session").expect(200).await;
        assert_eq!(session["data"]["isReconnecting"], true);
    });
}

#[test]
fn hostile_values_stay_text_and_other_environments_stay_closed() {
    run(async {
        let (app, browser) = world().await;
        let user = json!({"id": HOSTILE, "display_name": HOSTILE});
        import(&app, "c1\"'\\$", json!({"end_user": user, "metadata": {HOSTILE: HOSTILE}})).await;
        let found = browser.get(&list(&app)).await;
        assert!(found.text().contains("c1&#34;"));
        let html = found.text();
        let link = format!("href=\"{}/", list(&app));
        let row = html.split(&link).find(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap();
        let own = format!("{}/{}", list(&app), row.split('"').next().unwrap());
        let query = format!("{}?q={}&tag=%3Cscript%3E", list(&app), "%22%3E%3Cscript%3E");
        for path in [&list(&app), &own, &query] {
            let page = browser.get(path).await;
            assert_eq!(page.status, 200, "{path}");
            assert!(!page.text().contains("<script>"), "{path}");
        }
        let number = own.rsplit('/').next().unwrap();
        let other = with_password().await;
        let foreign = format!("/env/{}/connections/{number}", other.environment_name);
        assert_eq!(operator(&other).get(&foreign).await.status, 404);
        for odd in ["x", "-1", "99999999999999999999"] {
            assert_eq!(browser.get(&format!("{}/{odd}", list(&app))).await.status, 404, "{odd}");
        }
    });
}
