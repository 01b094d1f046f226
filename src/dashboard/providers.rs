//! The providers that administrators defined: which there are, how they fare, and taking one away. They are written in the
//! editor of an environment (`integrations/editor.rs`).

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::page::{Page, segment};
use super::time::Moment;
use crate::app::{App, SharedApp};
use crate::custom_providers::{self, Listed};

const OWN: &str = "/settings/providers";

#[derive(Template)]
#[template(path = "dashboard/providers.html")]
struct ProvidersPage<'a> {
    page: &'a Page,
    providers: Vec<Row>,
    is_on: bool,
}

struct Row {
    name: String,
    segment: String,
    /// The name that end users see; empty when the definition does not load.
    title: String,
    integrations: i64,
    /// Kind and text of a badge.
    state: (&'static str, &'static str),
    problem: String,
    is_in_files: bool,
    changed: Moment,
}

impl Row {
    fn new(app: &App, page: &Page, listed: Listed) -> Self {
        let Listed { stored, integrations, is_in_files, problem } = listed;
        let catalog = app.catalog.load();
        let provider = catalog.get(&stored.name).filter(|_| problem.is_none());
        let state = match (&problem, is_in_files, stored.replaces_entry) {
            _ if !app.config.catalog.has_custom_providers => ("calm", "Not loaded"),
            (Some(_), ..) => ("bad", "Does not load"),
            (None, true, true) => ("warn", "Replaces an entry"),
            (None, true, false) => ("warn", "Hides a newer entry"),
            (None, false, _) => ("good", "In the catalog"),
        };
        Row {
            segment: segment(&stored.name),
            title: provider.map(|provider| provider.display_name.clone()).unwrap_or_default(),
            changed: page.moment(stored.updated_at),
            name: stored.name,
            problem: problem.unwrap_or_default(),
            integrations,
            state,
            is_in_files,
        }
    }

    /// Whether deleting it leaves its integrations without a provider.
    fn is_needed(&self) -> bool {
        self.integrations > 0 && !self.is_in_files
    }
}

/// Lists the providers.
pub async fn list_providers(State(app): State<SharedApp>, page: Page) -> Result<Response, PageError> {
    let providers = custom_providers::list(&app).await?.into_iter();
    page.show(&ProvidersPage {
        page: &page,
        providers: providers.map(|listed| Row::new(&app, &page, listed)).collect(),
        is_on: app.config.catalog.has_custom_providers,
    })
}

/// Takes a provider away, once its name was typed.
pub async fn delete_provider(
    State(app): State<SharedApp>,
    page: Page,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, PageError> {
    if form.text("confirmation") != name {
        let text = format!("Nothing was deleted: type {name} to confirm.");
        return Ok(page.redirect_with(OWN, &Flash::refused(text)));
    }
    match custom_providers::remove(&app, page.viewer.account_id, &name).await {
        Ok(()) => Ok(page.redirect_with(OWN, &Flash::done(format!("Provider {name} deleted.")))),
        Err(error) => page.redirect_refused(OWN, error),
    }
}
