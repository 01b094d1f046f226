//! Variables of an environment, which running functions and the API read. Called by the API and by settings files.

use crate::app::App;
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
    Ok(rows::upsert(&app.db, environment, &variable.name, &sealed, app.clock.now()).await?)
}

/// Makes these the environment's only variables.
pub async fn replace(app: &App, environment: EnvironmentId, variables: &[Variable]) -> Result<(), ApiError> {
    let now = app.clock.now();
    let names: Vec<String> = variables.iter().map(|variable| variable.name.clone()).collect();
    let mut transaction = app.db.begin().await?;
    rows::delete_except(&mut *transaction, environment, &names).await?;
    for variable in variables {
        let sealed = app.cipher.seal_text(variable.value.expose())?;
        rows::upsert(&mut *transaction, environment, &variable.name, &sealed, now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Removes a variable; nothing happens when there is none of this name.
pub async fn remove(app: &App, environment: EnvironmentId, name: &str) -> Result<(), ApiError> {
    rows::delete(&app.db, environment, name).await?;
    Ok(())
}
