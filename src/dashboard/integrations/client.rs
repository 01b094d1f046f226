//! The form of an integration: which fields its auth mode has, and the API's body that they become. The API's own reader
//! judges it.

use serde_json::{Map, Value, json};

use crate::api::integrations::shown_credentials;
use crate::auth::AuthMode;
use crate::catalog::{FieldSchema, Provider};
use crate::dashboard::form::Form;
use crate::integrations::OpenIntegration;

pub const SCOPES: &str = "credentials.scopes";
/// The box that takes the stored webhook secret away, which no empty field does.
pub const CLEAR_WEBHOOK_SECRET: &str = "clear_webhook_secret";
const WEBHOOK_SECRET: &str = "credentials.webhook_secret";
const CONFIG: &str = "integration_config.";

/// One field of the form. Its name is the API's path of the value.
pub struct Field {
    pub name: String,
    pub label: String,
    pub hint: String,
    pub kind: Kind,
    pub is_required: bool,
    pub options: Vec<String>,
}

/// How a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Never shown again; empty keeps what is stored.
    Secret,
    /// Several lines, just as secret.
    SecretLines,
    Lines,
    Choice,
}

impl Field {
    fn new(name: &str, label: &str, hint: &str, kind: Kind) -> Self {
        let (name, label, hint) = (name.to_owned(), label.to_owned(), hint.to_owned());
        Field { name, label, hint, kind, is_required: true, options: Vec::new() }
    }

    fn optional(self) -> Self {
        Field { is_required: false, ..self }
    }

    /// For templates, which cannot compare kinds.
    pub fn is(&self, kind: &str) -> bool {
        let name = match self.kind {
            Kind::Text => "text",
            Kind::Secret => "secret",
            Kind::SecretLines => "secret lines",
            Kind::Lines => "lines",
            Kind::Choice => "choice",
        };
        name == kind
    }
}

/// The fields of a provider's integrations; a stored one needs none of its secrets again.
pub fn fields(provider: &Provider, stored: Option<&OpenIntegration>) -> Vec<Field> {
    let mut fields = match provider.mode() {
        Some(AuthMode::OAuth1 | AuthMode::OAuth2) => oauth_fields(true),
        Some(AuthMode::Tba | AuthMode::McpOAuth2) => oauth_fields(false),
        Some(AuthMode::App) => app_fields(),
        Some(AuthMode::Custom) => {
            let mut fields = pair_fields(true);
            fields.extend(app_fields());
            fields
        }
        _ => Vec::new(),
    };
    let config = provider.integration_config.iter();
    let config = config.filter(|(_, schema)| !(schema.automated || schema.hidden));
    fields.extend(config.map(|(name, schema)| config_field(name, schema)));
    if let Some(integration) = stored {
        let known = shown_credentials(integration);
        let secrets = fields.iter_mut().filter(|field| is_secret(field.kind));
        secrets.filter(|field| !stored_text(integration, &known, &field.name).is_empty()).for_each(|field| {
            field.is_required = false;
            field.hint = "Stored and hidden. Type a new one to replace it.".to_owned();
        });
    }
    fields
}

/// What is stored for a field; `known` are the integration's credentials.
fn stored_text<'v>(integration: &'v OpenIntegration, known: &'v Value, field: &str) -> &'v str {
    let value = match field.strip_prefix(CONFIG) {
        Some(name) => integration.custom.get(name),
        None => known.get(field.trim_start_matches("credentials.")),
    };
    value.and_then(Value::as_str).unwrap_or_default()
}

/// Whether a secret of the provider's webhooks is stored that the form can take away.
pub fn has_webhook_secret(provider: &Provider, integration: &OpenIntegration) -> bool {
    let known = shown_credentials(integration);
    let has_field = fields(provider, None).iter().any(|field| field.name == WEBHOOK_SECRET);
    has_field && !stored_text(integration, &known, WEBHOOK_SECRET).is_empty()
}

fn is_secret(kind: Kind) -> bool {
    matches!(kind, Kind::Secret | Kind::SecretLines)
}

fn pair_fields(is_required: bool) -> Vec<Field> {
    let id =
        Field::new("credentials.client_id", "Client id", "From the app that you registered.", Kind::Text);
    let secret = Field::new("credentials.client_secret", "Client secret", "Kept encrypted.", Kind::Secret);
    vec![Field { is_required, ..id }, Field { is_required, ..secret }]
}

fn oauth_fields(is_required: bool) -> Vec<Field> {
    let mut fields = pair_fields(is_required);
    let hint = "What end users are asked to allow. Separate them by commas, spaces or new lines.";
    fields.push(Field::new(SCOPES, "Scopes", hint, Kind::Lines).optional());
    let hint = "When the provider signs its webhooks.";
    fields.push(Field::new(WEBHOOK_SECRET, "Webhook secret", hint, Kind::Secret).optional());
    fields
}

fn app_fields() -> Vec<Field> {
    vec![
        Field::new("credentials.app_id", "App id", "", Kind::Text),
        Field::new("credentials.app_link", "App link", "The address where the app is installed.", Kind::Text),
        Field::new(
            "credentials.private_key",
            "Private key",
            "PEM, with its first and last line.",
            Kind::SecretLines,
        ),
    ]
}

fn config_field(name: &str, schema: &FieldSchema) -> Field {
    let kind = match schema {
        schema if !schema.options.is_empty() => Kind::Choice,
        schema if schema.secret => Kind::Secret,
        _ => Kind::Text,
    };
    let label = if schema.title.is_empty() { name } else { &schema.title };
    let mut field = Field::new(&format!("{CONFIG}{name}"), label, &schema.description, kind);
    field.is_required = schema.is_required() && schema.visible_when.is_none();
    field.options.clone_from(&schema.options);
    field
}

/// The body of the API that the form means. `stored` fills in the secrets that were left empty.
pub fn body(provider: &Provider, form: &Form, stored: Option<&OpenIntegration>) -> Value {
    let mut body = Map::new();
    // A new one forwards; its form does not ask.
    if stored.is_some() {
        body.insert("forward_webhooks".to_owned(), form.is_on("forward_webhooks").into());
    }
    if !form.text("display_name").is_empty() {
        body.insert("display_name".to_owned(), form.text("display_name").into());
    }
    if let Some(credentials) = credentials(provider, form, stored) {
        body.insert("credentials".to_owned(), credentials);
    }
    let config = config(provider, form, stored.is_some());
    if !config.is_empty() {
        body.insert("integration_config".to_owned(), Value::Object(config));
    }
    Value::Object(body)
}

fn credentials(provider: &Provider, form: &Form, stored: Option<&OpenIntegration>) -> Option<Value> {
    let mode = provider.mode()?;
    let known = stored.map(shown_credentials).unwrap_or_default();
    let mut members = Map::new();
    for field in fields(provider, stored) {
        let Some(name) = field.name.strip_prefix("credentials.") else { continue };
        let value = match form.text(&field.name) {
            text if field.name == SCOPES => Value::from(joined(text)),
            "" if field.name == WEBHOOK_SECRET && form.is_on(CLEAR_WEBHOOK_SECRET) => Value::from(""),
            "" if is_secret(field.kind) => known.get(name).cloned().unwrap_or(Value::Null),
            text => Value::from(text),
        };
        if !value.is_null() {
            members.insert(name.to_owned(), value);
        }
    }
    let is_given = members.iter().any(|(name, value)| name != "scopes" && value.as_str() != Some(""));
    if !is_given && (members.is_empty() || !needs_client(mode)) {
        return None;
    }
    members.insert("type".to_owned(), json!(mode));
    Some(Value::Object(members))
}

fn needs_client(mode: AuthMode) -> bool {
    matches!(mode, AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::App | AuthMode::Custom)
}

/// Scopes as the API takes them.
pub fn joined(text: &str) -> String {
    let scopes = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|scope| !scope.is_empty());
    scopes.collect::<Vec<_>>().join(",")
}

fn config(provider: &Provider, form: &Form, is_stored: bool) -> Map<String, Value> {
    let shown = provider.integration_config.iter().filter(|(_, schema)| !(schema.automated || schema.hidden));
    let values = shown.map(|(name, schema)| (name, schema, form.text(&format!("{CONFIG}{name}"))));
    // An empty secret keeps the stored one; on creation nothing is sent for what was left empty.
    let sent = values.filter(|(_, schema, text)| !text.is_empty() || (is_stored && !schema.secret));
    sent.map(|(name, _, text)| (name.clone(), text.into())).collect()
}

/// What the form of a stored integration holds at first: everything but secrets.
pub fn filled(provider: &Provider, integration: &OpenIntegration) -> Form {
    let mut form = Form::default();
    let row = &integration.row;
    form.set("unique_key", row.unique_key.clone());
    form.set("display_name", row.display_name.clone().unwrap_or_default());
    if row.forward_webhooks {
        form.set("forward_webhooks", "on");
    }
    let known = shown_credentials(integration);
    let shown = fields(provider, Some(integration)).into_iter().filter(|field| !is_secret(field.kind));
    for field in shown {
        let text = stored_text(integration, &known, &field.name);
        let text = if field.name == SCOPES { text.replace(',', "\n") } else { text.to_owned() };
        form.set(&field.name, text);
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_joined_however_they_are_typed() {
        for (typed, expected) in [("a b", "a,b"), (" a,\r\nb ,, c", "a,b,c"), ("", "")] {
            assert_eq!(joined(typed), expected, "{typed}");
        }
    }
}
