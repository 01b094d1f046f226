//! What the names in a `webhook` section stand for while one request is handled.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};

use super::headers;
use super::proof::decode_base64;
use super::{Arrival, Body, Refusal};
use crate::app::App;
use crate::auth::AuthMode;
use crate::catalog::{Provider, Webhook};
use crate::connections::open_config;
use crate::db::connections::Connection;
use crate::db::environments::Environment;
use crate::integrations::OpenIntegration;
use crate::template::{COMPONENT, Context};

const NOTHING: &Value = &Value::Null;

/// The request's names. Deliberately without `Debug`: the integration's secrets are among them.
pub struct Scene {
    names: Map<String, Value>,
    /// What the issuer of a token published.
    document: Option<Arc<Value>>,
    now: DateTime<Utc>,
}

/// The names of one connection.
#[derive(Default)]
pub struct ConnectionValues {
    config: Map<String, Value>,
    metadata: Map<String, Value>,
}

impl ConnectionValues {
    pub fn open(app: &App, connection: &Connection) -> Self {
        let metadata = connection.metadata.as_ref().and_then(Value::as_object).cloned();
        ConnectionValues { config: open_config(app, connection), metadata: metadata.unwrap_or_default() }
    }
}

impl Scene {
    /// # Errors
    /// The body has not the form that the section says.
    pub fn new(
        app: &App,
        environment: &Environment,
        integration: &OpenIntegration,
        webhook: &Webhook,
        arrival: &Arrival,
    ) -> Result<Self, Refusal> {
        let mut names = Map::new();
        let provider = integration.provider.as_deref();
        names.insert("body".to_owned(), read_body(webhook, &arrival.body)?);
        names.insert("header".to_owned(), Value::Object(headers::texts(&arrival.headers)));
        names.insert("query".to_owned(), Value::Object(allowed_query(provider, &arrival.query)));
        names.insert("custom".to_owned(), Value::Object(integration.custom.clone()));
        let base = format!("{}/webhook/{}", app.config.http.server_url, environment.uuid);
        let address = |key: &str| format!("{base}/{}", utf8_percent_encode(key, COMPONENT));
        let mut text = |name: &str, value: &str| {
            if !value.is_empty() {
                names.insert(name.to_owned(), value.into());
            }
        };
        text("webhookUrl", &address(&integration.row.unique_key));
        // Where upstream's own documentation sends Google's notifications to.
        text("webhookUrlOfProvider", &address(&integration.row.provider));
        text("webhookSecret", custom(integration, "webhookSecret"));
        text("clientId", integration.client_id());
        text("clientSecret", integration.client_secret.as_ref().map_or("", |secret| secret.expose()));
        let app_parts = InstalledApp::of(integration, provider);
        text("appId", app_parts.id);
        text("appLink", app_parts.link);
        text("storedPrivateKey", app_parts.stored_key);
        text("privateKey", &app_parts.key());
        Ok(Scene { names, document: None, now: app.clock.now() })
    }

    /// The names, and those of a connection.
    pub fn context<'a>(&'a self, connection: Option<&'a ConnectionValues>) -> Context<'a> {
        let context = Context::new(self.now, "").credentials(&self.names);
        match connection {
            Some(values) => context.connection_config(&values.config).metadata(&values.metadata),
            None => context,
        }
    }

    pub fn body(&self) -> &Value {
        self.names.get("body").unwrap_or(NOTHING)
    }

    /// Makes an event the one that is spoken of.
    pub fn set_event(&mut self, event: Value) {
        self.names.insert("event".to_owned(), event);
    }

    pub fn set_fetched_key(&mut self, key: Option<String>) {
        if let Some(key) = key {
            self.names.insert("fetchedKey".to_owned(), key.into());
        }
    }

    pub fn set_document(&mut self, document: Option<Arc<Value>>) {
        self.document = document;
    }

    pub fn document(&self) -> Option<&Value> {
        self.document.as_deref()
    }
}

/// What a GitHub app's secret is a digest of.
struct InstalledApp<'a> {
    id: &'a str,
    link: &'a str,
    /// As it is stored: base64 of the PEM.
    stored_key: &'a str,
}

impl<'a> InstalledApp<'a> {
    fn of(integration: &'a OpenIntegration, provider: Option<&Provider>) -> Self {
        let link = integration.row.app_link.as_deref().unwrap_or_default();
        let (id, stored_key) = match provider.and_then(Provider::mode) {
            Some(AuthMode::App) => {
                let key = integration.client_secret.as_ref().map_or("", |secret| secret.expose());
                (integration.client_id(), key)
            }
            Some(AuthMode::Custom) => (custom(integration, "app_id"), custom(integration, "private_key")),
            _ => ("", ""),
        };
        InstalledApp { id, link, stored_key }
    }

    fn key(&self) -> String {
        let decoded = decode_base64(self.stored_key.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.unwrap_or_else(|| self.stored_key.to_owned())
    }
}

fn custom<'a>(integration: &'a OpenIntegration, name: &str) -> &'a str {
    integration.custom.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn allowed_query(provider: Option<&Provider>, query: &Map<String, Value>) -> Map<String, Value> {
    let allowed = provider.map_or(&[][..], |provider| &provider.webhook_allowed_query_params);
    let given = |name: &String| query.get(name).map(|value| (name.clone(), value.clone()));
    allowed.iter().filter_map(given).collect()
}

/// The body as the section wants it. One that is broken has no names; it is refused after its signature was judged.
fn read_body(webhook: &Webhook, body: &Body) -> Result<Value, Refusal> {
    let Body::Value(value) = body else { return Ok(Value::Null) };
    let field = webhook.form_field.as_ref().and_then(|field| value.get(field)?.as_str());
    match field {
        Some(json) => serde_json::from_str(json).map_err(|_| Refusal::InvalidPayload),
        None => Ok(value.clone()),
    }
}
