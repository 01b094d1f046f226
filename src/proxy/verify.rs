//! Are these credentials good? Asked before a connection is stored (`spec` auth-flows, section 7.2; providers, section
//! 5.7). Called by the JSON auth routes and by import, with credentials that are not stored yet.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Map, Value};

use super::entry::body_values;
use super::namespace::{Namespace, Origin, clean_config};
use super::own_call::{OnBehalf, OwnBody, OwnCall, Place};
use super::target::Unbuildable;
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::{CallMethod, ProxySection, ValidWhen, Verification, value_at};
use crate::egress::{Answer, EgressError, OutgoingRequest};
use crate::integrations::OpenIntegration;
use crate::oauth::xml::read_xml;
use crate::template::{Context, Template};

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

/// Calls the verification endpoints of the provider until one gives a good answer. Without such endpoints everything is
/// accepted.
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
    let context = namespace.context();
    let nothing = Map::new();
    let on_behalf = OnBehalf {
        integration,
        credentials,
        connection_config: &config,
        metadata: None,
        connection_id: "",
        found: &nothing,
    };
    let check = Check { app, on_behalf, entry, verification, context };
    match tokio::time::timeout(LIMIT, check.run()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(VerificationFailure::Unreachable { reason: EgressError::Timeout.to_string() }),
    }
}

struct Check<'a> {
    app: &'a App,
    on_behalf: OnBehalf<'a>,
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
        let unbuildable = |problem: Unbuildable| {
            let status = StatusCode::BAD_REQUEST.as_u16();
            VerificationFailure::Rejected { status, excerpt: problem.to_string() }
        };
        let mut answer = self.app.egress.webhooks.send(self.request(endpoint).map_err(unbuildable)?).await;
        if is_worth_repeating(&answer) {
            // Built again, because a signature is good for one request.
            answer = self.app.egress.webhooks.send(self.request(endpoint).map_err(unbuildable)?).await;
        }
        let answer =
            answer.map_err(|error| VerificationFailure::Unreachable { reason: error.to_string() })?;
        if is_good(&answer, &self.verification.valid_when) {
            return Ok(());
        }
        let excerpt = excerpt(&answer.body, self.on_behalf.credentials);
        // A provider in trouble, or one that is asked too often, said nothing about the credentials.
        let is_verdict = (answer.status.is_success() || answer.status.is_client_error())
            && !matches!(answer.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if !is_verdict {
            let reason = format!("status {}{}", answer.status.as_u16(), as_suffix(&excerpt));
            return Err(VerificationFailure::Unreachable { reason });
        }
        Err(VerificationFailure::Rejected { status: answer.status.as_u16(), excerpt })
    }

    fn request(&self, endpoint: &Template) -> Result<OutgoingRequest, Unbuildable> {
        let verification = self.verification;
        let call = OwnCall {
            method: verification.method,
            place: Place::Endpoint { base: verification.base_url_override.as_ref(), endpoint },
            headers: &verification.headers,
            body: self.body(),
            without_credentials: false,
        };
        call.build(self.app, self.on_behalf)
    }

    fn body(&self) -> OwnBody<'_> {
        let verification = self.verification;
        if verification.method == CallMethod::Get {
            return OwnBody::Nothing;
        }
        if let Some(json) = &verification.json {
            return OwnBody::Json(json);
        }
        if !verification.form.is_empty() {
            return OwnBody::Form(&verification.form);
        }
        if !verification.xml.is_empty() {
            return OwnBody::Xml(&verification.xml);
        }
        let mut members = verification.data.clone().unwrap_or_default();
        members.extend(body_values(self.entry, &self.context));
        OwnBody::Members(members)
    }
}

/// Whether an answer looks as the entry says that a good one does.
fn is_good(answer: &Answer, wanted: &ValidWhen) -> bool {
    let status = answer.status.as_u16();
    let has_status = match wanted.status.as_slice() {
        [] => answer.status.is_success(),
        listed => listed.iter().any(|matcher| matcher.matches(status)),
    };
    if !has_status {
        return false;
    }
    let text = String::from_utf8_lossy(&answer.body);
    let folded = text.to_ascii_lowercase();
    let has = |part: &String| folded.contains(&part.to_ascii_lowercase());
    if wanted.body_lacks.iter().any(|together| together.iter().all(has)) {
        return false;
    }
    let reads_tree = !(wanted.equals.is_empty() && wanted.present.is_empty() && wanted.absent.is_empty());
    if !reads_tree {
        return true;
    }
    let tree = serde_json::from_str(&text).ok().or_else(|| read_xml(&text).map(Value::Object));
    let Some(tree) = tree else { return false };
    let at = |path: &String| value_at(&tree, path).filter(|value| !value.is_null());
    wanted.equals.iter().all(|(path, value)| at(path) == Some(value))
        && wanted.present.iter().all(|path| at(path).is_some())
        && wanted.absent.iter().all(|path| at(path).is_none())
}

fn is_worth_repeating(answer: &Result<Answer, EgressError>) -> bool {
    match answer {
        Ok(answer) => answer.status.is_server_error(),
        Err(error) => !matches!(error, EgressError::Denied(_) | EgressError::RefusedRedirect(_)),
    }
}

/// The start of an answer in one line, without the credentials.
pub fn excerpt(body: &[u8], credentials: &Credentials) -> String {
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
