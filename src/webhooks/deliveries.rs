//! Looking at outgoing webhooks and sending them again. Called by the JSON routes of operators and by the dashboard.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::outgoing::{Addressed, Header, current_address, open_content, queue_name};
use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::db::webhook_attempts;
use crate::db::webhook_deliveries::{self as rows, Delivery, DeliveryState, Filter};
use crate::db::webhook_settings;
use crate::db::{EnvironmentId, WebhookDeliveryId, webhook_endpoints, webhook_queues};
use crate::error::ApiError;

/// How many failed deliveries are sent again at a time.
const REPLAYED_TOGETHER: i64 = 1000;

/// Some deliveries, newest first.
pub struct Page {
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<WebhookDeliveryId>,
}

/// A delivery with everything about it.
pub struct Detail {
    pub delivery: Delivery,
    /// As it is signed and sent.
    pub body: String,
    /// Headers of the provider that go along.
    pub headers: Vec<Header>,
    pub attempts: Vec<ShownAttempt>,
}

/// What came of sending a delivery once.
pub struct ShownAttempt {
    pub number: i32,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i32,
    pub status: Option<i16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// How the answer begins.
    pub answer: Option<String>,
}

/// A page of the deliveries that the filter lets through.
pub async fn list(app: &App, environment: EnvironmentId, filter: &Filter) -> Result<Page, ApiError> {
    let one_more = Filter { limit: filter.limit + 1, ..filter.clone() };
    let mut deliveries = rows::list(&app.db, environment, &one_more).await?;
    let limit = usize::try_from(filter.limit).unwrap_or_default();
    let has_more = deliveries.len() > limit;
    deliveries.truncate(limit);
    let next = deliveries.last().filter(|_| has_more).map(|last| last.id);
    Ok(Page { deliveries, next })
}

/// Everything about one delivery.
pub async fn find(app: &App, environment: EnvironmentId, uuid: Uuid) -> Result<Option<Detail>, ApiError> {
    let Some(delivery) = rows::find(&app.db, environment, uuid).await? else { return Ok(None) };
    let Some(sealed) = rows::find_content(&app.db, environment, delivery.id).await? else { return Ok(None) };
    let content = open_content(&app.cipher, &sealed)?;
    let attempts = webhook_attempts::list(&app.db, delivery.id).await?;
    let attempts = attempts.into_iter().map(|attempt| {
        let answer = attempt.sealed_answer.map(|sealed| app.cipher.open(&sealed)).transpose()?;
        Ok(ShownAttempt {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error: attempt.error,
            answer: answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        })
    });
    let attempts = attempts.collect::<Result<_, ApiError>>()?;
    Ok(Some(Detail { delivery, body: content.body, headers: content.headers, attempts }))
}

/// Sends a delivery again, to where its environment's webhooks go now; one that still waits is tried at once. `None`: there
/// is no such delivery.
pub async fn replay(app: &App, environment: EnvironmentId, uuid: Uuid) -> Result<Option<Delivery>, ApiError> {
    let Some(delivery) = rows::find(&app.db, environment, uuid).await? else { return Ok(None) };
    queue_again(app, &delivery).await?;
    app.outbox.ring(environment);
    note_replay(app, environment, std::slice::from_ref(&delivery)).await?;
    Ok(rows::find(&app.db, environment, uuid).await?)
}

/// Sends the deliveries that were given up again, oldest first and a thousand at most; gives their number.
pub async fn replay_failed(
    app: &App,
    environment: EnvironmentId,
    filter: &Filter,
) -> Result<usize, ApiError> {
    let state = Some(DeliveryState::Failed);
    let failed = Filter { state, limit: REPLAYED_TOGETHER, ..filter.clone() };
    let failed = rows::list(&app.db, environment, &failed).await?;
    for delivery in failed.iter().rev() {
        queue_again(app, delivery).await?;
    }
    app.outbox.ring(environment);
    if !failed.is_empty() {
        note_replay(app, environment, &failed).await?;
    }
    Ok(failed.len())
}

/// Says in the audit trail that somebody sent these again.
async fn note_replay(app: &App, environment: EnvironmentId, deliveries: &[Delivery]) -> Result<(), ApiError> {
    let target = |delivery: &Delivery| {
        let display = delivery.event.as_deref().unwrap_or(delivery.kind.as_str());
        Target::new("webhook", delivery.uuid, display)
    };
    let event =
        Event::of_environment(environment, Action::WebhookReplayed).targets(deliveries.iter().map(target));
    audit::record(app, &app.db, event).await?;
    Ok(())
}

async fn queue_again(app: &App, delivery: &Delivery) -> Result<(), ApiError> {
    let now = app.clock.now();
    let environment = delivery.environment_id;
    if let Some(queue) = delivery.queue_id {
        if let Some(endpoint) = webhook_queues::hurry(&app.db, queue, now).await? {
            webhook_endpoints::allow_trial(&app.db, endpoint, now).await?;
        }
        return Ok(());
    }
    let url = current_url(app, delivery).await?;
    let mut transaction = app.db.begin().await?;
    let endpoint = webhook_endpoints::find_or_insert(&mut transaction, environment, &url, now).await?;
    let name = queue_name(&delivery.provider_config_key, delivery.connection_id.as_deref(), delivery.uuid);
    let queue = webhook_queues::extend(&mut *transaction, endpoint, &name, now).await?;
    if rows::requeue(&mut *transaction, environment, delivery.id, queue, &url, now).await? {
        webhook_endpoints::allow_trial(&mut *transaction, endpoint, now).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Where the delivery would go if it were made now; its old address when there is none any more.
async fn current_url(app: &App, delivery: &Delivery) -> Result<String, ApiError> {
    let settings = webhook_settings::find(&app.db, delivery.environment_id).await?;
    let addressed = Addressed {
        environment: delivery.environment_id,
        target: delivery.target,
        provider_config_key: &delivery.provider_config_key,
        connection_id: delivery.connection_id.as_deref(),
        url: &delivery.url,
    };
    let current = current_address(&app.db, &settings, addressed).await?;
    Ok(current.unwrap_or_else(|| delivery.url.clone()))
}
