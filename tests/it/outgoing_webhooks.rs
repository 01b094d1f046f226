//! What customers' backends are told, and that they hear it: payloads, signatures, retries, order and isolation.

mod delivery;
mod events;
mod held;
mod operator;

use hitchpost::db;
use hitchpost::db::environments::Environment;
use hitchpost::integrations::OpenIntegration;
use hitchpost::webhooks::outgoing::{AuthEvent, AuthFailure, AuthOperation, announce_auth};
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::TestSettings;
use crate::support::receiver::Receiver;
use crate::support::target::insert_integration;

/// A server whose webhooks go to one receiver, with an integration `acme`.
struct World {
    app: TestApp,
    receiver: Receiver,
    integration: OpenIntegration,
    environment: Environment,
}

impl World {
    async fn start() -> World {
        Self::with(TestSettings::default()).await
    }

    async fn with(settings: TestSettings) -> World {
        let catalog = json!({"acme": {"display_name": "Acme", "docs": "https://docs.example.com", "auth_mode": "API_KEY",
                                      "proxy": {"base_url": "https://acme.example"}}});
        let app = settings.catalog(catalog.to_string()).start().await;
        let integration = insert_integration(&app, "acme", None).await;
        let receiver = Receiver::start().await;
        app.send_webhooks_to(&receiver.url("/hook")).await;
        let environment = db::environments::find(&app.app.db, app.environment_id).await.unwrap().unwrap();
        World { app, receiver, integration, environment }
    }

    /// Imports a connection, which is an event.
    async fn import(&self, connection_id: &str) {
        let body = json!({"provider_config_key": "acme", "connection_id": connection_id,
                          "credentials": {"type": "API_KEY", "apiKey": "key-0123456789"}});
        self.app.client().post("/connections", body).expect(201).await;
    }

    /// Stores a numbered event of a connection, sent where `url` says.
    async fn tell(&self, connection_id: &str, number: usize, url: Option<&str>) {
        let description = number.to_string();
        let event = AuthEvent {
            environment: &self.environment,
            integration: &self.integration,
            connection_id,
            webhook_url_override: url,
            auth_mode: None,
            operation: AuthOperation::Refresh,
            tags: None,
            end_user: None,
            failure: Some(AuthFailure { kind: "numbered", description: &description }),
            hold: None,
        };
        announce_auth(&self.app.app, &event).await;
    }

    /// The numbers of the events that arrived for a connection, in the order of arrival.
    fn arrived(&self, connection_id: &str) -> Vec<String> {
        let bodies = self.receiver.bodies();
        let of_connection = bodies.iter().filter(|body| body["connectionId"] == connection_id);
        of_connection.filter_map(|body| body["error"]["description"].as_str()).map(str::to_owned).collect()
    }
}
