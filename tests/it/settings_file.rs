//! Settings files against a database: what is compared, written and exported.

use hitchpost::settings_file::{MadeKey, Plan, PlanOptions, SettingsFile, export};
use serde_json::json;

use crate::support::{TestApp, run};

const SECRETS: [(&str, &str); 6] = [
    ("HMAC", "h-m-a-c"),
    ("TOKEN", "t0ken ${not a reference}"),
    ("CLIENT_SECRET", "s3cret"),
    ("OTHER_SECRET", "0ther"),
    ("OTLP", "Bearer x"),
    ("HOOK", "h00k"),
];

fn read(text: &str, more: &[(String, String)]) -> Result<SettingsFile, Vec<String>> {
    let lookup = |name: &str| {
        let own = SECRETS.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        own.or_else(|| more.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    };
    SettingsFile::read("f.yaml", text, &lookup, |_| true)
}

async fn plan(app: &TestApp, text: &str) -> Plan {
    let file = read(text, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Plan::build(&app.app, &file, PlanOptions::default())
        .await
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Applies a file and returns what it says, and the keys that it made.
async fn apply(app: &TestApp, text: &str) -> (Vec<String>, Vec<MadeKey>) {
    let plan = plan(app, text).await;
    let lines = plan.lines().map(str::to_owned).collect();
    let mut made = Vec::new();
    let mut tell = |key| {
        made.push(key);
        Ok(())
    };
    plan.run(&app.app, &mut tell).await.unwrap();
    (lines, made)
}

fn fresh(app: &TestApp) -> String {
    format!("f{}", app.app.rng.alphanumeric(12).to_lowercase())
}

fn everything(environment: &str, key: &str) -> String {
    format!(
        r#"
environments:
  {environment}:
    is_production: true
    callback_url: https://app.example.com/oauth-callback
    hmac_enabled: true
    hmac_key: ${{HMAC}}
    otlp_endpoint: https://otlp.example.com
    otlp_headers:
      - name: authorization
        value: ${{OTLP}}
    webhooks:
      primary_url: https://hooks.example.com/$${{in}}
      on_sync_error: false
    connect_ui:
      defaultTheme: dark
      theme: {{ light: {{ primary: "rgb(1, 2, 3)" }} }}
    api_keys:
      fixed:
        secret: {key}
        scopes: [environment:integrations:list]
      random:
    variables:
      REGION: eu
      EMPTY: ""
      TOKEN: ${{TOKEN}}
    integrations:
      plain:
        provider: plain-key
        display_name: "yes"
      oauth:
        provider: acme
        forward_webhooks: false
        credentials:
          type: OAUTH2
          client_id: abc
          client_secret: ${{CLIENT_SECRET}}
          scopes: "read,write"
          webhook_secret: ${{HOOK}}
      bare:
        provider: acme
        credentials: {{ type: OAUTH2, client_id: "007", client_secret: x, scopes: "" }}
"#
    )
}

#[test]
fn a_file_is_applied_once_and_then_changes_nothing() {
    run(async {
        let app = TestApp::with_providers().await;
        let (name, key) = (fresh(&app), app.app.rng.uuid().to_string());
        let text = everything(&name, &key);
        let unwritten: Vec<String> = plan(&app, &text).await.lines().map(str::to_owned).collect();
        let (lines, made) = apply(&app, &text).await;
        assert_eq!(unwritten, lines, "a plan writes nothing");
        let shown = lines.join("\n").replace(&name, "NEW");
        let expected = r##"+ environment NEW
~ environment NEW: is_production false -> true
~ environment NEW: hmac_enabled false -> true
~ environment NEW: callback_url null -> "https://app.example.com/oauth-callback"
~ environment NEW: otlp_endpoint null -> "https://otlp.example.com"
~ environment NEW: hmac_key set
~ environment NEW: otlp_headers.authorization set
~ environment NEW: webhooks.on_sync_error true -> false
~ environment NEW: webhooks.primary_url null -> "https://hooks.example.com/${in}"
~ environment NEW: connect_ui.defaultTheme "system" -> "dark"
~ environment NEW: connect_ui.theme.light.primary "#00B2E3" -> "rgb(1, 2, 3)"
+ environment NEW: API key fixed
+ environment NEW: API key random
+ environment NEW: variable REGION
+ environment NEW: variable EMPTY
+ environment NEW: variable TOKEN
+ environment NEW: integration plain
+ environment NEW: integration oauth
+ environment NEW: integration bare"##;
        assert_eq!(shown, expected);
        assert!(plan(&app, &text).await.is_empty(), "the second time there is nothing to do");
        let client = app.anonymous().with_secret(&key);
        client.get("/integrations").expect(200).await;
        client.get("/connections").expect(403).await;
        assert_eq!(made.len(), 1, "only the random secret is told");
        let random = app.anonymous().with_secret(made[0].secret.expose());
        assert_eq!(
            random.get("/environment-variables").expect(200).await,
            json!([{"name": "EMPTY", "value": ""}, {"name": "REGION", "value": "eu"},
                {"name": "TOKEN", "value": "t0ken ${not a reference}"}])
        );
        let shown = random.get("/integrations/oauth?include=credentials").expect(200).await["data"].clone();
        assert_eq!(
            shown["credentials"],
            json!({"type": "OAUTH2", "client_id": "abc", "client_secret": "s3cret", "scopes": "read,write",
                "webhook_secret": "h00k"})
        );
        let account = app.account_client().await;
        let webhooks = account.get(format!("/api/v1/environments/webhook?env={name}")).expect(200).await;
        assert_eq!(webhooks["data"]["primary_url"], "https://hooks.example.com/${in}");
    });
}

#[test]
fn differences_are_told_without_secrets_and_what_is_unnamed_stays() {
    run(async {
        let app = TestApp::with_providers().await;
        let (name, key) = (fresh(&app), app.app.rng.uuid().to_string());
        apply(&app, &everything(&name, &key)).await;
        let new_key = app.app.rng.uuid().to_string();
        let text = format!(
            "environments:\n  {name}:\n    hmac_key: ${{OTHER_SECRET}}\n    callback_url: \"\"\n    \
             webhooks: {{primary_url: \"\"}}\n    connect_ui: {{showWatermark: true}}\n    \
             api_keys: {{fixed: {{secret: {new_key}}}, random: {{scopes: [\"environment:proxy\"]}}}}\n    \
             variables: {{TOKEN: '${{OTHER_SECRET}}'}}\n    integrations:\n      oauth:\n        provider: acme\n        \
             credentials: {{type: OAUTH2, client_id: def, client_secret: '${{OTHER_SECRET}}'}}\n"
        );
        let (lines, made) = apply(&app, &text).await;
        let shown = lines.join("\n").replace(&name, "E");
        let expected = r#"~ environment E: callback_url "https://app.example.com/oauth-callback" -> null
~ environment E: hmac_key changed
~ environment E: webhooks.primary_url "https://hooks.example.com/${in}" -> null
~ environment E: connect_ui.showWatermark false -> true
~ environment E: API key fixed: secret changed
~ environment E: API key random: scopes ["environment:*"] -> ["environment:proxy"]
~ environment E: variable TOKEN: value changed
~ environment E: integration oauth: client_id "abc" -> "def"
~ environment E: integration oauth: client_secret changed"#;
        assert_eq!(shown, expected);
        assert!(made.is_empty());
        assert!(plan(&app, &text).await.is_empty());
        assert_eq!(
            app.anonymous().with_secret(&key).get("/integrations").send().await.code(),
            "unknown_account"
        );
        let listed = app.anonymous().with_secret(&new_key).get("/integrations").expect(200).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), 3, "the unnamed integrations stay");
    });
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_written() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("plain-key", "taken").await;
        let (name, other) = (app.environment_name.clone(), fresh(&app));
        let text = format!(
            "environments:\n  {other}:\n    variables: {{A: b}}\n  {name}:\n    integrations:\n      nope:\n        \
             provider: no-such-provider\n      mode:\n        provider: acme\n        credentials: {{type: OAUTH1, client_id: a, \
             client_secret: b}}\n      bare:\n        provider: acme\n      taken:\n        provider: acme\n        credentials: \
             {{type: OAUTH2, client_id: a, client_secret: b}}\n"
        );
        let file = read(&text, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let problems = Plan::build(&app.app, &file, PlanOptions::default()).await.err().unwrap();
        let starts = [
            format!(
                "f.yaml:6: environments.{name}.integrations.nope: provider the catalog has no such provider"
            ),
            format!("f.yaml:8: environments.{name}.integrations.mode: credentials.type is not the auth mode"),
            format!("f.yaml:11: environments.{name}.integrations.bare: This provider needs credentials"),
            format!(
                "f.yaml:13: environments.{name}.integrations.taken: this integration exists with the provider plain-key"
            ),
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(&starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
        let found = hitchpost::db::environments::find_by_name(&app.app.db, &other).await.unwrap();
        assert!(found.is_none());
    });
}

#[test]
fn an_export_can_be_applied_again_and_holds_no_secret() {
    run(async {
        let app = TestApp::with_providers().await;
        let (name, key) = (fresh(&app), app.app.rng.uuid().to_string());
        apply(&app, &everything(&name, &key)).await;
        let whole = export(&app.app).await.unwrap();
        for secret in ["h-m-a-c", "t0ken", "s3cret", "Bearer x", "h00k", &key] {
            assert!(!whole.contains(secret), "{secret} is in the export");
        }
        // Other tests share the database: only this test's environment is compared.
        let own = own_part(&whole, &name);
        let prefix = name.to_uppercase();
        let values: Vec<(String, String)> = [
            ("HMAC_KEY", "h-m-a-c"),
            ("VARIABLE_TOKEN", "t0ken ${not a reference}"),
            ("VARIABLE_REGION", "eu"),
            ("OTLP_AUTHORIZATION", "Bearer x"),
            ("OAUTH_CLIENT_SECRET", "s3cret"),
            ("OAUTH_WEBHOOK_SECRET", "h00k"),
            ("BARE_CLIENT_SECRET", "x"),
        ]
        .into_iter()
        .map(|(suffix, value)| (format!("{prefix}_{suffix}"), value.to_owned()))
        .collect();
        assert!(values.iter().all(|(name, _)| whole.contains(&format!("#   {name}\n"))), "{whole}");
        let file = read(&own, &values).unwrap_or_else(|problems| panic!("{problems:#?}\n{own}"));
        let again = Plan::build(&app.app, &file, PlanOptions::default()).await.unwrap();
        assert_eq!(again.lines().collect::<Vec<_>>(), Vec::<&str>::new(), "{own}");
        // The same file makes the environment anew under another name.
        let copy = own.replace(&format!("  {name}:"), &format!("  {}:", fresh(&app)));
        let file = read(&copy, &values).unwrap_or_else(|problems| panic!("{problems:#?}\n{copy}"));
        let plan = Plan::build(&app.app, &file, PlanOptions::default()).await.unwrap();
        plan.run(&app.app, &mut |_| Ok(())).await.unwrap();
        let left = Plan::build(&app.app, &file, PlanOptions::default()).await.unwrap();
        assert_eq!(left.lines().collect::<Vec<_>>(), Vec::<&str>::new());
    });
}

/// The lines of one environment, under the top of the file.
fn own_part(whole: &str, name: &str) -> String {
    let mut lines = whole.lines().skip_while(|line| *line != format!("  {name}:"));
    let first = lines.next().expect("the environment is exported");
    let rest = lines.take_while(|line| line.starts_with("    "));
    std::iter::once("environments:").chain([first]).chain(rest).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_file_of_the_readme_can_be_applied() {
    run(async {
        let app = TestApp::start().await;
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("```yaml\n").expect("the README has a settings file");
        let (text, _) = rest.split_once("```").unwrap();
        let more = [
            ("HMAC_KEY", "k"),
            ("GITHUB_CLIENT_SECRET", "s"),
            ("CI_KEY", "2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a12"),
        ];
        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let file = read(text, &more).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let plan = Plan::build(&app.app, &file, PlanOptions::default()).await;
        let plan = plan.unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(plan.lines().any(|line| line == "+ environment prod: integration github"));
    });
}
