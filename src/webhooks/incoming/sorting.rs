//! Which event of a request is about which connections. A request with several events is cut into parts, so that a
//! connection's receiver sees its own events only.

use serde_json::Value;

use super::proof::{self, Proof, Unproven};
use super::scene::{ConnectionValues, Scene};
use super::{IncomingError, Reception, Refusal, matching};
use crate::catalog::Webhook;
use crate::db::ConnectionRowId;
use crate::db::connections::Connection;

/// No provider sends more at once, and each costs a look-up.
const MOST_EVENTS: usize = 1000;

/// Events about the same connections; without any, those that are about nobody known.
pub struct Part {
    pub connections: Vec<Connection>,
    /// What the first of them is called.
    pub kind: Option<String>,
    events: Vec<usize>,
}

/// A request's events by connection.
pub struct Sorted {
    parts: Vec<Part>,
    /// How many events the request has, unwanted ones included.
    count: usize,
    /// What an event or a connection proved.
    proof: Option<Proof>,
}

impl Sorted {
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// The body with the events of this part only.
    pub fn payload(&self, webhook: &Webhook, body: &Value, part: &Part) -> Value {
        let mut payload = body.clone();
        if part.events.len() == self.count {
            return payload;
        }
        if let Some(events) = webhook.events.as_ref().and_then(|path| list_at(&mut payload, path)) {
            let mut index = 0;
            events.retain(|_| {
                index += 1;
                part.events.contains(&(index - 1))
            });
        }
        payload
    }
}

/// Sorts the events of a request. Those that prove nothing, where each has to, are left out.
///
/// # Errors
/// The body has another form, an event says nothing about whom it concerns, or no event is proved.
pub async fn sort(reception: &Reception<'_>, scene: &mut Scene) -> Result<Sorted, IncomingError> {
    let events = split(reception.webhook, scene.body())?;
    let mut sorted = Sorted { parts: Vec::new(), count: events.len(), proof: None };
    let mut unproven = None;
    for (index, event) in events.into_iter().enumerate() {
        scene.set_event(event);
        if reception.webhook.skip.as_ref().is_some_and(|skip| skip.holds(&scene.context(None))) {
            continue;
        }
        match find_connections(reception, scene).await? {
            Ok((connections, proof)) => {
                sorted.add(index, connections, kind(reception.webhook, scene));
                sorted.proof = proof.or(sorted.proof);
            }
            Err(reason) => unproven = Some(reason),
        }
    }
    match unproven {
        Some(reason) if sorted.parts.is_empty() => Err(reason.into()),
        _ => Ok(sorted),
    }
}

/// The connections of an event, and what they or the event proved.
type Found = (Vec<Connection>, Option<Proof>);

/// The connections of the event that is spoken of, or why it is not believed.
async fn find_connections(
    reception: &Reception<'_>,
    scene: &Scene,
) -> Result<Result<Found, Unproven>, IncomingError> {
    let proof = if reception.is_judged_by_event() { Some(reception.verify(scene, None)) } else { None };
    let proof = match proof.transpose() {
        Ok(proof) => proof,
        Err(reason) => return Ok(Err(reason)),
    };
    let found = matching::find(reception, scene).await?;
    if !reception.is_judged_by_connection() {
        return Ok(Ok((found, proof)));
    }
    Ok(prove_connections(reception, scene, found))
}

/// The connections whose own key made the signature.
fn prove_connections(
    reception: &Reception<'_>,
    scene: &Scene,
    found: Vec<Connection>,
) -> Result<Found, Unproven> {
    if found.is_empty() {
        // Nobody's key: the same as a request without one.
        let proof = reception.verify(scene, Some(&ConnectionValues::default()))?;
        return Ok((found, Some(proof)));
    }
    let mut proved = Vec::new();
    let mut last = Err(Unproven::NoKey);
    for connection in found {
        let judged = reception.verify(scene, Some(&ConnectionValues::open(reception.app, &connection)));
        if judged.is_ok() {
            proved.push(connection);
        }
        if judged.is_ok() || proved.is_empty() {
            last = judged;
        }
    }
    last.map(|proof| (proved, Some(proof)))
}

impl Sorted {
    fn add(&mut self, index: usize, connections: Vec<Connection>, kind: Option<String>) {
        let ids = |connections: &[Connection]| -> Vec<ConnectionRowId> {
            connections.iter().map(|connection| connection.id).collect()
        };
        let wanted = ids(&connections);
        match self.parts.iter_mut().find(|part| ids(&part.connections) == wanted) {
            Some(part) => part.events.push(index),
            None => self.parts.push(Part { connections, kind, events: vec![index] }),
        }
    }
}

fn kind(webhook: &Webhook, scene: &Scene) -> Option<String> {
    let context = scene.context(None);
    webhook.event_type.iter().find_map(|template| proof::value(template, &context))
}

/// The events of a body: it, what is wrapped in it, or those of its list.
fn split(webhook: &Webhook, body: &Value) -> Result<Vec<Value>, Refusal> {
    if let Some(path) = &webhook.wrapped_in {
        let wrapped = at(body, path).and_then(Value::as_str).and_then(proof::decode_base64);
        let event = wrapped.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        return event.map(|event| vec![event]).ok_or(Refusal::InvalidPayload);
    }
    match webhook.events.as_deref() {
        None => Ok(vec![body.clone()]),
        Some(path) => match at(body, path) {
            Some(Value::Array(events)) if events.len() <= MOST_EVENTS => Ok(events.clone()),
            // A single event may come without a list around it.
            Some(event @ Value::Object(_)) if path.is_empty() => Ok(vec![event.clone()]),
            _ => Err(Refusal::InvalidPayload),
        },
    }
}

/// The value at a dotted path; the empty one leads to the value itself.
pub fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(value);
    }
    path.split('.').try_fold(value, |value, key| value.get(key))
}

fn list_at<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Vec<Value>> {
    if path.is_empty() {
        return value.as_array_mut();
    }
    path.split('.').try_fold(value, |value, key| value.get_mut(key))?.as_array_mut()
}
