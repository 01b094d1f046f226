//! What has to change so that the database agrees with a settings file.

use super::SettingsFile;
use super::content::DeclaredEnvironment;
use super::integrations::{change_integration, prune_integrations};
use super::problem::Problem;
use super::state::{EnvironmentState, list_environments};
use super::steps::{
    Action, Owner, Step, change_connect_ui, change_environment, change_keys, change_variables,
    change_webhooks,
};
use crate::app::App;
use crate::db::environments::Environment;
use crate::db::{AccountId, accounts, api_keys};
use crate::environments::PRODUCTION;
use crate::error::ApiError;

#[derive(Debug, Clone, Copy, Default)]
pub struct PlanOptions {
    /// Delete what the file does not name, in the sections that it has.
    pub prune: bool,
}

/// The steps from what is stored to what a file says, in order.
pub struct Plan {
    pub(super) account: AccountId,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// Compares a file with the database. Writes nothing.
    ///
    /// # Errors
    /// Everything in the file that does not fit the catalog or what is stored, one line each.
    pub async fn build(app: &App, file: &SettingsFile, options: PlanOptions) -> Result<Plan, Vec<String>> {
        let lost = |error: ApiError| vec![error.message().to_owned()];
        let account = find_account(app).await.map_err(lost)?;
        let mut planner = Planner { app, options, steps: Vec::new(), problems: Vec::new() };
        planner.compare(account, file).await.map_err(lost)?;
        if planner.problems.is_empty() {
            return Ok(Plan { account, steps: planner.steps });
        }
        Err(planner.problems.iter().map(|problem| problem.show(&file.name, &file.document)).collect())
    }

    /// What would change, one line each: `+` is made, `~` is changed, `-` is deleted.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.lines.iter().map(String::as_str))
    }

    /// Whether the database agrees with the file already.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

async fn find_account(app: &App) -> Result<AccountId, ApiError> {
    let account = accounts::find_first(&app.db).await?;
    account.ok_or_else(|| ApiError::server_error("The database has no account."))
}

struct Planner<'p> {
    app: &'p App,
    options: PlanOptions,
    steps: Vec<Step>,
    problems: Vec<Problem>,
}

impl Planner<'_> {
    async fn compare(&mut self, account: AccountId, file: &SettingsFile) -> Result<(), ApiError> {
        let stored = list_environments(self.app, account).await?;
        for (name, declared) in &file.content.environments {
            let existing = stored.iter().find(|environment| environment.name == *name);
            self.compare_environment(name, existing, declared).await?;
        }
        if self.options.prune && !file.content.environments.is_empty() {
            let is_named =
                |environment: &&Environment| file.content.environments.contains_key(&environment.name);
            let surplus = stored.iter().filter(|one| !is_named(one) && one.name != PRODUCTION);
            self.steps.extend(surplus.map(|environment| {
                let owner = Owner::Environment(environment.name.clone());
                Step::remove(&owner, " with everything in it", Action::DeleteEnvironment)
            }));
        }
        if let Some(declared) = &file.content.account_keys {
            let stored = api_keys::list(&self.app.db, account, None, self.app.clock.now()).await?;
            let steps = change_keys(self.app, &Owner::Account, &stored, declared, self.options.prune);
            self.steps.extend(steps);
        }
        Ok(())
    }

    async fn compare_environment(
        &mut self,
        name: &str,
        existing: Option<&Environment>,
        declared: &DeclaredEnvironment,
    ) -> Result<(), ApiError> {
        let owner = Owner::Environment(name.to_owned());
        let state = match existing {
            Some(environment) => EnvironmentState::load(self.app, environment).await?,
            None => {
                self.steps.push(Step::add(&owner, "", Action::CreateEnvironment));
                EnvironmentState::of_new(self.app, name)
            }
        };
        let prune = self.options.prune;
        self.steps.extend(change_environment(&owner, &state, declared));
        self.steps.extend(change_webhooks(&owner, &state, declared));
        self.steps.extend(change_connect_ui(&owner, &state, declared));
        if let Some(keys) = &declared.api_keys {
            self.steps.extend(change_keys(self.app, &owner, &state.api_keys, keys, prune));
        }
        if let Some(variables) = &declared.variables {
            self.steps.extend(change_variables(&owner, &state.variables, variables, prune));
        }
        for (key, integration) in declared.integrations.iter().flatten() {
            match change_integration(self.app, &owner, &state, integration) {
                Ok(step) => self.steps.extend(step),
                Err(error) if error.status().is_client_error() => {
                    let place = ["environments", name, "integrations", key];
                    self.problems.extend(Problem::from_error(&place, &error));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(integrations) = declared.integrations.as_ref().filter(|_| prune) {
            self.steps.extend(prune_integrations(self.app, &owner, &state, integrations).await?);
        }
        Ok(())
    }
}
