//! Passing a provider's webhook on to the customer (`spec` auth-flows, sections 10.6 and 11.5). Called with webhooks whose
//! signature was found to be right.

use http::HeaderMap;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Event, Header, Occasion, Subject, canonical_json, enqueue};
use crate::app::App;
use crate::db::EnvironmentId;
use crate::db::connections::Connection;
use crate::db::integrations::Integration;
use crate::db::webhook_settings::{self, WebhookSettings};
use crate::error::ApiError;

/// A provider's webhook.
pub struct Forward<'a> {
    pub environment: EnvironmentId,
    pub integration: &'a Integration,
    /// The connections that it is about; each gets a delivery. Without any, the payload goes out bare.
    pub connections: &'a [Connection],
    pub payload: &'a Value,
    /// Those of the provider's headers that may be passed on; the server's own win.
    pub headers: &'a HeaderMap,
    /// The provider's word for what happened, for people who look at deliveries.
    pub event: Option<&'a str>,
}

/// Stores the webhook for the environment's addresses and those of the connections, all or nothing, and sends it. Does
/// nothing when the integration does not forward.
///
/// # Errors
/// It could not be stored; the provider should send it again.
pub async fn forward(app: &App, forward: Forward<'_>) -> Result<(), ApiError> {
    if !forward.integration.forward_webhooks {
        return Ok(());
    }
    let mut transaction = app.db.begin().await?;
    let settings = webhook_settings::find(&mut *transaction, forward.environment).await?;
    let headers = stored_headers(forward.headers);
    if forward.connections.is_empty() {
        store(app, &mut transaction, &settings, &forward, None, &headers).await?;
    }
    for connection in forward.connections {
        store(app, &mut transaction, &settings, &forward, Some(connection), &headers).await?;
    }
    transaction.commit().await?;
    app.outbox.ring(forward.environment);
    Ok(())
}

async fn store(
    app: &App,
    db: &mut PgConnection,
    settings: &WebhookSettings,
    forward: &Forward<'_>,
    connection: Option<&Connection>,
    headers: &[Header],
) -> Result<(), ApiError> {
    let integration = forward.integration;
    let body = match connection {
        None => canonical_json(forward.payload),
        Some(connection) => canonical_json(&json!({
            "from": integration.provider,
            "type": "forward",
            "connectionId": connection.connection_id,
            "providerConfigKey": integration.unique_key,
            "payload": forward.payload,
        })),
    };
    let subject = connection.map(|connection| Subject {
        connection_id: &connection.connection_id,
        webhook_url_override: connection.webhook_url_override.as_deref(),
    });
    let event = Event {
        environment: forward.environment,
        occasion: Occasion::Forward,
        name: forward.event,
        provider_config_key: &integration.unique_key,
        connection: subject,
        body,
        headers: headers.to_vec(),
        hold: None,
    };
    enqueue(app, db, settings, &event).await
}

/// Headers as they are stored: each byte of a value is a character.
fn stored_headers(headers: &HeaderMap) -> Vec<Header> {
    let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}
