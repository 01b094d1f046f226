//! The environments of the installation: listing, making, renaming, protecting and deleting them.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::page::Page;
use crate::api::environments::delete;
use crate::api::input::formats::ENVIRONMENT_NAME;
use crate::app::SharedApp;
use crate::db::environments::{self as rows, Environment};
use crate::environments::settings::{self, EnvironmentPatch};
use crate::environments::{self, NewEnvironment, PRODUCTION};
use crate::error::ApiError;

const LIST: &str = "/settings/environments";

#[derive(Template)]
#[template(path = "dashboard/environments.html")]
struct EnvironmentsPage<'a> {
    page: &'a Page,
    environments: Vec<Environment>,
    form: Form,
}

/// Lists the environments, with the form for another one.
pub async fn list_environments(State(app): State<SharedApp>, page: Page) -> Result<Response, PageError> {
    let environments = rows::list_of_account(&app.db, page.viewer.account_id).await?;
    page.show(&EnvironmentsPage { page: &page, environments, form: Form::default() })
}

/// Makes an environment with its keys.
pub async fn create_environment(
    State(app): State<SharedApp>,
    page: Page,
    mut form: Form,
) -> Result<Response, PageError> {
    let name = form.checked_text("name", &ENVIRONMENT_NAME);
    let is_production = form.is_on("is_production") || name == PRODUCTION;
    if !form.has_problems() {
        let new = NewEnvironment { name: name.clone(), is_production, ..Default::default() };
        match environments::create_announced(&app, page.viewer.account_id, &new).await {
            Ok(_) => {
                return Ok(page.redirect_with(LIST, &Flash::done(format!("Environment {name} created."))));
            }
            Err(error) => note(&mut form, "name", error)?,
        }
    }
    let environments = rows::list_of_account(&app.db, page.viewer.account_id).await?;
    page.show_again(&EnvironmentsPage { page: &page, environments, form })
}

#[derive(Template)]
#[template(path = "dashboard/environment.html")]
struct EnvironmentSettingsPage<'a> {
    page: &'a Page,
    environment: &'a Environment,
    /// Whether it is the one whose name and flag are fixed.
    is_fixed: bool,
    form: Form,
}

impl<'a> EnvironmentSettingsPage<'a> {
    fn new(page: &'a Page, environment: &'a Environment, form: Form) -> Self {
        EnvironmentSettingsPage { page, environment, is_fixed: environment.name == PRODUCTION, form }
    }
}

/// Shows what can be changed of an environment.
pub async fn show_environment(
    State(app): State<SharedApp>,
    page: Page,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let environment = find(&app, &page, &name).await?;
    let mut form = Form::filled([("name", &environment.name)]);
    if environment.is_production {
        form = Form::filled([("name", &environment.name), ("is_production", "on")]);
    }
    page.show(&EnvironmentSettingsPage::new(&page, &environment, form))
}

/// Renames an environment, or changes whether it is one of production.
pub async fn update_environment(
    State(app): State<SharedApp>,
    page: Page,
    Path(name): Path<String>,
    mut form: Form,
) -> Result<Response, PageError> {
    let environment = find(&app, &page, &name).await?;
    let new_name = form.checked_text("name", &ENVIRONMENT_NAME);
    if form.has_problems() {
        return page.show_again(&EnvironmentSettingsPage::new(&page, &environment, form));
    }
    let is_production = form.is_on("is_production") || new_name == PRODUCTION;
    let patch = EnvironmentPatch {
        name: Some(new_name.clone()),
        is_production: Some(is_production),
        ..EnvironmentPatch::default()
    };
    match settings::change(&app, environment.id, patch).await {
        Ok(()) => Ok(page.redirect_with(LIST, &Flash::done(format!("Environment {new_name} saved.")))),
        Err(error) => {
            note(&mut form, "name", error)?;
            page.show_again(&EnvironmentSettingsPage::new(&page, &environment, form))
        }
    }
}

/// Deletes an environment with everything in it, once its name was typed.
pub async fn delete_environment(
    State(app): State<SharedApp>,
    page: Page,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, PageError> {
    let environment = find(&app, &page, &name).await?;
    let own = format!("{LIST}/{name}");
    if form.text("confirmation") != environment.name {
        let text = format!("Nothing was deleted: type the name {} to confirm.", environment.name);
        return Ok(page.redirect_with(&own, &Flash::refused(text)));
    }
    match delete(&app, &environment).await {
        Ok(_) => Ok(page.redirect_with(LIST, &Flash::done(format!("Environment {name} deleted.")))),
        Err(error) => page.redirect_refused(&own, error),
    }
}

async fn find(app: &SharedApp, page: &Page, name: &str) -> Result<Environment, PageError> {
    let found = rows::find_named(&app.db, page.viewer.account_id, name).await?;
    found.ok_or_else(PageError::not_found)
}

/// Notes an error that the visitor can do something about beside a field.
fn note(form: &mut Form, field: &str, error: ApiError) -> Result<(), PageError> {
    if error.status().is_server_error() {
        return Err(error.into());
    }
    form.problem(field, error.message());
    Ok(())
}
