//! Deliveries are accepted once: the provider's id of a delivery, or a signature that covers its time, is remembered. Only what
//! was proved is remembered, so that nobody can use an id up before its owner does.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::proof::{Proof, value};
use super::scene::Scene;
use super::{IncomingError, Outcome, Reception, Refusal};
use crate::app::App;
use crate::db::IntegrationId;
use crate::db::seen_webhooks::{self, Seen};

/// As long as large providers try again, or let people send again.
const KEPT: TimeDelta = TimeDelta::days(3);
/// How long a delivery counts as being worked on; a process that died in between costs that much.
const WORKING: TimeDelta = TimeDelta::minutes(1);

/// A delivery that can be told apart from all others.
pub struct Delivery {
    integration: IntegrationId,
    id_hash: Vec<u8>,
}

/// Whether a delivery is to be handled now.
pub enum Turn {
    /// Yes; and it is remembered when it has an id.
    Ours(Option<Delivery>),
    Done,
    InProgress,
}

impl Turn {
    /// The answer to a delivery that is not to be handled.
    pub fn outcome(&self) -> Result<Outcome, IncomingError> {
        match self {
            Turn::InProgress => Err(Refusal::InProgress.into()),
            // Not an error: a provider whose own answer got lost would try for days.
            Turn::Done | Turn::Ours(_) => Ok(Outcome::Repeated),
        }
    }
}

/// Claims a delivery that was proved.
pub async fn take_turn(
    reception: &Reception<'_>,
    scene: &Scene,
    proof: Option<&Proof>,
) -> Result<Turn, IncomingError> {
    let Some(proof) = proof.filter(|proof| proof.is_given) else { return Ok(Turn::Ours(None)) };
    let own = reception.webhook.event_id.as_ref().and_then(|id| value(id, &scene.context(None)));
    let Some(id) = own.or_else(|| proof.once.clone()) else { return Ok(Turn::Ours(None)) };
    let delivery =
        Delivery { integration: reception.integration.row.id, id_hash: Sha256::digest(id).to_vec() };
    let (app, now) = (reception.app, reception.app.clock.now());
    let seen =
        seen_webhooks::claim(&app.db, delivery.integration, &delivery.id_hash, now + WORKING, now).await?;
    Ok(match seen {
        Seen::Never => Turn::Ours(Some(delivery)),
        Seen::Done => Turn::Done,
        Seen::InProgress => Turn::InProgress,
    })
}

/// Remembers a delivery that was handled; forgets one that failed, so that it may come again.
pub async fn end_turn(app: &App, delivery: Option<Delivery>, is_handled: bool) -> sqlx::Result<()> {
    let Some(Delivery { integration, id_hash }) = delivery else { return Ok(()) };
    if is_handled {
        seen_webhooks::settle(&app.db, integration, &id_hash, app.clock.now() + KEPT).await
    } else {
        seen_webhooks::release(&app.db, integration, &id_hash).await
    }
}
