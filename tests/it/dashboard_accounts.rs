//! Accounts of the dashboard: the first one, logging in and out, sessions, new passwords, the second factor.

use chrono::TimeDelta;
use hitchpost::access::Role;
use hitchpost::db::{AccountId, accounts};
use hitchpost::members::links;
use totp_rs::{Builder, Secret, Totp};

use crate::support::app::TestSettings;
use crate::support::mail_server::MailServer;
use crate::support::member::{PASSWORD, log_in};
use crate::support::{Browser, Person, Reply, TestApp, run};

/// An account that no other test knows.
pub async fn own_account(app: &TestApp) -> AccountId {
    accounts::insert(&app.app.db, app.app.rng.uuid(), "Own", app.now()).await.unwrap()
}

/// The path of the link that a text holds.
fn link_in(text: &str, app: &TestApp, page: &str) -> String {
    let start = format!("{}/{page}/", app.url());
    let rest =
        &text[text.find(&start).unwrap_or_else(|| panic!("no link to {page}: {text}")) + app.url().len()..];
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "/-_".contains(*c)).collect()
}

#[test]
fn the_first_account_is_made_by_a_link_that_works_once() {
    run(async {
        let app = TestApp::start().await;
        let account = own_account(&app).await;
        let make = || links::make_setup_link_of(&app.app, account);
        let old = link_in(&make().await.unwrap().unwrap(), &app, "setup");
        let link = link_in(&make().await.unwrap().unwrap(), &app, "setup");
        let browser = Browser::new(&app);
        assert_eq!(browser.get(&old).await.status, 404, "a new link replaces the old one");
        assert_eq!(browser.get("/setup/nonsense").await.status, 404);
        assert_eq!(browser.get(&link).await.status, 200);
        let email = format!("{}@Acme.test", app.app.rng.alphanumeric(8));
        let make_account = |password: &'static str| {
            let fields = vec![("name", "Ada"), ("email", &*email), ("password", password)];
            browser.post(&link, fields)
        };
        for (password, problem) in
            [("short", "at least 12 characters"), ("password1234", "anybody would try")]
        {
            let refused = make_account(password).await;
            assert_eq!(refused.status, 422, "{password}");
            assert!(
                refused.text().contains(problem) && !refused.text().contains(password),
                "{}",
                refused.text()
            );
        }
        assert_eq!(make_account(PASSWORD).await.status, 303);
        let team = browser.get("/settings/team").await.text();
        assert!(team.contains(&email.to_lowercase()) && team.contains("Administrator"), "{team}");
        assert_eq!(make_account(PASSWORD).await.status, 404, "used");
        assert!(make().await.unwrap().is_none(), "there is an account now");
    });
}

#[test]
fn nobody_sees_a_page_without_logging_in() {
    run(async {
        let app = TestApp::start().await;
        let browser = Browser::new(&app);
        let keys = format!("/env/{}/api-keys", app.environment_name);
        let asked = browser.get(&format!("{keys}?a=b")).await;
        let expected = format!("/login?next=%2Fenv%2F{}%2Fapi-keys%3Fa%3Db", app.environment_name);
        assert_eq!((asked.status.as_u16(), asked.header("location")), (303, Some(&*expected)));
        assert_eq!(browser.get("/").await.header("location"), Some("/login"));
        assert_eq!(browser.post(&keys, vec![("name", "x")]).await.header("location"), Some("/login"));
        let admin = Person::with_role(&app, Role::Administrator).await;
        let fields = [("email", &*admin.email), ("password", PASSWORD), ("next", &*keys)];
        let reply = browser.post("/login", fields.to_vec()).await;
        assert_eq!(reply.header("location"), Some(&*keys));
        assert_eq!(browser.get(&keys).await.status, 200);
        let elsewhere = [("email", &*admin.email), ("password", PASSWORD), ("next", "//evil.example")];
        assert_eq!(browser.post("/login", elsewhere.to_vec()).await.header("location"), Some("/"));
        let foreign = browser.ask("POST", "/login").header("sec-fetch-site", "cross-site").send().await;
        assert_eq!(foreign.status, 403);
    });
}

#[test]
fn wrong_passwords_look_alike_and_are_slowed_down() {
    run(async {
        let app = TestApp::start().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let stranger = Browser::new(&app);
        let shown = |reply: Reply| {
            assert_eq!(reply.status, 422);
            reply.text().split("class=\"problem\"").nth(1).map(str::to_owned)
        };
        let wrong = shown(log_in(&stranger, &admin.email, "wrong wrong wrong").await);
        let unknown = shown(log_in(&stranger, "nobody@acme.test", "wrong wrong wrong").await);
        assert!(wrong.is_some() && wrong == unknown);
        for _ in 0..9 {
            shown(log_in(&stranger, &admin.email, "wrong wrong wrong").await);
        }
        let blocked = log_in(&stranger, &admin.email, PASSWORD).await;
        assert!(blocked.status == 422 && blocked.text().contains("too many attempts"));
        app.advance(TimeDelta::seconds(61));
        assert_eq!(log_in(&stranger, &admin.email.to_uppercase(), PASSWORD).await.status, 303);
    });
}

#[test]
fn sessions_last_thirty_days_without_use_and_can_be_ended() {
    run(async {
        let app = TestApp::start().await;
        let ada = Person::with_role(&app, Role::Administrator).await;
        let phone = Browser::new(&app);
        assert_eq!(log_in(&phone, &ada.email, PASSWORD).await.status, 303);
        for _ in 0..3 {
            app.advance(TimeDelta::days(20));
            let page = ada.browser.get("/me").await;
            assert_eq!(page.status, 200);
            assert!(page.header("set-cookie").unwrap().contains("Max-Age=2592000"), "the cookie lives on");
        }
        assert_eq!(phone.get("/me").await.status, 303, "not used for 30 days");
        log_in(&phone, &ada.email, PASSWORD).await;
        let profile = ada.browser.get("/me").await.text();
        let end = profile.split("action=\"").filter_map(|rest| rest.split('"').next());
        let end = end.into_iter().find(|path| path.starts_with("/me/sessions/")).unwrap().to_owned();
        let other = Person::with_role(&app, Role::Administrator).await;
        let token = crate::support::browser::hidden(&other.browser.get("/me").await, "csrf").unwrap();
        other.browser.post(&end, vec![("csrf", &token)]).await;
        assert_eq!(phone.get("/me").await.status, 200, "nobody ends sessions of others");
        ada.browser.submit("/me", &end, &[]).await;
        assert_eq!(phone.get("/me").await.status, 303);
        let out = ada.browser.submit("/me", "/me/logout", &[]).await;
        assert!(ada.browser.follow(out).await.text().contains("You are logged out."));
        assert!(ada.browser.cookie("hitchpost_session").is_none());
    });
}

#[test]
fn a_new_password_ends_every_other_session() {
    run(async {
        let app = TestApp::start().await;
        let ada = Person::with_role(&app, Role::ProductionSupport).await;
        let phone = Browser::new(&app);
        log_in(&phone, &ada.email, PASSWORD).await;
        let change = async |current: &str, new: &str| {
            ada.browser.submit("/me", "/me/password", &[("current", current), ("password", new)]).await
        };
        assert!(change("wrong", "a whole new password").await.text().contains("The password is wrong."));
        assert_eq!(change(PASSWORD, "123456789012").await.status, 422);
        assert_eq!(phone.get("/me").await.status, 200);
        assert_eq!(change(PASSWORD, "a whole new password").await.status, 303);
        assert_eq!(
            (ada.browser.get("/me").await.status, phone.get("/me").await.status),
            (200.try_into().unwrap(), 303.try_into().unwrap())
        );
        assert_eq!(ada.log_in(PASSWORD).await.status, 422);
        assert_eq!(ada.log_in("a whole new password").await.status, 303);
    });
}

#[test]
fn administrators_hand_out_links_for_new_passwords() {
    run(async {
        let app = TestApp::start().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let bob = Person::with_role(&app, Role::DevelopmentFullAccess).await;
        assert!(Browser::new(&app).get("/login/forgotten").await.text().contains("Ask an administrator"));
        let action = format!("/settings/team/{}/reset-link", bob.id.0);
        let page = admin.browser.follow(admin.browser.submit("/settings/team", &action, &[]).await).await;
        let link = link_in(&page.text(), &app, "reset");
        let browser = Browser::new(&app);
        assert_eq!(browser.post(&link, vec![("password", "too short")]).await.status, 422);
        assert_eq!(browser.post(&link, vec![("password", "another good password")]).await.status, 303);
        assert_eq!(
            browser.post(&link, vec![("password", "another good password")]).await.status,
            404,
            "used"
        );
        assert_eq!(bob.browser.get("/me").await.status, 303, "logged out");
        assert_eq!(bob.log_in("another good password").await.status, 303);
        let page = admin.browser.follow(admin.browser.submit("/settings/team", &action, &[]).await).await;
        let link = link_in(&page.text(), &app, "reset");
        app.advance(TimeDelta::hours(25));
        assert_eq!(browser.get(&link).await.status, 404, "too old");
    });
}

#[test]
fn mails_carry_the_links_where_a_mail_server_is_named() {
    run(async {
        let mut mails = MailServer::start().await;
        let settings = TestSettings::default().set("SMTP_URL", mails.url());
        let app = settings.set("SMTP_FROM", "Ops <ops@acme.test>").start().await;
        let admin = Person::with_role(&app, Role::Administrator).await;
        let email = format!("{}@acme.test", app.app.rng.alphanumeric(8).to_lowercase());
        let fields = [("email", &*email), ("role", "production_support")];
        let invited = admin.browser.submit("/settings/team", "/settings/team", &fields).await;
        let page = admin.browser.follow(invited).await.text();
        assert!(page.contains("is on its way") && !page.contains("/invitation/"), "the link is not shown");
        let mail = mails.next().await;
        assert!(
            mail.contains(&format!("To: {email}")) && mail.contains("From: Ops <ops@acme.test>"),
            "{mail}"
        );
        let link = link_in(&mail, &app, "invitation");
        let bob = Browser::new(&app);
        assert_eq!(bob.post(&link, vec![("name", "Bob"), ("password", PASSWORD)]).await.status, 303);
        assert!(bob.get("/me").await.text().contains("Production support"));

        let stranger = Browser::new(&app);
        let forgotten = async |email: &str| {
            stranger.submit("/login/forgotten", "/login/forgotten", &[("email", email)]).await
        };
        let unknown = forgotten("nobody@acme.test").await;
        assert_eq!(stranger.follow(unknown).await.status, 200);
        forgotten(&email).await;
        let mail = mails.next().await;
        assert!(mail.contains(&format!("To: {email}")), "nobody else got one: {mail}");
        let link = link_in(&mail, &app, "reset");
        assert_eq!(stranger.post(&link, vec![("password", "a whole new password")]).await.status, 303);
        assert_eq!(log_in(&stranger, &email, "a whole new password").await.status, 303);
    });
}

/// The value behind the button that copies it.
fn copied(page: &Reply, label: &str) -> String {
    let html = page.text();
    let before =
        &html[..html.find(&format!("aria-label=\"Copy {label}\"")).unwrap_or_else(|| panic!("{html}"))];
    before.rsplit("data-copy=\"").next().and_then(|rest| rest.split('"').next()).unwrap().to_owned()
}

fn authenticator(secret: &str) -> Totp {
    Builder::new()
        .with_secret(Secret::try_from_base32(secret).unwrap())
        .with_account_name("x")
        .with_issuer(Some("x"))
        .build()
        .unwrap()
}

#[test]
fn the_second_factor_is_asked_for_and_no_code_counts_twice() {
    run(async {
        let app = TestApp::start().await;
        let ada = Person::with_role(&app, Role::Administrator).await;
        let page = ada.browser.follow(ada.browser.submit("/me", "/me/second-factor", &[]).await).await;
        assert!(page.text().contains("<svg") && !page.text().contains("<?xml"));
        let totp = authenticator(&copied(&page, "authenticator secret"));
        let code = |step: i64| totp.generate((app.now().timestamp() + 30 * step) as u64).to_string();
        let wrong = ada.browser.submit("/me", "/me/second-factor/confirm", &[("code", "000000")]).await;
        assert!(wrong.status == 422 && wrong.text().contains("The code is wrong"));
        assert_eq!(ada.log_in(PASSWORD).await.header("location"), Some("/"), "not on yet");
        let first = code(0);
        let on = ada.browser.submit("/me", "/me/second-factor/confirm", &[("code", &first)]).await;
        let codes = copied(&ada.browser.follow(on).await, "what is shown once");
        let codes: Vec<&str> = codes.split(' ').collect();
        assert_eq!(codes.len(), 10);
        assert!(ada.browser.get("/me").await.text().contains("Recovery codes left: 10"));

        let browser = Browser::new(&app);
        let half = log_in(&browser, &ada.email, PASSWORD).await;
        assert_eq!(half.header("location"), Some("/login/code"));
        assert_eq!(browser.get("/me").await.status, 303, "the password alone opens nothing");
        let answer = async |code: &str| {
            browser.submit("/login/code", "/login/code", &[("code", code)]).await.status.as_u16()
        };
        assert_eq!(answer(&first).await, 422, "used to turn it on");
        assert_eq!(answer(&code(3)).await, 422, "too far away");
        assert_eq!(answer(&code(1)).await, 303, "one step of drift");
        assert_eq!(browser.get("/me").await.status, 200);

        let lost = Browser::new(&app);
        let try_recovery = async |code: &str| {
            log_in(&lost, &ada.email, PASSWORD).await;
            lost.submit("/login/code", "/login/code", &[("code", code)]).await.status.as_u16()
        };
        assert_eq!(try_recovery(&codes[0].to_uppercase()).await, 303);
        assert_eq!(try_recovery(codes[0]).await, 422, "each once");
        assert!(ada.browser.get("/me").await.text().contains("Recovery codes left: 9"));
        let off = "/me/second-factor/off";
        assert_eq!(ada.browser.submit("/me", off, &[("password_again", "wrong")]).await.status, 422);
        assert_eq!(ada.browser.submit("/me", off, &[("password_again", PASSWORD)]).await.status, 303);
        assert_eq!(log_in(&lost, &ada.email, PASSWORD).await.header("location"), Some("/"));
    });
}

#[test]
fn half_a_login_does_not_last() {
    run(async {
        let app = TestApp::start().await;
        let browser = Browser::new(&app);
        assert_eq!(browser.get("/login/code").await.header("location"), Some("/login"));
        let forged = browser.ask("GET", "/login/code").header("cookie", "hitchpost_login=AAAA").send().await;
        assert_eq!(forged.header("location"), Some("/login"));
    });
}

#[test]
fn over_https_cookies_belong_to_the_host_alone() {
    run(async {
        let app = TestSettings::default().set("NANGO_SERVER_URL", "https://tools.acme.test").start().await;
        let ada = Person::with_role(&app, Role::Administrator).await;
        assert!(ada.browser.cookie("__Host-hitchpost_session").is_some());
        let reply = ada.log_in(PASSWORD).await;
        let cookie = reply.header("set-cookie").unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        assert_eq!(ada.browser.get("/me").await.status, 200);
    });
}

#[test]
fn where_members_log_in_elsewhere_no_password_is_taken() {
    run(async {
        let settings = TestSettings::default().set("HITCHPOST_OIDC_ISSUER", "https://id.acme.test");
        let settings =
            settings.set("HITCHPOST_OIDC_CLIENT_ID", "hitchpost").set("HITCHPOST_OIDC_ONLY", "true");
        let app = settings.start().await;
        let browser = Browser::new(&app);
        let page = browser.get("/login").await.text();
        assert!(page.contains("single sign-on") && !page.contains("name=\"password\""), "{page}");
        let fields = vec![("email", "ada@acme.test"), ("password", PASSWORD)];
        assert_eq!(browser.post("/login", fields).await.status, 404);
        assert!(links::make_setup_link(&app.app).await.unwrap().is_none(), "nobody needs a link");
        let forged = browser.visit("/login/oidc/callback?code=x&state=y").await.text();
        assert!(forged.contains("begun in another browser"));
    });
}

#[test]
fn guessing_the_password_in_a_borrowed_browser_is_slow() {
    run(async {
        let app = TestApp::start().await;
        let ada = Person::with_role(&app, Role::Administrator).await;
        let guess = async |password: &str| {
            let fields = [("current", password), ("password", "a whole new password")];
            ada.browser.submit("/me", "/me/password", &fields).await.text()
        };
        for _ in 0..10 {
            assert!(guess("wrong wrong wrong").await.contains("The password is wrong."));
        }
        assert!(guess(PASSWORD).await.contains("too many attempts"));
    });
}
