//! The settings of an environment in the dashboard: every form stores what the JSON routes show, refuses what they refuse,
//! and shows secrets only when somebody asks.

use serde_json::{Value, json};

use crate::dashboard::{NAME, PASSWORD, operator};
use crate::support::app::TestSettings;
use crate::support::{Browser, TestApp, run};

const HOSTILE: &str = "\"><script>alert(1)</script>";

struct World {
    app: TestApp,
    browser: Browser,
    page: String,
}

impl World {
    async fn start() -> World {
        let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", NAME);
        let app = settings
            .set("NANGO_DASHBOARD_PASSWORD", PASSWORD)
            .set("FLAG_AUTH_ENABLED", "false")
            .start()
            .await;
        let page = format!("/env/{}/settings", app.environment_name);
        World { browser: operator(&app), page, app }
    }

    /// Sends a form of the page; gives the page that follows.
    async fn submit(&self, form: &str, fields: &[(&str, &str)]) -> String {
        let sent = self.browser.submit(&self.page, &format!("{}/{form}", self.page), fields).await;
        assert_eq!(sent.status, 303, "{form}: {}", sent.text());
        self.browser.follow(sent).await.text()
    }

    /// Sends a form that comes back.
    async fn refused(&self, form: &str, fields: &[(&str, &str)]) -> String {
        let sent = self.browser.submit(&self.page, &format!("{}/{form}", self.page), fields).await;
        assert_eq!(sent.status, 422, "{form}: {}", sent.text());
        sent.text()
    }

    /// What a JSON route of operators shows.
    async fn shown(&self, route: &str) -> Value {
        let path = format!("/api/v1/{route}?env={}", self.app.environment_name);
        self.app.account_client().await.get(path).expect(200).await["data"].clone()
    }
}

/// The secret that a page shows once.
fn secret(html: &str) -> String {
    let flash = &html[html.find("class=\"flash").expect("a message")..];
    let value = flash.split("data-copy=\"").nth(1).expect("a secret");
    value.split('"').next().unwrap().to_owned()
}

#[test]
fn webhook_addresses_and_events_are_stored() {
    run(async {
        let world = World::start().await;
        let fields = [("primary_url", "https://api.acme.test/hooks"), ("on_sync_error", "on")];
        assert!(world.submit("webhooks", &fields).await.contains("Webhook settings saved."));
        let stored = world.shown("environments/webhook").await;
        assert_eq!(stored["primary_url"], "https://api.acme.test/hooks");
        assert_eq!((&stored["secondary_url"], &stored["on_sync_error"]), (&Value::Null, &json!(true)));
        assert_eq!(stored["on_auth_creation"], false);
        for bad in ["not a url", "http://169.254.169.254/x", HOSTILE] {
            let html = world.refused("webhooks", &[("primary_url", bad)]).await;
            assert!(html.contains("id=\"problem-primary_url\"") && !html.contains("<script>alert"), "{bad}");
        }
        assert_eq!(world.shown("environments/webhook").await, stored);
        world.submit("webhooks", &[("primary_url", "")]).await;
        assert_eq!(world.shown("environments/webhook").await["primary_url"], Value::Null);
    });
}

#[test]
fn the_signing_key_is_shown_on_request_and_replaced() {
    run(async {
        let world = World::start().await;
        let key = world.app.webhook_signing_key().await;
        assert!(!world.browser.get(&world.page).await.text().contains(&key));
        assert_eq!(secret(&world.submit("signing-key/show", &[]).await), key);
        assert!(!world.browser.get(&world.page).await.text().contains(&key), "shown once");
        let new = secret(&world.submit("signing-key/replace", &[]).await);
        assert_ne!(new, key);
        assert_eq!(world.app.webhook_signing_key().await, new);
    });
}

#[test]
fn signed_sign_ins_need_a_key_that_pages_never_show() {
    run(async {
        let world = World::start().await;
        let html = world.refused("signature", &[("hmac_enabled", "on")]).await;
        assert!(html.contains("Choose a key first"));
        let key = "k3y-of-the-backend";
        world.submit("signature", &[("hmac_enabled", "on"), ("hmac_key", key)]).await;
        let stored = world.shown("environments/current").await;
        assert_eq!((&stored["hmac_enabled"], &stored["hmac_key"]), (&json!(true), &json!(key)));
        assert!(!world.browser.get(&world.page).await.text().contains(key));
        world.submit("signature", &[]).await;
        let stored = world.shown("environments/current").await;
        assert_eq!(
            (&stored["hmac_enabled"], &stored["hmac_key"]),
            (&json!(false), &json!(key)),
            "the key stays"
        );
    });
}

#[test]
fn addresses_are_stored_and_taken_away() {
    run(async {
        let world = World::start().await;
        let callback = "https://acme.test/callback";
        let fields = [("callback_url", callback), ("otlp_endpoint", "https://traces.acme.test/v1")];
        world.submit("addresses", &fields).await;
        let stored = world.shown("environments/current").await;
        assert_eq!(
            (&stored["callback_url"], &stored["otlp_endpoint"]),
            (&json!(callback), &json!(fields[1].1))
        );
        let html = world.refused("addresses", &[("callback_url", "nowhere")]).await;
        assert!(html.contains("id=\"problem-callback_url\"") && html.contains("value=\"nowhere\""));
        world.submit("addresses", &[("callback_url", "")]).await;
        assert_eq!(world.shown("environments/current").await["callback_url"], Value::Null);
    });
}

#[test]
fn headers_of_the_collector_are_added_replaced_and_removed_and_never_shown() {
    run(async {
        let world = World::start().await;
        let headers = async || {
            let stored = settings_of(&world).await;
            hitchpost::environments::settings::open_secrets(&world.app.app, &stored).unwrap().otlp_headers
        };
        let form = "collector-headers";
        world.submit(form, &[("header_name", "Authorization"), ("header_value", "s3cret-1")]).await;
        let html = world.submit(form, &[("header_name", "X-Team"), ("header_value", "s3cret-2")]).await;
        assert!(
            html.contains("<code>Authorization</code>") && html.contains("<code>X-Team</code>"),
            "{html}"
        );
        assert!(!html.contains("s3cret"), "masked");
        world.submit(form, &[("header_name", "authorization"), ("header_value", "s3cret-3")]).await;
        assert_eq!(
            Value::Object(headers().await),
            json!({"X-Team": "s3cret-2", "authorization": "s3cret-3"})
        );
        for (name, value, field) in
            [(HOSTILE, "x", "header_name"), ("", "x", "header_name"), ("X-A", "a\r\nb", "header_value")]
        {
            let html = world.refused(form, &[("header_name", name), ("header_value", value)]).await;
            assert!(html.contains(&format!("id=\"problem-{field}\"")), "{name} {value}: {html}");
            assert!(!html.contains("<script>alert"), "{html}");
        }
        world.submit(form, &[("remove", "X-Team"), ("remove", "authorization")]).await;
        assert_eq!(headers().await.len(), 0);
        assert!(!world.browser.get(&world.page).await.text().contains("X-Team"));
    });
}

async fn settings_of(world: &World) -> hitchpost::db::environments::EnvironmentSettings {
    let found = hitchpost::db::environments::find_settings(&world.app.app.db, world.app.environment_id).await;
    found.unwrap().expect("the environment is there")
}

#[test]
fn variables_are_set_shown_on_request_and_removed() {
    run(async {
        let world = World::start().await;
        world.submit("variables", &[("name", HOSTILE), ("value", "v4lue-1")]).await;
        let html = world.submit("variables", &[("name", HOSTILE), ("value", "v4lue-2")]).await;
        assert!(
            html.contains("&#60;script&#62;") && !html.contains("<script>alert") && !html.contains("v4lue")
        );
        assert_eq!(secret(&world.submit("variables/show", &[("name", HOSTILE)]).await), "v4lue-2");
        world.submit("variables/remove", &[("name", HOSTILE)]).await;
        assert!(!world.browser.get(&world.page).await.text().contains("&#60;script&#62;"));
        assert!(world.refused("variables", &[("name", " "), ("value", "x")]).await.contains("Fill this in."));
    });
}

#[test]
fn the_look_of_the_connect_ui_is_stored() {
    run(async {
        let world = World::start().await;
        let fields = [
            ("light", "#0066cc"),
            ("dark", "#88bbff"),
            ("defaultTheme", "dark"),
            ("logo", "https://acme.test/logo.svg"),
            ("fontFamily", ""),
            ("borderRadius", "4px"),
            ("showWatermark", "on"),
        ];
        assert!(world.submit("connect-ui", &fields).await.contains("fill=\"#0066cc\""));
        let stored = world.shown("connect-ui-settings").await;
        let expected = json!({
            "theme": {"light": {"primary": "#0066cc"}, "dark": {"primary": "#88bbff"}}, "defaultTheme": "dark",
            "showWatermark": true, "logo": "https://acme.test/logo.svg", "borderRadius": "4px",
        });
        assert_eq!(stored, expected);
        for (field, value) in
            [("light", HOSTILE), ("dark", "url(x)"), ("logo", "http://x"), ("borderRadius", "1;")]
        {
            let mut changed = fields;
            changed.iter_mut().find(|(name, _)| *name == field).expect("a field").1 = value;
            let html = world.refused("connect-ui", &changed).await;
            assert!(html.contains(&format!("id=\"problem-{field}\"")), "{field}: {html}");
            assert!(!html.contains("<script>alert"), "{field}");
        }
        assert_eq!(world.shown("connect-ui-settings").await, stored);
    });
}
