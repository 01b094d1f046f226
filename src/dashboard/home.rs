//! Where a visit starts.

use askama::Template;
use axum::extract;
use axum::response::Response;
use chrono::TimeDelta;

use super::error::PageError;
use super::logs::{Summary, newest};
use super::page::{EnvironmentPage, Page, environment_path};
use crate::access::Action;
use crate::app::{App, SharedApp};
use crate::db::environments;
use crate::logs::{OperationQuery, State};

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
    server_url: &'a str,
    callback_url: String,
    public_key: String,
    /// What failed within a day, the newest first.
    failures: Vec<Summary>,
}

/// The first page of an environment: what went wrong lately, and where it is reached.
pub async fn show_home(
    extract::State(app): extract::State<SharedApp>,
    page: EnvironmentPage,
) -> Result<Response, PageError> {
    let settings = environments::find_settings(&app.db, page.environment.id).await?;
    let settings = settings.ok_or_else(PageError::not_found)?;
    let callback_url = settings.callback_url.unwrap_or_else(|| app.config.http.default_callback_url());
    page.show(&HomePage {
        page: &page,
        server_url: &app.config.http.server_url,
        callback_url,
        public_key: settings.public_key.to_string(),
        failures: newest(&app, &page, failed_within_a_day(&app)).await?,
    })
}

fn failed_within_a_day(app: &App) -> OperationQuery {
    let now = app.clock.now();
    let period = Some((now - TimeDelta::days(1), now));
    OperationQuery { states: vec![State::Failed], period, ..OperationQuery::default() }
}
