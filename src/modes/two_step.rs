//! TWO_STEP: a token that a provider's own login gives for what an end user submitted, in one request or several (`spec`
//! auth-flows, section 5.9; providers, section 8.4). Renewing it is a refresh where the entry describes one, else another
//! login.

mod answer;
mod assertion;
mod kept_headers;
mod lifetime;
mod request;
mod saml;

use std::time::Duration;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::answer::{Answered, token_at};
use self::kept_headers::KeptHeaders;
use self::request::{Phase, Step};
use super::signed_jwt::sign_token;
use super::{Renewed, provider_of};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::Provider;
use crate::integrations::OpenIntegration;
use crate::oauth::{Kinds, TokenError, pick_metadata, with_operator_defaults};
use crate::template::{Context, Template};

const FETCH: &str = "two_step_credentials_fetch_error";
const INVALID: &str = "invalid_two_step_credentials";
const INCOMPLETE: &str = "incomplete_raw_credentials";
const KINDS: Kinds = Kinds { refused: FETCH, unreadable: INVALID };
/// Of all requests of one login or refresh together: they must end before the lease of a refresh does.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Members of the stored object that no submitted field and no response header may be called.
const RESERVED: [&str; 6] = ["type", "token", "refresh_token", "expires_at", "raw", OPTIONS];
/// The end user's inputs for an assertion, kept where they are needed to build another one. Never shown.
const OPTIONS: &str = Credentials::HIDDEN_OPTIONS;

/// Logs in with what an end user submitted. The returned connection config holds the metadata of the answer.
///
/// # Errors
/// `two_step_credentials_fetch_error` with the provider's words, `invalid_two_step_credentials` or
/// `incomplete_raw_credentials` when its answer is of no use; before anything was sent `invalid_connection_config` and the
/// codes of assertions and signed tokens.
pub async fn log_in(
    app: &App,
    integration: &OpenIntegration,
    submitted: &Map<String, Value>,
    options: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let provider = provider_of(integration, FETCH)?;
    let login = Login {
        app,
        provider,
        config: with_operator_defaults(integration, config),
        operator: operator_fields(integration, provider),
        fields: submitted.clone(),
        options: options.clone(),
        now: app.clock.now(),
        deadline: Instant::now() + TIME_LIMIT,
    };
    let old_refresh_token = submitted.get("refresh_token").and_then(Value::as_str);
    let (credentials, bodies) = login.run(Phase::Login, Map::new(), old_refresh_token).await?;
    let metadata = bodies.iter().filter_map(Value::as_object);
    let metadata = metadata.flat_map(|body| pick_metadata(body, &provider.token_response_metadata));
    Ok(Renewed { credentials, connection_config: metadata.collect() })
}

/// A successor of stored credentials: by their refresh token where the entry says how, else by another login. A refresh token
/// that the provider refuses is followed by a login, because everything it needs is stored.
///
/// # Errors
/// As [`log_in`].
pub async fn renew(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let Credentials::TwoStep { token, refresh_token, fields, .. } = credentials else {
        return Err(TokenError::new(FETCH, "Only TWO_STEP credentials are renewed by a login."));
    };
    let provider = provider_of(integration, FETCH)?;
    let options = fields.get(OPTIONS).and_then(Value::as_object).cloned().unwrap_or_default();
    let login = Login {
        app,
        provider,
        config: with_operator_defaults(integration, config),
        operator: operator_fields(integration, provider),
        fields: fields.clone(),
        options,
        now: app.clock.now(),
        deadline: Instant::now() + TIME_LIMIT,
    };
    let old = refresh_token.as_deref().filter(|token| !token.is_empty());
    let (credentials, bodies) = match old.filter(|_| has_refresh(provider)) {
        None => login.run(Phase::Login, Map::new(), old).await?,
        Some(refresh_token) => {
            let held = Map::from_iter([
                ("token".to_owned(), token.clone()),
                ("refresh_token".to_owned(), refresh_token.into()),
            ]);
            match login.run(Phase::Refresh, held, old).await {
                Err(error) if login.may_follow(&error) => login.run(Phase::Login, Map::new(), None).await?,
                outcome => outcome?,
            }
        }
    };
    let metadata = bodies.iter().filter_map(Value::as_object);
    let metadata = metadata.flat_map(|body| pick_metadata(body, &provider.refresh_token_response_metadata));
    Ok(Renewed { credentials, connection_config: metadata.collect() })
}

/// What end users typed, with the defaults of what they left out.
pub fn with_defaults(provider: &Provider, submitted: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = submitted.clone();
    for (name, schema) in &provider.credentials {
        if let Some(default) = schema.default_value.as_ref().filter(|_| !fields.contains_key(name)) {
            fields.insert(name.clone(), default.as_str().into());
        }
    }
    fields
}

/// Fields that the operator filled in for everybody: they win over what end users submit and are not stored with the
/// connection.
pub fn operator_fields(integration: &OpenIntegration, provider: &Provider) -> Map<String, Value> {
    let set = provider.integration_config.keys().filter_map(|name| {
        let value = integration.custom.get(name).filter(|value| value.as_str() != Some(""))?;
        Some((name.clone(), value.clone()))
    });
    set.collect()
}

fn has_refresh(provider: &Provider) -> bool {
    provider.refresh_token_params.is_some() || provider.refresh_token_headers.is_some()
}

/// One login or refresh. Deliberately without `Debug`.
struct Login<'a> {
    app: &'a App,
    provider: &'a Provider,
    config: Map<String, Value>,
    operator: Map<String, Value>,
    /// What was submitted, or what is stored.
    fields: Map<String, Value>,
    options: Map<String, Value>,
    now: DateTime<Utc>,
    /// Of all requests, a refused refresh and the login after it included.
    deadline: Instant,
}

impl Login<'_> {
    /// Asks the provider within the time limit; also gives the bodies of its answers.
    async fn run(
        &self,
        phase: Phase,
        held: Map<String, Value>,
        old_refresh_token: Option<&str>,
    ) -> Result<(Credentials, Vec<Value>), TokenError> {
        let asking = self.ask(phase, held, old_refresh_token);
        let too_long = |_| TokenError::new(FETCH, "The login took longer than 30 seconds.");
        tokio::time::timeout_at(self.deadline, asking).await.map_err(too_long)?
    }

    async fn ask(
        &self,
        phase: Phase,
        held: Map<String, Value>,
        old_refresh_token: Option<&str>,
    ) -> Result<(Credentials, Vec<Value>), TokenError> {
        let mut known = self.known(held)?;
        let mut kept = KeptHeaders::new(self.provider);
        let mut bodies = Vec::new();
        let mut last = None;
        for step in Step::all(self.provider, phase)? {
            if phase == Phase::Login {
                self.add_assertion(&mut known)?;
            }
            let answered: Answered = step.send(self, &known, &bodies, last.as_ref()).await?;
            kept.read(answered.headers());
            known.extend(kept.fields());
            bodies.push(answered.body.clone());
            last = Some(answered);
        }
        let Some(last) = last else { return Err(TokenError::new(FETCH, "There is nothing to ask.")) };
        let credentials = self.credentials(&last, &known, &kept, old_refresh_token)?;
        Ok((credentials, bodies))
    }

    /// The names that templates know at the start.
    fn known(&self, held: Map<String, Value>) -> Result<Map<String, Value>, TokenError> {
        let mut known = self.fields.clone();
        known.extend(held);
        known.extend(self.operator.clone());
        if self.provider.signature.is_some() {
            let random = self.random();
            let signed = sign_token(self.provider, &self.context(&known, &random), self.now)?;
            known.insert("token".to_owned(), signed.token.into());
        }
        Ok(known)
    }

    /// An assertion that is good for the next request. One that can be used again is kept until it is about to end.
    fn add_assertion(&self, known: &mut Map<String, Value>) -> Result<(), TokenError> {
        let Some(entry) = &self.provider.assertion else { return Ok(()) };
        let held = known.get("assertion").and_then(Value::as_str);
        if !entry.single_use && held.is_some_and(|held| assertion::is_good(held, self.now)) {
            return Ok(());
        }
        let random = self.random();
        let context = self.context(known, &random).assertion_option(&self.options);
        let fresh = assertion::build(entry, &context, self.now, &self.app.rng.hex(16))?;
        known.insert("assertion".to_owned(), fresh.into());
        Ok(())
    }

    fn context<'c>(&'c self, known: &'c Map<String, Value>, random: &'c str) -> Context<'c> {
        Context::new(self.now, random).flat_connection_config(&self.config).credentials(known)
    }

    fn random(&self) -> String {
        self.app.rng.uuid().to_string()
    }

    fn credentials(
        &self,
        last: &Answered,
        known: &Map<String, Value>,
        kept: &KeptHeaders,
        old_refresh_token: Option<&str>,
    ) -> Result<Credentials, TokenError> {
        let rule = &self.provider.token_response;
        let token = token_at(last, rule.token.as_deref())?;
        let refresh_token = rule.refresh_token.as_deref().and_then(|path| last.text_at(path));
        // The old one stays good unless the provider rotated it.
        let refresh_token = refresh_token.or_else(|| old_refresh_token.map(str::to_owned));
        let expires_at =
            lifetime::ends_at(self.provider, &last.body, &token, refresh_token.as_deref(), self.now);
        Ok(Credentials::TwoStep {
            token,
            refresh_token,
            expires_at,
            raw: last.body.clone(),
            fields: self.stored_fields(known, kept),
        })
    }

    fn stored_fields(&self, known: &Map<String, Value>, kept: &KeptHeaders) -> Map<String, Value> {
        let is_stored =
            |name: &String| !self.operator.contains_key(name) && !RESERVED.contains(&name.as_str());
        let submitted = self.fields.iter().filter(|(name, _)| is_stored(name));
        let mut stored: Map<String, Value> =
            submitted.map(|(name, value)| (name.clone(), value.clone())).collect();
        stored.extend(kept.fields());
        let Some(entry) = &self.provider.assertion else { return stored };
        stored.remove("assertion");
        if let Some(assertion) = known.get("assertion").filter(|_| !entry.single_use) {
            stored.insert("assertion".to_owned(), assertion.clone());
        }
        if !self.options.is_empty() && !has_refresh(self.provider) {
            stored.insert(OPTIONS.to_owned(), Value::Object(self.options.clone()));
        }
        stored
    }

    /// Whether a login is worth a try after the provider refused a refresh token: its inputs are stored.
    fn may_follow(&self, error: &TokenError) -> bool {
        let is_refusal = error.status.is_some_and(|status| (400..500).contains(&status) && status != 429);
        is_refusal && self.provider.assertion.is_none()
    }
}

/// Templates by header name.
type Headers = IndexMap<String, Template>;
