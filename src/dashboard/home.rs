//! Where a visit starts: what an environment did lately, what failed, and where it is reached.

mod chart;
mod figures;

use askama::Template;
use axum::extract::{self, RawQuery};
use axum::response::Response;
use chrono::TimeDelta;

use self::chart::Chart;
use self::figures::{Figures, PERIODS, Period};
use super::error::PageError;
use super::form::Form;
use super::logs::Summary;
use super::page::{EnvironmentPage, Page, environment_path};
use crate::access::Action;
use crate::app::{App, SharedApp};
use crate::db::environments;
use crate::logs;

/// Failures on the page.
const FAILURES: i64 = 5;

/// The way to the environment that was looked at last.
pub async fn find_home(page: Page) -> Result<Response, PageError> {
    match &page.nearest {
        Some(environment) => Ok(page.redirect(&environment_path(environment, ""))),
        None if page.may(Action::ManageEnvironments) => Ok(page.redirect("/settings/environments")),
        None => Err(PageError::forbidden(
            "There is no environment that you may enter. Ask an administrator to make one, or to change your role.",
        )),
    }
}

#[derive(Template)]
#[template(path = "dashboard/home.html")]
struct HomePage<'a> {
    page: &'a EnvironmentPage,
    periods: &'static [Period],
    period: &'static Period,
    charts: Vec<Chart>,
    /// Whether nothing at all happened in the period, and there is no connection.
    is_new: bool,
    is_stored: bool,
    server_url: &'a str,
    callback_url: String,
    public_key: String,
    /// What failed within a day, the newest first.
    failures: Vec<Summary>,
}

/// The first page of an environment: what happened and what went wrong lately, and where it is reached.
pub async fn show_home(
    extract::State(app): extract::State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let period = Period::find(form.text("period"));
    let settings = environments::find_settings(&app.db, page.environment.id).await?;
    let settings = settings.ok_or_else(PageError::not_found)?;
    let callback_url = settings.callback_url.unwrap_or_else(|| app.config.http.default_callback_url());
    let figures = Figures::load(&app, page.environment.id, period).await?;
    page.show(&HomePage {
        page: &page,
        periods: &PERIODS,
        period,
        is_new: figures.are_empty(),
        charts: figures.charts(),
        is_stored: app.logs.is_stored(),
        server_url: &app.config.http.server_url,
        callback_url,
        public_key: settings.public_key.to_string(),
        failures: failures(&app, &page).await?,
    })
}

/// What failed within a day.
async fn failures(app: &App, page: &EnvironmentPage) -> Result<Vec<Summary>, PageError> {
    let since = app.clock.now() - TimeDelta::days(1);
    let failed = logs::list_failed(app, page.environment.id, since, FAILURES).await?;
    Ok(failed.iter().map(|operation| Summary::new(page, operation)).collect())
}
