//! One step: its request, and what is kept of the answer.

use serde_json::{Map, Value};

use super::pick;
use super::scope::Scope;
use super::value;
use crate::app::App;
use crate::catalog::{HookRequest, HookSource, HookStep, HookUrl, HookValue};
use crate::egress::EgressError;
use crate::proxy::{OwnCallError, excerpt, send_hook, with_context};

/// What a step brought.
#[derive(Default)]
pub(super) struct Found {
    pub set: Map<String, Value>,
    pub metadata: Map<String, Value>,
    pub unset: Vec<String>,
    /// Why a value is missing although nothing went wrong, for the log.
    pub note: Option<String>,
}

/// Why a step brought nothing.
pub(super) struct Trouble {
    /// Holds no value of the connection.
    pub message: String,
    /// The start of what the provider answered, for the log of operations only. Empty: nothing.
    pub said: String,
    /// Another attempt may help.
    pub is_passing: bool,
}

impl Trouble {
    pub fn passing(message: impl Into<String>) -> Self {
        Trouble { message: message.into(), said: String::new(), is_passing: true }
    }

    fn lasting(message: impl Into<String>) -> Self {
        Trouble { message: message.into(), said: String::new(), is_passing: false }
    }
}

/// Follows a step, if its conditions hold.
///
/// # Errors
/// The provider did not answer as the step wants.
pub(super) async fn follow(app: &App, scope: &mut Scope<'_>, step: &HookStep) -> Result<Found, Trouble> {
    let is_wanted = step.when.as_ref().is_none_or(|when| scope.holds(when))
        && !step.unless.as_ref().is_some_and(|unless| scope.holds(unless));
    if !is_wanted {
        let note = format!("{}: left out, because its condition does not hold.", name_of(step));
        return Ok(Found { note: Some(note), ..Found::default() });
    }
    let mut succeeded = false;
    if let Some(request) = &step.request {
        let tells_success = step.set.values().chain(step.set_metadata.values()).any(|value| value.succeeded);
        let answer = ask(app, scope, request, tells_success).await?;
        succeeded = answer.is_some();
        scope.set_answer(answer.unwrap_or_default());
    }
    let source = source(app, scope, step)?;
    let read = |rules: &indexmap::IndexMap<String, HookValue>| {
        with_context(app, scope.on_behalf(), |context| {
            let keep = |(name, rule): (&String, &HookValue)| {
                let value = value::read(rule, &source, succeeded, context, app.clock.now())?;
                Some((name.clone(), value))
            };
            rules.iter().filter_map(keep).collect()
        })
    };
    let (set, metadata) = (read(&step.set), read(&step.set_metadata));
    let note = note_missing(step, &set, &metadata);
    Ok(Found { set, metadata, unset: step.unset.clone(), note })
}

/// Names what was looked for and not found.
fn note_missing(step: &HookStep, set: &Map<String, Value>, metadata: &Map<String, Value>) -> Option<String> {
    let wanted = step.set.keys().filter(|name| !set.contains_key(*name));
    let missing: Vec<String> = wanted
        .chain(step.set_metadata.keys().filter(|name| !metadata.contains_key(*name)))
        .map(|name| format!("`{name}`"))
        .collect();
    (!missing.is_empty()).then(|| format!("{}: no value for {}.", name_of(step), missing.join(", ")))
}

/// What a step does, for people: its request, or where it reads.
fn name_of(step: &HookStep) -> String {
    match &step.request {
        Some(request) => described(request),
        None => format!("A look at {}", place_of(step.source)),
    }
}

fn place_of(source: HookSource) -> &'static str {
    match source {
        HookSource::Answer => "the last answer",
        HookSource::Picked => "what was picked of the last answer",
        HookSource::Jwt => "the claims of the access token",
        HookSource::RawToken => "the answer of the token endpoint",
        HookSource::Credentials => "the credentials",
        HookSource::Config => "the connection config",
    }
}

/// Where the step reads, once its `select` has picked.
fn source(app: &App, scope: &mut Scope<'_>, step: &HookStep) -> Result<Value, Trouble> {
    let reads = step.select.is_some() || !(step.set.is_empty() && step.set_metadata.is_empty());
    if !reads {
        return Ok(Value::Null);
    }
    let source = scope.source(step.source);
    let source = source.ok_or_else(|| {
        Trouble::lasting(format!("{} cannot be read: there is none", place_of(step.source)))
    })?;
    let Some(select) = &step.select else { return Ok(source) };
    let picked = with_context(app, scope.on_behalf(), |context| pick::select(&source, select, context));
    let picked = picked.ok_or_else(|| Trouble::lasting(format!("{}: nothing fits", name_of(step))))?;
    scope.set_picked(picked.clone());
    Ok(picked)
}

/// The answer as JSON, `Null` when it is none. None: the provider said no, where that is an answer too.
async fn ask(
    app: &App,
    scope: &Scope<'_>,
    request: &HookRequest,
    may_refuse: bool,
) -> Result<Option<Value>, Trouble> {
    let name = described(request);
    let answer = send_hook(app, scope.on_behalf(), request).await.map_err(|error| Trouble {
        message: format!("{name}: {error}"),
        said: String::new(),
        is_passing: is_passing(&error),
    })?;
    let status = answer.status;
    if status.is_success() {
        return Ok(Some(serde_json::from_slice(&answer.body).unwrap_or_default()));
    }
    if may_refuse && status.is_client_error() {
        return Ok(None);
    }
    let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let said = excerpt(&answer.body, scope.on_behalf().credentials);
    Err(Trouble { message: format!("{name} answered {}", status.as_u16()), said, is_passing })
}

/// Whether the same call may be answered another time.
fn is_passing(error: &OwnCallError) -> bool {
    match error {
        OwnCallError::NoAnswer(error) => !matches!(
            error,
            EgressError::Denied(_) | EgressError::RefusedRedirect(_) | EgressError::TooLarge { .. }
        ),
        OwnCallError::Unbuildable(_) => false,
    }
}

/// The request as the entry writes it, so that no value of the connection is told.
fn described(request: &HookRequest) -> String {
    let url = match &request.url {
        HookUrl::Absolute(template) => template.source().to_owned(),
        HookUrl::Below(template) => {
            let path = template.source().strip_prefix(HookUrl::BELOW).unwrap_or_default();
            format!("/{}", path.trim_start_matches('/'))
        }
    };
    format!("{} {url}", http::Method::from(request.method))
}
