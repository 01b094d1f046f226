//! The settings file that `HITCHPOST_SETTINGS` names, applied at every start. One replica at a time; the others then find
//! nothing left to change.

use std::time::Duration;

use chrono::TimeDelta;

use super::{StartError, account};
use crate::app::App;
use crate::audit::{self, Call};
use crate::db::job_leases;
use crate::settings_file::{Plan, PlanOptions, SettingsFile};

const LEASE_NAME: &str = "settings";
/// Longer than applying a file takes; ends early when a process dies in between.
const LEASE: TimeDelta = TimeDelta::minutes(1);
const POLL: Duration = Duration::from_millis(250);

/// Makes the database agree with the file. Never deletes what the file does not name.
///
/// # Errors
/// What does not fit the catalog or the database, as sentences; the start must end.
pub async fn apply_settings(app: &App, file: &SettingsFile) -> Result<(), StartError> {
    while !job_leases::take(&app.db, LEASE_NAME, app.replica, app.clock.now() + LEASE, app.clock.now())
        .await?
    {
        tokio::time::sleep(POLL).await;
    }
    let result = apply(app, file).await;
    // A lease until now is a free one.
    job_leases::take(&app.db, LEASE_NAME, app.replica, app.clock.now(), app.clock.now()).await?;
    result
}

async fn apply(app: &App, file: &SettingsFile) -> Result<(), StartError> {
    let plan = Plan::build(app, file, PlanOptions::default()).await;
    let plan = plan.map_err(|problems| {
        StartError(format!("HITCHPOST_SETTINGS cannot be applied:\n  - {}", problems.join("\n  - ")))
    })?;
    plan.lines().for_each(|line| tracing::info!("settings file: {line}"));
    let mut keep = |key| account::keep_made_key(app, &key).map_err(|error| error.0);
    audit::within(Call::of_process("settings file"), plan.run(app, &mut keep))
        .await
        .map_err(|problem| StartError(format!("HITCHPOST_SETTINGS cannot be applied: {problem}")))
}
