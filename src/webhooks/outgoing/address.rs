//! Where a delivery goes: what waits while somebody corrects an address goes to the new one.

use sqlx::PgPool;

use crate::db::EnvironmentId;
use crate::db::connections::{WebhookUrl, find_webhook_url};
use crate::db::webhook_deliveries::WebhookTarget;
use crate::db::webhook_settings::WebhookSettings;

/// A delivery as far as its address is concerned.
pub struct Addressed<'a> {
    pub environment: EnvironmentId,
    pub target: WebhookTarget,
    pub provider_config_key: &'a str,
    pub connection_id: Option<&'a str>,
    /// Where it was to go when it was queued.
    pub url: &'a str,
}

/// The address that stands now where the delivery's stood; `None`: it was taken away.
pub async fn current_address(
    db: &PgPool,
    settings: &WebhookSettings,
    delivery: Addressed<'_>,
) -> sqlx::Result<Option<String>> {
    match delivery.target {
        WebhookTarget::Primary => Ok(settings.primary_url.clone()),
        WebhookTarget::Secondary => Ok(settings.secondary_url.clone()),
        WebhookTarget::Connection => {
            let Some(connection_id) = delivery.connection_id else {
                return Ok(Some(delivery.url.to_owned()));
            };
            let key = delivery.provider_config_key;
            let found = find_webhook_url(db, delivery.environment, key, connection_id).await?;
            Ok(match found {
                // A sign-in that failed, or a connection that was deleted: the address was its own.
                WebhookUrl::NoConnection => Some(delivery.url.to_owned()),
                WebhookUrl::Own(url) => Some(url),
                WebhookUrl::OfTheEnvironment => settings.primary_url.clone(),
            })
        }
    }
}
