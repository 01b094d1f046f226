//! Everything that the trail tells of, by the names of the contract (`spec` logs-and-observability, section 7).

macro_rules! actions {
    ($($name:ident = $resource:literal $verb:literal;)*) => {
        /// What was done to what.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($name,)*
        }

        impl Action {
            /// Every action, grouped by resource.
            pub const ALL: &[Action] = &[$(Action::$name,)*];

            /// What it was done to.
            pub fn resource(self) -> &'static str {
                match self {
                    $(Action::$name => $resource,)*
                }
            }

            /// What was done.
            pub fn verb(self) -> &'static str {
                match self {
                    $(Action::$name => $verb,)*
                }
            }
        }
    };
}

actions! {
    ConnectionCreated = "connection" "created";
    ConnectionUpdated = "connection" "updated";
    ConnectionMetadataUpdated = "connection" "metadata_updated";
    ConnectionRefreshed = "connection" "refreshed";
    ConnectionDeleted = "connection" "deleted";
    ConnectionRevealed = "connection" "credentials_revealed";
    IntegrationCreated = "integration" "created";
    IntegrationUpdated = "integration" "updated";
    IntegrationDeleted = "integration" "deleted";
    IntegrationRevealed = "integration" "credentials_revealed";
    ProviderCreated = "provider" "created";
    ProviderUpdated = "provider" "updated";
    ProviderDeleted = "provider" "deleted";
    ApiKeyCreated = "api_key" "created";
    ApiKeyUpdated = "api_key" "updated";
    ApiKeyDeleted = "api_key" "deleted";
    MemberInvited = "member" "invited";
    MemberInviteAccepted = "member" "invite_accepted";
    MemberInviteDeclined = "member" "invite_declined";
    MemberInviteRevoked = "member" "invite_revoked";
    MemberRoleChanged = "member" "role_changed";
    MemberRemoved = "member" "removed";
    TeamUpdated = "team" "updated";
    UserUpdated = "user" "updated";
    EnvironmentCreated = "environment" "created";
    EnvironmentUpdated = "environment" "updated";
    VariablesChanged = "environment" "variables_changed";
    WebhookUrlsChanged = "environment" "webhook_urls_changed";
    SigningKeyRotated = "environment" "webhook_signing_key_rotated";
    SigningKeyRevealed = "environment" "webhook_signing_key_revealed";
    VariableRevealed = "environment" "variable_revealed";
    WebhookReplayed = "webhook" "replayed";
    EnvironmentDeleted = "environment" "deleted";
    Login = "app_auth" "login";
    Logout = "app_auth" "logout";
    Signup = "app_auth" "signup";
    PasswordChanged = "app_auth" "password_changed";
    PasswordReset = "app_auth" "password_reset";
    MfaEnrolled = "mfa" "enrolled";
    MfaEnabled = "mfa" "enabled";
    MfaDisabled = "mfa" "disabled";
    MfaVerified = "mfa" "verified";
    MfaRecoveryRegenerated = "mfa" "recovery_regenerated";
    AuditTrailExported = "audit_trail" "exported";
    AuditTrailQueried = "audit_trail" "queried";
}
