//! The dashboard's pages about integrations and the catalog, used without scripts.

use serde_json::{Value, json};

use crate::dashboard::{NAME, PASSWORD, operator};
use crate::support::app::TestSettings;
use crate::support::{Browser, TestApp, run};

const SECRET: &str = "pl4nted-s3cret";
const CATALOG: &str = "
acme-crm: {display_name: Acme CRM, docs: 'https://d', auth_mode: OAUTH2, categories: [crm], default_scopes: [a, b],
  authorization_url: 'https://acme.test/a', token_url: 'https://acme.test/t', webhook_routing_script: acme}
acme-app: {display_name: Acme App, docs: 'https://d', auth_mode: APP, token_url: 'https://acme.test/t'}
acme-key: {display_name: '<script>alert(1)</script>', docs: 'https://d', auth_mode: API_KEY,
  integration_config: {baseUrl: {title: Address, description: Where it is, format: uri}, note: {title: Note, optional: true}}}
";

async fn world() -> (TestApp, Browser) {
    let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", NAME);
    let settings = settings.set("NANGO_DASHBOARD_PASSWORD", PASSWORD).set("FLAG_AUTH_ENABLED", "false");
    let app = settings.catalog(CATALOG).start().await;
    let browser = operator(&app);
    (app, browser)
}

fn below(app: &TestApp, path: &str) -> String {
    format!("/env/{}{path}", app.environment_name)
}

#[test]
fn the_catalog_is_searched_by_name_and_category() {
    run(async {
        let (app, browser) = world().await;
        for (query, has, lacks) in [
            ("?q=ACME", vec!["acme-crm", "acme-app", "acme-key"], "catalog/github"),
            ("?q=acme&category=crm", vec!["acme-crm"], "catalog/acme-app"),
            ("", vec!["more. Type a part"], "<script>"),
            ("?q=%3Cscript%3E", vec!["acme-key", "&#60;script&#62;"], "<script>"),
            ("?q=no-such-thing", vec!["No provider matches"], "catalog/acme"),
        ] {
            let page = browser.get(&below(&app, &format!("/catalog{query}"))).await;
            assert_eq!(page.status, 200, "{query}");
            for text in has {
                assert!(page.text().contains(text), "{query}: {text}");
            }
            assert!(!page.text().contains(lacks), "{query}: {lacks}");
        }
    });
}

#[test]
fn an_oauth_integration_is_added_changed_revealed_and_deleted() {
    run(async {
        let (app, browser) = world().await;
        let new = below(&app, "/catalog/acme-crm");
        let page = browser.get(&new).await.text();
        assert!(page.contains("/oauth/callback") && page.contains("a\nb"), "{page}");
        let fields = [
            ("unique_key", "acme-crm"),
            ("credentials.client_id", "the-id"),
            ("credentials.client_secret", SECRET),
            ("credentials.scopes", "read write,\nadmin"),
        ];
        let wrong = browser.submit(&new, &new, &[("unique_key", "a/b"), ("credentials.client_id", "")]).await;
        assert_eq!(wrong.status, 422);
        for field in ["unique_key", "credentials.client_id", "credentials.client_secret"] {
            assert!(wrong.text().contains(&format!("id=\"problem-{field}\"")), "{field}: {}", wrong.text());
        }
        let made = browser.submit(&new, &new, &fields).await;
        let page = browser.follow(made).await.text();
        assert!(page.contains("acme-crm is ready") && page.contains("the-id"), "{page}");
        assert!(page.contains("/webhook/") && !page.contains(SECRET), "{page}");
        assert!(page.contains("name=\"forward_webhooks\" checked"), "a new one forwards: {page}");
        assert_eq!(page.matches("Stored and hidden").count(), 1, "there is no webhook secret: {page}");
        let taken = browser.submit(&new, &new, &fields).await;
        assert!(taken.status == 422 && taken.text().contains("used by another integration"));
        assert!(browser.get(&new).await.text().contains("value=\"acme-crm-2\""));

        let own = below(&app, "/integrations/acme-crm");
        let changed = [
            ("credentials.client_id", "other-id"),
            ("credentials.scopes", "read"),
            ("display_name", "Acme <b>"),
            ("forward_webhooks", "on"),
        ];
        let saved = browser.submit(&own, &format!("{own}/settings"), &changed).await;
        assert!(browser.follow(saved).await.text().contains("Acme &#60;b&#62;"));
        let path = "/integrations/acme-crm?include=credentials";
        let read: Value = app.client().get(path).expect(200).await;
        let credentials = &read["data"]["credentials"];
        assert_eq!(credentials["client_id"], "other-id");
        assert_eq!(credentials["client_secret"], SECRET, "an empty secret keeps the stored one");
        assert_eq!(
            (&credentials["scopes"], &read["data"]["forward_webhooks"]),
            (&json!("read"), &json!(true))
        );

        let revealed = browser.submit(&own, &format!("{own}/secrets"), &[]).await;
        assert!(revealed.text().contains(SECRET));
        let account = app.account_client().await;
        let trail = format!("/api/v1/audit-trail?env={}&resources=integration", app.environment_name);
        let events = account.get(trail).expect(200).await;
        assert_eq!(events["data"][0]["action"], "credentials_revealed");

        let delete = format!("{own}/delete");
        let refused = browser.submit(&own, &delete, &[("confirmation", "x")]).await;
        assert!(browser.follow(refused).await.text().contains("Nothing was deleted"));
        let gone = browser.submit(&own, &delete, &[("confirmation", "acme-crm")]).await;
        assert!(browser.follow(gone).await.text().contains("Integration acme-crm deleted."));
        assert_eq!(browser.get(&own).await.status, 404);
    });
}

#[test]
fn an_integration_is_renamed_and_loses_its_webhook_secret() {
    run(async {
        let (app, browser) = world().await;
        let new = below(&app, "/catalog/acme-crm");
        let fields = [
            ("unique_key", "crm"),
            ("credentials.client_id", "the-id"),
            ("credentials.client_secret", SECRET),
            ("credentials.webhook_secret", "wh-s3cret"),
        ];
        assert_eq!(browser.submit(&new, &new, &fields).await.status, 303);
        let own = below(&app, "/integrations/crm");
        let secret = async |key: &str| {
            let path = format!("/integrations/{key}?include=credentials");
            app.client().get(&path).expect(200).await["data"]["credentials"]["webhook_secret"].clone()
        };
        assert!(browser.get(&own).await.text().contains("name=\"clear_webhook_secret\""));
        let change = async |at: &str, fields: &[(&str, &str)]| {
            let all = [&[("credentials.client_id", "the-id")], fields].concat();
            browser.submit(at, &format!("{at}/settings"), &all).await
        };
        assert_eq!(change(&own, &[]).await.status, 303);
        assert_eq!(secret("crm").await, "wh-s3cret", "an empty field keeps it");
        assert_eq!(change(&own, &[("clear_webhook_secret", "on")]).await.status, 303);
        assert_eq!(secret("crm").await, Value::Null);
        assert!(!browser.get(&own).await.text().contains("name=\"clear_webhook_secret\""));

        for (key, problem) in [("a/b", "id=\"problem-unique_key\""), ("", "id=\"problem-unique_key\"")] {
            let wrong = change(&own, &[("unique_key", key)]).await;
            assert!(wrong.status == 422 && wrong.text().contains(problem), "{key}: {}", wrong.text());
        }
        let renamed = change(&own, &[("unique_key", "crm two")]).await;
        let other = below(&app, "/integrations/crm%20two");
        assert_eq!(renamed.header("location"), Some(&*other), "{}", renamed.text());
        let credentials = json!({"type": "OAUTH2", "access_token": "t"});
        let body =
            json!({"provider_config_key": "crm two", "connection_id": "c", "credentials": credentials});
        app.client().post("/connections", body).expect(201).await;
        assert!(!browser.get(&other).await.text().contains("name=\"unique_key\""));
        let late = change(&other, &[("unique_key", "crm")]).await;
        assert!(late.status == 422 && late.text().contains("cannot be renamed"), "{}", late.text());
    });
}

#[test]
fn every_auth_mode_has_the_form_that_it_needs() {
    run(async {
        let (app, browser) = world().await;
        let new = below(&app, "/catalog/acme-app");
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
        let fields = [
            ("unique_key", "app one"),
            ("credentials.app_id", "7"),
            ("credentials.app_link", "https://acme.test/app"),
            ("credentials.private_key", key),
        ];
        let made = browser.submit(&new, &new, &fields).await;
        assert_eq!(made.status, 303, "{}", made.text());
        let own = below(&app, "/integrations/app%20one");
        assert_eq!(made.header("location"), Some(&*own));
        let page = browser.get(&own).await.text();
        assert!(page.contains("https://acme.test/app") && !page.contains("BEGIN RSA"), "{page}");
        let saved = browser
            .submit(
                &own,
                &format!("{own}/settings"),
                &[("credentials.app_id", "8"), ("credentials.app_link", "https://acme.test/app")],
            )
            .await;
        assert_eq!(saved.status, 303, "{}", saved.text());
        let read = app.client().get("/integrations/app%20one?include=credentials").expect(200).await;
        assert_eq!(read["data"]["credentials"]["app_id"], "8");
        assert_eq!(read["data"]["credentials"]["private_key"], key);

        let new = below(&app, "/catalog/acme-key");
        let wrong = [("unique_key", "k"), ("integration_config.baseUrl", "nowhere")];
        let wrong = browser.submit(&new, &new, &wrong).await;
        assert!(wrong.status == 422 && wrong.text().contains("is not an http(s) URL"), "{}", wrong.text());
        let right = [("unique_key", "k"), ("integration_config.baseUrl", "https://acme.test")];
        assert_eq!(browser.submit(&new, &new, &right).await.status, 303);
        assert!(browser.get(&below(&app, "/integrations/k")).await.text().contains("https://acme.test"));
        let list = browser.get(&below(&app, "/integrations")).await.text();
        assert!(list.contains("app one") && !list.contains("<script>alert"));
    });
}

#[test]
fn a_provider_of_ones_own_is_checked_and_previewed() {
    run(async {
        let (app, browser) = world().await;
        let editor = below(&app, "/provider-editor");
        let example = "mine: {display_name: Mine, docs: 'https://d.example', auth_mode: API_KEY, credentials: {apiKey: {type: string, \
            title: Secret word, description: d}}, proxy: {base_url: 'https://api.mine.example'}}";
        let checked = browser.submit(&editor, &editor, &[("definition", example)]).await.text();
        assert!(
            checked.contains("Secret word") && checked.contains("GET https://api.mine.example/your/path")
        );
        let wrong = "<script>: {auth_mode: NOPE}";
        let checked = browser.submit(&editor, &editor, &[("definition", wrong)]).await.text();
        assert!(checked.contains("Mistake") && !checked.contains("<script>:"), "{checked}");
    });
}
