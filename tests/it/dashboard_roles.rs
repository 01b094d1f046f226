//! What roles may do, on pages and in their forms; who is in the team.

use hitchpost::access::Role;
use hitchpost::environments::settings::{self, EnvironmentPatch};

use crate::dashboard_accounts::own_account;
use crate::support::member::PASSWORD;
use crate::support::{Browser, Person, TestApp, run};

async fn protect(app: &TestApp) {
    let patch = EnvironmentPatch { is_production: Some(true), ..EnvironmentPatch::default() };
    settings::change(&app.app, app.environment_id, patch).await.unwrap();
}

#[test]
fn production_is_open_to_those_whose_role_says_so() {
    run(async {
        let app = TestApp::start().await;
        let home = format!("/env/{}", app.environment_name);
        let keys = format!("{home}/api-keys");
        let [admin, support, developer] = [
            Person::with_role(&app, Role::Administrator).await,
            Person::with_role(&app, Role::ProductionSupport).await,
            Person::with_role(&app, Role::DevelopmentFullAccess).await,
        ];
        let check = async |path: &str, expected: [u16; 3]| {
            for (person, status) in [&admin, &support, &developer].into_iter().zip(expected) {
                let reply = person.browser.get(path).await;
                assert_eq!(reply.status, status, "{path} as {}: {}", person.email, reply.text());
            }
        };
        check(&home, [200, 200, 200]).await;
        check(&keys, [200, 200, 200]).await;
        check("/settings/environments", [200, 403, 403]).await;
        check("/settings/team", [200, 403, 403]).await;
        check("/me", [200, 200, 200]).await;
        protect(&app).await;
        check(&home, [200, 200, 403]).await;
        check(&keys, [200, 403, 403]).await;
        let refused = developer.browser.get(&home).await.text();
        assert!(
            refused.contains("does not allow this in") && refused.contains("aria-label=\"Main\""),
            "{refused}"
        );
        let switcher = developer.browser.visit("/me").await.text();
        assert!(!switcher.contains(&app.environment_name), "those who may not enter do not see it");
        let token = crate::support::browser::hidden(&support.browser.get("/me").await, "csrf").unwrap();
        for path in [&*keys, "/settings/team", "/settings/environments"] {
            let fields = vec![("csrf", &*token), ("name", "sneaky"), ("email", "x@acme.test")];
            let reply = support.browser.post(path, fields).await;
            assert_eq!(reply.status, 403, "{path}");
        }
    });
}

#[test]
fn a_changed_role_counts_at_once() {
    run(async {
        let app = TestApp::start().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let bob = Person::with_role(&app, Role::DevelopmentFullAccess).await;
        let action = format!("/settings/team/{}/role", bob.id.0);
        assert_eq!(bob.browser.get("/settings/team").await.status, 403);
        let changed = admin.browser.submit("/settings/team", &action, &[("role", "administrator")]).await;
        assert!(admin.browser.follow(changed).await.text().contains("Role changed."));
        let team = bob.browser.get("/settings/team").await.text();
        assert!(
            team.contains("Ada &#60;b&#62;Lovelace&#60;/b&#62;") && !team.contains("<b>"),
            "names are escaped"
        );
        let odd = admin.browser.submit("/settings/team", &action, &[("role", "owner")]).await;
        assert!(admin.browser.follow(odd).await.text().contains("Choose a role."));
        let remove = format!("/settings/team/{}/remove", bob.id.0);
        admin.browser.submit("/settings/team", &remove, &[]).await;
        assert_eq!(bob.browser.get("/me").await.status, 303, "removed");
    });
}

#[test]
fn one_administrator_always_remains() {
    run(async {
        let app = TestApp::start().await;
        let account = own_account(&app).await;
        let only = Person::of(&app, account, Role::Administrator).await;
        Person::of(&app, account, Role::ProductionSupport).await;
        for (action, fields) in [("role", vec![("role", "production_support")]), ("remove", vec![])] {
            let action = format!("/settings/team/{}/{action}", only.id.0);
            let refused = only.browser.submit("/settings/team", &action, &fields).await;
            let page = only.browser.follow(refused).await.text();
            assert!(page.contains("There must be at least one administrator."), "{action}: {page}");
        }
        let stranger = Person::with_role(&app, Role::Administrator).await;
        let token =
            crate::support::browser::hidden(&stranger.browser.get("/settings/team").await, "csrf").unwrap();
        let remove = format!("/settings/team/{}/remove", only.id.0);
        let reply = stranger.browser.post(&remove, vec![("csrf", &token)]).await;
        assert!(stranger.browser.follow(reply).await.text().contains("There is no such member any more."));
        let reset = format!("/settings/team/{}/reset-link", only.id.0);
        assert_eq!(
            stranger.browser.post(&reset, vec![("csrf", &token)]).await.status,
            404,
            "another account"
        );
        assert_eq!(only.browser.get("/settings/team").await.status, 200);
    });
}

#[test]
fn somebody_who_is_invited_joins_once() {
    run(async {
        let app = TestApp::start().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let email = format!("{}@acme.test", app.app.rng.alphanumeric(8).to_lowercase());
        let fields = [("email", &*email), ("role", "development_full_access")];
        let invite = || admin.browser.submit("/settings/team", "/settings/team", &fields);
        let page = admin.browser.follow(invite().await).await.text();
        let marker = format!("{}/invitation/", app.url());
        let link = page.split(&marker).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let link = format!("/invitation/{}", link.split('<').next().unwrap());
        assert!(page.contains("Invited"));
        let bob = Browser::new(&app);
        assert!(bob.get(&link).await.text().contains(&email));
        let fields = vec![("name", "Bob"), ("password", PASSWORD)];
        assert_eq!(bob.post(&link, fields.clone()).await.status, 303);
        assert!(bob.get("/me").await.text().contains("Development, full access"));
        assert_eq!(Browser::new(&app).post(&link, fields).await.status, 404, "used");
        let again = invite().await;
        assert!(again.status == 422 && again.text().contains("Somebody has an account"));

        let other = format!("{}@acme.test", app.app.rng.alphanumeric(8).to_lowercase());
        let fields = [("email", &*other), ("role", "administrator")];
        let page = admin.browser.submit("/settings/team", "/settings/team", &fields).await;
        let page = admin.browser.follow(page).await.text();
        let link =
            page.split(&marker).nth(1).and_then(|rest| rest.split(['"', '<']).next()).unwrap().to_owned();
        let row = page.rsplit(&format!("the invitation of {other}")).nth(1).unwrap();
        let revoke =
            row.rsplit("action=\"").next().and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        admin.browser.submit("/settings/team", &revoke, &[]).await;
        assert_eq!(Browser::new(&app).get(&format!("/invitation/{link}")).await.status, 404, "taken back");
    });
}

#[test]
fn what_members_do_is_in_the_audit_trail() {
    run(async {
        let app = TestApp::start().await;
        let account = own_account(&app).await;
        let ada = Person::of(&app, account, Role::Administrator).await;
        let bob = Person::of(&app, account, Role::ProductionSupport).await;
        let fields = [("role", "administrator")];
        ada.browser.submit("/settings/team", &format!("/settings/team/{}/role", bob.id.0), &fields).await;
        ada.browser.submit("/settings/environments", "/settings/environments", &[("name", "staging")]).await;
        ada.browser.submit("/settings/team", &format!("/settings/team/{}/remove", bob.id.0), &[]).await;
        bob.log_in("wrong wrong wrong").await;
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT resource || ' ' || action, outcome, actor->>'display' FROM audit_events
             WHERE account_id = $1 AND actor->>'display' = $2 ORDER BY seq",
        )
        .bind(account.0)
        .bind(&ada.email)
        .fetch_all(&app.app.db)
        .await
        .unwrap();
        let told: Vec<&str> = rows.iter().map(|(event, ..)| event.as_str()).collect();
        for event in ["app_auth login", "member role_changed", "environment created", "member removed"] {
            assert!(told.contains(&event), "{event} is missing: {told:?}");
        }
    });
}
