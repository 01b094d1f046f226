//! What a name in a placeholder stands for, by place and auth mode (`spec` providers, section 6.3).

use std::collections::BTreeSet;

use serde_json::Value;

use super::note::{Entry, suggestion};
use crate::auth::AuthMode;

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Authorize, token and refresh URLs.
    Address,
    /// The base URL of proxied calls.
    Base,
    /// Parameters and headers of token requests, claims of signed tokens.
    Parameters,
    Assertion,
    /// The n-th further request of a `TWO_STEP` login.
    Step(usize),
    /// Headers, query, body and verification of proxied calls.
    Proxy,
    /// Steps around a connection, which know what earlier ones found.
    Hook,
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Known,
    /// Connection config that nothing in the entry sets.
    Undeclared,
    /// Nothing; with advice.
    Nothing(String),
}

/// Names of the request that is being sent.
const REQUEST: [&str; 8] = [
    "method",
    "endpoint",
    "host",
    "path",
    "params",
    "urlCanonicalParams",
    "bodyCanonicalParams",
    "contentType",
];
/// Names of the client and of the grant, for the token calls of redirecting modes.
const GRANT: [&str; 6] = ["clientId", "clientSecret", "code", "redirectUri", "refreshToken", "accessToken"];

/// The names of one entry.
pub(super) struct Namespace<'a> {
    mode: Option<AuthMode>,
    /// Connection config that the entry declares or sets.
    config: BTreeSet<&'a str>,
    /// Hooks and installations set connection config of their own.
    has_open_config: bool,
    credentials: BTreeSet<&'a str>,
    /// Kept response headers become credentials.
    has_open_credentials: bool,
    options: BTreeSet<&'a str>,
}

impl<'a> Namespace<'a> {
    pub fn new(entry: &Entry<'a>) -> Self {
        let names = |section: &'static str| entry.members(&[section]).map(|(name, _)| name.as_str());
        let listed = [
            "token_response_metadata",
            "redirect_uri_metadata",
            "connection_configuration",
            "webhook_response_metadata",
            "refresh_token_response_metadata",
        ];
        let mut config: BTreeSet<&str> =
            names("connection_config").chain(names("integration_config")).collect();
        config.extend(listed.iter().flat_map(|key| entry.texts(&[key])));
        let mut credentials: BTreeSet<&str> =
            names("credentials").chain(names("integration_config")).collect();
        credentials.extend(entry.mode.map_or(&[][..], stored_names));
        let steps = entry.at(&["post_connection"]).and_then(Value::as_array).into_iter().flatten();
        config.extend(steps.flat_map(set_names));
        let script = entry.text(&["post_connection_script"]).unwrap_or_default();
        let installs = matches!(entry.mode, Some(AuthMode::App | AuthMode::Custom | AuthMode::InstallPlugin));
        Namespace {
            mode: entry.mode,
            config,
            has_open_config: installs || !script.is_empty(),
            credentials,
            has_open_credentials: entry.at(&["token_response_headers"]).is_some(),
            options: names("assertion_option").collect(),
        }
    }

    pub fn meaning(&self, name: &str, place: Place) -> Meaning {
        let Some(mode) = self.mode else { return Meaning::Known };
        match name.split_once('.') {
            Some(("connectionConfig", field)) => self.config_meaning(field),
            Some(("credentials", field)) => self.credential_meaning(field, mode, place),
            Some(("metadata", _)) if matches!(place, Place::Base | Place::Proxy | Place::Hook) => {
                Meaning::Known
            }
            Some(("answer" | "picked" | "jwt" | "raw_token", _)) if place == Place::Hook => Meaning::Known,
            Some(("assertionOption", field)) if place == Place::Assertion && has(&self.options, field) => {
                Meaning::Known
            }
            Some((step, _)) if is_step(step) => step_meaning(step, place),
            _ if self.is_plain_name(name, mode, place) => Meaning::Known,
            _ => self.unknown(name, mode, place),
        }
    }

    fn config_meaning(&self, field: &str) -> Meaning {
        if self.has_open_config || has(&self.config, field) { Meaning::Known } else { Meaning::Undeclared }
    }

    fn credential_meaning(&self, field: &str, mode: AuthMode, place: Place) -> Meaning {
        // The prefix means nothing in an address: values of both kinds are looked up there.
        let is_config = place == Place::Address && has(&self.config, field);
        if is_config || self.has_open_credentials || has(&self.credentials, field) {
            return Meaning::Known;
        }
        let known: Vec<&str> = self.credentials.iter().copied().collect();
        let list = format!("{mode} has these credentials: {}.", known.join(", "));
        Meaning::Nothing(suggestion(field, known, list))
    }

    /// Names without a prefix that has a meaning.
    fn is_plain_name(&self, name: &str, mode: AuthMode, place: Place) -> bool {
        match place {
            Place::Address => {
                has(&self.config, name)
                    || self.has_open_config
                    || mode == AuthMode::TwoStep && has(&self.credentials, name)
            }
            Place::Parameters | Place::Assertion | Place::Step(_) => {
                has(&self.credentials, name) || self.has_open_credentials || GRANT.contains(&name)
            }
            Place::Base | Place::Proxy | Place::Hook => {
                let is_token = name == "accessToken" && has_token(mode);
                let is_client = matches!(name, "clientId" | "clientSecret" | "connection_id");
                is_token
                    || is_client
                    || has(&self.credentials, name)
                    || self.has_open_credentials
                    || REQUEST.contains(&name)
            }
        }
    }

    fn unknown(&self, name: &str, mode: AuthMode, place: Place) -> Meaning {
        if has(&self.config, name) {
            return Meaning::Nothing(format!("Did you mean `${{connectionConfig.{name}}}`?"));
        }
        let token = has_token(mode).then_some("accessToken");
        let plain = self.credentials.iter().copied().chain(token);
        let known: Vec<&str> =
            if place == Place::Address { self.config.iter().copied().collect() } else { plain.collect() };
        let otherwise = format!("{mode} knows here: {}, and `connectionConfig.<field>`.", known.join(", "));
        Meaning::Nothing(suggestion(name, known, otherwise))
    }
}

/// What a step puts into the connection config.
fn set_names(step: &Value) -> impl Iterator<Item = &str> {
    step.get("set").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
}

/// Is `name`, or the first part of it, among the names?
fn has(names: &BTreeSet<&str>, name: &str) -> bool {
    let is_member = |known: &&str| name.strip_prefix(*known).is_some_and(|rest| rest.starts_with('.'));
    names.contains(name) || names.iter().any(is_member)
}

fn is_step(root: &str) -> bool {
    root.strip_prefix("step").is_some_and(|number| number.parse::<usize>().is_ok())
}

fn step_meaning(step: &str, place: Place) -> Meaning {
    let number = step.strip_prefix("step").and_then(|number| number.parse().ok()).unwrap_or(0);
    match place {
        Place::Step(last) if (1..=last).contains(&number) => Meaning::Known,
        Place::Step(last) => {
            Meaning::Nothing(format!("The answers known here are those of step1 to step{last}."))
        }
        _ => Meaning::Nothing("Answers of earlier steps are known in `additional_steps` only.".to_owned()),
    }
}

/// Does the mode end in one token?
fn has_token(mode: AuthMode) -> bool {
    !matches!(
        mode,
        AuthMode::ApiKey
            | AuthMode::Basic
            | AuthMode::InstallPlugin
            | AuthMode::None
            | AuthMode::Tba
            | AuthMode::OAuth1
            | AuthMode::AwsSigV4
    )
}

/// What a connection of the mode stores, beside the fields that the entry lists.
fn stored_names(mode: AuthMode) -> &'static [&'static str] {
    match mode {
        AuthMode::OAuth2 | AuthMode::Custom | AuthMode::McpOAuth2 | AuthMode::McpOAuth2Generic => {
            &["access_token", "refresh_token", "expires_at", "raw", "config_override"]
        }
        AuthMode::OAuth2Cc => &[
            "token",
            "client_id",
            "client_secret",
            "client_certificate",
            "client_private_key",
            "expires_at",
            "raw",
        ],
        AuthMode::Basic | AuthMode::InstallPlugin => &["username", "password"],
        AuthMode::ApiKey => &["apiKey"],
        AuthMode::TwoStep => &["token", "refresh_token", "expires_at", "raw", "assertion"],
        AuthMode::Jwt => &["token", "expires_at"],
        AuthMode::OAuth1 => &["oauth_token", "oauth_token_secret", "raw"],
        AuthMode::Bill => &[
            "username",
            "password",
            "organization_id",
            "dev_key",
            "session_id",
            "user_id",
            "expires_at",
            "raw",
        ],
        AuthMode::AwsSigV4 => &[
            "access_key_id",
            "secret_access_key",
            "session_token",
            "region",
            "service",
            "role_arn",
            "external_id",
            "expires_at",
            "raw",
        ],
        AuthMode::Signature => &["username", "password", "token", "expires_at"],
        AuthMode::App => &["access_token", "expires_at", "raw", "jwtToken"],
        AuthMode::Tba => &["token_id", "token_secret", "config_override"],
        AuthMode::None => &[],
    }
}
