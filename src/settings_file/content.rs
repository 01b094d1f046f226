//! What a settings file says, as values that the domain takes. Members are read by the readers of the JSON routes. Pure.

use indexmap::IndexMap;
use serde_json::{Map, Value};
use url::Url;

use super::document::Document;
use super::problem::{Problem, from_issue};
use crate::api::api_keys::{NAME, read_scopes};
use crate::api::input::formats::{ENVIRONMENT_NAME, PROVIDER_CONFIG_KEY, PROVIDER_NAME, UUID_V4};
use crate::api::input::{ObjectReader, read_object};
use crate::api::integrations::input::{NewIntegration, Settings};
use crate::api::operator::input::{
    VARIABLE_NAME, VARIABLE_VALUE, read_connect_ui, read_environment, read_webhook_patch,
};
use crate::auth::scopes;
use crate::crypto::Secret;
use crate::environments::connect_ui::ConnectUiSettings;
use crate::environments::settings::{EnvironmentPatch, check_production};
use crate::environments::webhooks::WebhookPatch;

/// Members of each kind of object, for advice on unknown ones.
const TOP: &[&str] = &["environments", "account"];
const ACCOUNT: &[&str] = &["api_keys"];
const ENVIRONMENT: &[&str] = &[
    "is_production",
    "callback_url",
    "hmac_enabled",
    "hmac_key",
    "slack_notifications",
    "otlp_endpoint",
    "otlp_headers",
    "webhooks",
    "connect_ui",
    "api_keys",
    "variables",
    "integrations",
];
const WEBHOOKS: &[&str] = &[
    "primary_url",
    "secondary_url",
    "on_sync_completion_always",
    "on_auth_creation",
    "on_auth_refresh_error",
    "on_sync_error",
    "on_async_action_completion",
];
const CONNECT_UI: &[&str] = &["theme", "defaultTheme", "showWatermark", "logo", "fontFamily", "borderRadius"];
const KEY: &[&str] = &["scopes", "secret"];
const INTEGRATION: &[&str] = &[
    "provider",
    "display_name",
    "forward_webhooks",
    "accept_unverified_webhooks",
    "credentials",
    "integration_config",
    "custom",
];

pub struct Content {
    pub environments: IndexMap<String, DeclaredEnvironment>,
    /// `None`: the file says nothing about keys of the account.
    pub account_keys: Option<Keys>,
}

/// Keys by name.
pub type Keys = IndexMap<String, DeclaredKey>;

/// What the file says about one environment; `None` is a section that it does not have.
pub struct DeclaredEnvironment {
    pub settings: EnvironmentPatch,
    pub webhooks: Option<WebhookPatch>,
    /// The members that were given; the others stay.
    pub connect_ui: Option<Map<String, Value>>,
    pub api_keys: Option<Keys>,
    pub variables: Option<IndexMap<String, Secret>>,
    pub integrations: Option<IndexMap<String, NewIntegration>>,
}

pub struct DeclaredKey {
    /// `None`: a new key may do everything, and those of an existing key stay.
    pub scopes: Option<Vec<String>>,
    /// `None`: a new key gets a random one, which is told once.
    pub secret: Option<Secret>,
}

/// Reads a whole file; `is_allowed` is the policy for addresses of webhooks.
///
/// # Errors
/// Every mistake.
pub fn read(document: &Document, is_allowed: impl Fn(&Url) -> bool) -> Result<Content, Vec<Problem>> {
    let value = without_empty_sections(document.value.clone());
    let read = read_object(Some(&value), |top| Content {
        environments: top
            .map_of_objects("environments", &ENVIRONMENT_NAME, |environment| {
                read_one_environment(environment, &is_allowed)
            })
            .map(name_integrations)
            .unwrap_or_default(),
        account_keys: top
            .optional_nested("account", |account| read_keys(account, scopes::OF_ACCOUNT))
            .flatten(),
    });
    let content = read.map_err(|issues| {
        issues.as_slice().iter().flat_map(|issue| from_issue(issue, known_members)).collect::<Vec<_>>()
    })?;
    let problems = check(&content);
    if problems.is_empty() { Ok(content) } else { Err(problems) }
}

fn read_one_environment(
    environment: &mut ObjectReader<'_>,
    is_allowed: &impl Fn(&Url) -> bool,
) -> DeclaredEnvironment {
    DeclaredEnvironment {
        settings: read_environment(environment),
        webhooks: environment
            .optional_nested("webhooks", |webhooks| read_webhook_patch(webhooks, is_allowed)),
        connect_ui: environment.optional_object("connect_ui").cloned(),
        api_keys: read_keys(environment, scopes::OF_ENVIRONMENT),
        variables: environment
            .text_map("variables", &VARIABLE_NAME, &VARIABLE_VALUE)
            .map(|variables| variables.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()),
        integrations: environment.map_of_objects("integrations", &PROVIDER_CONFIG_KEY, |integration| {
            NewIntegration {
                provider: integration.required_text("provider", &PROVIDER_NAME),
                unique_key: String::new(),
                settings: Settings::read(integration),
            }
        }),
    }
}

fn read_keys(owner: &mut ObjectReader<'_>, allowed: &[&str]) -> Option<Keys> {
    owner.map_of_objects("api_keys", &NAME, |key| DeclaredKey {
        scopes: read_scopes(key, allowed),
        secret: key.optional_text("secret", &UUID_V4).map(Secret::new),
    })
}

/// The key of an integration is the name of its entry.
fn name_integrations(
    mut environments: IndexMap<String, DeclaredEnvironment>,
) -> IndexMap<String, DeclaredEnvironment> {
    for environment in environments.values_mut() {
        for (key, integration) in environment.integrations.iter_mut().flatten() {
            integration.unique_key.clone_from(key);
        }
    }
    environments
}

/// Rules that go beyond one member.
fn check(content: &Content) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, environment) in &content.environments {
        let place = ["environments", name.as_str()];
        if let Err(error) = check_production(name, name, environment.settings.is_production) {
            problems.push(Problem::new(&[place[0], place[1], "is_production"], error.message()));
        }
        if let Some(given) = &environment.connect_ui
            && let Err(found) = merge_connect_ui(&ConnectUiSettings::default(), given)
        {
            let path: Vec<String> = [place[0], place[1], "connect_ui"].map(str::to_owned).into();
            problems.extend(found.into_iter().flat_map(|mut issue| {
                issue.path.splice(0..0, path.clone());
                from_issue(&issue, known_members)
            }));
        }
    }
    problems.extend(check_secrets(content));
    problems
}

/// Two keys with one secret could not be told apart.
fn check_secrets(content: &Content) -> Vec<Problem> {
    let mut seen: Vec<&Secret> = Vec::new();
    let mut problems = Vec::new();
    let of_environments = content.environments.iter().flat_map(|(name, environment)| {
        let place = vec!["environments", name.as_str()];
        environment.api_keys.iter().map(move |keys| (place.clone(), keys))
    });
    let of_account = content.account_keys.iter().map(|keys| (vec!["account"], keys));
    for (place, keys) in of_environments.chain(of_account) {
        for (name, key) in keys {
            let Some(secret) = &key.secret else { continue };
            if seen.contains(&secret) {
                let path = [place.as_slice(), &["api_keys", name, "secret"]].concat();
                problems.push(Problem::new(&path, "an earlier key of this file has the same secret"));
            }
            seen.push(secret);
        }
    }
    problems
}

/// The settings of the Connect UI after a change of some members.
///
/// # Errors
/// What the reader of the JSON route says.
pub fn merge_connect_ui(
    before: &ConnectUiSettings,
    given: &Map<String, Value>,
) -> Result<ConnectUiSettings, Vec<crate::api::input::Issue>> {
    let mut merged = serde_json::to_value(before).unwrap_or_default();
    merge(&mut merged, given);
    read_object(Some(&merged), read_connect_ui).map_err(|issues| issues.as_slice().to_vec())
}

fn merge(before: &mut Value, given: &Map<String, Value>) {
    let Value::Object(members) = before else { return };
    for (name, value) in given {
        match (members.get_mut(name), value) {
            (Some(inner @ Value::Object(_)), Value::Object(given)) => merge(inner, given),
            _ => {
                members.insert(name.clone(), value.clone());
            }
        }
    }
}

fn known_members(path: &[String]) -> Option<&'static [&'static str]> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] => Some(TOP),
        ["account"] => Some(ACCOUNT),
        ["environments", _] => Some(ENVIRONMENT),
        ["environments", _, "webhooks"] => Some(WEBHOOKS),
        ["environments", _, "connect_ui"] => Some(CONNECT_UI),
        ["account", "api_keys", _] | ["environments", _, "api_keys", _] => Some(KEY),
        ["environments", _, "integrations", _] => Some(INTEGRATION),
        _ => None,
    }
}

/// A section without content (`variables:` and nothing below) is as if it were not there, and an entry of a map without
/// content (`staging:`) is an empty one.
fn without_empty_sections(mut value: Value) -> Value {
    let Value::Object(top) = &mut value else { return value };
    top.retain(|_, section| !section.is_null());
    if let Some(environments) = top.get_mut("environments") {
        fill_entries(environments);
        for environment in members_mut(environments) {
            drop_sections(environment, &["webhooks", "connect_ui", "api_keys", "variables", "integrations"]);
            fill_member(environment, "api_keys");
        }
    }
    if let Some(account) = top.get_mut("account") {
        drop_sections(account, &["api_keys"]);
        fill_member(account, "api_keys");
    }
    value
}

fn members_mut(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(|members| members.values_mut())
}

fn fill_member(owner: &mut Value, name: &str) {
    if let Some(entries) = owner.get_mut(name) {
        fill_entries(entries);
    }
}

fn fill_entries(entries: &mut Value) {
    for entry in members_mut(entries).filter(|entry| entry.is_null()) {
        *entry = Value::Object(Map::new());
    }
}

fn drop_sections(owner: &mut Value, sections: &[&str]) {
    if let Value::Object(members) = owner {
        members.retain(|name, value| !(value.is_null() && sections.contains(&name.as_str())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let document = Document::parse("f.yaml", text, &|_| None).unwrap_or_else(|found| panic!("{found:?}"));
        let found = read(&document, |url| url.host_str() != Some("localhost")).err().unwrap_or_default();
        found.iter().map(|problem| problem.show("f.yaml", &document)).collect()
    }

    #[test]
    fn empty_sections_and_entries_are_fine() {
        for text in [
            "",
            "environments:\n",
            "environments:\n  dev:\n  staging: {}\naccount:\n",
            "environments: {dev: {variables: , api_keys: {ci: , other: {}}}}\naccount: {api_keys: {a: }}\n",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn every_mistake_names_its_line_and_what_would_be_right() {
        let text = "\
environments:
  Dev: {}
  dev:
    hmac_enabld: true
    webhooks:
      primary_url: http://localhost/x
      colour: red
    connect_ui:
      defaultTheme: pink
      shadow: 1
    api_keys:
      ci:
        scopes: [environment:everything]
        secret: short
    variables:
      PORT: 8080
    integrations:
      github:
        credentials:
          type: OAUTH2
          client_id: a
  prod:
    is_production: false
acount: {}
";
        let found = problems(text);
        for start in [
            "f.yaml:2: environments.Dev: ",
            "f.yaml:4: environments.dev.hmac_enabld: nobody knows this key; known here: is_production",
            "f.yaml:6: environments.dev.webhooks.primary_url: is not allowed by the outbound URL policy",
            "f.yaml:7: environments.dev.webhooks.colour: nobody knows this key",
            "f.yaml:13: environments.dev.api_keys.ci.scopes.0: must be one of environment:*",
            "f.yaml:14: environments.dev.api_keys.ci.secret: must be a UUID of version 4",
            "f.yaml:16: environments.dev.variables.PORT: expected string",
            "f.yaml:18: environments.dev.integrations.github.provider: ",
            "f.yaml:19: environments.dev.integrations.github.credentials.client_secret: ",
            "f.yaml:24: acount: nobody knows this key; known here: environments, account",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(start)), "{start}\n{found:#?}");
        }
        let shape_is_right =
            "environments: {prod: {is_production: false}, dev: {connect_ui: {defaultTheme: pink, x: 1}}}";
        let found = problems(shape_is_right);
        for part in [
            "environments.prod.is_production: ",
            "connect_ui.defaultTheme: must be one of",
            "connect_ui.x: nobody",
        ] {
            assert!(found.iter().any(|problem| problem.contains(part)), "{part}\n{found:#?}");
        }
    }

    #[test]
    fn one_secret_for_two_keys_is_a_mistake() {
        let secret = "2f1c5e0e-7c1b-4f0a-9a53-6f2f6f7f0a11";
        let text = format!(
            "environments: {{dev: {{api_keys: {{a: {{secret: {secret}}}}}}}}}\naccount: {{api_keys: {{b: {{secret: {secret}}}}}}}"
        );
        assert_eq!(
            problems(&text),
            ["f.yaml:2: account.api_keys.b.secret: an earlier key of this file has the same secret"]
        );
    }

    #[test]
    fn the_members_in_the_advice_are_those_that_are_read() {
        let example = |members: &[&str]| -> Map<String, Value> {
            members.iter().map(|name| ((*name).to_owned(), Value::Bool(true))).collect()
        };
        let mut environment = example(ENVIRONMENT);
        environment.insert("webhooks".into(), Value::Object(example(WEBHOOKS)));
        environment.insert("connect_ui".into(), Value::Object(example(CONNECT_UI)));
        environment.insert("api_keys".into(), serde_json::json!({"k": example(KEY)}));
        environment.insert("integrations".into(), serde_json::json!({"i": example(INTEGRATION)}));
        let text = serde_json::json!({"environments": {"dev": environment}}).to_string();
        let found = problems(&text);
        assert!(
            !found.is_empty() && !found.iter().any(|problem| problem.contains("nobody knows")),
            "{found:#?}"
        );
        let connect_ui = Value::Object(example(CONNECT_UI));
        let issues = read_object(Some(&connect_ui), read_connect_ui).err().unwrap();
        let is_unknown =
            |issue: &crate::api::input::Issue| issue.code == crate::api::input::IssueCode::UnrecognizedKeys;
        assert!(!issues.as_slice().iter().any(is_unknown), "{issues:?}");
    }
}
