//! A proxied call from its control headers to the answer: the phases in order, and the loop of attempts.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use chrono::TimeDelta;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode, Uri};
use http_body::Body as _;

use super::body::{self, Demands, Outgoing};
use super::call_log::{CallLog, Exchanged};
use super::encoding::Accepted;
use super::entry::EntryHeaders;
use super::headers::{Ingredients, for_provider};
use super::redirect::{Guarded, Hop};
use super::request_names::RequestNames;
use super::resolve::{check_base, check_policy, replace, require_enabled, resolve};
use super::response::{Answer, Delivery};
use super::retry::{Failed, Rules, Wait, jitter};
use super::send::{Means, blame_body, send};
use super::sign::Signer;
use super::target::{Target, Unbuildable};
use super::trace;
use super::url::{Base, BaseOrigin, interpolate, query_pair};
use super::{Call, ProxyError};
use crate::app::SharedApp;
use crate::catalog::ProxySection;
use crate::egress::EgressError;
use crate::error::{ApiError, REQUEST_ID};
use crate::metrics::ProxySeries;
use crate::template::{Escape, Template, url_text};

/// All attempts together, waits included, until the final answer's head.
const WHOLE_CALL: Duration = Duration::from_secs(900);
/// A token younger than this is not refreshed because of a 401: the provider means something else.
const YOUNG: TimeDelta = TimeDelta::seconds(60);
/// Refreshing these tokens is the operator's decision, because each refresh extends the consent.
const NEVER_ON_401: [&str; 3] = ["facebook", "instagram", "threads"];

/// Makes the call. The answer streams: its body may still break after this returned.
pub async fn call(app: &SharedApp, call: Call<'_>, body: Body) -> Result<Response, ProxyError> {
    let mut log = CallLog::begin(app, &call);
    let outcome = if is_bounded(&call, &body) {
        run(app, &call, body, &mut log).await
    } else {
        let outcome = tokio::time::timeout(WHOLE_CALL, run(app, &call, body, &mut log)).await;
        outcome.unwrap_or_else(|_| {
            let legacy = app.config.proxy.legacy_errors;
            Err(ProxyError::no_answer(EgressError::Timeout, &call.method, legacy))
        })
    };
    match outcome {
        Ok((answer, delivery)) => {
            log.note_answer(answer.status.as_u16());
            Ok(answer.deliver(&delivery, log))
        }
        Err(error) => {
            log.note_names(&call);
            log.note_failure(error.code(), error.to_string());
            Err(error)
        }
    }
}

/// Whether only exchanges are waited for, each of which has a bound of its own: neither a client that sends its body slowly
/// nor pauses between attempts. The timer over everything would cost every call.
fn is_bounded(call: &Call<'_>, body: &Body) -> bool {
    call.control.retries == 0 && body.is_end_stream()
}

async fn run<'c>(
    app: &'c SharedApp,
    call: &'c Call<'_>,
    body: Body,
    log: &mut CallLog,
) -> Result<(Answer, Delivery<'c>), ProxyError> {
    if let Some(url) = call.control.base_url_override {
        check_base(app, url, BaseOrigin::Caller)?;
    }
    let target = resolve(app, call.environment, &call.control).await?;
    log.note_target(&target);
    let mut counted = Counted { series: &target.series, started: Instant::now(), status: None };
    let demands = demands(app, call, &target)?;
    let body = body::prepare(call, body, demands).await?;
    let attempts = Attempts { app, call, body };
    let answer = attempts.run(target.clone(), log).await;
    let answer = answer.map_err(|error| blame_body(error, &attempts.body, app.config.http.body_limit))?;
    counted.status = Some(answer.status);
    Ok((answer, attempts.delivery()))
}

/// Counts a call however it ends: a caller who went away, or a time-out, has no status.
struct Counted<'a> {
    series: &'a ProxySeries,
    started: Instant,
    status: Option<StatusCode>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.series.note(self.status, self.started.elapsed());
    }
}

/// What the body has to be read for.
///
/// # Errors
/// No request can be built for this target at all: known before a byte of the body is read.
fn demands(app: &SharedApp, call: &Call<'_>, target: &Target) -> Result<Demands, ProxyError> {
    let headers = entry_headers(target)?;
    target.identity.as_ref().map_err(Clone::clone)?;
    let signer = target.signer()?;
    if call.control.base_url_override.is_none() {
        target.base.as_ref().map_err(Clone::clone)?;
    }
    let entry = target.provider().and_then(|provider| provider.proxy.as_ref());
    let merge = entry.filter(|entry| !entry.body.is_empty()).map(|entry| {
        let namespace = target.namespace(&app.rng, app.clock.now());
        super::entry::body_values(entry, &namespace.context())
    });
    let needs_bytes = headers.reads_body && matches!(call.method, Method::POST | Method::PUT | Method::PATCH);
    let is_signed = signer.is_some_and(|signer| covers_body(&signer, call, target, headers));
    Ok(Demands { merge, needs_bytes, is_signed, limit: app.config.http.body_limit })
}

fn covers_body(signer: &Signer<'_>, call: &Call<'_>, target: &Target, entry: &EntryHeaders) -> bool {
    let content_types = [
        call.headers.get(CONTENT_TYPE),
        call.headers.get("nango-proxy-content-type"),
        entry.fixed.get(CONTENT_TYPE),
    ];
    let is_https = match call.control.base_url_override {
        Some(url) => url.starts_with("https://"),
        None => target.base.as_ref().is_ok_and(|base| base.url.scheme() == "https"),
    };
    signer.covers_body(&content_types, is_https)
}

fn entry_headers(target: &Target) -> Result<&EntryHeaders, Unbuildable> {
    if target.provider().is_none() {
        return Err(Unbuildable::UnknownProvider(target.integration.row.provider.clone()));
    }
    target.headers.as_ref().map_err(Clone::clone)
}

/// The attempts of one call.
struct Attempts<'a> {
    app: &'a SharedApp,
    call: &'a Call<'a>,
    body: Outgoing,
}

impl<'a> Attempts<'a> {
    async fn run(&self, mut target: Arc<Target>, log: &mut CallLog) -> Result<Answer, ProxyError> {
        let (mut attempt, mut was_renewed) = (0, false);
        loop {
            let mut outcome = self.attempt(&target, log).await;
            if !was_renewed
                && is_unauthorized(&outcome)
                && let Some(renewed) = self.renew(&target).await
            {
                was_renewed = true;
                target = renewed;
                continue;
            }
            let Some(wait) = self.wait_after(&target, &mut outcome, attempt).await else { return outcome };
            tracing::debug!(reason = %wait.reason, wait_ms = wait.time.as_millis(), attempt, "trying again");
            drop(outcome);
            trace::note_wait(wait.time);
            log.note_wait(wait.time);
            tokio::time::sleep(wait.time).await;
            attempt += 1;
            target = self.resolve_again().await?;
        }
    }

    async fn attempt(&self, target: &Target, log: &mut CallLog) -> Result<Answer, ProxyError> {
        let (hop, names) = self.build(target)?;
        let forwards_all = self
            .call
            .control
            .forward_headers_on_redirect
            .or_else(|| self.entry(target).map(|entry| entry.forward_headers_on_redirect))
            .unwrap_or(false);
        let guarded = Guarded { headers: &names.names, body: self.body.has_entry_values, forwards_all };
        let signer = target.signer()?.filter(|signer| signer.applies(&hop.headers));
        let means = Means { signer, client: target.identity.as_ref().ok().and_then(Option::as_ref) };
        let (uri, began) = (hop.uri.clone(), Instant::now());
        let outcome = send(self.app, hop, &self.body, &guarded, means).await.map(Answer::new);
        let result = outcome.as_ref().map(|answer| (answer.status.as_u16(), &answer.headers));
        let exchanged = Exchanged { uri, took: began.elapsed(), result };
        // Built once more, because the request went away with the attempt.
        log.note_attempt(exchanged, || self.build(target).map(|(hop, _)| hop.headers).unwrap_or_default());
        outcome
    }

    /// The request of this attempt, and what in it came from the entry.
    fn build<'t>(&self, target: &'t Target) -> Result<(Hop, &'t EntryHeaders), ProxyError> {
        let entry = entry_headers(target)?;
        let uri = self.uri(target)?;
        let decodes = self.decodes(target);
        let traces = self.app.config.proxy.trace_headers;
        let request_id = if traces { REQUEST_ID.try_with(Clone::clone).ok() } else { None };
        let ingredients = Ingredients {
            entry,
            context: None,
            client: self.call.headers,
            body: &self.body,
            decodes,
            traced: request_id.as_ref(),
        };
        let headers = if entry.varying.is_empty() {
            for_provider(&ingredients)
        } else {
            let names =
                RequestNames::of(&self.call.method, self.call.endpoint, &uri, self.call.headers, &self.body);
            let namespace = target.namespace(&self.app.rng, self.app.clock.now());
            let namespace = namespace.with_request(&names.pairs());
            for_provider(&Ingredients { context: Some(namespace.context()), ..ingredients })
        };
        let sends_body = !self.body.is_empty();
        Ok((Hop { method: self.call.method.clone(), uri, headers, sends_body }, entry))
    }

    fn uri(&self, target: &Target) -> Result<Uri, ProxyError> {
        let varies = self.call.endpoint.contains("${")
            || self.call.control.base_url_override.is_some_and(|url| url.contains("${"))
            || !target.query.varying.is_empty();
        let strict = self.app.config.proxy.strict_base_path;
        if !varies {
            let base = self.base(target, None)?;
            return Ok(base.join(self.call.endpoint, &target.query.fixed, strict)?);
        }
        let namespace = target.namespace(&self.app.rng, self.app.clock.now());
        let context = namespace.context();
        let base = self.base(target, Some(&context))?;
        let mut query = target.query.fixed.clone();
        for (name, template) in &target.query.varying {
            query.extend(template.resolve(&context).ok().map(|value| query_pair(name, &value)));
        }
        Ok(base.join(&interpolate(self.call.endpoint, &context), &query, strict)?)
    }

    /// The base of this call, allowed by the settings and the outbound policy.
    fn base<'t>(
        &self,
        target: &'t Target,
        context: Option<&crate::template::Context<'_>>,
    ) -> Result<Cow<'t, Base>, ProxyError> {
        let base = match (self.call.control.base_url_override, context) {
            (None, _) => Cow::Borrowed(target.base.as_ref().map_err(Clone::clone)?),
            (Some(url), None) => Cow::Owned(Base::parse(url, url, BaseOrigin::Caller)?),
            (Some(url), Some(context)) => {
                let template = Template::parse_lenient(url);
                let text = url_text(&template, context, Escape::Verbatim).map_err(Unbuildable::from)?;
                Cow::Owned(Base::parse(&text, url, BaseOrigin::Caller)?)
            }
        };
        require_enabled(self.app, base.origin)?;
        check_policy(self.app, &base.url)?;
        Ok(base)
    }

    fn entry<'t>(&self, target: &'t Target) -> Option<&'t ProxySection> {
        target.provider().and_then(|provider| provider.proxy.as_ref())
    }

    /// Whether everything is offered to the provider because the answer is decoded anyway.
    fn decodes(&self, target: &Target) -> bool {
        let listed = Accepted::of(self.call.headers);
        let entry_asks = self.entry(target).is_some_and(|entry| entry.decompress);
        self.call.control.decompress || (entry_asks && listed == Accepted::default())
    }

    fn delivery(&self) -> Delivery<'a> {
        Delivery {
            method: &self.call.method,
            accepted: Accepted::of(self.call.headers),
            decodes: self.call.control.decompress,
            forwards_cookies: self.app.config.proxy.forward_set_cookie,
            legacy_status: self.app.config.proxy.legacy_status,
        }
    }

    /// The target to repeat a 401 with, once: credentials that someone else just renewed, or that are renewed now. None when
    /// neither is possible; the 401 is then the answer.
    async fn renew(&self, target: &Target) -> Option<Arc<Target>> {
        let is_skipped = NEVER_ON_401.contains(&target.integration.row.provider.as_str());
        if !self.app.config.proxy.refresh_on_401 || is_skipped || !self.body.can_restart() {
            return None;
        }
        if !target.credentials.is_refreshable() {
            tracing::debug!(
                connection.id = target.connection.id.0,
                "the provider refused stored credentials"
            );
            return None;
        }
        let current = resolve(self.app, self.call.environment, &self.call.control).await.ok()?;
        if current.credentials != target.credentials {
            return Some(current);
        }
        let made_at = current.connection.last_refresh_success.unwrap_or(current.connection.created_at);
        if self.app.clock.now() - made_at < YOUNG {
            return None;
        }
        tracing::debug!(connection.id = current.connection.id.0, "refreshing because of a 401");
        replace(self.app, &current).await.ok()
    }

    /// How long to wait for the next attempt, if there is one.
    async fn wait_after(
        &self,
        target: &Target,
        outcome: &mut Result<Answer, ProxyError>,
        attempt: u32,
    ) -> Option<Wait> {
        if attempt >= self.call.control.retries || !self.body.can_restart() {
            return None;
        }
        let rules = Rules {
            entry: self.entry(target).map(|entry| &entry.retry),
            retry_on: &self.call.control.retry_on,
            network_codes: &self.app.config.proxy.retryable_network_errors,
        };
        let wait = match outcome {
            Err(ProxyError::NoAnswer { error, .. }) => rules.after_error(error, attempt)?,
            Err(ProxyError::Refused(_)) => return None,
            Ok(answer) if answer.status.is_success() => return None,
            Ok(answer) => {
                let read = if rules.reads_body() { Some(answer.peek().await) } else { None };
                let failed =
                    Failed { status: answer.status, headers: &answer.headers, body: read.as_deref() };
                rules.after_answer(&failed, attempt, self.app.clock.now())?
            }
        };
        Some(Wait { time: jitter(wait.time, self.app.rng.bytes::<1>()[0]), ..wait })
    }

    /// Credentials are looked at again before every attempt: they may have ended during the wait.
    async fn resolve_again(&self) -> Result<Arc<Target>, ProxyError> {
        let resolved = resolve(self.app, self.call.environment, &self.call.control).await;
        resolved.map_err(|error| {
            let message = format!("The credentials are not usable any more after a retry: {error}");
            ApiError::bad_request("failed_to_get_connection", message).into()
        })
    }
}

fn is_unauthorized(outcome: &Result<Answer, ProxyError>) -> bool {
    outcome.as_ref().is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED)
}
