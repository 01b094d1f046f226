//! Webhooks of providers (`spec` auth-flows, section 11): verified, answered, matched with connections and passed on, as the
//! `webhook` section of the provider's catalog entry says. Called by the public route.
//!
//! ```text
//! handshake -> verify -> seen before? -> complete what waits -> find connections -> forward -> answer
//! ```
//!
//! All of it happens before the answer, so that a provider whose request failed sends it again: finding connections is an
//! index lookup, and forwarding stores rows that are sent later. Nothing that is unsigned gets past `verify`, unless the
//! integration accepts it or the provider signs nothing.

mod documents;
mod handshake;
mod headers;
mod jwt;
mod matching;
mod proof;
mod refusal;
mod refused;
mod replay;
mod scene;
mod sorting;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value, json};

pub use self::documents::KeyDocuments;
use self::proof::{Proof, Unproven};
pub use self::refusal::{COMPLETION_FAILED, IncomingError, Refusal};
pub use self::refused::{LOGGED_PER_MINUTE, RefusedWebhooks};
use self::replay::Turn;
use self::scene::{ConnectionValues, Scene};
use self::sorting::{Part, Sorted};
use super::outgoing::{self, Forward};
use crate::app::App;
use crate::catalog::{Completion, Payload, Reply, Webhook};
use crate::db::connections;
use crate::db::environments::Environment;
use crate::db::webhook_handshakes;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;
use crate::logs::{Kind, Level, NewOperation, Operation};
use crate::oauth::completion::{CompletionError, complete_installation, complete_outbound};

/// Longer texts are no tokens to show.
const LONGEST_SHOWN: usize = 1024;
/// Query parameters that name a connection where nothing describes the provider's webhooks.
const CONNECTION_PARAMETERS: [&str; 2] = ["connection_id", "nangoConnectionId"];

/// A webhook as it arrived.
pub struct Arrival {
    pub headers: HeaderMap,
    /// As they came.
    pub path_and_query: String,
    /// All parameters of the address; those that the entry does not allow are not looked at.
    pub query: Map<String, Value>,
    pub raw: Bytes,
    pub body: Body,
}

/// What the bytes of a body mean.
pub enum Body {
    /// JSON, a form as an object, anything else as a text.
    Value(Value),
    /// It says that it is JSON, and is not.
    Broken,
}

/// What the provider hears.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Accepted,
    /// The delivery was accepted before; nothing was done.
    Repeated,
    /// Nothing describes the webhooks of this provider.
    NotHandled,
    Text(String),
    Json(Value),
    /// A handshake whose answer is in its headers.
    Headers(HeaderMap),
}

/// The request and everything that it is judged by.
struct Reception<'a> {
    app: &'a App,
    environment: &'a Environment,
    integration: &'a OpenIntegration,
    webhook: &'a Webhook,
    arrival: &'a Arrival,
    operation: &'a Operation,
}

/// Handles a provider's webhook.
///
/// # Errors
/// It is refused, or something failed and the provider should send it again.
pub async fn receive(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    arrival: &Arrival,
) -> Result<Outcome, IncomingError> {
    let provider = integration.provider.as_ref().ok_or(Refusal::UnknownProvider)?;
    let Some(webhook) = provider.webhook.clone() else {
        return receive_undescribed(app, environment, integration, arrival).await;
    };
    let operation = app.logs.start_held(NewOperation::new(Kind::WebhookIncoming, environment.id));
    operation.about_integration(integration);
    let reception =
        Reception { app, environment, integration, webhook: &webhook, arrival, operation: &operation };
    let received = reception.receive().await;
    match &received {
        Ok(_) => operation.succeed(),
        Err(IncomingError::Refused(_))
            if !app.refused_webhooks.admits(integration.row.id, app.clock.now()) =>
        {
            operation.discard();
        }
        Err(error) => operation.fail(&error.to_log()),
    }
    operation.release();
    received
}

/// Webhooks of providers that the catalog says nothing about are passed on as they are, when the integration wants that.
async fn receive_undescribed(
    app: &App,
    environment: &Environment,
    integration: &OpenIntegration,
    arrival: &Arrival,
) -> Result<Outcome, IncomingError> {
    if !integration.row.accept_unverified_webhooks {
        return Ok(Outcome::NotHandled);
    }
    let Body::Value(payload) = &arrival.body else { return Err(Refusal::InvalidPayload.into()) };
    let named = CONNECTION_PARAMETERS.iter().find_map(|name| arrival.query.get(*name)?.as_str());
    let found = match named {
        Some(id) => connections::find(&app.db, environment.id, integration.row.id, id).await?,
        None => None,
    };
    let forward = Forward {
        environment: environment.id,
        integration: &integration.row,
        connections: found.as_slice(),
        payload,
        headers: &headers::forwardable(&arrival.headers),
        event: None,
    };
    outgoing::forward(app, forward).await?;
    Ok(Outcome::Accepted)
}

impl Reception<'_> {
    async fn receive(&self) -> Result<Outcome, IncomingError> {
        let mut scene = Scene::new(self.app, self.environment, self.integration, self.webhook, self.arrival)?;
        self.run(&mut scene).await
    }

    async fn run(&self, scene: &mut Scene) -> Result<Outcome, IncomingError> {
        if let Some(reply) = self.reply(scene, false) {
            return self.answer_handshake(scene, reply).await;
        }
        self.fetch_key(scene).await?;
        let reply = self.reply(scene, true);
        let proof = match self.verify_request(scene) {
            // A provider tries the address before the operator has typed the secret.
            Err(Unproven::NoKey) if reply.is_some_and(|reply| !reply.forward) => None,
            judged => Some(judged?),
        };
        if let Some(reply) = reply.filter(|reply| !reply.forward) {
            return self.answer_handshake(scene, reply).await;
        }
        if matches!(self.arrival.body, Body::Broken) {
            return Err(Refusal::InvalidPayload.into());
        }
        // Where events and connections prove themselves, they are found first.
        let sorted = if self.is_deferred() { Some(sorting::sort(self, scene).await?) } else { None };
        let proof = sorted.as_ref().and_then(Sorted::proof).or(proof.as_ref());
        let turn = replay::take_turn(self, scene, proof).await?;
        let Turn::Ours(delivery) = turn else {
            self.operation.info("The delivery was seen before");
            return turn.outcome();
        };
        let is_proved = proof.is_some_and(|proof| proof.is_given);
        let handled = self.handle(scene, sorted, is_proved).await;
        replay::end_turn(self.app, delivery, handled.is_ok()).await?;
        handled?;
        match reply {
            Some(reply) => self.answer(scene, reply),
            None => Ok(Outcome::Accepted),
        }
    }

    /// Completes what waits and passes the events on.
    async fn handle(
        &self,
        scene: &mut Scene,
        sorted: Option<Sorted>,
        is_proved: bool,
    ) -> Result<(), IncomingError> {
        // What is done now is worth a trace even if this process dies.
        self.operation.release();
        // Whoever completes a connection chooses its installation, so here nothing unproved is good enough.
        if is_proved {
            self.complete(scene).await?;
        }
        let sorted = match sorted {
            Some(sorted) => sorted,
            None => sorting::sort(self, scene).await?,
        };
        for part in sorted.parts() {
            let payload = match self.webhook.payload {
                Payload::Body => sorted.payload(self.webhook, scene.body(), part),
                Payload::Headers => headers::as_object(&self.arrival.headers),
            };
            let forward = Forward {
                environment: self.environment.id,
                integration: &self.integration.row,
                connections: &part.connections,
                payload: &payload,
                headers: &headers::forwardable(&self.arrival.headers),
                event: part.kind.as_deref(),
            };
            outgoing::forward(self.app, forward).await?;
            self.note(part);
        }
        Ok(())
    }

    /// Tells the log whom an event was about.
    fn note(&self, part: &Part) {
        let names: Vec<&str> = part.connections.iter().map(|one| one.connection_id.as_str()).collect();
        let meta = json!({"event": part.kind, "connections": names});
        if let [connection] = &part.connections[..] {
            self.operation.about_connection(Some(connection.id.0), &connection.connection_id);
        }
        let message = match (names.len(), self.integration.row.forward_webhooks) {
            (_, false) => "The integration forwards no webhooks".to_owned(),
            (0, true) => "No connection fits; passed on without one".to_owned(),
            (1, true) => "Passed on for a connection".to_owned(),
            (count, true) => format!("Passed on for {count} connections"),
        };
        self.operation.tell(Level::Info, &message, meta);
    }

    /// Judges the request as a whole.
    fn verify_request(&self, scene: &Scene) -> Result<Proof, Unproven> {
        if self.is_deferred() { Ok(Proof::NONE) } else { self.verify(scene, None) }
    }

    /// Judges the request, or the event that is spoken of, for a connection. What nobody proved passes when the integration
    /// accepts that.
    fn verify(&self, scene: &Scene, connection: Option<&ConnectionValues>) -> Result<Proof, Unproven> {
        let context = scene.context(connection);
        let (raw, now) = (&self.arrival.raw, self.app.clock.now());
        match proof::judge(&self.webhook.verify, &context, raw, now, scene.elsewhere()) {
            Err(unproven) if unproven.is_forgivable() && self.integration.row.accept_unverified_webhooks => {
                Ok(Proof::NONE)
            }
            judged => judged,
        }
    }

    fn is_deferred(&self) -> bool {
        self.is_judged_by_connection() || self.is_judged_by_event()
    }

    fn is_judged_by_connection(&self) -> bool {
        self.webhook.verify.iter().any(|check| check.is_of_connection())
    }

    fn is_judged_by_event(&self) -> bool {
        self.webhook.verify.iter().any(|check| check.is_of_event())
    }

    /// Fetches the document that the check of this request takes its key from.
    async fn fetch_key(&self, scene: &mut Scene) -> Result<(), IncomingError> {
        let Some(check) = proof::choose(&self.webhook.verify, &scene.context(None)) else { return Ok(()) };
        if check.agreed {
            scene.set_agreed(handshake::agreed_secrets(self).await?);
        }
        if let Some(rule) = &check.jwt {
            let token = proof::value(&check.signature, &scene.context(None)).unwrap_or_default();
            let document = documents::key_set(self.app, &rule.keys, &token).await;
            scene.set_document(document);
        }
        if let Some(rule) = &check.key_document {
            let url = proof::value(&rule.url, &scene.context(None));
            let key = documents::named_key(self.app, rule, url.as_deref()).await?;
            scene.set_fetched_key(key);
        }
        Ok(())
    }

    fn reply(&self, scene: &Scene, is_signed: bool) -> Option<&Reply> {
        let context = scene.context(None);
        self.webhook.answers.iter().find(|reply| reply.signed == is_signed && reply.when.holds(&context))
    }

    async fn answer_handshake(&self, scene: &Scene, reply: &Reply) -> Result<Outcome, IncomingError> {
        handshake::check_token(self, scene, reply)?;
        handshake::agree(self, scene, reply).await?;
        let shown = reply.show.as_ref().and_then(|show| proof::value(show, &scene.context(None)));
        if let Some(text) = shown.filter(|text| text.len() <= LONGEST_SHOWN) {
            let sealed = self.app.cipher.seal_text(&text).map_err(ApiError::from)?;
            let now = self.app.clock.now();
            webhook_handshakes::upsert(&self.app.db, self.integration.row.id, &sealed, now).await?;
            tracing::info!(
                integration.id = self.integration.row.id.0,
                "the provider sent a verification token: read it from the integration's credentials"
            );
        }
        self.operation.info("A handshake was answered");
        self.answer(scene, reply)
    }

    fn answer(&self, scene: &Scene, reply: &Reply) -> Result<Outcome, IncomingError> {
        let context = scene.context(None);
        if !reply.headers.is_empty() {
            return Ok(Outcome::Headers(handshake::answer_headers(scene, reply)?));
        }
        if let Some(json) = &reply.json {
            // What is missing is the secret: all else was there when the condition held.
            let json = json.resolve(&context).map_err(|_| Refusal::InvalidSecret)?;
            return Ok(Outcome::Json(json));
        }
        match &reply.text {
            Some(text) => {
                let text = text.resolve(&context).map_err(|_| Refusal::InvalidPayload)?;
                Ok(Outcome::Text(text.into_owned()))
            }
            None => Ok(Outcome::Accepted),
        }
    }

    async fn complete(&self, scene: &Scene) -> Result<(), IncomingError> {
        let (app, environment, event) = (self.app, self.environment, scene.body());
        let completed = match self.webhook.completes {
            None => return Ok(()),
            Some(Completion::Approval) => complete_installation(app, environment, event).await,
            Some(Completion::Outbound) => complete_outbound(app, environment, self.integration, event).await,
        };
        match completed {
            Ok(_) => Ok(()),
            Err(CompletionError::NotWaiting) => Err(Refusal::NotWaiting.into()),
            Err(CompletionError::Storage(error)) => Err(error.into()),
            Err(error) => Err(IncomingError::Completion(error)),
        }
    }
}
