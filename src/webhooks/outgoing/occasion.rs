//! What happened, and whether an environment wants to hear of it (`spec` auth-flows, section 10.1). Pure.

use crate::db::webhook_deliveries::WebhookType;
use crate::db::webhook_settings::WebhookSettings;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A connection was made, or could not be made.
    AuthCreation,
    /// A connection was authorized again, or did not stand a new validation.
    AuthOverride,
    /// Credentials could not be refreshed, or were refused in a test.
    AuthRefreshFailure,
    SyncSuccess {
        has_changes: bool,
    },
    SyncFailure,
    AsyncAction,
    /// A provider's webhook is passed on.
    Forward,
}

impl Occasion {
    pub fn kind(self) -> WebhookType {
        match self {
            Occasion::AuthCreation | Occasion::AuthOverride | Occasion::AuthRefreshFailure => {
                WebhookType::Auth
            }
            Occasion::SyncSuccess { .. } | Occasion::SyncFailure => WebhookType::Sync,
            Occasion::AsyncAction => WebhookType::AsyncAction,
            Occasion::Forward => WebhookType::Forward,
        }
    }

    pub fn is_wanted(self, settings: &WebhookSettings) -> bool {
        match self {
            Occasion::AuthCreation => settings.on_auth_creation,
            Occasion::AuthRefreshFailure => settings.on_auth_refresh_error,
            Occasion::SyncSuccess { has_changes } => has_changes || settings.on_sync_completion_always,
            Occasion::SyncFailure => settings.on_sync_error,
            Occasion::AsyncAction => settings.on_async_action_completion,
            Occasion::AuthOverride | Occasion::Forward => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_occasion_has_its_switch_and_some_have_none() {
        let off = WebhookSettings {
            on_sync_completion_always: false,
            on_auth_creation: false,
            on_auth_refresh_error: false,
            on_sync_error: false,
            on_async_action_completion: false,
            ..WebhookSettings::default()
        };
        for (occasion, is_wanted_when_all_is_off) in [
            (Occasion::AuthCreation, false),
            (Occasion::AuthOverride, true),
            (Occasion::AuthRefreshFailure, false),
            (Occasion::SyncSuccess { has_changes: true }, true),
            (Occasion::SyncSuccess { has_changes: false }, false),
            (Occasion::SyncFailure, false),
            (Occasion::AsyncAction, false),
            (Occasion::Forward, true),
        ] {
            assert_eq!(occasion.is_wanted(&off), is_wanted_when_all_is_off, "{occasion:?}");
            assert!(occasion.is_wanted(&WebhookSettings::default()), "{occasion:?}");
        }
    }
}
