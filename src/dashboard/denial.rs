//! What somebody tried to do whose role does not allow it, for the audit trail.

use axum::extract::MatchedPath;
use axum::http::request::Parts;

use super::page::Page;
use crate::app::App;
use crate::audit::{self, Action, Event, Outcome};

/// Records a form that was refused. The form itself was not read.
pub async fn note(app: &App, parts: &Parts, page: &Page) -> sqlx::Result<()> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let action = attempted(path);
    let event = match &page.current {
        Some(environment) => Event::of_environment(environment.id, action),
        None => Event::of_account(page.viewer.account_id, action),
    };
    audit::record(app, &app.db, event.outcome(Outcome::Denied).with("path", page.path.as_str())).await
}

/// What a form sent to this route would have done.
fn attempted(route: &str) -> Action {
    let (area, rest) = match route.strip_prefix("/env/{environment}/") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => (route.trim_start_matches("/settings/").split('/').next().unwrap_or_default(), route),
    };
    let last = rest.rsplit('/').next().unwrap_or_default();
    match (area, last) {
        ("integrations", "delete") => Action::IntegrationDeleted,
        ("integrations", "secrets") => Action::IntegrationRevealed,
        ("integrations", _) => Action::IntegrationUpdated,
        ("catalog", _) => Action::IntegrationCreated,
        ("connections", "delete") => Action::ConnectionDeleted,
        ("connections", "credentials") => Action::ConnectionRevealed,
        ("connections", "refresh") => Action::ConnectionRefreshed,
        ("connections", "metadata") => Action::ConnectionMetadataUpdated,
        ("connections", "invite") | ("start", _) => Action::ConnectionCreated,
        ("connections" | "playground", _) => Action::ConnectionUpdated,
        ("webhooks", _) => Action::WebhookReplayed,
        ("api-keys", "rotate") => Action::ApiKeyUpdated,
        ("api-keys", "revoke") => Action::ApiKeyDeleted,
        ("api-keys", _) => Action::ApiKeyCreated,
        ("provider-editor", _) => Action::ProviderUpdated,
        ("settings", "show") if rest.starts_with("variables") => Action::VariableRevealed,
        ("settings", "show") => Action::SigningKeyRevealed,
        ("settings", "replace") => Action::SigningKeyRotated,
        ("settings", "webhooks") => Action::WebhookUrlsChanged,
        ("settings", _) if rest.starts_with("variables") => Action::VariablesChanged,
        ("environments", "delete") => Action::EnvironmentDeleted,
        ("environments", "environments") => Action::EnvironmentCreated,
        ("providers", _) => Action::ProviderDeleted,
        ("team", "team") => Action::MemberInvited,
        ("team", "revoke") => Action::MemberInviteRevoked,
        ("team", "role") => Action::MemberRoleChanged,
        ("team", "remove") => Action::MemberRemoved,
        ("team", "reset-link") => Action::PasswordReset,
        _ => Action::EnvironmentUpdated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_called_by_what_they_do() {
        for (route, expected) in [
            ("/env/{environment}/api-keys", Action::ApiKeyCreated),
            ("/env/{environment}/api-keys/{key}/revoke", Action::ApiKeyDeleted),
            ("/env/{environment}/integrations/{key}/settings", Action::IntegrationUpdated),
            ("/env/{environment}/connections/delete", Action::ConnectionDeleted),
            ("/env/{environment}/connections/{connection}/credentials", Action::ConnectionRevealed),
            ("/env/{environment}/settings/variables", Action::VariablesChanged),
            ("/env/{environment}/settings/variables/show", Action::VariableRevealed),
            ("/env/{environment}/settings/signing-key/show", Action::SigningKeyRevealed),
            ("/env/{environment}/settings/addresses", Action::EnvironmentUpdated),
            ("/env/{environment}/provider-editor/save", Action::ProviderUpdated),
            ("/settings/environments", Action::EnvironmentCreated),
            ("/settings/environments/{name}", Action::EnvironmentUpdated),
            ("/settings/environments/{name}/delete", Action::EnvironmentDeleted),
            ("/settings/team", Action::MemberInvited),
            ("/settings/team/{member}/role", Action::MemberRoleChanged),
            ("/settings/providers/{name}/delete", Action::ProviderDeleted),
        ] {
            assert_eq!(attempted(route), expected, "{route}");
        }
    }
}
