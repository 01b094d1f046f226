//! Who asks for what is being done, and from where. The edge opens a call around each request, the extractors note who
//! was authenticated, and [`super::record`] reads both; nothing in between has to hand them on.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::db::{ApiKeyId, ConnectSessionId};

/// Longer user agents are cut.
const MAX_USER_AGENT: usize = 512;
/// What did it, when nobody asked.
const BACKGROUND: &str = "background work";

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// Somebody who changes something.
#[derive(Debug, Clone, Serialize)]
pub struct Actor {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<String>,
    /// The key whose name is shown.
    #[serde(skip)]
    pub(super) key: Option<ApiKeyId>,
}

impl Actor {
    /// A person who signed in.
    pub fn user(id: impl ToString, display: impl Into<String>) -> Self {
        Actor { kind: "user", id: id.to_string(), display: Some(display.into()), key: None }
    }

    /// An API key; its name is read when the event is stored.
    pub fn api_key(id: ApiKeyId) -> Self {
        Actor { kind: "api_key", id: id.0.to_string(), display: None, key: Some(id) }
    }

    /// The key that the operator's settings fix for an environment.
    pub fn provisioned_key(environment: &str) -> Self {
        let display = Some("fixed by the server's settings".to_owned());
        Actor { kind: "api_key", id: format!("provisioned:{environment}"), display, key: None }
    }

    pub fn connect_session(id: ConnectSessionId) -> Self {
        Actor { kind: "connect_session", id: id.0.to_string(), display: None, key: None }
    }

    /// Somebody on the network who proved nothing.
    fn anonymous() -> Self {
        Actor { kind: "anonymous", id: "anonymous".to_owned(), display: None, key: None }
    }

    /// The server itself, or somebody at its command line.
    pub fn process(what: &str) -> Self {
        Actor { kind: "unknown", id: "hitchpost".to_owned(), display: Some(what.to_owned()), key: None }
    }
}

/// The request, or the work of the process, during which something changes.
#[derive(Default)]
pub struct Call {
    interface: Option<&'static str>,
    address: Option<IpAddr>,
    user_agent: Option<String>,
    actor: OnceLock<Actor>,
}

impl Call {
    /// A request to the API.
    pub fn of_api(address: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        Call { interface: Some("api"), ..Self::of_browser(address, user_agent) }
    }

    /// A request to the dashboard.
    // Wire: `interface` has no word for it.
    pub fn of_browser(address: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
        Call { interface: None, address, user_agent, actor: OnceLock::new() }
    }

    /// Work that nobody on the network asked for.
    pub fn of_process(what: &str) -> Self {
        Call { actor: OnceLock::from(Actor::process(what)), ..Call::default() }
    }

    fn context(&self) -> Value {
        let mut context = Map::new();
        if let Some(interface) = self.interface {
            context.insert("interface".to_owned(), interface.into());
        }
        if let Some(address) = self.address {
            context.insert("ip".to_owned(), address.to_string().into());
        }
        if let Some(user_agent) = &self.user_agent {
            context.insert("userAgent".to_owned(), user_agent.clone().into());
        }
        Value::Object(context)
    }
}

/// Does `work` as part of a call.
pub async fn within<F: Future>(call: Call, work: F) -> F::Output {
    CALL.scope(Arc::new(call), work).await
}

/// Makes `work`, which is about to become a task of its own, part of the current call.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CALL.try_with(Arc::clone);
    let call = current.unwrap_or_else(|_| Arc::new(Call::of_process(BACKGROUND)));
    CALL.scope(call, work)
}

/// Says who the current call comes from. The first one who was authenticated counts.
pub fn note_actor(actor: impl FnOnce() -> Actor) {
    let _ = CALL.try_with(|call| call.actor.set(actor()));
}

/// Who asks, and from where.
pub(super) fn current() -> (Actor, Value) {
    let known = CALL.try_with(|call| {
        let actor = call.actor.get().cloned().unwrap_or_else(Actor::anonymous);
        (actor, call.context())
    });
    known.unwrap_or_else(|_| (Actor::process(BACKGROUND), json!({})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_who_is_authenticated_counts() {
        let call = Call::of_api("192.0.2.7".parse().ok(), Some("curl/8"));
        within(call, async {
            assert_eq!(json!(current().0), json!({"type": "anonymous", "id": "anonymous"}));
            note_actor(|| Actor::api_key(ApiKeyId(7)));
            note_actor(|| Actor::user(1, "somebody else"));
            let (actor, context) = current();
            assert_eq!(json!(actor), json!({"type": "api_key", "id": "7"}));
            assert_eq!(context, json!({"interface": "api", "ip": "192.0.2.7", "userAgent": "curl/8"}));
        })
        .await;
        let (actor, context) = current();
        assert_eq!((actor.kind, context), ("unknown", json!({})));
    }
}
