//! What the names in a `webhook` section stand for while one request is handled.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::{HeaderMap, header};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::headers;
use super::proof::{Elsewhere, decode_base64};
use super::{Arrival, Body, Refusal};
use crate::app::App;
use crate::auth::AuthMode;
use crate::catalog::{Provider, Webhook};
use crate::connections::open_config;
use crate::crypto::Secret;
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
    /// The secrets that handshakes agreed on.
    agreed: Vec<Secret>,
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
        if let Some(form) = sorted_form(&arrival.headers, &arrival.raw) {
            names.insert("sortedForm".to_owned(), form.into());
        }
        let mut text = |name: &str, value: &str| {
            if !value.is_empty() {
                names.insert(name.to_owned(), value.into());
            }
        };
        text("requestUrl", &format!("{}{}", app.config.http.server_url, arrival.path_and_query));
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
        Ok(Scene { names, document: None, agreed: Vec::new(), now: app.clock.now() })
    }

    /// The names, and those of a connection.
    pub fn context<'a>(&'a self, connection: Option<&'a ConnectionValues>) -> Context<'a> {
        let context = Context::new(self.now, "").credentials(&self.names);
        match connection {
            Some(values) => context.connection_config(&values.config).metadata(&values.metadata),
            None => context,
        }
    }

    /// What the operator typed for the integration.
    pub fn webhook_secret(&self) -> Option<&str> {
        self.names.get("webhookSecret").and_then(Value::as_str)
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

    pub fn set_agreed(&mut self, secrets: Vec<Secret>) {
        self.agreed = secrets;
    }

    /// What checks need beside the names.
    pub fn elsewhere(&self) -> Elsewhere<'_> {
        Elsewhere { document: self.document.as_deref(), agreed: &self.agreed }
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

/// The fields of a form by name, names and values put together, each pair once (Twilio, "Validating requests"); empty without a
/// body. `None`: the body is no form.
fn sorted_form(headers: &HeaderMap, raw: &[u8]) -> Option<String> {
    if raw.is_empty() {
        return Some(String::new());
    }
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    let fields: BTreeSet<_> = form_urlencoded::parse(raw).collect();
    Some(fields.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]).collect())
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn form(content_type: &'static str, raw: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        sorted_form(&headers, raw.as_bytes())
    }

    #[test]
    fn fields_of_a_form_are_sorted_and_put_together() {
        const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
        for (raw, expected) in [
            ("", ""),
            ("To=%2B18005551212&Digits=1234&From=a+b", "Digits1234Froma bTo+18005551212"),
            ("b=2&b=1&a&b=2", "ab1b2"),
        ] {
            assert_eq!(form(FORM, raw).as_deref(), Some(expected), "{raw}");
        }
        assert_eq!(form("application/json", "{}"), None);
        assert_eq!(form("application/json", "").as_deref(), Some(""));
    }

    #[test]
    fn twilios_example_is_signed_like_this() {
        let raw = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
        let form = form("application/x-www-form-urlencoded", raw).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
        let signed = format!("https://mycompany.com/myapp.php?foo=1&bar=2{form}");
        let signature = decode_base64("RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
        assert!(ring::hmac::verify(&key, signed.as_bytes(), &signature).is_ok());
    }
}
