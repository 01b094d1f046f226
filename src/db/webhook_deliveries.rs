//! Outgoing webhooks: one row for each event and address, from the moment it happened until its retention ends.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{EnvironmentId, WebhookDeliveryId, WebhookQueueId};

/// Words stored as text, and back.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// Every word with its meaning.
            pub const WORDS: &[(&'static str, $name)] = &[$(($word, $name::$variant)),*];

            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl From<String> for $name {
            /// Only words that this server wrote are read; the first stands in for any other.
            fn from(text: String) -> Self {
                let found = Self::WORDS.iter().find(|(word, _)| *word == text);
                found.map_or(Self::WORDS[0].1, |(_, value)| *value)
            }
        }
    };
}

words! {
    /// What a webhook is about; the wire's `type`.
    WebhookType { Auth = "auth", Sync = "sync", AsyncAction = "async_action", Forward = "forward" }
}

words! {
    /// Which setting an address came from.
    WebhookTarget { Primary = "primary", Secondary = "secondary", Connection = "connection" }
}

words! {
    DeliveryState {
        Waiting = "waiting",
        Delivered = "delivered",
        /// Given up.
        Failed = "failed",
        /// The outbound policy does not allow the address.
        Refused = "refused",
    }
}

/// Why a delivery waits although its queue is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The run of hooks whose end lets it go.
    pub run_id: Uuid,
    /// It goes then in any case.
    pub until: DateTime<Utc>,
}

pub struct NewDelivery<'a> {
    pub uuid: Uuid,
    pub environment_id: EnvironmentId,
    pub queue_id: WebhookQueueId,
    pub target: WebhookTarget,
    pub url: &'a str,
    pub kind: WebhookType,
    pub event: Option<&'a str>,
    pub provider_config_key: &'a str,
    pub connection_id: Option<&'a str>,
    pub sealed_content: &'a [u8],
    pub hold: Option<Hold>,
    pub now: DateTime<Utc>,
}

pub async fn insert(db: impl PgExecutor<'_>, new: NewDelivery<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_deliveries (uuid, environment_id, queue_id, target, url, type, event, provider_config_key,
             connection_id, content, state, created_at, queued_at, next_attempt_at, held_until, held_for)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'waiting', $11, $11, COALESCE($12, $11::timestamptz), $12, $13)",
        new.uuid,
        new.environment_id as EnvironmentId,
        new.queue_id as WebhookQueueId,
        new.target.as_str(),
        new.url,
        new.kind.as_str(),
        new.event,
        new.provider_config_key,
        new.connection_id,
        new.sealed_content,
        new.now,
        new.hold.map(|hold| hold.until),
        new.hold.map(|hold| hold.run_id)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets go what waited for a run of hooks, and gives the queues.
pub async fn let_go(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<WebhookQueueId>> {
    sqlx::query_scalar!(
        r#"UPDATE webhook_deliveries SET held_until = NULL, held_for = NULL,
               next_attempt_at = CASE WHEN attempts = 0 THEN $2 ELSE next_attempt_at END
           WHERE held_for = $1 AND queue_id IS NOT NULL RETURNING queue_id AS "queue_id!: WebhookQueueId""#,
        run_id,
        now
    )
    .fetch_all(db)
    .await
}

/// What is to be sent next.
#[derive(Debug)]
pub struct Waiting {
    pub id: WebhookDeliveryId,
    pub uuid: Uuid,
    pub target: WebhookTarget,
    pub url: String,
    pub kind: WebhookType,
    pub event: Option<String>,
    pub provider_config_key: String,
    pub connection_id: Option<String>,
    pub sealed_content: Vec<u8>,
    /// Attempts since it was queued.
    pub tries: i32,
    pub created_at: DateTime<Utc>,
    pub queued_at: DateTime<Utc>,
    /// Not to be sent before.
    pub held_until: Option<DateTime<Utc>>,
}

/// The first delivery of a queue.
pub async fn find_first(db: impl PgExecutor<'_>, queue: WebhookQueueId) -> sqlx::Result<Option<Waiting>> {
    sqlx::query_as!(
        Waiting,
        r#"SELECT id AS "id: WebhookDeliveryId", uuid, target, url, type AS kind, event, provider_config_key,
               connection_id, content AS sealed_content, tries, created_at, queued_at, held_until
           FROM webhook_deliveries WHERE queue_id = $1 ORDER BY id LIMIT 1"#,
        queue as WebhookQueueId
    )
    .fetch_optional(db)
    .await
}

/// What an attempt made of a delivery.
pub struct Outcome<'a> {
    pub id: WebhookDeliveryId,
    /// Where it was sent.
    pub url: &'a str,
    pub state: DeliveryState,
    pub status: Option<i16>,
    pub error: Option<&'a str>,
    /// Only while it waits.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// Notes the outcome of an attempt and gives the attempt's number. `None`: the delivery is finished already.
pub async fn note_attempt(db: impl PgExecutor<'_>, outcome: Outcome<'_>) -> sqlx::Result<Option<i32>> {
    let is_finished = outcome.state != DeliveryState::Waiting;
    sqlx::query_scalar!(
        "UPDATE webhook_deliveries SET attempts = attempts + 1, tries = tries + 1, state = $2, last_status = $3, last_error = $4,
             next_attempt_at = $5, queue_id = CASE WHEN $6 THEN NULL ELSE queue_id END,
             finished_at = CASE WHEN $6 THEN $7::timestamptz END, url = $8
         WHERE id = $1 AND queue_id IS NOT NULL RETURNING attempts",
        outcome.id as WebhookDeliveryId,
        outcome.state.as_str(),
        outcome.status,
        outcome.error,
        outcome.next_attempt_at,
        is_finished,
        outcome.now,
        outcome.url
    )
    .fetch_optional(db)
    .await
}

/// A delivery as people look at it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: WebhookDeliveryId,
    pub uuid: Uuid,
    pub environment_id: EnvironmentId,
    pub queue_id: Option<WebhookQueueId>,
    pub target: WebhookTarget,
    pub url: String,
    pub kind: WebhookType,
    pub event: Option<String>,
    pub provider_config_key: String,
    pub connection_id: Option<String>,
    pub state: DeliveryState,
    pub attempts: i32,
    pub last_status: Option<i16>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Which deliveries a list has.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub state: Option<DeliveryState>,
    pub kind: Option<WebhookType>,
    pub provider_config_key: Option<String>,
    pub connection_id: Option<String>,
    /// Only those made before this one.
    pub before: Option<WebhookDeliveryId>,
    pub limit: i64,
}

/// Deliveries of an environment, newest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    filter: &Filter,
) -> sqlx::Result<Vec<Delivery>> {
    sqlx::query_as!(
        Delivery,
        r#"SELECT id AS "id: WebhookDeliveryId", uuid, environment_id AS "environment_id: EnvironmentId",
               queue_id AS "queue_id: WebhookQueueId", target, url, type AS kind, event, provider_config_key, connection_id,
               state, attempts, last_status, last_error, created_at, next_attempt_at, finished_at
           FROM webhook_deliveries
           WHERE environment_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR type = $3)
             AND ($4::text IS NULL OR provider_config_key = $4) AND ($5::text IS NULL OR connection_id = $5)
             AND ($6::bigint IS NULL OR id < $6)
           ORDER BY id DESC LIMIT $7"#,
        environment as EnvironmentId,
        filter.state.map(DeliveryState::as_str),
        filter.kind.map(WebhookType::as_str),
        filter.provider_config_key,
        filter.connection_id,
        filter.before.map(|id| id.0),
        filter.limit
    )
    .fetch_all(db)
    .await
}

pub async fn find(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    uuid: Uuid,
) -> sqlx::Result<Option<Delivery>> {
    sqlx::query_as!(
        Delivery,
        r#"SELECT id AS "id: WebhookDeliveryId", uuid, environment_id AS "environment_id: EnvironmentId",
               queue_id AS "queue_id: WebhookQueueId", target, url, type AS kind, event, provider_config_key, connection_id,
               state, attempts, last_status, last_error, created_at, next_attempt_at, finished_at
           FROM webhook_deliveries WHERE environment_id = $1 AND uuid = $2"#,
        environment as EnvironmentId,
        uuid
    )
    .fetch_optional(db)
    .await
}

/// The sealed content of a delivery.
pub async fn find_content(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: WebhookDeliveryId,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT content FROM webhook_deliveries WHERE environment_id = $1 AND id = $2",
        environment as EnvironmentId,
        id as WebhookDeliveryId
    )
    .fetch_optional(db)
    .await
}

/// Puts a finished delivery into a queue again. `false`: somebody else did.
pub async fn requeue(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    id: WebhookDeliveryId,
    queue: WebhookQueueId,
    url: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE webhook_deliveries SET queue_id = $3, url = $4, state = 'waiting', queued_at = $5, next_attempt_at = $5,
             tries = 0, finished_at = NULL
         WHERE environment_id = $1 AND id = $2 AND queue_id IS NULL",
        environment as EnvironmentId,
        id as WebhookDeliveryId,
        queue as WebhookQueueId,
        url,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends every waiting delivery of an environment, because it is being deleted.
pub async fn give_up_environment(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET state = 'failed', last_error = $2, queue_id = NULL, next_attempt_at = NULL,
             finished_at = $3
         WHERE environment_id = $1 AND queue_id IS NOT NULL",
        environment as EnvironmentId,
        reason,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A delivery that was given up without an attempt.
#[derive(Debug)]
pub struct GivenUp {
    pub queue_id: WebhookQueueId,
    pub environment_id: EnvironmentId,
    pub uuid: Uuid,
    pub kind: WebhookType,
    pub event: Option<String>,
    pub provider_config_key: String,
    pub connection_id: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// Ends deliveries that have waited since before `queued_before`, five hundred at most.
pub async fn give_up_old(
    db: impl PgExecutor<'_>,
    queued_before: DateTime<Utc>,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<GivenUp>> {
    sqlx::query_as!(
        GivenUp,
        r#"WITH old AS (
               SELECT id, queue_id FROM webhook_deliveries
               WHERE queue_id IS NOT NULL AND queued_at < $1 ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED)
           UPDATE webhook_deliveries d SET state = 'failed', last_error = COALESCE(d.last_error, $2), queue_id = NULL,
               next_attempt_at = NULL, finished_at = $3
           FROM old WHERE d.id = old.id
           RETURNING old.queue_id AS "queue_id!: WebhookQueueId", d.environment_id AS "environment_id: EnvironmentId",
               d.uuid, d.type AS kind, d.event, d.provider_config_key, d.connection_id, d.created_at"#,
        queued_before,
        reason,
        now
    )
    .fetch_all(db)
    .await
}

/// Removes deliveries that were finished before `before`, with their attempts; a thousand at a time.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM webhook_deliveries WHERE id IN (
             SELECT id FROM webhook_deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT 1000)",
        before
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}
