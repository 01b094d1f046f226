//! What a settings file does to the integrations of an environment.

use indexmap::IndexMap;
use serde_json::Value;

use super::state::EnvironmentState;
use super::steps::{Action, Differences, Owner, Step};
use crate::api::integrations::input::NewIntegration;
use crate::api::integrations::{changed, check_new};
use crate::app::App;
use crate::db::connections;
use crate::error::ApiError;
use crate::integrations::OpenIntegration;

/// The step for one integration of the file; `None` when it is stored as declared.
///
/// # Errors
/// The provider is unknown or another one, or the settings do not fit it.
pub fn change_integration(
    app: &App,
    owner: &Owner,
    state: &EnvironmentState,
    declared: &NewIntegration,
) -> Result<Option<Step>, ApiError> {
    let what = format!(": integration {}", declared.unique_key);
    let Some(stored) = state.integrations.iter().find(|one| one.row.unique_key == declared.unique_key) else {
        check_new(app, state.id, declared)?;
        return Ok(Some(Step::add(owner, &what, Action::CreateIntegration(declared.clone()))));
    };
    if stored.row.provider != declared.provider {
        return Err(ApiError::bad_request(
            "invalid_body",
            format!(
                "this integration exists with the provider {}, which cannot be changed; give this one another key, or \
                 delete that one first",
                stored.row.provider
            ),
        ));
    }
    let after = OpenIntegration::open(app, changed(app, stored, declared.settings.clone())?)?;
    let action = Action::ChangeIntegration {
        unique_key: declared.unique_key.clone(),
        settings: declared.settings.clone(),
    };
    Ok(Step::change(owner, &what, differences(stored, &after), action))
}

fn differences(before: &OpenIntegration, after: &OpenIntegration) -> Differences {
    let (old, new) = (&before.row, &after.row);
    let text = |text: &Option<String>| Value::from(text.clone());
    let mut differences = Differences::default();
    differences.plain("display_name", &text(&old.display_name), &text(&new.display_name));
    differences.plain("forward_webhooks", &old.forward_webhooks.into(), &new.forward_webhooks.into());
    differences.plain(
        "accept_unverified_webhooks",
        &old.accept_unverified_webhooks.into(),
        &new.accept_unverified_webhooks.into(),
    );
    differences.plain("client_id", &text(&old.oauth_client_id), &text(&new.oauth_client_id));
    differences.secret("client_secret", before.client_secret.as_ref(), after.client_secret.as_ref());
    differences.plain("scopes", &text(&old.oauth_scopes), &text(&new.oauth_scopes));
    differences.plain("app_link", &text(&old.app_link), &text(&new.app_link));
    differences.secret_members("values", &before.custom, &after.custom);
    differences
}

/// The steps that delete the integrations of which the file says nothing, with how many connections go along.
pub async fn prune_integrations(
    app: &App,
    owner: &Owner,
    state: &EnvironmentState,
    declared: &IndexMap<String, NewIntegration>,
) -> Result<Vec<Step>, ApiError> {
    let mut steps = Vec::new();
    for stored in state.integrations.iter().filter(|stored| !declared.contains_key(&stored.row.unique_key)) {
        let key = stored.row.unique_key.clone();
        let count = connections::count_of_integration(&app.db, state.id, stored.row.id).await?;
        let what = format!(": integration {key} with its {count} connection(s)");
        steps.push(Step::remove(owner, &what, Action::DeleteIntegration(key)));
    }
    Ok(steps)
}
