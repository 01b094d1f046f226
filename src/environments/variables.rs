//! Variables of an environment, which running functions and the API read. Called by the API and by settings files.

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::crypto::Secret;
use crate::db::EnvironmentId;
use crate::db::environment_variables as rows;
use crate::error::ApiError;

/// A variable with its value opened.
#[derive(Clone)]
pub struct Variable {
    pub name: String,
    pub value: Secret,
}

/// All variables of an environment, by name.
pub async fn list(app: &App, environment: EnvironmentId) -> Result<Vec<Variable>, ApiError> {
    let stored = rows::list(&app.db, environment).await?;
    let open = |row: rows::Variable| {
        let value = app.cipher.open_text(&row.value)?;
        Ok(Variable { name: row.name, value })
    };
    stored.into_iter().map(open).collect()
}

/// Creates a variable or replaces its value.
pub async fn set(app: &App, environment: EnvironmentId, variable: &Variable) -> Result<(), ApiError> {
    let sealed = app.cipher.seal_text(variable.value.expose())?;
    let mut transaction = app.db.begin().await?;
    rows::upsert(&mut *transaction, environment, &variable.name, &sealed, app.clock.now()).await?;
    let event = Event::of_environment(environment, Action::VariablesChanged);
    audit::record(app, &mut *transaction, event.with("set", vec![variable.name.clone()])).await?;
    transaction.commit().await?;
    Ok(())
}

/// Makes these the environment's only variables.
pub async fn replace(app: &App, environment: EnvironmentId, variables: &[Variable]) -> Result<(), ApiError> {
    let now = app.clock.now();
    let event = replacement(&list(app, environment).await?, environment, variables);
    let names: Vec<String> = variables.iter().map(|variable| variable.name.clone()).collect();
    let mut transaction = app.db.begin().await?;
    rows::delete_except(&mut *transaction, environment, &names).await?;
    for variable in variables {
        let sealed = app.cipher.seal_text(variable.value.expose())?;
        rows::upsert(&mut *transaction, environment, &variable.name, &sealed, now).await?;
    }
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Which variables were set and which removed, by name alone: any value may be a secret.
fn replacement(before: &[Variable], environment: EnvironmentId, after: &[Variable]) -> Event {
    let is_as_before = |new: &&Variable| {
        before.iter().any(|old| old.name == new.name && old.value.expose() == new.value.expose())
    };
    let names = |variables: Vec<&Variable>| -> Vec<String> {
        variables.into_iter().map(|variable| variable.name.clone()).collect()
    };
    let set = after.iter().filter(|new| !is_as_before(new)).collect();
    let removed = before.iter().filter(|old| !after.iter().any(|new| new.name == old.name)).collect();
    Event::of_environment(environment, Action::VariablesChanged)
        .with("set", names(set))
        .with("removed", names(removed))
}

/// Removes a variable; nothing happens when there is none of this name.
pub async fn remove(app: &App, environment: EnvironmentId, name: &str) -> Result<(), ApiError> {
    let mut transaction = app.db.begin().await?;
    rows::delete(&mut *transaction, environment, name).await?;
    let event = Event::of_environment(environment, Action::VariablesChanged);
    audit::record(app, &mut *transaction, event.with("removed", vec![name.to_owned()])).await?;
    transaction.commit().await?;
    Ok(())
}
