//! Findings about an entry that loads but will not work as written. Called by `hitchpost catalog check`.
//!
//! These do not refuse the entry: the published catalog has two such entries, and listing them is harmless.

use std::collections::BTreeSet;

use super::{Provider, TokenUrl};
use crate::auth::AuthMode;
use crate::template::Template;

/// Sentences about what is missing or contradictory (`spec` providers, sections 3 and 11); empty when fine.
pub fn lint(provider: &Provider) -> Vec<String> {
    let mut findings = missing_keys(provider);
    let has_verification = provider.proxy.as_ref().is_some_and(|proxy| proxy.verification.is_some());
    if has_verification && provider.credentials_verification_script.is_some() {
        findings
            .push("`proxy.verification` and `credentials_verification_script` exclude each other".to_owned());
    }
    if provider.mode().is_none() {
        findings.push("`auth_mode` is not known to this server".to_owned());
    }
    findings.extend(undeclared_fields(provider));
    findings.extend(unusable_patterns(provider));
    findings
}

fn missing_keys(provider: &Provider) -> Vec<String> {
    let Some(mode) = provider.mode() else { return Vec::new() };
    let missing = required_keys(mode).iter().filter(|key| !has(provider, key));
    // The provider starts an outbound installation, so there is nothing to redirect to.
    let is_needed = |key: &&&str| **key != "authorization_url" || provider.installation.is_none();
    let mut findings: Vec<_> =
        missing.filter(is_needed).map(|key| format!("`{key}` is required for {mode}")).collect();
    let wants_one_url = matches!(mode, AuthMode::OAuth2 | AuthMode::OAuth2Cc | AuthMode::App);
    if wants_one_url && matches!(provider.token_url, Some(TokenUrl::PerMode(_))) {
        findings.push(format!("`token_url` must be a text for {mode}"));
    }
    findings
}

/// `connectionConfig` names that URLs and proxy templates use and nothing in the entry sets.
fn undeclared_fields(provider: &Provider) -> Vec<String> {
    let is_known = |name: &str| {
        let listed = [
            &provider.token_response_metadata,
            &provider.redirect_uri_metadata,
            &provider.connection_configuration,
            &provider.webhook_response_metadata,
            &provider.refresh_token_response_metadata,
        ];
        provider.connection_config.contains_key(name)
            || provider.integration_config.contains_key(name)
            || listed.iter().any(|names| names.iter().any(|known| known == name))
    };
    let used: BTreeSet<&str> = provider
        .url_templates()
        .chain(provider.proxy.iter().flat_map(|proxy| proxy.headers.values()))
        .flat_map(Template::names)
        .filter_map(|name| name.strip_prefix("connectionConfig."))
        .collect();
    let undeclared = used.into_iter().filter(|name| !is_known(name));
    undeclared.map(|name| format!("`connectionConfig.{name}` is used, but nothing sets it")).collect()
}

fn unusable_patterns(provider: &Provider) -> Vec<String> {
    let sections = [&provider.connection_config, &provider.credentials, &provider.integration_config];
    let fields = sections.into_iter().flatten();
    let unusable =
        fields.filter(|(_, schema)| schema.pattern.as_deref().is_some_and(|p| regex::Regex::new(p).is_err()));
    unusable.map(|(name, _)| format!("the pattern of `{name}` cannot be checked on the server")).collect()
}

fn required_keys(mode: AuthMode) -> &'static [&'static str] {
    match mode {
        AuthMode::OAuth2 | AuthMode::McpOAuth2 | AuthMode::App => &["authorization_url", "token_url"],
        AuthMode::OAuth2Cc | AuthMode::Bill => &["token_url"],
        AuthMode::ApiKey => &["credentials.apiKey"],
        AuthMode::TwoStep => &["token_url", "token_response"],
        AuthMode::Jwt => &["signature", "token"],
        AuthMode::OAuth1 => &["request_url", "authorization_url", "token_url", "signature_method"],
        AuthMode::Custom => &["token_url.OAUTH2", "token_url.APP"],
        AuthMode::Signature => &["signature.protocol", "token.expires_in_ms"],
        AuthMode::AwsSigV4 => &["credentials.role_arn", "integration_config"],
        AuthMode::McpOAuth2Generic => &["connection_config.mcp_server_url"],
        AuthMode::Basic | AuthMode::None | AuthMode::Tba | AuthMode::InstallPlugin => &[],
    }
}

/// Does the definition have the dotted `key`?
fn has(provider: &Provider, key: &str) -> bool {
    let mut keys = key.split('.');
    let first = keys.next().and_then(|first| provider.raw.get(first));
    keys.fold(first, |value, key| value?.get(key)).is_some_and(|value| !value.is_null())
}
