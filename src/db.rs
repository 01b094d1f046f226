//! Storage: the pool, the migrator and one file of SQL per table. The only SQL of the tree.
//!
//! The embedded database serves exactly one connection, and a transaction-mode pooler hands out another one
//! for every transaction. So: no session locks, no `LISTEN`, nothing holds a connection while it asks for
//! another, and no transaction stays open across a network call.

pub mod accounts;
pub mod api_keys;
pub mod audit_events;
pub mod audit_targets;
pub mod changes;
pub mod connect_sessions;
pub mod connect_ui_settings;
pub mod connection_config;
pub mod connection_counts;
pub mod connection_errors;
pub mod connection_list;
pub mod connections;
pub mod custom_providers;
#[cfg(feature = "embedded-db")]
pub mod embedded;
pub mod encryption_keys;
pub mod end_users;
pub mod environment_variables;
pub mod environments;
pub mod health;
pub mod integrations;
pub mod job_leases;
pub mod job_runs;
pub mod log_hours;
pub mod log_messages;
pub mod log_operations;
pub mod log_partitions;
pub mod log_reads;
pub mod log_search;
pub mod member_links;
pub mod member_sessions;
pub mod members;
pub mod oauth_sessions;
pub mod pool;
pub mod post_connection_runs;
pub mod pre_deletion_runs;
pub mod recovery_codes;
pub mod refresh_leases;
pub mod replicas;
pub mod seen_webhooks;
pub mod webhook_agreed_secrets;
pub mod webhook_attempts;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhook_handshakes;
pub mod webhook_queues;
pub mod webhook_settings;

use serde::{Deserialize, Serialize};

/// Every migration, compiled in.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The migrations of the operation logs' own tables, which may be in a database of their own.
const LOG_MIGRATIONS: [i64; 3] = [20261122000010, 20261123000003, 20261123000020];

/// What a database of the operation logs' own needs.
pub fn log_migrator() -> sqlx::migrate::Migrator {
    let of_logs = MIGRATOR.iter().filter(|migration| LOG_MIGRATIONS.contains(&migration.version));
    let mut migrator = sqlx::migrate::Migrator::with_migrations(of_logs.cloned().collect());
    // It may be the main database after all.
    migrator.set_ignore_missing(true);
    migrator
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_for_the_logs_gets_all_of_their_migrations_and_no_other() {
        for migration in MIGRATOR.iter() {
            let is_about_logs = migration.sql.as_str().contains("log_operations");
            let is_listed = LOG_MIGRATIONS.contains(&migration.version);
            assert_eq!(is_listed, is_about_logs, "{} {}", migration.version, migration.description);
        }
        assert_eq!(log_migrator().iter().count(), LOG_MIGRATIONS.len());
    }
}
