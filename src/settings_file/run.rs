//! Carrying out a plan, through the same functions as the JSON routes.

use super::plan::Plan;
use super::problem::Problem;
use super::steps::{Action, Owner, Step};
use crate::api::integrations::input::{IntegrationPatch, NewIntegration};
use crate::api::integrations::{change, create, remove};
use crate::app::App;
use crate::crypto::Secret;
use crate::db::api_keys::{self, ListedKey};
use crate::db::environments::{self, Environment};
use crate::db::{AccountId, EnvironmentId};
use crate::environments::{
    NewEnvironment, PRODUCTION, connect_ui, create_announced, settings, variables, webhooks,
};
use crate::error::ApiError;
use crate::keys::{self, KeyOwner, NewApiKey};

/// A key that was made with a random secret, which nobody can ask for again.
pub struct MadeKey {
    /// The environment's name; `None`: a key of the account.
    pub environment: Option<String>,
    pub name: String,
    pub secret: Secret,
}

impl Plan {
    /// Carries out every step. `tell` takes each new secret at once, so that none is lost when a later step fails.
    ///
    /// # Errors
    /// A sentence. The steps before the failed one stay done; running again does the rest.
    pub async fn run(
        self,
        app: &App,
        tell: &mut (dyn FnMut(MadeKey) -> Result<(), String> + Send),
    ) -> Result<(), String> {
        let total = self.steps.len();
        for (done, step) in self.steps.into_iter().enumerate() {
            let title = step.owner.title();
            let made = run_step(app, self.account, step).await;
            let made = made.map_err(|error| {
                let reasons = Problem::from_error(&[], &error);
                let reasons: Vec<String> = reasons.into_iter().map(Problem::into_text).collect();
                format!(
                    "{title}: {} {done} of {total} changes were made; run again to make the rest.",
                    reasons.join("; ")
                )
            })?;
            made.map_or(Ok(()), &mut *tell)?;
        }
        Ok(())
    }
}

async fn run_step(app: &App, account: AccountId, step: Step) -> Result<Option<MadeKey>, ApiError> {
    let name = match step.owner {
        Owner::Account => return run_on_keys(app, account, None, step.action).await,
        Owner::Environment(name) => name,
    };
    if let Action::CreateEnvironment = step.action {
        let new = NewEnvironment { is_production: name == PRODUCTION, name, ..NewEnvironment::default() };
        return create_announced(app, account, &new).await.map(|_| None);
    }
    let found = environments::find_named(&app.db, account, &name).await?;
    let environment = found.ok_or_else(|| ApiError::not_found("The environment was deleted meanwhile."))?;
    match step.action {
        action @ (Action::CreateKey { .. } | Action::ChangeKey { .. } | Action::DeleteKey(_)) => {
            run_on_keys(app, account, Some(&environment), action).await
        }
        action => run_on_environment(app, environment.id, action).await.map(|()| None),
    }
}

async fn run_on_environment(app: &App, id: EnvironmentId, action: Action) -> Result<(), ApiError> {
    match action {
        Action::ChangeEnvironment(patch) => settings::change(app, id, patch).await,
        Action::DeleteEnvironment => crate::environments::delete(app, id).await.map(|_| ()),
        Action::ChangeWebhooks(patch) => webhooks::change(app, id, &patch).await.map(|_| ()),
        Action::StoreConnectUi(settings) => connect_ui::store(app, id, &settings).await,
        Action::SetVariable(variable) => variables::set(app, id, &variable).await,
        Action::DeleteVariable(name) => variables::remove(app, id, &name).await,
        Action::CreateIntegration(new) => create_integration(app, id, new).await,
        Action::ChangeIntegration { unique_key, settings } => {
            change(app, id, &unique_key, IntegrationPatch { unique_key: None, settings }).await.map(|_| ())
        }
        Action::DeleteIntegration(key) => remove(app, id, &key).await,
        Action::CreateEnvironment
        | Action::CreateKey { .. }
        | Action::ChangeKey { .. }
        | Action::DeleteKey(_) => Ok(()),
    }
}

/// Creates an integration. An empty value takes the provider's own on creation but clears it on a change; a file means the
/// latter, or the next run would find a difference.
async fn create_integration(app: &App, id: EnvironmentId, new: NewIntegration) -> Result<(), ApiError> {
    let settings = new.settings.clone();
    let key = new.unique_key.clone();
    create(app, id, new).await?;
    let scopes = settings.client.as_ref().and_then(|client| client.oauth.as_ref()?.scopes.as_deref());
    let clears_field = settings.integration_config.iter().flatten().any(|(_, value)| value.is_empty());
    if scopes == Some("") || clears_field {
        change(app, id, &key, IntegrationPatch { unique_key: None, settings }).await?;
    }
    Ok(())
}

async fn run_on_keys(
    app: &App,
    account_id: AccountId,
    environment: Option<&Environment>,
    action: Action,
) -> Result<Option<MadeKey>, ApiError> {
    let owner = KeyOwner { account_id, environment_id: environment.map(|environment| environment.id) };
    match action {
        Action::CreateKey { name, scopes, secret } => {
            let new = NewApiKey { display_name: &name, scopes: &scopes, secret: secret.as_ref() };
            let created = keys::create_api_key(app, owner, new).await?;
            let is_random = secret.is_none();
            let environment = environment.map(|environment| environment.name.clone());
            Ok(is_random.then_some(MadeKey { environment, name, secret: created.secret }))
        }
        Action::ChangeKey { name, scopes, secret } => {
            let id = find_key(app, owner, &name).await?.id;
            if let Some(scopes) = scopes {
                keys::change_scopes(app, owner, id, &scopes).await?;
            }
            if let Some(secret) = secret {
                keys::change_secret(app, owner, id, &secret).await?;
            }
            Ok(None)
        }
        Action::DeleteKey(name) => {
            let id = find_key(app, owner, &name).await?.id;
            keys::delete_api_key(app, owner, id).await?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

async fn find_key(app: &App, owner: KeyOwner, name: &str) -> Result<ListedKey, ApiError> {
    let keys = api_keys::list(&app.db, owner.account_id, owner.environment_id, app.clock.now()).await?;
    let found = keys.into_iter().find(|key| key.display_name == name);
    found.ok_or_else(|| ApiError::not_found(format!("The API key {name} was deleted meanwhile.")))
}
