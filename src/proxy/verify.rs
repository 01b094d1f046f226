//! Are these credentials good? Asked before a connection is stored (`spec` auth-flows, section 7.2; providers, section
//! 5.7). Called by the JSON auth routes and by import, with credentials that are not stored yet.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::authorize::sensitive;
use super::entry::{EntryHeaders, EntryQuery, Section, body_values, set_resolved};
use super::namespace::{Namespace, Origin, clean_config};
use super::target::Unbuildable;
use super::url::{Base, BaseOrigin, query_pair};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::{ProxySection, Verification, VerificationMethod};
use crate::egress::{Answer, EgressError, OutgoingRequest};
use crate::integrations::OpenIntegration;
use crate::template::{Context, Escape, Template, url_text};

/// All endpoints together.
const LIMIT: Duration = Duration::from_secs(15);
/// Characters of the provider's answer that are told.
const EXCERPT: usize = 200;
/// Shorter values would make the excerpt unreadable when they are taken out.
const SHORTEST_SECRET: usize = 6;

/// Why credentials were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerificationFailure {
    /// The provider said no.
    #[error("The provider rejected the credentials (status {status}){}", as_suffix(.excerpt))]
    Rejected {
        status: u16,
        /// The start of the provider's answer, without the credentials.
        excerpt: String,
    },
    /// The provider was not reached or gave no verdict, so nothing is known about the credentials.
    #[error("The provider could not check the credentials: {reason}")]
    Unreachable { reason: String },
}

fn as_suffix(excerpt: &str) -> String {
    if excerpt.is_empty() { ".".to_owned() } else { format!(": {excerpt}") }
}

/// Calls the verification endpoints of the provider until one answers 2xx. Without such endpoints everything is accepted.
///
/// # Errors
/// No endpoint accepted the credentials.
pub async fn verify_credentials(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    connection_config: &Map<String, Value>,
) -> Result<(), VerificationFailure> {
    let entry = integration.provider.as_deref().and_then(|provider| provider.proxy.as_ref());
    let Some((entry, verification)) = entry.and_then(|entry| Some((entry, entry.verification.as_ref()?)))
    else {
        return Ok(());
    };
    let config = clean_config(connection_config);
    let origin =
        Origin { integration, credentials, connection_config: &config, metadata: None, connection_id: "" };
    let namespace = Namespace::new(origin, app.rng.uuid().to_string(), app.clock.now());
    let check = Check { app, integration, credentials, entry, verification, context: namespace.context() };
    match tokio::time::timeout(LIMIT, check.run()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(VerificationFailure::Unreachable { reason: EgressError::Timeout.to_string() }),
    }
}

struct Check<'a> {
    app: &'a App,
    integration: &'a OpenIntegration,
    credentials: &'a Credentials,
    entry: &'a ProxySection,
    verification: &'a Verification,
    context: Context<'a>,
}

impl Check<'_> {
    async fn run(&self) -> Result<(), VerificationFailure> {
        let mut last = Ok(());
        for endpoint in &self.verification.endpoints {
            last = self.ask(endpoint).await;
            if last.is_ok() {
                return Ok(());
            }
        }
        last
    }

    async fn ask(&self, endpoint: &Template) -> Result<(), VerificationFailure> {
        let request = match self.request(endpoint) {
            Ok(request) => request,
            // What the proxy cannot send, it cannot test.
            Err(Unbuildable::UnsupportedAuth(_)) => return Ok(()),
            Err(problem) => {
                let status = StatusCode::BAD_REQUEST.as_u16();
                return Err(VerificationFailure::Rejected { status, excerpt: problem.to_string() });
            }
        };
        let mut answer = self.app.egress.webhooks.send(request.clone()).await;
        if is_worth_repeating(&answer) {
            answer = self.app.egress.webhooks.send(request).await;
        }
        let answer =
            answer.map_err(|error| VerificationFailure::Unreachable { reason: error.to_string() })?;
        if answer.status.is_success() {
            return Ok(());
        }
        let excerpt = excerpt(&answer.body, self.credentials);
        // A provider in trouble, or one that is asked too often, said nothing about the credentials.
        let is_verdict = answer.status.is_client_error()
            && !matches!(answer.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if !is_verdict {
            let reason = format!("status {}{}", answer.status.as_u16(), as_suffix(&excerpt));
            return Err(VerificationFailure::Unreachable { reason });
        }
        Err(VerificationFailure::Rejected { status: answer.status.as_u16(), excerpt })
    }

    fn request(&self, endpoint: &Template) -> Result<OutgoingRequest, Unbuildable> {
        let section = Section::of(self.integration)?;
        let mut headers = EntryHeaders::build(&section, self.credentials, &self.context)?;
        for (name, template) in &headers.varying {
            set_resolved(&mut headers.fixed, name, template, &self.context);
        }
        let mut headers = headers.fixed;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, text/plain, */*"));
        for (name, template) in &self.verification.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            let value = template.resolve(&self.context).ok().and_then(|text| sensitive(&text));
            if let (Some(name), Some(value)) = (name, value) {
                headers.insert(name, value);
            }
        }
        let body = self.body();
        if !body.is_empty() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let url = self.url(&section, endpoint)?;
        let method = match self.verification.method {
            VerificationMethod::Get => Method::GET,
            VerificationMethod::Post => Method::POST,
        };
        Ok(OutgoingRequest { method, url, headers, body, follow: true })
    }

    fn url(&self, section: &Section<'_>, endpoint: &Template) -> Result<Url, Unbuildable> {
        let base = match &self.verification.base_url_override {
            Some(template) => {
                let text = url_text(template, &self.context, Escape::Verbatim)?;
                Base::parse(&text, template.source(), BaseOrigin::Catalog)?
            }
            None => section.base(&self.context)?,
        };
        let query = EntryQuery::build(section, &self.context);
        let mut pairs = query.fixed;
        for (name, template) in &query.varying {
            pairs.extend(template.resolve(&self.context).ok().map(|value| query_pair(name, &value)));
        }
        let endpoint = endpoint
            .resolve(&self.context)
            .map_err(|unresolved| Unbuildable::MissingConfig(unresolved.names))?;
        let uri = base.join(&endpoint, &pairs, false)?;
        Url::parse(&uri.to_string()).map_err(|_| Unbuildable::InvalidUrl)
    }

    fn body(&self) -> Bytes {
        if self.verification.method == VerificationMethod::Get {
            return Bytes::new();
        }
        let mut members = self.verification.data.clone().unwrap_or_default();
        members.extend(body_values(self.entry, &self.context));
        if members.is_empty() { Bytes::new() } else { Value::Object(members).to_string().into() }
    }
}

fn is_worth_repeating(answer: &Result<Answer, EgressError>) -> bool {
    match answer {
        Ok(answer) => answer.status.is_server_error(),
        Err(error) => !matches!(error, EgressError::Denied(_) | EgressError::RefusedRedirect(_)),
    }
}

/// The start of an answer in one line, without the credentials.
fn excerpt(body: &[u8], credentials: &Credentials) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT * 20)]).into_owned();
    for secret in secrets(credentials) {
        text = text.replace(&secret, "REDACTED");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(EXCERPT).collect()
}

/// The texts of the credentials, as they are and as Basic authentication writes them; the longest first.
fn secrets(credentials: &Credentials) -> Vec<String> {
    let mut secrets = Vec::new();
    collect(&credentials.to_json(), &mut secrets);
    if let Credentials::Basic { username, password } = credentials {
        secrets.push(STANDARD.encode(format!("{username}:{password}")));
    }
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            texts.push(text.clone());
            // Some keys are written as an id and a secret with a colon between them.
            texts.extend(text.split_once(':').map(|(_, secret)| secret.to_owned()));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => {
            members.iter().filter(|(name, _)| *name != "type").for_each(|(_, value)| collect(value, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_hold_no_secret() {
        let credentials = Credentials::Basic { username: "ada".into(), password: "lovelace-1".into() };
        let body = br#"{"error": "bad  pair ada:lovelace-1,
            header Basic YWRhOmxvdmVsYWNlLTE="}"#;
        let found = excerpt(body, &credentials);
        assert_eq!(found, r#"{"error": "bad pair ada:REDACTED, header Basic REDACTED"}"#);
        assert_eq!(excerpt(&[b'x'; 10_000], &credentials).len(), EXCERPT);
    }
}
