//! How this server becomes a client of an authorization server without an operator: dynamic registration (RFC 7591), or a
//! document at an address that is the client's id.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use crate::app::App;
use crate::config::HttpConfig;
use crate::db::accounts;
use crate::db::environments::Environment;
use crate::egress::OutgoingRequest;
use crate::oauth::{PopupError, Redaction};
use crate::template::COMPONENT;

const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const SIZE_LIMIT: usize = 64 * 1024;

/// A request to become a client.
pub struct Registration<'a> {
    pub endpoint: Url,
    /// Whether the endpoint's address is not the operator's word, so that private networks are closed to it.
    pub is_foreign: bool,
    pub callback_url: &'a str,
    pub client_name: String,
    /// How the client will prove itself; `none` for a public one.
    pub auth_method: &'static str,
    pub grant_types: Vec<String>,
    pub response_types: Vec<String>,
}

/// A client as the authorization server knows it. Deliberately without `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegisteredClient {
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// The method that the server decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
}

/// Asks to become a client.
///
/// # Errors
/// The server's refusal in its own words.
pub async fn register(app: &App, registration: Registration<'_>) -> Result<RegisteredClient, PopupError> {
    let client = if registration.is_foreign { &app.egress.webhooks } else { &app.egress.tokens };
    let answer = client.send_within(request(registration), TIME_LIMIT).await;
    let answer =
        answer.map_err(|error| failed(format!("The registration endpoint gave no answer: {error}.")))?;
    let members: Option<Map<String, Value>> = serde_json::from_slice(&answer.body).ok();
    if !answer.status.is_success() {
        return Err(refused(answer.status, members.as_ref()));
    }
    if answer.body.len() > SIZE_LIMIT {
        return Err(failed("The registration endpoint answered with too much."));
    }
    let client = members.and_then(|members| serde_json::from_value(Value::Object(members)).ok());
    let client = client.filter(|client: &RegisteredClient| !client.client_id.is_empty());
    client.ok_or_else(|| failed("The registration endpoint answered without a client id."))
}

fn request(registration: Registration<'_>) -> OutgoingRequest {
    let json = HeaderValue::from_static("application/json");
    let body = json!({
        "redirect_uris": [registration.callback_url],
        "token_endpoint_auth_method": registration.auth_method,
        "client_name": registration.client_name,
        "grant_types": registration.grant_types,
        "response_types": registration.response_types,
    });
    OutgoingRequest {
        method: Method::POST,
        url: registration.endpoint,
        headers: HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]),
        body: Bytes::from(body.to_string()),
        follow: true,
    }
}

/// RFC 7591, section 3.2.2.
fn refused(status: StatusCode, members: Option<&Map<String, Value>>) -> PopupError {
    let text = |name: &str| {
        let text = members.and_then(|members| members.get(name)).and_then(Value::as_str).unwrap_or_default();
        Redaction::default().clean(text)
    };
    let words = [text("error"), text("error_description")];
    let words = words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>();
    let reason = if words.is_empty() { String::new() } else { format!(": {}", words.join(": ")) };
    failed(format!("The registration of this server as a client was answered {}{reason}.", status.as_u16()))
}

fn failed(message: impl Into<String>) -> PopupError {
    PopupError::new("unknown_err", message)
}

/// What authorization servers show to the people who sign in: team, environment and entry.
pub async fn client_name(app: &App, environment: &Environment, entry: &str) -> Result<String, PopupError> {
    let team = accounts::find_name(&app.db, environment.account_id).await?.unwrap_or_default();
    Ok(format!("{team} - {} - {entry}", environment.name))
}

/// The address of an integration's client metadata document, which is the client's id.
pub fn client_metadata_url(http: &HttpConfig, environment: Uuid, unique_key: &str) -> String {
    let key = utf8_percent_encode(unique_key, COMPONENT);
    format!("{}/oauth/client-metadata/{environment}/{key}", http.server_url)
}

/// [`client_metadata_url`], when others can be expected to read it.
pub fn public_client_id(http: &HttpConfig, environment: Uuid, unique_key: &str) -> Option<String> {
    let is_public = http.server_url.starts_with("https://");
    is_public.then(|| client_metadata_url(http, environment, unique_key))
}

/// The environment's callback URL.
pub fn callback_url(http: &HttpConfig, environment: &Environment) -> String {
    environment.callback_url.clone().unwrap_or_else(|| http.default_callback_url())
}
