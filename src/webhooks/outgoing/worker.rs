//! Sends what is due: claims queues, sends from each in order, and writes down what came of it. No connection to the database
//! is held while a receiver is asked.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sqlx::PgConnection;
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use super::address::{Addressed, current_address};
use super::content::open_content;
use super::log::{self, Told};
use super::outbox::Entered;
use super::schedule::{Schedule, Tried};
use super::send::{Sent, Verdict, request_headers, send};
use super::signature::SigningKeys;
use crate::app::{App, SharedApp};
use crate::crypto::CryptoError;
use crate::db::api_keys::{self, KeyKind};
use crate::db::webhook_attempts::{self, Attempt};
use crate::db::webhook_deliveries::{self as deliveries, DeliveryState, Outcome, Waiting};
use crate::db::webhook_queues::{self, Claim, Claimed};
use crate::db::webhook_settings::{self, WebhookSettings};
use crate::db::{EnvironmentId, webhook_endpoints};

/// What a lease is longer than a time-out: the time to write the result.
const LEASE_MARGIN: TimeDelta = TimeDelta::seconds(10);
/// Deliveries of one queue that are sent in a row before others get their turn.
const IN_A_ROW: usize = 20;

/// Why a queue was left before its end.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Sends until the server stops: at once what this process queued, and every second what is due for any other reason.
pub async fn run(app: SharedApp) {
    let mut poll = polling(app.config.webhooks.poll);
    loop {
        let rung = tokio::select! {
            () = app.lifecycle.stopping.cancelled() => return,
            rung = app.outbox.rung() => Some(rung),
            () = tick(&mut poll) => None,
        };
        match claim(&app, rung.as_deref()).await {
            Ok(queues) => queues.into_iter().for_each(|queue| spawn(&app, queue)),
            Err(error) => tracing::warn!(error = %error, "webhooks could not be read; they stay queued"),
        }
    }
}

fn polling(every: Duration) -> Option<Interval> {
    let mut interval = (!every.is_zero()).then(|| interval(every))?;
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(interval)
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn spawn(app: &SharedApp, queue: Leased) {
    let app = app.clone();
    app.lifecycle.tasks.clone().spawn(async move {
        let environment = queue.claimed.environment_id;
        deliver(&app, queue).await;
        // There may be more than there was room for.
        app.outbox.ring(environment);
    });
}

/// Sends everything that is due in one environment, and returns when nothing is.
pub async fn deliver_due(app: &App, environment: EnvironmentId) -> sqlx::Result<()> {
    loop {
        let queues = claim(app, Some(&[environment])).await?;
        if queues.is_empty() {
            return Ok(());
        }
        join_all(queues.into_iter().map(|queue| deliver(app, queue))).await;
    }
}

/// A queue that is this task's until its lease ends.
struct Leased {
    claimed: Claimed,
    owner: Uuid,
    _entered: Entered,
}

async fn claim(app: &App, environments: Option<&[EnvironmentId]>) -> sqlx::Result<Vec<Leased>> {
    let room = app.outbox.room();
    if room.in_total <= 0 {
        return Ok(Vec::new());
    }
    let (now, owner) = (app.clock.now(), app.rng.uuid());
    let claim = Claim {
        environments,
        owner,
        lease_until: lease_end(app, now),
        per_endpoint: room.per_endpoint,
        in_total: room.in_total,
        busy: (&room.endpoints, &room.queues),
        breakers_since: now - app.config.webhooks.breaker.reset_after,
        now,
    };
    let claimed = webhook_queues::claim(&app.db, claim).await?;
    let leased =
        |claimed: Claimed| Leased { _entered: app.outbox.enter(claimed.endpoint_id), claimed, owner };
    Ok(claimed.into_iter().map(leased).collect())
}

fn lease_end(app: &App, now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::from_std(app.config.webhooks.timeout).unwrap_or(TimeDelta::hours(1)) + LEASE_MARGIN
}

async fn deliver(app: &App, queue: Leased) {
    if let Err(error) = deliver_in_order(app, &queue).await {
        // The lease ends by itself, and the queue is tried again.
        tracing::error!(environment.id = queue.claimed.environment_id.0, error = %error, "webhooks could not be sent");
    }
}

async fn deliver_in_order(app: &App, queue: &Leased) -> Result<(), WorkError> {
    let environment = queue.claimed.environment_id;
    let Some(sender) = find_sender(app, environment).await? else { return Ok(abandon(app, queue).await?) };
    for _ in 0..IN_A_ROW {
        let Some(next) = find_next(app, queue, &sender.settings).await? else { break };
        if next.waiting.held_until.is_some_and(|until| until > app.clock.now()) {
            let (id, owner) = (queue.claimed.id, queue.owner);
            return Ok(webhook_queues::release_held(&app.db, id, owner, app.clock.now()).await?);
        }
        let operation = log::operation(app, &Told::of_waiting(environment, &next.waiting));
        let sent = match &next.url {
            Some(url) => operation.watch(attempt(app, url, &next.waiting, &sender.keys)).await?,
            None => Sent::without_address(),
        };
        let recorded = record(app, queue, &next, &sent).await?;
        log::conclude(&operation, &sent, recorded.next_attempt_at);
        if !recorded.continues {
            return Ok(());
        }
        if app.lifecycle.stopping.is_cancelled() {
            break;
        }
    }
    Ok(webhook_queues::release(&app.db, queue.claimed.id, queue.owner, app.clock.now()).await?)
}

/// What the deliveries of an environment have in common.
struct Sender {
    keys: SigningKeys,
    settings: WebhookSettings,
}

/// `None`: the environment is gone.
async fn find_sender(app: &App, environment: EnvironmentId) -> Result<Option<Sender>, WorkError> {
    let _turn = app.outbox.turn().await;
    let kind = KeyKind::WebhookSigning;
    let Some(sealed) = api_keys::find_secret(&app.db, environment, kind).await? else { return Ok(None) };
    let retired = api_keys::find_retired_secret(&app.db, environment, app.clock.now()).await?;
    let previous = retired.map(|sealed| app.cipher.open_text(&sealed)).transpose()?;
    let keys = SigningKeys { current: app.cipher.open_text(&sealed)?, previous };
    Ok(Some(Sender { keys, settings: webhook_settings::find(&app.db, environment).await? }))
}

/// The first delivery of a queue.
struct Next {
    waiting: Waiting,
    /// Where it goes now; `None`: the address was taken away.
    url: Option<String>,
}

async fn find_next(app: &App, queue: &Leased, settings: &WebhookSettings) -> Result<Option<Next>, WorkError> {
    let _turn = app.outbox.turn().await;
    let Some(waiting) = deliveries::find_first(&app.db, queue.claimed.id).await? else { return Ok(None) };
    let addressed = Addressed {
        environment: queue.claimed.environment_id,
        target: waiting.target,
        provider_config_key: &waiting.provider_config_key,
        connection_id: waiting.connection_id.as_deref(),
        url: &waiting.url,
    };
    let url = current_address(&app.db, settings, addressed).await?;
    Ok(Some(Next { waiting, url }))
}

async fn attempt(app: &App, url: &str, waiting: &Waiting, keys: &SigningKeys) -> Result<Sent, CryptoError> {
    let content = open_content(&app.cipher, &waiting.sealed_content)?;
    let headers = request_headers(&content, keys, waiting.uuid);
    Ok(send(app, url, headers, content.body).await)
}

/// What an attempt led to.
struct Recorded {
    /// The queue is still this task's, and its next delivery may go.
    continues: bool,
    next_attempt_at: Option<DateTime<Utc>>,
}

/// Writes down what an attempt came to.
async fn record(app: &App, queue: &Leased, next: &Next, sent: &Sent) -> Result<Recorded, WorkError> {
    let _turn = app.outbox.turn().await;
    let now = app.clock.now();
    let waiting = &next.waiting;
    let (state, next_attempt_at) = judge(app, waiting, sent, now);
    let mut transaction = app.db.begin().await?;
    let outcome = Outcome {
        id: waiting.id,
        url: next.url.as_deref().unwrap_or(&waiting.url),
        state,
        status: status_of(sent),
        error: sent.error.as_deref(),
        next_attempt_at,
        now,
    };
    let Some(number) = deliveries::note_attempt(&mut *transaction, outcome).await? else {
        // Somebody else finished it after this lease had ended.
        return Ok(Recorded { continues: false, next_attempt_at });
    };
    let attempt = describe(app, number, sent, now)?;
    webhook_attempts::insert(&mut *transaction, waiting.id, &attempt).await?;
    let continues = move_queue(app, &mut transaction, queue, next_attempt_at, now).await?;
    note_health(app, &mut transaction, queue, sent, now).await?;
    transaction.commit().await?;
    tell_process_log(queue, waiting, sent, state);
    Ok(Recorded { continues, next_attempt_at })
}

fn status_of(sent: &Sent) -> Option<i16> {
    sent.status.and_then(|status| i16::try_from(status.as_u16()).ok())
}

fn describe(app: &App, number: i32, sent: &Sent, now: DateTime<Utc>) -> Result<Attempt, CryptoError> {
    let excerpt = sent.excerpt.as_ref().filter(|excerpt| !excerpt.is_empty());
    Ok(Attempt {
        number,
        started_at: now - TimeDelta::from_std(sent.duration).unwrap_or_default(),
        duration_ms: i32::try_from(sent.duration.as_millis()).unwrap_or(i32::MAX),
        status: status_of(sent),
        error: sent.error.clone(),
        sealed_answer: excerpt.map(|excerpt| app.cipher.seal(excerpt)).transpose()?,
    })
}

/// The queue waits with its first delivery, or goes on without it. `true`: it is still this task's.
async fn move_queue(
    app: &App,
    db: &mut PgConnection,
    queue: &Leased,
    next_attempt_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let id = queue.claimed.id;
    if let Some(next) = next_attempt_at {
        webhook_queues::release(&mut *db, id, queue.owner, next).await?;
        return Ok(false);
    }
    let is_ours = webhook_queues::renew(&mut *db, id, queue.owner, lease_end(app, now)).await?;
    webhook_queues::shorten(db, id).await?;
    Ok(is_ours)
}

/// Tells the circuit breaker. A receiver that refuses an event is in good health.
async fn note_health(
    app: &App,
    db: &mut PgConnection,
    queue: &Leased,
    sent: &Sent,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let endpoint = queue.claimed.endpoint_id;
    match sent.verdict {
        Verdict::Retry { .. } => {
            webhook_endpoints::note_failure(db, endpoint, app.config.webhooks.breaker, now).await
        }
        Verdict::Delivered | Verdict::Failed | Verdict::Refused => {
            webhook_endpoints::note_success(db, endpoint, now).await
        }
    }
}

/// The delivery's state after an attempt, and when the next one is.
fn judge(
    app: &App,
    waiting: &Waiting,
    sent: &Sent,
    now: DateTime<Utc>,
) -> (DeliveryState, Option<DateTime<Utc>>) {
    let retry_after = match sent.verdict {
        Verdict::Delivered => return (DeliveryState::Delivered, None),
        Verdict::Failed => return (DeliveryState::Failed, None),
        Verdict::Refused => return (DeliveryState::Refused, None),
        Verdict::Retry { after } => after,
    };
    let config = &app.config.webhooks;
    let schedule = Schedule { quick_retries: config.quick_retries, max_age: config.max_age };
    let tried = Tried {
        tries: waiting.tries.saturating_add(1),
        queued_at: waiting.queued_at,
        retry_after,
        jitter: f64::from(u16::from_ne_bytes(app.rng.bytes())) / f64::from(u16::MAX),
    };
    match schedule.next(tried, now) {
        Some(next) => (DeliveryState::Waiting, Some(next)),
        None => (DeliveryState::Failed, None),
    }
}

fn tell_process_log(queue: &Leased, waiting: &Waiting, sent: &Sent, state: DeliveryState) {
    let status = sent.status.map(|status| status.as_u16());
    let environment = queue.claimed.environment_id.0;
    if state == DeliveryState::Delivered {
        tracing::debug!(environment.id = environment, delivery.id = %waiting.uuid, status, "a webhook was delivered");
        return;
    }
    tracing::warn!(
        environment.id = environment,
        delivery.id = %waiting.uuid,
        status,
        state = state.as_str(),
        error = sent.error,
        "a webhook was not delivered"
    );
}

/// Nothing is sent for an environment that was deleted.
async fn abandon(app: &App, queue: &Leased) -> sqlx::Result<()> {
    let environment = queue.claimed.environment_id;
    let mut transaction = app.db.begin().await?;
    let reason = "the environment was deleted";
    deliveries::give_up_environment(&mut *transaction, environment, reason, app.clock.now()).await?;
    webhook_queues::delete_of_environment(&mut *transaction, environment).await?;
    transaction.commit().await
}
