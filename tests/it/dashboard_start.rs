//! The first steps with the demo provider, and the playground, used without scripts.

use serde_json::json;

use crate::dashboard::{NAME, PASSWORD, operator};
use crate::support::app::TestSettings;
use crate::support::{Browser, Reply, TestApp, run};

/// The guard as it is without any setting: nothing on this machine can be called.
const CLOSED_POLICY: &str = r#"{"mode":"denylist"}"#;

async fn world() -> (TestApp, Browser) {
    let settings = TestSettings::default().set("NANGO_DASHBOARD_USERNAME", NAME);
    let settings = settings.set("NANGO_DASHBOARD_PASSWORD", PASSWORD).set("FLAG_AUTH_ENABLED", "false");
    let settings = settings.set("NANGO_OUTBOUND_URL_POLICY", CLOSED_POLICY);
    let app = settings.set("NANGO_OUTBOUND_URL_POLICY_OAUTH", CLOSED_POLICY).start().await;
    let browser = operator(&app);
    (app, browser)
}

fn below(app: &TestApp, path: &str) -> String {
    format!("/env/{}{path}", app.environment_name)
}

/// Goes where an answer sends the browser, which is an address of this server.
async fn go_on(app: &TestApp, browser: &Browser, reply: Reply) -> Reply {
    let to = reply.header("location").unwrap_or_else(|| panic!("no redirect: {}", reply.text())).to_owned();
    let path = to.strip_prefix(&app.url()).unwrap_or(&to).to_owned();
    browser.get(&path).await
}

/// The hidden fields of the consent page.
fn parameters(page: &Reply) -> Vec<(String, String)> {
    let html = page.text();
    let fields = html.split("type=\"hidden\" name=\"").skip(1);
    let pair = |rest: &str| {
        let mut parts = rest.split('"');
        let (name, value) = (parts.next()?.to_owned(), parts.nth(1)?.replace("&#38;", "&"));
        Some((name, value))
    };
    fields.filter_map(pair).collect()
}

/// Goes through the sign-in up to the consent page.
async fn reach_consent(app: &TestApp, browser: &Browser) -> Reply {
    let start = below(app, "/start");
    let linked = browser.submit(&start, &format!("{start}/connect"), &[]).await.text();
    let token = linked.split("session_token=").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("/oauth/connect/hitchpost-demo?connect_session_token={token}");
    let sent = browser.get(&path).await;
    go_on(app, browser, sent).await
}

async fn start_demo(app: &TestApp, browser: &Browser) {
    let start = below(app, "/start");
    let started = browser.submit(&start, &format!("{start}/demo"), &[]).await;
    assert!(browser.follow(started).await.text().contains("The demo provider is running."));
}

#[test]
fn a_newcomer_signs_in_and_makes_a_call() {
    run(async {
        let (app, browser) = world().await;
        assert_eq!(
            browser.get("/demo-provider/authorize?client_id=x").await.status,
            404,
            "off until it is started"
        );
        start_demo(&app, &browser).await;
        let consent = reach_consent(&app, &browser).await;
        assert!(consent.text().contains("Ada Lovelace"), "{}", consent.text());
        let fields = parameters(&consent);
        let mut sent: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sent.push(("answer", "allow"));
        let allowed = browser.post("/demo-provider/authorize", sent.clone()).await;
        let done = go_on(&app, &browser, allowed).await;
        assert_eq!(done.status, 200, "{}", done.text());

        let start = below(&app, "/start");
        let called = browser.submit(&start, &format!("{start}/call"), &[]).await.text();
        assert!(called.contains("your code never saw") && called.contains("Bearer ••••"), "{called}");
        let connections = app.client().get("/connections?integrationId=hitchpost-demo").expect(200).await;
        let id = connections["connections"][0]["connection_id"].as_str().unwrap().to_owned();
        let path = format!("/connections/{id}?provider_config_key=hitchpost-demo");
        let token = app.client().get(&path).expect(200).await["credentials"]["access_token"].clone();
        assert!(!called.contains(token.as_str().unwrap()), "the page shows no token");
        let renewed = app.client().get(format!("{path}&force_refresh=true")).expect(200).await;
        assert_ne!(renewed["credentials"]["access_token"], token, "tokens are renewed");

        let stopped = browser.submit(&start, &format!("{start}/stop"), &[]).await;
        assert!(browser.follow(stopped).await.text().contains("stopped"));
        assert_eq!(app.anonymous().get("/providers.json").expect(200).await.get("hitchpost-demo"), None);
    });
}

#[test]
fn the_demo_opens_nothing_else() {
    run(async {
        let (app, browser) = world().await;
        start_demo(&app, &browser).await;
        let consent = reach_consent(&app, &browser).await;
        let fields = parameters(&consent);
        let with = |name: &str, value: &str| {
            let mut changed: Vec<(String, String)> =
                fields.iter().filter(|(field, _)| field != name).cloned().collect();
            changed.extend([(name.to_owned(), value.to_owned()), ("answer".to_owned(), "allow".to_owned())]);
            changed
        };
        for (name, value) in [
            ("redirect_uri", "https://evil.example/callback"),
            ("client_id", "somebody"),
            ("response_type", "token"),
            ("code_challenge_method", "plain"),
            ("code_challenge", ""),
        ] {
            let changed = with(name, value);
            let sent = changed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let refused = browser.post("/demo-provider/authorize", sent).await;
            assert_eq!(refused.status, 400, "{name}");
        }
        let denied = with("scope", "notes");
        let denied: Vec<(&str, &str)> = denied
            .iter()
            .map(|(name, value)| (name.as_str(), if name == "answer" { "deny" } else { value.as_str() }))
            .collect();
        let back = browser.post("/demo-provider/authorize", denied).await;
        assert!(back.header("location").unwrap().contains("error=access_denied"));

        // The name leads to the demo whatever the port, and addresses of this machine stay closed.
        let import = json!({"provider_config_key": "hitchpost-demo", "connection_id": "c1",
            "credentials": {"type": "OAUTH2", "access_token": "wrong-token"}});
        app.client().post("/connections", import).expect(201).await;
        let own_port = app.address.port();
        for (base, expected) in [
            ("http://demo-provider.hitchpost.invalid/api".to_owned(), 401),
            (format!("http://demo-provider.hitchpost.invalid:{own_port}/api"), 401),
            (format!("http://127.0.0.1:{own_port}"), 400),
        ] {
            let call = app
                .client()
                .of_other_routes()
                .get("/proxy/me")
                .header("provider-config-key", "hitchpost-demo");
            let call = call.header("connection-id", "c1").header("base-url-override", &base);
            assert_eq!(call.send().await.status, expected, "{base}");
        }
    });
}

#[test]
fn the_playground_shows_what_went_out_without_secrets() {
    run(async {
        let (app, browser) = world().await;
        start_demo(&app, &browser).await;
        let secret = "pl4nted-s3cret-token";
        let import = json!({"provider_config_key": "hitchpost-demo", "connection_id": "c\"1",
            "credentials": {"type": "OAUTH2", "access_token": secret}});
        app.client().post("/connections", import).expect(201).await;
        let playground = below(&app, "/playground");
        let fields = [
            ("integration", "hitchpost-demo"),
            ("connection", "c\"1"),
            ("method", "POST"),
            ("path", "/notes?x=<script>"),
            ("headers", "X-Note: <i>\nContent-Type: application/json"),
            ("body", "{\"text\": \"<script>\"}"),
            ("retries", "1"),
        ];
        let sent = browser.submit(&playground, &playground, &fields).await;
        assert_eq!(sent.status, 200, "{}", sent.text());
        let html = sent.text();
        assert!(html.contains("401") && html.contains("invalid_token"), "{html}");
        assert!(
            html.contains("POST http://demo-provider.hitchpost.invalid/api/notes?x=")
                && html.contains("Bearer ••••")
        );
        assert!(!html.contains(secret) && !html.contains("<script>") && !html.contains("<i>"), "{html}");
        assert!(html.contains("x-note: &#60;i&#62;") && html.contains("HITCHPOST_SECRET_KEY"));
        for (name, value, problem) in [
            ("connection", "nobody", "no connection with this id"),
            ("integration", "nothing", "Choose an integration"),
            ("path", "https://evil.example/", "Leave the host out"),
            ("headers", "nonsense", "as Name: value"),
        ] {
            let changed: Vec<(&str, &str)> = fields
                .iter()
                .map(|(field, typed)| (*field, if *field == name { value } else { *typed }))
                .collect();
            let wrong = browser.submit(&playground, &playground, &changed).await;
            assert!(wrong.status == 422 && wrong.text().contains(problem), "{name}: {}", wrong.text());
        }
    });
}
