//! Providers whose token calls leave the grammar of the catalog, as data (`assets/token_exceptions.yaml`).
//!
//! An exception changes the generic request after it was built, says where the answer keeps its tokens, and may name further
//! calls. Templates know `clientId`, `clientSecret`, `code`, `redirectUri`, `refreshToken`, `accessToken`, the connection
//! config and the old answer (`credentials.raw`), as far as they exist in the step.

use std::sync::LazyLock;

use http::Method;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::TokenError;
use super::token_call::{Client, TokenCall, text_of};
use crate::catalog::{BodyFormat, Parameters, Provider};
use crate::template::{Context, Template};

const KEYS: [&str; 4] = ["token_request", "token_response", "refresh_request", "then"];

/// How one provider differs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Exception {
    entries: Vec<String>,
    /// Changes the exchange of the code.
    pub token_request: RequestRule,
    pub refresh_request: RequestRule,
    pub token_response: ResponseRule,
    /// Further calls, in order.
    pub then: Vec<Step>,
}

/// Changes of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestRule {
    method: Option<HttpMethod>,
    body_format: Option<BodyFormat>,
    client_auth: Option<ClientAuth>,
    /// Generic parameters that are left out.
    omit: Vec<String>,
    params: Parameters,
    /// Parameters in the URL, besides those in the body.
    query: Parameters,
    headers: IndexMap<String, Template>,
    /// A new token is had for the old access token.
    pub without_refresh_token: bool,
}

/// Where an answer keeps its tokens: dotted paths.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseRule {
    /// The object that holds everything else.
    pub at: Option<String>,
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
    pub expires_at: Option<String>,
    /// Seconds, when the answer says nothing.
    pub default_expires_in: Option<i64>,
    /// Seconds, whatever the answer says.
    pub fixed_expires_in: Option<i64>,
    /// An object whose tokens may end sooner.
    pub sooner_of: Option<String>,
    /// Members of the old answer that a refresh does not repeat.
    pub keep_raw: Vec<String>,
    pub ok_when: Option<OkWhen>,
}

/// How a success is told when the status does not.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OkWhen {
    pub path: String,
    pub equals: Value,
}

/// A further call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub on: Phase,
    /// The step is left out when this is empty or incomplete.
    pub when: Option<Template>,
    #[serde(default)]
    method: Option<HttpMethod>,
    /// Absent: the token URL.
    pub url: Option<Template>,
    #[serde(default)]
    client_auth: Option<ClientAuth>,
    #[serde(default)]
    params: Parameters,
    /// The member of `raw` that the answer is merged into; absent with `into_config`: the tokens themselves.
    pub into_raw: Option<String>,
    /// The value of the connection config that the answer replaces.
    pub into_config: Option<String>,
    /// A failure is ignored.
    #[serde(default)]
    pub optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Exchange,
    Refresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum HttpMethod {
    Get,
    Post,
}

/// How the client proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClientAuth {
    None,
    Body,
    Basic,
    /// `client_id` as a parameter (public clients).
    IdOnly,
    /// Basic, with the secret as user name and no password.
    SecretAsUser,
}

static TABLE: LazyLock<Vec<Exception>> = LazyLock::new(|| parse().unwrap_or_default());

fn parse() -> Result<Vec<Exception>, String> {
    let text = include_str!("../../assets/token_exceptions.yaml");
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Whether the provider gives a new token for the old access token, so that there is no refresh token. Cheap.
pub fn renews_access_tokens(provider: &Provider) -> bool {
    match provider.raw.get("refresh_request") {
        Some(own) => own.get("without_refresh_token") == Some(&Value::Bool(true)),
        None => in_table(&provider.name).is_some_and(|found| found.refresh_request.without_refresh_token),
    }
}

fn in_table(name: &str) -> Option<&'static Exception> {
    TABLE.iter().find(|exception| exception.entries.iter().any(|entry| entry == name))
}

impl Exception {
    /// What is exceptional about a provider: the keys of its entry, else the table, else nothing.
    pub fn of(provider: &Provider) -> Exception {
        let own = provider.raw.iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
        let own: Map<String, Value> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        let own = if own.is_empty() { None } else { serde_json::from_value(Value::Object(own)).ok() };
        own.or_else(|| in_table(&provider.name).cloned()).unwrap_or_default()
    }

    /// The further calls of a phase.
    pub fn steps(&self, phase: Phase) -> impl Iterator<Item = &Step> {
        self.then.iter().filter(move |step| step.on == phase)
    }
}

impl RequestRule {
    /// Changes a generic request.
    ///
    /// # Errors
    /// Names without a value.
    pub fn apply(
        &self,
        call: &mut TokenCall,
        client: Client<'_>,
        context: &Context<'_>,
    ) -> Result<(), TokenError> {
        if let Some(auth) = self.client_auth {
            auth.apply(call, client);
        }
        for name in &self.omit {
            call.params.shift_remove(name);
        }
        call.set_all(&self.params, context, &[])?;
        call.set_headers(&self.headers, context)?;
        for (name, parameter) in &self.query {
            let value = call.resolve(name, parameter, context)?;
            call.url.query_pairs_mut().append_pair(name, &text_of(&value));
        }
        call.format = self.body_format.unwrap_or(call.format);
        if let Some(method) = self.method {
            call.method = method.into();
        }
        Ok(())
    }
}

impl Step {
    /// Whether the connection has what the step is about.
    pub fn applies(&self, context: &Context<'_>) -> bool {
        let resolved = self.when.as_ref().map(|when| when.resolve(context));
        resolved.is_none_or(|text| text.is_ok_and(|text| !text.is_empty()))
    }

    /// Fills the empty request of the step.
    ///
    /// # Errors
    /// Names without a value.
    pub fn fill(
        &self,
        call: &mut TokenCall,
        client: Client<'_>,
        context: &Context<'_>,
    ) -> Result<(), TokenError> {
        self.client_auth.unwrap_or(ClientAuth::Body).apply(call, client);
        if let Some(method) = self.method {
            call.method = method.into();
        }
        call.set_all(&self.params, context, &[])
    }
}

impl ClientAuth {
    fn apply(self, call: &mut TokenCall, client: Client<'_>) {
        call.remove_client();
        match self {
            ClientAuth::None => call.hide(client.secret),
            ClientAuth::Body => call.authenticate_in_body(client),
            ClientAuth::Basic => call.authenticate_basic(client.id, client.secret),
            ClientAuth::IdOnly => call.set("client_id", client.id),
            ClientAuth::SecretAsUser => {
                call.hide(client.secret);
                call.authenticate_basic(client.secret, "");
            }
        }
    }
}

impl From<HttpMethod> for Method {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_names_each_entry_once() {
        let table = parse().unwrap();
        let mut names: Vec<&String> = table.iter().flat_map(|exception| &exception.entries).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count > 20), (count, true));
    }
}
