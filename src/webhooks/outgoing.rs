//! Events for customers' backends (`spec` auth-flows, section 10): stored with the change that they tell of, signed and sent
//! from there, tried again for a day.
//!
//! ```text
//! enqueue (in the caller's transaction) -> delivery in a queue -> worker claims the queue -> attempt -> next, or later
//! ```
//!
//! The queue is our own rather than `apalis-postgres` (decision 13), because its unit of work is a job, and here it is a
//! connection's queue: events of a connection arrive in order, a dead receiver's thousands take no place of the others', an
//! open circuit breaker postpones them all in one row, and every attempt is kept. Its workers also wait for `NOTIFY`, which a
//! transaction-mode pooler does not pass on.

mod address;
mod auth;
mod canonical;
mod content;
mod forward;
mod log;
mod occasion;
mod outbox;
mod schedule;
mod send;
mod signature;
mod worker;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use self::content::Content;
use crate::app::App;
use crate::db::webhook_deliveries::{self as deliveries, Hold, NewDelivery, WebhookTarget};
use crate::db::webhook_settings::WebhookSettings;
use crate::db::{EnvironmentId, webhook_endpoints, webhook_queues};
use crate::error::ApiError;

pub use self::address::{Addressed, current_address};
pub use self::auth::{AuthEvent, AuthFailure, AuthOperation, announce_auth, enqueue_auth};
pub use self::canonical::canonical_json;
pub use self::content::{Header, ShownContent, open_content};
pub use self::forward::{Forward, forward};
pub use self::log::operation_id;
pub use self::occasion::Occasion;
pub use self::outbox::Outbox;
pub use self::worker::{deliver_due, run};

/// Something to tell the backend of an environment.
pub struct Event<'a> {
    pub environment: EnvironmentId,
    pub occasion: Occasion,
    /// What happened, in the words of the payload or of the provider.
    pub name: Option<&'a str>,
    pub provider_config_key: &'a str,
    /// Whose event it is. Events of one connection arrive in order; without a connection there is no order.
    pub connection: Option<Subject<'a>>,
    /// As [`canonical_json`] writes it.
    pub body: String,
    /// Headers of the provider that go along.
    pub headers: Vec<Header>,
    /// What it waits for before it is sent.
    pub hold: Option<Hold>,
}

/// The connection that an event is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub connection_id: &'a str,
    pub webhook_url_override: Option<&'a str>,
}

/// Stores an event for every address that the settings name, in the caller's transaction. After its commit the caller rings
/// [`Outbox::ring`], so that the event leaves at once; forgetting it costs a second.
pub async fn enqueue(
    app: &App,
    db: &mut PgConnection,
    settings: &WebhookSettings,
    event: &Event<'_>,
) -> Result<(), ApiError> {
    if !event.occasion.is_wanted(settings) {
        return Ok(());
    }
    let targets = targets(settings, event.connection.and_then(|subject| subject.webhook_url_override));
    if targets.is_empty() {
        return Ok(());
    }
    let content = Content { body: &event.body, headers: &event.headers };
    let sealed_content = content.seal(&app.cipher)?;
    let now = app.clock.now();
    for (target, url) in targets {
        let uuid = app.rng.uuid();
        let endpoint = webhook_endpoints::find_or_insert(&mut *db, event.environment, url, now).await?;
        let name = queue_name(event.provider_config_key, event.connection.map(|one| one.connection_id), uuid);
        let new = NewDelivery {
            uuid,
            environment_id: event.environment,
            queue_id: webhook_queues::extend(
                &mut *db,
                endpoint,
                &name,
                event.hold.map_or(now, |hold| hold.until),
            )
            .await?,
            target,
            url,
            kind: event.occasion.kind(),
            event: event.name,
            provider_config_key: event.provider_config_key,
            connection_id: event.connection.map(|subject| subject.connection_id),
            sealed_content: &sealed_content,
            hold: event.hold,
            now,
        };
        deliveries::insert(&mut *db, new).await?;
    }
    Ok(())
}

/// How long a new connection is not told while it is asked about itself.
const LONGEST_HOLD: TimeDelta = TimeDelta::seconds(30);

/// Holds an event until the run of hooks has ended, or takes too long.
pub fn hold_for(run_id: Uuid, now: DateTime<Utc>) -> Hold {
    Hold { run_id, until: now + LONGEST_HOLD }
}

/// Sends what was held for a run of hooks. If it fails, the events leave when their hold ends.
pub async fn let_go(app: &App, environment: EnvironmentId, run_id: Uuid) {
    match let_go_stored(app, run_id).await {
        Ok(0) => {}
        Ok(_) => app.outbox.ring(environment),
        Err(error) => tracing::warn!(error = %error, "held webhooks could not be let go; they leave later"),
    }
}

async fn let_go_stored(app: &App, run_id: Uuid) -> sqlx::Result<usize> {
    let now = app.clock.now();
    let mut transaction = app.db.begin().await?;
    let queues = deliveries::let_go(&mut *transaction, run_id, now).await?;
    for queue in &queues {
        webhook_queues::hurry(&mut *transaction, *queue, now).await?;
    }
    transaction.commit().await?;
    Ok(queues.len())
}

/// Where an event goes: a connection's own address stands for both of the environment's.
fn targets<'a>(
    settings: &'a WebhookSettings,
    webhook_url_override: Option<&'a str>,
) -> Vec<(WebhookTarget, &'a str)> {
    let given = |url: &'a Option<String>| url.as_deref().filter(|url| !url.trim().is_empty());
    if let Some(url) = webhook_url_override.filter(|url| !url.trim().is_empty()) {
        return vec![(WebhookTarget::Connection, url)];
    }
    let primary = given(&settings.primary_url).map(|url| (WebhookTarget::Primary, url));
    let secondary = given(&settings.secondary_url).map(|url| (WebhookTarget::Secondary, url));
    primary.into_iter().chain(secondary).collect()
}

/// The queue of a connection, or one that no other delivery shares.
pub(super) fn queue_name(provider_config_key: &str, connection_id: Option<&str>, uuid: uuid::Uuid) -> String {
    // Neither integration keys nor connection ids hold line breaks.
    match connection_id {
        Some(connection_id) => format!("{provider_config_key}\n{connection_id}"),
        None => format!("{provider_config_key}\n\n{uuid}"),
    }
}

/// Removes what is past its retention, and gives up what is past its age and was not sent even so: an address whose breaker
/// never closes is tried too rarely to reach everything that waits for it. Returns how many deliveries went, a thousand at
/// most.
pub async fn clean_up(app: &App) -> sqlx::Result<u64> {
    let now = app.clock.now();
    let config = &app.config.webhooks;
    give_up_old(app, now).await?;
    let finished_before = now - chrono::TimeDelta::days(config.retention_days.into());
    let mut transaction = app.db.begin().await?;
    webhook_endpoints::purge(&mut transaction, now - config.breaker.reset_after).await?;
    transaction.commit().await?;
    deliveries::purge(&app.db, finished_before).await
}

async fn give_up_old(app: &App, now: DateTime<Utc>) -> sqlx::Result<()> {
    // One slow wait longer than the age, so that everything was tried at its end if it could be.
    let queued_before = now - app.config.webhooks.max_age - schedule::SLOWEST;
    loop {
        let mut transaction = app.db.begin().await?;
        let reason = "the address could not be reached in time";
        let given_up = deliveries::give_up_old(&mut *transaction, queued_before, reason, now).await?;
        for delivery in &given_up {
            webhook_queues::shorten(&mut transaction, delivery.queue_id).await?;
        }
        transaction.commit().await?;
        given_up.iter().for_each(|delivery| log::give_up(app, delivery, reason));
        if given_up.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_address_replaces_both_of_the_environment() {
        let both = WebhookSettings {
            primary_url: Some("p".into()),
            secondary_url: Some("s".into()),
            ..WebhookSettings::default()
        };
        let second = WebhookSettings { primary_url: None, ..both.clone() };
        for (settings, own, expected) in [
            (&both, None, vec![(WebhookTarget::Primary, "p"), (WebhookTarget::Secondary, "s")]),
            (&both, Some(" "), vec![(WebhookTarget::Primary, "p"), (WebhookTarget::Secondary, "s")]),
            (&both, Some("o"), vec![(WebhookTarget::Connection, "o")]),
            (&second, None, vec![(WebhookTarget::Secondary, "s")]),
            (&WebhookSettings::default(), None, vec![]),
            (&WebhookSettings::default(), Some("o"), vec![(WebhookTarget::Connection, "o")]),
        ] {
            assert_eq!(targets(settings, own), expected, "{settings:?} {own:?}");
        }
    }
}
