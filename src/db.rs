//! Storage: the pool, the migrator and one file of SQL per table. The only SQL of the tree.
//!
//! The embedded database serves exactly one connection, and a transaction-mode pooler hands out another one
//! for every transaction. So: no session locks, no `LISTEN`, nothing holds a connection while it asks for
//! another, and no transaction stays open across a network call.

pub mod accounts;
pub mod api_keys;
pub mod audit_events;
pub mod changes;
pub mod connect_sessions;
pub mod connect_ui_settings;
pub mod connection_config;
pub mod connection_errors;
pub mod connection_list;
pub mod connections;
#[cfg(feature = "embedded-db")]
pub mod embedded;
pub mod encryption_keys;
pub mod end_users;
pub mod environment_variables;
pub mod environments;
pub mod integrations;
pub mod job_leases;
pub mod job_runs;
pub mod log_messages;
pub mod log_operations;
pub mod log_partitions;
pub mod log_reads;
pub mod member_links;
pub mod member_sessions;
pub mod members;
pub mod oauth_sessions;
pub mod pool;
pub mod post_connection_runs;
pub mod pre_deletion_runs;
pub mod recovery_codes;
pub mod refresh_leases;
pub mod seen_webhooks;
pub mod webhook_attempts;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhook_handshakes;
pub mod webhook_queues;
pub mod webhook_settings;

use serde::{Deserialize, Serialize};

/// Every migration, compiled in.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

macro_rules! row_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub i64);
    )*};
}

row_ids! {
    AccountId,
    EnvironmentId,
    ApiKeyId,
    IntegrationId,
    /// The numeric id of a connection's row, not the `connection_id` that customers choose.
    ConnectionRowId,
    EndUserId,
    ConnectSessionId,
    MemberId,
    /// A browser in which a member is logged in.
    SessionId,
    LinkId,
    WebhookEndpointId,
    WebhookQueueId,
    WebhookDeliveryId,
}
