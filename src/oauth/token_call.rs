//! One request to a token endpoint: its parameters, the client's authentication and its encoding.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{self, byte_serialize};

use super::TokenError;
use super::answer::{Kinds, RawAnswer, read_answer, refused, unreadable};
use super::exception::OkWhen;
use super::redaction::Redaction;
use super::xml::write_xml;
use crate::app::App;
use crate::catalog::{BodyFormat, Parameter, Parameters};
use crate::egress::{Answer, BufferedClient, EgressError, OutgoingRequest};
use crate::template::{Context, Escape, Template, Unresolved, build_url};

/// Parameters whose values are never repeated in a message.
const SECRET_PARAMETERS: [&str; 10] = [
    "client_secret",
    "code",
    "code_verifier",
    "refresh_token",
    "client_assertion",
    "password",
    "secret",
    "fb_exchange_token",
    "access_token",
    "auth_code",
];

/// Of one exchange with the endpoint. A refresh must end before its lease does.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The OAuth client that asks.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    pub id: &'a str,
    pub secret: &'a str,
}

/// A token request being put together. Deliberately without `Debug`.
pub struct TokenCall {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// A later value replaces an earlier one of the same name, in place.
    pub params: Map<String, Value>,
    pub format: BodyFormat,
    pub kinds: Kinds,
    pub time_limit: Duration,
    pub ok_when: Option<OkWhen>,
    /// Whether the address is not the operator's word, so that private networks are closed to the call.
    pub is_foreign: bool,
    /// A client that presents a certificate of the connection's, instead of the shared one.
    pub client: Option<BufferedClient>,
    redaction: Redaction,
}

impl TokenCall {
    pub fn post(url: Url, format: BodyFormat, kinds: Kinds) -> Self {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let (params, redaction) = (Map::new(), Redaction::default());
        TokenCall {
            method: Method::POST,
            url,
            headers,
            params,
            format,
            kinds,
            time_limit: TIME_LIMIT,
            ok_when: None,
            is_foreign: false,
            client: None,
            redaction,
        }
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.params.insert(name.to_owned(), value.into());
    }

    /// Sets parameters of the catalog.
    ///
    /// # Errors
    /// Names without a value.
    pub fn set_all(
        &mut self,
        parameters: &Parameters,
        context: &Context<'_>,
        omit: &[&str],
    ) -> Result<(), TokenError> {
        for (name, parameter) in parameters.iter().filter(|(name, _)| !omit.contains(&name.as_str())) {
            let value = self.resolve(name, parameter, context)?;
            self.set(name, value);
        }
        Ok(())
    }

    /// The value of a parameter.
    ///
    /// # Errors
    /// Names without a value.
    pub fn resolve(
        &self,
        name: &str,
        parameter: &Parameter,
        context: &Context<'_>,
    ) -> Result<Value, TokenError> {
        parameter.resolve(context).map_err(|missing| incomplete(name, &missing))
    }

    /// Sets headers of the catalog; they win over those that are there.
    ///
    /// # Errors
    /// Names without a value, or a value that no header can have.
    pub fn set_headers(
        &mut self,
        headers: &IndexMap<String, Template>,
        context: &Context<'_>,
    ) -> Result<(), TokenError> {
        for (name, template) in headers {
            let value = template.resolve(context).map_err(|missing| incomplete(name, &missing))?;
            self.set_header(name, &value)?;
        }
        Ok(())
    }

    fn set_header(&mut self, name: &str, value: &str) -> Result<(), TokenError> {
        let unusable = |_| TokenError::new(self.kinds.refused, format!("`{name}` is not a usable header."));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(()))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unusable(()))?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(())
    }

    /// Takes every proof of the client away.
    pub fn remove_client(&mut self) {
        self.params.shift_remove("client_id");
        self.params.shift_remove("client_secret");
        self.headers.remove(AUTHORIZATION);
    }

    /// Client id and secret as parameters.
    pub fn authenticate_in_body(&mut self, client: Client<'_>) {
        self.set("client_id", client.id);
        self.set("client_secret", client.secret);
    }

    /// `Authorization: Basic` of the texts as they are.
    pub fn authenticate_basic(&mut self, user: &str, password: &str) {
        self.hide(password);
        let credential = STANDARD.encode(format!("{user}:{password}"));
        self.hide(&credential);
        if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {credential}")) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
    }

    /// `Authorization: Basic` of the form-encoded texts (RFC 6749, section 2.3.1).
    pub fn authenticate_basic_encoded(&mut self, client: Client<'_>) {
        self.hide(client.secret);
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        self.authenticate_basic(&encode(client.id), &encode(client.secret));
    }

    /// Keeps a secret out of every message about this call.
    pub fn hide(&mut self, secret: &str) {
        self.redaction.hide(secret);
    }

    /// Sends the request and reads its answer.
    ///
    /// # Errors
    /// The endpoint was not reached, refused, or gave an unreadable answer.
    pub async fn send(self, app: &App) -> Result<Map<String, Value>, TokenError> {
        self.send_signed(app, |_| Ok(())).await
    }

    /// The same, with a last step for requests that are signed.
    ///
    /// # Errors
    /// As [`TokenCall::send`], or what the last step says.
    pub async fn send_signed(
        mut self,
        app: &App,
        sign: impl FnOnce(&mut OutgoingRequest) -> Result<(), TokenError>,
    ) -> Result<Map<String, Value>, TokenError> {
        let ok_when = self.ok_when.take();
        let exchange = self.exchange_signed(app, sign).await?;
        read_answer(&exchange.raw(), ok_when.as_ref(), exchange.kinds, &exchange.redaction)
    }

    /// Sends the request; its answer is the caller's to judge.
    ///
    /// # Errors
    /// The endpoint was not reached.
    pub async fn exchange(self, app: &App) -> Result<Exchange, TokenError> {
        self.exchange_signed(app, |_| Ok(())).await
    }

    async fn exchange_signed(
        mut self,
        app: &App,
        sign: impl FnOnce(&mut OutgoingRequest) -> Result<(), TokenError>,
    ) -> Result<Exchange, TokenError> {
        for name in SECRET_PARAMETERS {
            if let Some(Value::String(secret)) = self.params.get(name) {
                self.redaction.hide(secret);
            }
        }
        let (kinds, redaction) = (self.kinds, std::mem::take(&mut self.redaction));
        let time_limit = self.time_limit;
        let own = self.client.take();
        let shared = if self.is_foreign { &app.egress.webhooks } else { &app.egress.tokens };
        let mut request = self.into_request();
        // A certificate, like a signature, is meant for one server.
        request.follow = own.is_none();
        sign(&mut request)?;
        let answer = own.as_ref().unwrap_or(shared).send_within(request, time_limit).await;
        let answer = answer.map_err(|error| not_reached(kinds, &error))?;
        Ok(Exchange { answer, kinds, redaction })
    }

    /// The request as it goes out.
    pub fn into_request(mut self) -> OutgoingRequest {
        let body = match self.format {
            _ if self.method == Method::GET => self.params_into_url(),
            BodyFormat::Query => self.params_into_url(),
            BodyFormat::Json => self.json_body(),
            BodyFormat::Xml => self.xml_body(),
            BodyFormat::Form => self.form_body(),
        };
        OutgoingRequest { method: self.method, url: self.url, headers: self.headers, body, follow: true }
    }

    fn params_into_url(&mut self) -> Bytes {
        let given: Vec<(String, String)> = self.url.query_pairs().into_owned().collect();
        let kept = given.into_iter().filter(|(name, _)| !self.params.contains_key(name));
        let kept: Vec<(String, String)> = kept.collect();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept).extend_pairs(self.params.iter().map(|(name, value)| (name, text_of(value))));
        let query = query.finish();
        self.url.set_query(Some(&query).filter(|query| !query.is_empty()).map(String::as_str));
        Bytes::new()
    }

    fn json_body(&mut self) -> Bytes {
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        Value::Object(std::mem::take(&mut self.params)).to_string().into()
    }

    fn xml_body(&mut self) -> Bytes {
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/xml"));
        write_xml(&self.params).into()
    }

    fn form_body(&mut self) -> Bytes {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.headers.entry(CONTENT_TYPE).or_insert(form);
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(self.params.iter().map(|(name, value)| (name, text_of(value))));
        body.finish().into()
    }
}

/// An answer, and what must not be repeated from it. Deliberately without `Debug`.
pub struct Exchange {
    pub answer: Answer,
    kinds: Kinds,
    redaction: Redaction,
}

impl Exchange {
    /// The error when the answer says no: the provider's words, redacted.
    pub fn refused(&self) -> TokenError {
        refused(&self.raw(), self.kinds, &self.redaction)
    }

    /// The error when the answer cannot be read.
    pub fn unreadable(&self) -> TokenError {
        unreadable(&self.raw(), self.kinds)
    }

    fn raw(&self) -> RawAnswer<'_> {
        let content_type = self.answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        RawAnswer {
            status: self.answer.status.as_u16(),
            content_type: content_type.unwrap_or_default(),
            body: &self.answer.body,
        }
    }
}

fn incomplete(name: &str, missing: &Unresolved) -> TokenError {
    TokenError::new("invalid_connection_config", format!("`{name}` of the token request: {missing}."))
}

/// The URL of a token endpoint for one connection.
pub fn token_endpoint(template: &Template, context: &Context<'_>, escape: Escape) -> Result<Url, TokenError> {
    build_url(template, context, escape)
        .map_err(|error| TokenError::new("invalid_connection_config", format!("The token URL: {error}.")))
}

/// A value as form or query text.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn not_reached(kinds: Kinds, error: &EgressError) -> TokenError {
    TokenError::new(kinds.refused, format!("The token endpoint gave no usable answer: {error}."))
}
