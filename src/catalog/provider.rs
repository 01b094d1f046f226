//! One catalog entry, compiled: typed where Hitchpost acts on a key, verbatim in `raw` for everything else.

use std::sync::Arc;

use chrono::DateTime;
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::known_hooks;
use super::{
    Assertion, FieldProblem, Fields, HookStep, Parameters, ProxySection, Signature, SignedToken,
    TokenRequestMethod, TokenResponse, TokenStep, Webhook, validate_fields, webhook::of_script,
};
use crate::auth::AuthMode;
use crate::template::{Context, Escape, Template, UrlError, url_text};

/// What Hitchpost knows about one third-party API. Key meanings: `spec` providers, sections 4, 5 and 7.
#[derive(Debug, Clone, Deserialize)]
pub struct Provider {
    /// The entry's name, the value of an integration's `provider`.
    #[serde(skip)]
    pub name: String,
    /// The definition as published: aliases resolved, source order, unknown keys kept.
    #[serde(skip)]
    pub raw: Map<String, Value>,

    pub auth_mode: ProviderMode,
    pub display_name: String,
    pub docs: String,
    #[serde(default)]
    pub categories: Vec<String>,
    pub docs_connect: Option<String>,
    pub setup_guide_url: Option<String>,
    /// `outbound`: the connection starts on the provider's side.
    pub installation: Option<String>,

    // Authorize step.
    pub authorization_url: Option<Template>,
    #[serde(default)]
    pub authorization_params: Parameters,
    #[serde(default = "one_space")]
    pub scope_separator: String,
    #[serde(default)]
    pub default_scopes: Vec<String>,
    #[serde(default)]
    pub disable_pkce: bool,
    #[serde(default)]
    pub authorization_url_skip_encode: Vec<SkipEncode>,
    #[serde(default)]
    pub authorization_url_skip_empty: bool,
    pub authorization_url_fragment: Option<String>,
    #[serde(default)]
    pub authorization_url_replacements: IndexMap<String, String>,
    #[serde(default = "code")]
    pub authorization_code_param_in_callback: String,
    /// Callback query parameters that are copied into the connection config.
    #[serde(default)]
    pub redirect_uri_metadata: Vec<String>,
    /// Where the client of an `MCP_OAUTH2` entry comes from; absent: `dynamic` where there is a `registration_url`.
    pub client_registration: Option<ClientRegistration>,
    pub registration_url: Option<Template>,
    /// Only `grant_types` and `response_types` count.
    #[serde(default)]
    pub registration_params: Map<String, Value>,

    // Token step.
    pub token_url: Option<TokenUrl>,
    #[serde(default)]
    pub token_url_skip_encode: Vec<SkipEncode>,
    #[serde(default)]
    pub token_params: Parameters,
    #[serde(default)]
    pub token_headers: IndexMap<String, Template>,
    /// Absent: the mode decides (`form` for OAuth, `json` for TWO_STEP).
    pub body_format: Option<BodyFormat>,
    pub token_request_auth_method: Option<TokenAuthMethod>,
    #[serde(default)]
    pub authorization_method: AuthorizationMethod,
    #[serde(default)]
    pub require_client_certificate: bool,
    #[serde(default)]
    pub token_request_method: TokenRequestMethod,
    /// Further requests of a TWO_STEP login.
    #[serde(default)]
    pub additional_steps: Vec<TokenStep>,
    pub assertion: Option<Assertion>,
    pub signature: Option<Signature>,
    pub token: Option<SignedToken>,

    // OAuth 1.
    pub request_url: Option<Template>,
    #[serde(default)]
    pub request_params: Parameters,
    /// Of the request-token call; absent: `POST`.
    pub request_http_method: Option<String>,
    /// Of the access-token call; absent: `POST`.
    pub token_http_method: Option<String>,
    /// As the entry writes it; absent: `HMAC-SHA1`.
    pub signature_method: Option<String>,

    // Token response, expiry, refresh.
    /// Dotted paths of the token response that are copied into the connection config under the dotted name.
    #[serde(default)]
    pub token_response_metadata: Vec<String>,
    #[serde(default)]
    pub refresh_token_response_metadata: Vec<String>,
    pub alternate_access_token_response_path: Option<String>,
    #[serde(default)]
    pub expires_in_unit: ExpiryUnit,
    /// Lifetime in milliseconds when the response names none; 0 is "unknown".
    pub token_expires_in_ms: Option<f64>,
    /// Where a TWO_STEP answer has its token.
    #[serde(default)]
    pub token_response: TokenResponse,
    /// Response headers that TWO_STEP credentials keep.
    #[serde(default)]
    pub token_response_headers: Vec<String>,
    /// With these or `refresh_token_headers`, a stored refresh token renews TWO_STEP credentials.
    pub refresh_token_params: Option<Parameters>,
    pub refresh_token_headers: Option<IndexMap<String, Template>>,
    /// Absent: `token_params` are used.
    pub refresh_params: Option<Parameters>,
    pub refresh_url: Option<Template>,
    /// Seconds before expiry from which on a token is refreshed; absent: 900.
    pub token_expiration_buffer: Option<f64>,

    // Hooks and incoming webhooks.
    #[serde(default, deserialize_with = "script")]
    pub webhook_routing_script: Option<String>,
    /// The entry's own section, else that of its routing script.
    pub webhook: Option<Arc<Webhook>>,
    #[serde(default)]
    pub webhook_user_defined_secret: bool,
    #[serde(default)]
    pub webhook_allowed_query_params: Vec<String>,
    #[serde(default)]
    pub webhook_response_metadata: Vec<String>,
    /// Dotted path of the code in the webhook of an outbound installation.
    pub authorization_code_param_in_webhook: Option<String>,
    #[serde(default, deserialize_with = "script")]
    pub post_connection_script: Option<String>,
    #[serde(default, deserialize_with = "script")]
    pub pre_connection_deletion_script: Option<String>,
    #[serde(default, deserialize_with = "script")]
    pub credentials_verification_script: Option<String>,
    /// What is asked and kept after a connection was made or authorized again; absent: what the script of that name does.
    #[serde(default)]
    pub post_connection: Vec<HookStep>,
    /// What is asked before a connection is deleted.
    #[serde(default)]
    pub pre_deletion: Vec<HookStep>,
    /// Connection config names that hooks set.
    #[serde(default)]
    pub connection_configuration: Vec<String>,

    // Sections.
    pub proxy: Option<ProxySection>,
    #[serde(default)]
    pub connection_config: Fields,
    #[serde(default)]
    pub credentials: Fields,
    #[serde(default)]
    pub integration_config: Fields,
    #[serde(default)]
    pub assertion_option: Fields,
}

/// `auth_mode`: an entry with a mode that this server does not know is listed, but cannot be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderMode {
    Known(AuthMode),
    Unknown(String),
}

/// `client_registration`: how an `MCP_OAUTH2` entry gets its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientRegistration {
    /// The server registers itself (RFC 7591).
    Dynamic,
    /// The operator gives client id and secret.
    Static,
    /// The client id is the address of the client's metadata document.
    Cimd,
}

/// What is written into a URL without percent-encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipEncode {
    Scopes,
    BaseUrl,
}

/// `token_url`: one template, or one per auth mode (`CUSTOM`).
#[derive(Debug, Clone, PartialEq)]
pub enum TokenUrl {
    One(Template),
    PerMode(IndexMap<String, Template>),
}

/// `body_format` of token requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    Form,
    Json,
    /// Parameters in the URL of a POST without a body.
    Query,
    Xml,
}

/// `token_request_auth_method`: how the client proves itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenAuthMethod {
    /// `Authorization: Basic`, raw, without URL-encoding.
    Basic,
    /// Body parameters `username` and `password`.
    Custom,
    /// RFC 7523 client assertion.
    PrivateKeyJwt,
}

/// `authorization_method`: where `OAUTH2` puts client id and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationMethod {
    #[default]
    Body,
    /// Basic header, both parts form-url-encoded (RFC 6749 section 2.3.1), not in the body.
    Header,
}

/// Unit of `expires_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryUnit {
    #[default]
    Seconds,
    Milliseconds,
}

impl Provider {
    /// Compiles a resolved definition. The message of an error is a sentence for the operator.
    pub fn compile(name: &str, raw: Map<String, Value>) -> Result<Self, String> {
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > 255 || !name.bytes().all(is_name_byte) {
            return Err("an entry name has letters, digits, `_` and `-`, at most 255".to_owned());
        }
        let definition = Value::Object(without_nulls(&raw));
        let mut provider: Provider = serde_json::from_value(definition).map_err(|error| error.to_string())?;
        provider.name = name.to_owned();
        if provider.webhook.is_none() {
            provider.webhook = provider.webhook_routing_script.as_deref().and_then(of_script);
        }
        provider.raw = raw;
        provider.check_hooks()?;
        provider.adopt_known_hooks();
        Ok(provider)
    }

    fn check_hooks(&self) -> Result<(), String> {
        for (key, steps) in [("post_connection", &self.post_connection), ("pre_deletion", &self.pre_deletion)]
        {
            for (index, step) in steps.iter().enumerate() {
                step.check().map_err(|problem| format!("{key}[{index}]: {problem}"))?;
            }
        }
        Ok(())
    }

    /// What the entry names by script, where it does not say it itself.
    fn adopt_known_hooks(&mut self) {
        let known = |script: &Option<String>| known_hooks::find(script.as_deref()?, &self.name);
        let after = known(&self.post_connection_script).filter(|_| self.post_connection.is_empty());
        let before = known(&self.pre_connection_deletion_script).filter(|_| self.pre_deletion.is_empty());
        let check = known(&self.credentials_verification_script).and_then(|hook| hook.verification.as_ref());
        if let Some(hook) = after {
            self.post_connection.clone_from(&hook.post_connection);
        }
        if let Some(hook) = before {
            self.pre_deletion.clone_from(&hook.pre_deletion);
        }
        // Wire: the script comes before the section.
        if let (Some(check), Some(proxy)) = (check, &mut self.proxy) {
            proxy.verification = Some(check.clone());
        }
    }

    /// The auth mode, when this server can act on it.
    pub fn mode(&self) -> Option<AuthMode> {
        match self.auth_mode {
            ProviderMode::Known(mode) => Some(mode),
            ProviderMode::Unknown(_) => None,
        }
    }

    /// The single token URL; none when it is absent or given per mode.
    pub fn token_url(&self) -> Option<&Template> {
        match self.token_url.as_ref()? {
            TokenUrl::One(template) => Some(template),
            TokenUrl::PerMode(_) => None,
        }
    }

    /// The token URL for one mode: that of the mapping form, or the single one.
    pub fn token_url_for(&self, mode: AuthMode) -> Option<&Template> {
        // Wire: the mapping form writes `OAUTH2CC` where `auth_mode` writes `OAUTH2_CC`.
        let key = if mode == AuthMode::OAuth2Cc { "OAUTH2CC" } else { mode.as_str() };
        match self.token_url.as_ref()? {
            TokenUrl::One(template) => Some(template),
            TokenUrl::PerMode(templates) => templates.get(key).or_else(|| templates.get(mode.as_str())),
        }
    }

    /// Parameters of the refresh request: `refresh_params`, else `token_params`.
    pub fn refresh_parameters(&self) -> &Parameters {
        self.refresh_params.as_ref().unwrap_or(&self.token_params)
    }

    /// The templates that become URLs: authorize, token, refresh, step and request-token URLs, proxy and verification base.
    pub fn url_templates(&self) -> impl Iterator<Item = &Template> {
        let (one, per_mode) = match &self.token_url {
            Some(TokenUrl::One(template)) => (Some(template), None),
            Some(TokenUrl::PerMode(templates)) => (None, Some(templates.values())),
            None => (None, None),
        };
        let proxy = self.proxy.as_ref();
        let verification = proxy.and_then(|proxy| proxy.verification.as_ref());
        self.authorization_url
            .iter()
            .chain(one)
            .chain(per_mode.into_iter().flatten())
            .chain(&self.refresh_url)
            .chain(self.additional_steps.iter().map(|step| &step.token_url))
            .chain(&self.request_url)
            .chain(proxy.map(|proxy| &proxy.base_url))
            .chain(verification.and_then(|verification| verification.base_url_override.as_ref()))
    }

    /// Checks connection config that came from a frontend: the schema, and that every value is safe in the URLs
    /// that it becomes a part of (`spec` providers, section 7.4).
    pub fn validate_connection_config(&self, values: &Map<String, Value>) -> Vec<FieldProblem> {
        let mut problems = validate_fields(&self.connection_config, values);
        // URLs are built only to see what they refuse; a clock in one of them may show any time.
        let context = Context::new(DateTime::UNIX_EPOCH, "").flat_connection_config(values);
        for template in self.url_templates() {
            let Err(UrlError::Unsafe { name, reason }) = url_text(template, &context, Escape::Component)
            else {
                continue;
            };
            let field = name.strip_prefix("connectionConfig.").unwrap_or(&name);
            if !problems.iter().any(|problem| problem.field == field) {
                problems.push(FieldProblem { field: field.to_owned(), message: reason.to_owned() });
            }
        }
        problems
    }

    /// Adds `name` and `logo_url` to a definition that is shown. `base_url` is the public URL of this server.
    pub(super) fn add_public_names(&self, json: &mut Map<String, Value>, base_url: &str) {
        json.insert("name".to_owned(), Value::String(self.name.clone()));
        let logo = format!("{}/images/template-logos/{}.svg", base_url.trim_end_matches('/'), self.name);
        json.insert("logo_url".to_owned(), Value::String(logo));
    }
}

/// `key:` without a value means that the key is absent.
fn without_nulls(object: &Map<String, Value>) -> Map<String, Value> {
    let keep = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::Object(inner) => Some((key.clone(), Value::Object(without_nulls(inner)))),
        other => Some((key.clone(), other.clone())),
    };
    object.iter().filter_map(keep).collect()
}

impl<'de> Deserialize<'de> for ProviderMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(name.parse().map_or(ProviderMode::Unknown(name), ProviderMode::Known))
    }
}

impl<'de> Deserialize<'de> for TokenUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = match value {
            Value::Object(_) => IndexMap::deserialize(value).map(TokenUrl::PerMode),
            _ => Template::deserialize(value).map(TokenUrl::One),
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

/// A script name; the empty text is how an alias takes an inherited script away.
fn script<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|name| !name.is_empty()))
}

fn one_space() -> String {
    " ".to_owned()
}

fn code() -> String {
    "code".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider(extra: Value) -> Provider {
        let mut raw =
            json!({ "display_name": "Acme", "docs": "https://d", "auth_mode": "OAUTH2", "odd": [1] });
        if let (Some(raw), Some(extra)) = (raw.as_object_mut(), extra.as_object()) {
            raw.extend(extra.clone());
        }
        let raw = raw.as_object().cloned().unwrap_or_default();
        Provider::compile("acme", raw).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn defaults_are_those_of_the_grammar() {
        let provider = provider(json!({ "post_connection_script": "", "token_headers": null }));
        assert_eq!(
            (provider.scope_separator.as_str(), provider.authorization_code_param_in_callback.as_str()),
            (" ", "code")
        );
        assert_eq!((provider.authorization_method, provider.body_format), (AuthorizationMethod::Body, None));
        assert_eq!((provider.expires_in_unit, provider.disable_pkce), (ExpiryUnit::Seconds, false));
        assert_eq!(provider.post_connection_script, None);
        assert!(provider.token_headers.is_empty() && provider.proxy.is_none());
    }

    #[test]
    fn what_is_shown_is_the_definition_with_name_and_logo() {
        let provider = provider(json!({ "token_params": null }));
        let mut shown = provider.raw.clone();
        provider.add_public_names(&mut shown, "http://h:3003/");
        let json = Value::Object(shown);
        let expected = json!({ "display_name": "Acme", "docs": "https://d", "auth_mode": "OAUTH2", "odd": [1],
            "token_params": null, "name": "acme", "logo_url": "http://h:3003/images/template-logos/acme.svg" });
        assert_eq!(json.to_string(), expected.to_string());
    }

    #[test]
    fn token_urls_come_in_two_forms() {
        let one = provider(json!({ "token_url": "https://t" }));
        assert_eq!(one.token_url().map(Template::source), Some("https://t"));
        assert_eq!(one.token_url_for(AuthMode::App).map(Template::source), Some("https://t"));
        let two = provider(
            json!({ "token_url": { "OAUTH2": "https://o", "APP": "https://a", "OAUTH2CC": "https://c" } }),
        );
        assert!(two.token_url().is_none());
        for (mode, expected) in [
            (AuthMode::OAuth2, Some("https://o")),
            (AuthMode::App, Some("https://a")),
            (AuthMode::OAuth2Cc, Some("https://c")),
            (AuthMode::Basic, None),
        ] {
            assert_eq!(two.token_url_for(mode).map(Template::source), expected, "{mode}");
        }
    }

    #[test]
    fn refresh_parameters_default_to_the_token_parameters() {
        let names = |provider: &Provider| provider.refresh_parameters().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&provider(json!({ "token_params": { "a": 1 } }))), ["a"]);
        assert_eq!(
            names(&provider(json!({ "token_params": { "a": 1 }, "refresh_params": { "b": true } }))),
            ["b"]
        );
    }

    #[test]
    fn values_that_become_part_of_a_host_are_checked() {
        let provider = provider(json!({
            "authorization_url": "https://${connectionConfig.sub}.x.test/${connectionConfig.path}",
            "proxy": { "base_url": "https://${connectionConfig.api}" },
            "connection_config": { "sub": {}, "path": {}, "api": { "enum": ["a.test/v1"] } },
        }));
        let cases = [
            (json!({ "sub": "acme", "path": "a/b", "api": "a.test/v1" }), vec![]),
            (
                json!({ "sub": "evil.test/", "path": "p", "api": "a.test/v1" }),
                vec!["sub must be a host name, without scheme, path or other characters"],
            ),
            (
                json!({ "path": "p", "api": "b" }),
                vec!["sub is required", "api is not one of the allowed values"],
            ),
        ];
        for (values, expected) in cases {
            let problems = provider.validate_connection_config(values.as_object().unwrap_or(&Map::new()));
            let found: Vec<_> = problems.iter().map(|p| format!("{} {}", p.field, p.message)).collect();
            assert_eq!(found, expected, "{values}");
        }
    }
}
