//! Asking for tokens: the request, what is exceptional about the provider, and its further calls. Used by the exchange of a
//! code and by the refresh.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::TokenError;
use super::answer::{Kinds, without_token};
use super::exception::{Exception, Phase, ResponseRule, Step};
use super::token_call::{Client, TokenCall, token_endpoint};
use super::tokens::{Tokens, expiry, lookup, read_tokens, tokens_in};
use crate::app::App;
use crate::auth::AuthMode;
use crate::catalog::{AuthorizationMethod, BodyFormat, ExpiryUnit, Provider, SkipEncode, TokenAuthMethod};
use crate::template::{Context, Escape, Template};

/// Of each call when there are several: together they must end before the lease of a refresh does.
const SHARED_LIMIT: Duration = Duration::from_secs(12);

/// Who asks whom, and with what.
pub struct Grant<'a> {
    pub provider: &'a Provider,
    pub exception: &'a Exception,
    pub client: Client<'a>,
    pub phase: Phase,
    pub kinds: Kinds,
    /// The connection config as templates see it.
    pub config: &'a Map<String, Value>,
    /// `{"raw": ...}` with the answer before this one.
    pub old: &'a Map<String, Value>,
    /// The refresh token before this answer.
    pub refresh_token: Option<&'a str>,
    pub now: DateTime<Utc>,
    pub random: &'a str,
}

/// What came of it.
pub struct Granted {
    pub tokens: Tokens,
    /// The first answer, where metadata is looked for.
    pub answer: Map<String, Value>,
    /// What belongs into the connection config.
    pub connection_config: Map<String, Value>,
}

impl<'a> Grant<'a> {
    /// The names that templates of this grant know, besides `extras`.
    pub fn context<'c>(&'c self, extras: &'c [(&'c str, &'c str)]) -> Context<'c> {
        Context::new(self.now, self.random)
            .flat_connection_config(self.config)
            .credentials(self.old)
            .extras(extras)
    }

    /// An empty request to `url`, or to the token URL when that is absent.
    pub fn call(&self, url: Option<&Template>, context: &Context<'_>) -> Result<TokenCall, TokenError> {
        let provider = self.provider;
        let missing =
            || TokenError::new("missing_token_url", "The provider has no token URL in the catalog.");
        let template = url.or_else(|| provider.token_url_for(AuthMode::OAuth2)).ok_or_else(missing)?;
        let is_verbatim = provider.token_url_skip_encode.contains(&SkipEncode::BaseUrl);
        let escape = if is_verbatim { Escape::Verbatim } else { Escape::Component };
        let url = token_endpoint(template, context, escape)?;
        let is_json = provider.body_format == Some(BodyFormat::Json);
        let mut call =
            TokenCall::post(url, if is_json { BodyFormat::Json } else { BodyFormat::Form }, self.kinds);
        call.ok_when.clone_from(&self.exception.token_response.ok_when);
        if self.exception.steps(self.phase).next().is_some() {
            call.time_limit = SHARED_LIMIT;
        }
        Ok(call)
    }

    /// Proves the client as the catalog entry says (`spec` auth-flows, section 5.1.2).
    pub fn authenticate(&self, call: &mut TokenCall) {
        // A client that registered itself has a secret only when the server wanted one (RFC 7591, section 2).
        if self.client.secret.is_empty() && self.provider.mode() == Some(AuthMode::McpOAuth2) {
            call.set("client_id", self.client.id);
            return;
        }
        if self.provider.authorization_method == AuthorizationMethod::Header {
            call.authenticate_basic_encoded(self.client);
        } else {
            call.authenticate_in_body(self.client);
        }
        if self.provider.token_request_auth_method == Some(TokenAuthMethod::Basic) {
            // Wire: in addition to the body, and unencoded.
            call.authenticate_basic(self.client.id, self.client.secret);
        }
    }

    /// Sends the request, and the further calls of the provider.
    pub async fn ask(&self, app: &App, call: TokenCall) -> Result<Granted, TokenError> {
        let answer = call.send(app).await?;
        let mut granted = Granted { tokens: self.read(&answer)?, answer, connection_config: Map::new() };
        self.keep_old_members(&mut granted.tokens.raw);
        for step in self.exception.steps(self.phase) {
            match self.run(app, step, &mut granted).await {
                Err(error) if step.optional => {
                    tracing::warn!(
                        provider = self.provider.name,
                        error.reason = error.message,
                        "an optional token call failed"
                    );
                }
                outcome => outcome?,
            }
        }
        Ok(granted)
    }

    fn read(&self, answer: &Map<String, Value>) -> Result<Tokens, TokenError> {
        let rule = &self.exception.token_response;
        let tokens = match reshaped(rule, answer) {
            Some(holder) => {
                tokens_in(&holder, self.now).map(|tokens| tokens.with_raw(answer.clone(), self.now))
            }
            None => {
                let alternate = self.provider.alternate_access_token_response_path.as_deref();
                read_tokens(answer.clone(), alternate, self.now)
            }
        };
        let mut tokens = tokens.ok_or_else(|| without_token(answer, self.kinds))?;
        tokens.expires_at = self.lifetime_by_rule(&tokens);
        Ok(tokens)
    }

    fn lifetime_by_rule(&self, tokens: &Tokens) -> Option<DateTime<Utc>> {
        let rule = &self.exception.token_response;
        let after = |seconds: i64| self.now.checked_add_signed(TimeDelta::try_seconds(seconds)?);
        if let Some(seconds) = rule.fixed_expires_in {
            return after(seconds);
        }
        let other = rule.sooner_of.as_deref().and_then(|path| lookup(&tokens.raw, path)?.as_object());
        let other = other.and_then(|holder| expiry(holder, ExpiryUnit::Seconds, self.now));
        let known = match (tokens.expires_at, other) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        known.or_else(|| after(rule.default_expires_in?))
    }

    fn keep_old_members(&self, raw: &mut Map<String, Value>) {
        for name in &self.exception.token_response.keep_raw {
            let old = self.old.get("raw").and_then(|raw| raw.get(name));
            if let Some(old) = old.filter(|_| !raw.contains_key(name)) {
                raw.insert(name.clone(), old.clone());
            }
        }
    }

    async fn run(&self, app: &App, step: &Step, granted: &mut Granted) -> Result<(), TokenError> {
        let access_token = granted.tokens.access_token.clone();
        let refresh_token = granted.tokens.refresh_token.clone();
        let refresh_token = refresh_token.as_deref().or(self.refresh_token).unwrap_or_default();
        let extras = [
            ("clientId", self.client.id),
            ("clientSecret", self.client.secret),
            ("accessToken", access_token.as_str()),
            ("refreshToken", refresh_token),
        ];
        let context = self.context(&extras);
        if !step.applies(&context) {
            return Ok(());
        }
        let mut call = self.call(step.url.as_ref(), &context)?;
        call.ok_when = None;
        step.fill(&mut call, self.client, &context)?;
        // The token that this very refresh used up belongs to the same grant.
        let is_used_up =
            self.refresh_token.is_some_and(|used| call.params.get("refresh_token") == Some(&used.into()));
        if is_used_up && step.into_raw.is_some() {
            return Ok(());
        }
        let answer = call.send(app).await?;
        self.merge(step, answer, granted)
    }

    fn merge(
        &self,
        step: &Step,
        answer: Map<String, Value>,
        granted: &mut Granted,
    ) -> Result<(), TokenError> {
        let new =
            read_tokens(answer.clone(), None, self.now).ok_or_else(|| without_token(&answer, self.kinds))?;
        if let Some(name) = &step.into_config {
            granted.connection_config.insert(name.clone(), Value::Object(new.raw));
        } else if let Some(name) = &step.into_raw {
            let mut merged =
                granted.tokens.raw.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
            merged.extend(answer);
            granted.tokens.raw.insert(name.clone(), Value::Object(merged));
            granted.tokens.expires_at = self.lifetime_by_rule(&granted.tokens);
        } else {
            granted.tokens.access_token = new.access_token;
            granted.tokens.expires_at = new.expires_at.or(granted.tokens.expires_at);
            granted.tokens.raw.extend(new.raw);
        }
        Ok(())
    }
}

/// The members of an answer under their usual names; `None` when they have them already.
fn reshaped(rule: &ResponseRule, answer: &Map<String, Value>) -> Option<Map<String, Value>> {
    let names = [
        ("access_token", &rule.access_token),
        ("refresh_token", &rule.refresh_token),
        ("expires_at", &rule.expires_at),
    ];
    if rule.at.is_none() && names.iter().all(|(_, path)| path.is_none()) {
        return None;
    }
    let inner = rule.at.as_deref().and_then(|path| lookup(answer, path)).and_then(Value::as_object);
    let mut holder = inner.unwrap_or(answer).clone();
    for (name, path) in names {
        if let Some(value) = path.as_deref().and_then(|path| lookup(&holder, path)).cloned() {
            holder.insert(name.to_owned(), value);
        }
    }
    Some(holder)
}
