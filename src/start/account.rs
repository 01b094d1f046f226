//! The first start: one account with its environments, each with its keys.

use std::fmt::Write;

use super::{StartError, key};
use crate::app::App;
use crate::db::{accounts, pool};
use crate::environments::{self, NewEnvironment, PRODUCTION};
use crate::settings_file::MadeKey;

const FIRST_KEYS_FILE: &str = "api-keys.env";
/// Any constant: it only has to be the same in every replica.
const FIRST_START_LOCK: i64 = 0x4869_7463_6870_6f74;

/// Creates account and environments unless an account exists. The first API keys go to a file in the data
/// directory, because they must not appear in a log.
pub async fn ensure_account(app: &App) -> Result<(), StartError> {
    let mut transaction = app.db.begin().await?;
    // Two replicas may start on an empty database at once.
    pool::lock_in_transaction(&mut transaction, FIRST_START_LOCK).await?;
    if accounts::find_first(&mut *transaction).await?.is_some() {
        return Ok(());
    }
    let account = accounts::insert(&mut *transaction, app.rng.uuid(), "Default", app.clock.now()).await?;
    let mut lines = String::from("# API keys made at the first start. Keep them secret.\n");
    for name in &app.config.keys.initial_environments {
        let new =
            NewEnvironment { name: name.clone(), is_production: name == PRODUCTION, ..Default::default() };
        let keys = environments::create(app, &mut transaction, account, &new).await?;
        let variable = name.to_uppercase().replace('-', "_");
        let _ = writeln!(lines, "NANGO_SECRET_KEY_{variable}={}", keys.api_key.expose());
    }
    write_first_keys(app, lines.trim_end())?;
    transaction.commit().await?;
    Ok(())
}

fn write_first_keys(app: &App, content: &str) -> Result<(), StartError> {
    key::prepare_data_dir(&app.config.data_dir)?;
    let path = app.config.data_dir.join(FIRST_KEYS_FILE);
    if path.exists() {
        // Left by an earlier database; its keys mean nothing in this one.
        let moved = path.with_extension("env.old");
        std::fs::rename(&path, &moved)
            .map_err(|error| StartError(format!("{} cannot be renamed: {error}.", path.display())))?;
    }
    key::write_private(&path, content)?;
    tracing::info!(path = %path.display(), "first start: the API keys of the new environments are in this file");
    Ok(())
}

/// Adds a key that a settings file asked for to the file of first keys, because it must not appear in a log.
pub fn keep_made_key(app: &App, made: &MadeKey) -> Result<(), StartError> {
    key::prepare_data_dir(&app.config.data_dir)?;
    let path = app.config.data_dir.join(FIRST_KEYS_FILE);
    let owner = made.environment.as_deref().unwrap_or("account");
    let comment = format!("# API key {:?} of {owner}, made by the settings file:", made.name);
    key::append_private(&path, &format!("{comment}\n# {}", made.secret.expose()))?;
    tracing::info!(path = %path.display(), api_key.name = made.name, "the secret of a new API key is in this file");
    Ok(())
}
