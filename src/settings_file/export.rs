//! Writing what is stored as a settings file. Every secret becomes a reference, `${VARIABLE}`, which the operator fills.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::references::escape;
use super::state::{EnvironmentState, list_environments};
use crate::app::App;
use crate::auth::AuthMode;
use crate::db::api_keys::{self, ListedKey};
use crate::db::{AccountId, accounts};
use crate::error::ApiError;
use crate::integrations::OpenIntegration;

/// Members of an integration's stored values that a file names elsewhere.
const WEBHOOK_SECRET: &str = "webhookSecret";
const OF_INSTALLED_APP: [&str; 2] = ["app_id", "private_key"];

/// The text of a settings file that says what the database holds.
pub async fn export(app: &App) -> Result<String, ApiError> {
    let account = accounts::find_first(&app.db).await?;
    let account = account.ok_or_else(|| ApiError::server_error("The database has no account."))?;
    let mut writer = Writer::default();
    let mut environments = Map::new();
    for environment in list_environments(app, account).await? {
        let state = EnvironmentState::load(app, &environment).await?;
        let shown = writer.environment(&environment.name, &state);
        environments.insert(environment.name, shown);
    }
    let mut file = json!({ "environments": environments });
    let keys = account_keys(app, account).await?;
    if !keys.is_empty() {
        file["account"] = json!({ "api_keys": keys });
    }
    let yaml = serde_saphyr::to_string(&file).map_err(ApiError::unexpected)?;
    Ok(writer.header() + &yaml)
}

async fn account_keys(app: &App, account: AccountId) -> Result<Map<String, Value>, ApiError> {
    Ok(show_keys(&api_keys::list(&app.db, account, None, app.clock.now()).await?))
}

/// Names and scopes; a key's secret is not stored in a form that a file should hold.
fn show_keys(keys: &[ListedKey]) -> Map<String, Value> {
    keys.iter().map(|key| (key.display_name.clone(), json!({ "scopes": key.scopes }))).collect()
}

/// Text that a file may show.
fn plain(text: &str) -> Value {
    Value::String(escape(text))
}

/// Keeps the names of the variables that the file refers to, and what it had to leave out.
#[derive(Default)]
struct Writer {
    variables: BTreeSet<String>,
    left_out: Vec<String>,
}

impl Writer {
    /// A reference for a secret; empty text is no secret.
    fn secret(&mut self, value: &str, place: &[&str]) -> Value {
        if value.is_empty() {
            return Value::String(String::new());
        }
        let wanted = variable_name(place);
        let mut name = wanted.clone();
        let mut number = 2;
        while !self.variables.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        Value::String(format!("${{{name}}}"))
    }

    fn environment(&mut self, name: &str, state: &EnvironmentState) -> Value {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("is_production", state.is_production.into());
        if let Some(url) = &state.callback_url {
            put("callback_url", plain(url));
        }
        put("hmac_enabled", state.hmac_enabled.into());
        if let Some(key) = &state.hmac_key {
            put("hmac_key", self.secret(key.expose(), &[name, "hmac_key"]));
        }
        put("slack_notifications", state.slack_notifications.into());
        if let Some(url) = &state.otlp_endpoint {
            put("otlp_endpoint", plain(url));
        }
        if !state.otlp_headers.is_empty() {
            let headers = state.otlp_headers.iter().map(|(header, value)| {
                let value = self.secret(value.as_str().unwrap_or_default(), &[name, "otlp", header]);
                json!({ "name": plain(header), "value": value })
            });
            put("otlp_headers", headers.collect());
        }
        put("webhooks", escaped(without_nulls(json!(state.webhooks))));
        put("connect_ui", escaped(json!(state.connect_ui)));
        put("api_keys", show_keys(&state.api_keys).into());
        let variables = state.variables.iter().map(|variable| {
            let value = self.secret(variable.value.expose(), &[name, "variable", &variable.name]);
            (variable.name.clone(), value)
        });
        put("variables", Value::Object(variables.collect()));
        let integrations: Map<String, Value> = state
            .integrations
            .iter()
            .filter_map(|integration| {
                let key = integration.row.unique_key.clone();
                Some((key, self.integration(name, integration)?))
            })
            .collect();
        put("integrations", integrations.into());
        shown.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
        Value::Object(shown)
    }

    /// `None` when a file could not make it again.
    fn integration(&mut self, environment: &str, integration: &OpenIntegration) -> Option<Value> {
        let row = &integration.row;
        let Some(provider) = &integration.provider else {
            self.left_out.push(format!(
                "{environment}: the integration {}, because its provider {} is not in the catalog",
                row.unique_key, row.provider
            ));
            return None;
        };
        let mut shown = Map::from_iter([("provider".to_owned(), plain(&row.provider))]);
        if let Some(name) = &row.display_name {
            shown.insert("display_name".to_owned(), plain(name));
        }
        shown.insert("forward_webhooks".to_owned(), row.forward_webhooks.into());
        if row.accept_unverified_webhooks {
            shown.insert("accept_unverified_webhooks".to_owned(), true.into());
        }
        let mode = provider.mode();
        if let Some(credentials) = mode.and_then(|mode| self.credentials(environment, integration, mode)) {
            shown.insert("credentials".to_owned(), credentials);
        }
        let fields = &provider.integration_config;
        let mut values = Map::new();
        for (name, value) in own_values(integration, mode) {
            let Some(text) = value.as_str() else {
                self.left_out
                    .push(format!("{environment}: {name} of {}, because it is no text", row.unique_key));
                continue;
            };
            let is_shown = fields.get(name).is_some_and(|field| !field.secret);
            let place = [environment, &row.unique_key, name];
            let shown = if is_shown { plain(text) } else { self.secret(text, &place) };
            values.insert(name.clone(), shown);
        }
        if !values.is_empty() {
            let member = if fields.is_empty() { "custom" } else { "integration_config" };
            shown.insert(member.to_owned(), values.into());
        }
        Some(Value::Object(shown))
    }

    /// The member `credentials`, for modes that have one and integrations that have them.
    fn credentials(
        &mut self,
        environment: &str,
        integration: &OpenIntegration,
        mode: AuthMode,
    ) -> Option<Value> {
        let row = &integration.row;
        let key = row.unique_key.as_str();
        let stored = |name: &str| integration.custom.get(name).and_then(Value::as_str);
        let client_id = row.oauth_client_id.as_deref()?;
        let secret = integration.client_secret.as_ref()?;
        let app_link = row.app_link.as_deref().unwrap_or_default();
        let mut shown = json!({ "type": mode });
        match mode {
            AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::Tba => {
                shown["client_id"] = plain(client_id);
                shown["client_secret"] = self.secret(secret.expose(), &[environment, key, "client_secret"]);
                shown["scopes"] = plain(row.oauth_scopes.as_deref().unwrap_or_default());
                if let Some(secret) = stored(WEBHOOK_SECRET) {
                    shown["webhook_secret"] = self.secret(secret, &[environment, key, "webhook_secret"]);
                }
            }
            AuthMode::App => {
                shown["app_id"] = plain(client_id);
                shown["app_link"] = plain(app_link);
                shown["private_key"] =
                    self.secret(&pem(secret.expose())?, &[environment, key, "private_key"]);
            }
            AuthMode::Custom => {
                shown["client_id"] = plain(client_id);
                shown["client_secret"] = self.secret(secret.expose(), &[environment, key, "client_secret"]);
                shown["app_id"] = plain(stored("app_id")?);
                shown["app_link"] = plain(app_link);
                let private_key = pem(stored("private_key")?)?;
                shown["private_key"] = self.secret(&private_key, &[environment, key, "private_key"]);
            }
            _ => return None,
        }
        Some(shown)
    }

    fn header(&self) -> String {
        let mut text = String::from("# Written by `hitchpost export`; `hitchpost apply` reads it.\n");
        if !self.variables.is_empty() {
            text.push_str("# Secrets are not part of it. Set these environment variables, or <NAME>_FILE:\n");
        }
        for name in &self.variables {
            let _ = writeln!(text, "#   {name}");
        }
        text.push_str(
            "# API keys keep their secrets; a server that lacks one makes a new one and tells it once.\n",
        );
        for left_out in &self.left_out {
            let _ = writeln!(text, "# Left out: {left_out}.");
        }
        text
    }
}

/// Operator-set values that are not part of the credentials.
fn own_values(
    integration: &OpenIntegration,
    mode: Option<AuthMode>,
) -> impl Iterator<Item = (&String, &Value)> {
    let has_webhook_secret = matches!(mode, Some(AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::Tba));
    let is_custom = mode == Some(AuthMode::Custom);
    integration.custom.iter().filter(move |(name, _)| {
        let is_elsewhere = (has_webhook_secret && *name == WEBHOOK_SECRET)
            || (is_custom && OF_INSTALLED_APP.contains(&name.as_str()));
        !is_elsewhere
    })
}

/// Private keys are stored as base64 of the PEM.
fn pem(stored: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(stored).ok()?).ok()
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    value
}

fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => plain(&text),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, escaped(value))).collect(),
        other => other,
    }
}

/// `dev`, `git-hub`, `client_secret` become `DEV_GIT_HUB_CLIENT_SECRET`.
fn variable_name(place: &[&str]) -> String {
    let joined = place.join("_").to_ascii_uppercase();
    let name: String = joined.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_become_references_with_names_of_their_own() {
        let mut writer = Writer::default();
        assert_eq!(writer.secret("x", &["dev", "git-hub", "client_secret"]), "${DEV_GIT_HUB_CLIENT_SECRET}");
        assert_eq!(
            writer.secret("y", &["dev", "git.hub", "client_secret"]),
            "${DEV_GIT_HUB_CLIENT_SECRET_2}"
        );
        assert_eq!(writer.secret("z", &["1st"]), "${_1ST}");
        assert_eq!(writer.secret("", &["empty"]), "");
        assert_eq!(writer.variables.len(), 3);
        assert!(writer.header().contains("#   DEV_GIT_HUB_CLIENT_SECRET_2\n"));
    }
}
