//! The steps of a plan: what each will do, and how it is told. Comparing only; nothing is written here.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::content::{DeclaredEnvironment, DeclaredKey, Keys, merge_connect_ui};
use super::state::EnvironmentState;
use crate::api::integrations::input::{NewIntegration, Settings};
use crate::app::App;
use crate::crypto::Secret;
use crate::db::api_keys::ListedKey;
use crate::environments::connect_ui::ConnectUiSettings;
use crate::environments::settings::{EnvironmentPatch, replaced};
use crate::environments::variables::Variable;
use crate::environments::webhooks::WebhookPatch;
use crate::keys::{FULL_ACCESS, FULL_ACCOUNT_ACCESS};

/// Whose settings a step changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Account,
    Environment(String),
}

impl Owner {
    /// How messages call it.
    pub fn title(&self) -> String {
        match self {
            Owner::Account => "account".to_owned(),
            Owner::Environment(name) => format!("environment {name}"),
        }
    }

    fn full_access(&self) -> &'static str {
        match self {
            Owner::Account => FULL_ACCOUNT_ACCESS,
            Owner::Environment(_) => FULL_ACCESS,
        }
    }
}

/// One call of the domain, and the lines that tell of it.
pub struct Step {
    pub owner: Owner,
    pub action: Action,
    pub lines: Vec<String>,
}

/// What a step does. Things are named, not numbered: some will only exist once an earlier step was carried out.
pub enum Action {
    CreateEnvironment,
    ChangeEnvironment(EnvironmentPatch),
    DeleteEnvironment,
    ChangeWebhooks(WebhookPatch),
    StoreConnectUi(ConnectUiSettings),
    CreateKey { name: String, scopes: Vec<String>, secret: Option<Secret> },
    ChangeKey { name: String, scopes: Option<Vec<String>>, secret: Option<Secret> },
    DeleteKey(String),
    SetVariable(Variable),
    DeleteVariable(String),
    CreateIntegration(NewIntegration),
    ChangeIntegration { unique_key: String, settings: Settings },
    DeleteIntegration(String),
}

impl Step {
    /// A step that makes something.
    pub fn add(owner: &Owner, what: &str, action: Action) -> Self {
        Step { owner: owner.clone(), action, lines: vec![format!("+ {}{what}", owner.title())] }
    }

    /// A step that deletes something.
    pub fn remove(owner: &Owner, what: &str, action: Action) -> Self {
        Step { owner: owner.clone(), action, lines: vec![format!("- {}{what}", owner.title())] }
    }

    /// A step that changes something, unless nothing differs.
    pub fn change(owner: &Owner, what: &str, differences: Differences, action: Action) -> Option<Self> {
        let line = |difference: String| format!("~ {}{what}: {difference}", owner.title());
        let lines: Vec<String> = differences.0.into_iter().map(line).collect();
        (!lines.is_empty()).then(|| Step { owner: owner.clone(), action, lines })
    }
}

/// What differs between the database and the file, one phrase for each member. Secrets are never shown.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    /// A member whose values may be shown.
    pub fn plain(&mut self, name: &str, before: &Value, after: &Value) {
        if before != after {
            self.0.push(format!("{name} {before} -> {after}"));
        }
    }

    /// A member whose values may not be shown.
    pub fn secret<T: PartialEq>(&mut self, name: &str, before: Option<&T>, after: Option<&T>) {
        match (before, after) {
            (before, after) if before == after => {}
            (None, Some(_)) => self.0.push(format!("{name} set")),
            (_, None) => self.0.push(format!("{name} removed")),
            (Some(_), Some(_)) => self.0.push(format!("{name} changed")),
        }
    }

    /// The members of two objects whose values may not be shown.
    pub fn secret_members(&mut self, name: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for member in names {
            self.secret(&format!("{name}.{member}"), before.get(member), after.get(member));
        }
    }

    /// The members of two serialised structs, by the path of each.
    pub fn members(&mut self, prefix: &str, before: &Value, after: &Value) {
        let empty = Map::new();
        let (old, new) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let path = format!("{prefix}{name}");
            let [old, new] = [old, new].map(|members| members.get(name).unwrap_or(&Value::Null));
            if old.is_object() && new.is_object() {
                self.members(&format!("{path}."), old, new);
            } else {
                self.plain(&path, old, new);
            }
        }
    }
}

/// The change of the environment's own settings.
pub fn change_environment(
    owner: &Owner,
    state: &EnvironmentState,
    declared: &DeclaredEnvironment,
) -> Option<Step> {
    let patch = &declared.settings;
    let mut differences = Differences::default();
    let mut flag = |name: &str, before: bool, given: Option<bool>| {
        differences.plain(name, &before.into(), &given.unwrap_or(before).into());
    };
    flag("is_production", state.is_production, patch.is_production);
    flag("hmac_enabled", state.hmac_enabled, patch.hmac_enabled);
    flag("slack_notifications", state.slack_notifications, patch.slack_notifications);
    let mut text = |name: &str, before: &Option<String>, given: &Option<String>| {
        let after = replaced(before.clone(), given.clone());
        differences.plain(name, &before.clone().into(), &after.into());
    };
    text("callback_url", &state.callback_url, &patch.callback_url);
    text("otlp_endpoint", &state.otlp_endpoint, &patch.otlp_endpoint);
    if let Some(key) = &patch.hmac_key {
        let given = Some(key).filter(|key| !key.expose().is_empty());
        differences.secret("hmac_key", state.hmac_key.as_ref(), given);
    }
    if let Some(headers) = &patch.otlp_headers {
        differences.secret_members("otlp_headers", &state.otlp_headers, headers);
    }
    Step::change(owner, "", differences, Action::ChangeEnvironment(patch.clone()))
}

/// The change of where webhooks go.
pub fn change_webhooks(
    owner: &Owner,
    state: &EnvironmentState,
    declared: &DeclaredEnvironment,
) -> Option<Step> {
    let patch = declared.webhooks.as_ref()?;
    let after = patch.apply(state.webhooks.clone());
    let mut differences = Differences::default();
    let [before, after] =
        [&state.webhooks, &after].map(|settings| serde_json::to_value(settings).unwrap_or_default());
    differences.members("webhooks.", &before, &after);
    Step::change(owner, "", differences, Action::ChangeWebhooks(patch.clone()))
}

/// The change of how the Connect UI looks.
pub fn change_connect_ui(
    owner: &Owner,
    state: &EnvironmentState,
    declared: &DeclaredEnvironment,
) -> Option<Step> {
    let given = declared.connect_ui.as_ref()?;
    // What was given fits the defaults (the reader looked), and every member is judged on its own.
    let after = merge_connect_ui(&state.connect_ui, given).ok()?;
    let mut differences = Differences::default();
    let [before, shown] =
        [&state.connect_ui, &after].map(|settings| serde_json::to_value(settings).unwrap_or_default());
    differences.members("connect_ui.", &before, &shown);
    Step::change(owner, "", differences, Action::StoreConnectUi(after))
}

/// What happens to the keys of an owner.
pub fn change_keys(
    app: &App,
    owner: &Owner,
    stored: &[ListedKey],
    declared: &Keys,
    prune: bool,
) -> Vec<Step> {
    let mut steps: Vec<Step> = declared
        .iter()
        .filter_map(|(name, key)| match stored.iter().find(|stored| stored.display_name == *name) {
            None => Some(add_key(owner, name, key)),
            Some(stored) => change_key(app, owner, stored, key),
        })
        .collect();
    if prune {
        let surplus = stored.iter().filter(|stored| !declared.contains_key(&stored.display_name));
        steps.extend(surplus.map(|stored| {
            let name = stored.display_name.clone();
            Step::remove(owner, &format!(": API key {name}"), Action::DeleteKey(name))
        }));
    }
    steps
}

fn add_key(owner: &Owner, name: &str, key: &DeclaredKey) -> Step {
    let scopes = key.scopes.clone().unwrap_or_else(|| vec![owner.full_access().to_owned()]);
    let action = Action::CreateKey { name: name.to_owned(), scopes, secret: key.secret.clone() };
    Step::add(owner, &format!(": API key {name}"), action)
}

fn change_key(app: &App, owner: &Owner, stored: &ListedKey, key: &DeclaredKey) -> Option<Step> {
    let as_set = |scopes: &[String]| scopes.iter().cloned().collect::<BTreeSet<_>>();
    let scopes = key.scopes.clone().filter(|scopes| as_set(scopes) != as_set(&stored.scopes));
    let is_stored = |secret: &Secret| app.cipher.lookup_hashes(secret.expose()).contains(&stored.lookup_hash);
    let secret = key.secret.clone().filter(|secret| !is_stored(secret));
    let mut differences = Differences::default();
    if let Some(scopes) = &scopes {
        differences.plain("scopes", &stored.scopes.clone().into(), &scopes.clone().into());
    }
    if secret.is_some() {
        differences.secret("secret", Some(&false), Some(&true));
    }
    let name = stored.display_name.clone();
    Step::change(owner, &format!(": API key {name}"), differences, Action::ChangeKey { name, scopes, secret })
}

/// What happens to the variables of an environment.
pub fn change_variables(
    owner: &Owner,
    stored: &[Variable],
    declared: &IndexMap<String, Secret>,
    prune: bool,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, value) in declared {
        let what = format!(": variable {name}");
        let action = Action::SetVariable(Variable { name: name.clone(), value: value.clone() });
        match stored.iter().find(|stored| stored.name == *name) {
            None => steps.push(Step::add(owner, &what, action)),
            Some(stored) => {
                let mut differences = Differences::default();
                differences.secret("value", Some(&stored.value), Some(value));
                steps.extend(Step::change(owner, &what, differences, action));
            }
        }
    }
    if prune {
        let surplus = stored.iter().filter(|stored| !declared.contains_key(&stored.name));
        steps.extend(surplus.map(|stored| {
            let name = stored.name.clone();
            Step::remove(owner, &format!(": variable {name}"), Action::DeleteVariable(name))
        }));
    }
    steps
}
