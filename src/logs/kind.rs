//! The words of the model: what happened, how far it got, how much it matters.

use chrono::TimeDelta;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// What the word means; `None` for words that this version does not know.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

words! {
    /// What an operation is, as `type:action`.
    Kind {
        SyncRun = "sync:run",
        SyncInit = "sync:init",
        SyncPause = "sync:pause",
        SyncUnpause = "sync:unpause",
        SyncCancel = "sync:cancel",
        SyncRequestRun = "sync:request_run",
        SyncRequestRunFull = "sync:request_run_full",
        SyncCreateVariant = "sync:create_variant",
        SyncDeleteVariant = "sync:delete_variant",
        ActionRun = "action:run",
        EventsPostConnectionCreation = "events:post_connection_creation",
        EventsPreConnectionDeletion = "events:pre_connection_deletion",
        EventsValidateConnection = "events:validate_connection",
        WebhookIncoming = "webhook:incoming",
        WebhookForward = "webhook:forward",
        WebhookSync = "webhook:sync",
        WebhookConnectionCreate = "webhook:connection_create",
        WebhookConnectionRefresh = "webhook:connection_refresh",
        ProxyCall = "proxy:call",
        AuthCreateConnection = "auth:create_connection",
        AuthRefreshToken = "auth:refresh_token",
        AuthPostConnection = "auth:post_connection",
        AuthConnectionTest = "auth:connection_test",
        DeployCustom = "deploy:custom",
        DeployPrebuilt = "deploy:prebuilt",
        AdminImpersonation = "admin:impersonation",
        // Not upstream's: a change by the API or an operator.
        AdminConnectionDelete = "admin:connection_delete",
        FunctionInvoke = "function:invoke",
    }
}

words! {
    State {
        Waiting = "waiting",
        Running = "running",
        Success = "success",
        Failed = "failed",
        Timeout = "timeout",
        Cancelled = "cancelled",
    }
}

words! {
    Level {
        Debug = "debug",
        Info = "info",
        Warn = "warn",
        Error = "error",
    }
}

words! {
    /// What a message is about.
    Context {
        Script = "script",
        Proxy = "proxy",
        Webhook = "webhook",
        Auth = "auth",
    }
}

impl Kind {
    /// Type and action.
    pub fn parts(self) -> (&'static str, &'static str) {
        self.as_str().split_once(':').unwrap_or((self.as_str(), ""))
    }

    /// After this an operation that has not ended counts as abandoned (`spec` logs, section 1.1).
    pub fn lifetime(self) -> TimeDelta {
        match self.parts().0 {
            "auth" => TimeDelta::minutes(5),
            // IMPROVE: upstream gives functions of webhooks, which may run for an hour, 15 minutes.
            "action" | "webhook" | "events" | "function" => TimeDelta::hours(1),
            _ => TimeDelta::hours(24),
        }
    }

    /// What its messages are about.
    pub fn context(self) -> Context {
        match self.parts().0 {
            "auth" | "admin" => Context::Auth,
            "proxy" => Context::Proxy,
            "webhook" => Context::Webhook,
            _ => Context::Script,
        }
    }

    /// The operation in a few words, until somebody knows better.
    pub fn title(self) -> &'static str {
        match self {
            Kind::SyncRun => "Sync run",
            Kind::SyncInit => "Sync schedule made",
            Kind::SyncPause => "Sync paused",
            Kind::SyncUnpause => "Sync started",
            Kind::SyncCancel => "Sync run cancelled",
            Kind::SyncRequestRun | Kind::SyncRequestRunFull => "Sync run asked for",
            Kind::SyncCreateVariant => "Sync variant made",
            Kind::SyncDeleteVariant => "Sync variant deleted",
            Kind::ActionRun => "Action",
            Kind::EventsPostConnectionCreation => "Function after a new connection",
            Kind::EventsPreConnectionDeletion => "Step before a deletion",
            Kind::EventsValidateConnection => "Function that judges a connection",
            Kind::WebhookIncoming => "Webhook of a provider",
            Kind::WebhookForward => "Provider webhook passed on",
            Kind::WebhookSync => "Webhook about a sync",
            Kind::WebhookConnectionCreate => "Webhook about a connection",
            Kind::WebhookConnectionRefresh => "Webhook about a refresh",
            Kind::ProxyCall => "Proxied call",
            Kind::AuthCreateConnection => "Sign-in",
            Kind::AuthRefreshToken => "Token refresh",
            Kind::AuthPostConnection => "Step after a sign-in",
            Kind::AuthConnectionTest => "Credential check",
            Kind::DeployCustom | Kind::DeployPrebuilt => "Deployment",
            Kind::AdminImpersonation => "Impersonation",
            Kind::AdminConnectionDelete => "Connection deleted",
            Kind::FunctionInvoke => "Function",
        }
    }
}

impl State {
    /// A later state replaces an earlier one, never the other way round. What really happened is later than what was
    /// presumed when nothing was heard any more, and a sign-in that succeeded in the end succeeded.
    pub fn rank(self) -> i16 {
        match self {
            State::Waiting => 0,
            State::Running => 1,
            State::Timeout | State::Cancelled => 2,
            State::Failed => 3,
            State::Success => 4,
        }
    }

    pub fn is_final(self) -> bool {
        self.rank() > State::Running.rank()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
            assert!(!kind.parts().1.is_empty(), "{kind:?}");
        }
        for (kind, minutes) in
            [(Kind::AuthRefreshToken, 5), (Kind::WebhookForward, 60), (Kind::SyncRun, 1440)]
        {
            assert_eq!(kind.lifetime().num_minutes(), minutes);
        }
        assert_eq!(State::parse("timeout"), Some(State::Timeout));
        assert_eq!(Level::parse("fatal"), None);
    }
}
