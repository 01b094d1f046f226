//! Adding an integration: looking for its provider in the catalog, then filling in the form of its auth mode.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;

use super::client::{self, Field};
use super::{callback_url, mode_title, path_of};
use crate::api::extract::IntoApiError;
use crate::api::input::read_object;
use crate::api::integrations::{create, input::NewIntegration};
use crate::app::SharedApp;
use crate::catalog::{Catalog, Provider};
use crate::dashboard::connections::logo;
use crate::dashboard::error::PageError;
use crate::dashboard::flash::Flash;
use crate::dashboard::form::Form;
use crate::dashboard::page::{EnvironmentPage, segment};
use crate::db::integrations;

/// Providers on one page; who looks for more types a name.
const MOST: usize = 96;

#[derive(Template)]
#[template(path = "dashboard/catalog.html")]
struct CatalogPage<'a> {
    page: &'a EnvironmentPage,
    filters: Form,
    categories: BTreeSet<String>,
    entries: Vec<Entry>,
    /// How many more match.
    more: usize,
    total: usize,
}

struct Entry {
    name: String,
    title: String,
    logo: String,
    mode: &'static str,
    is_known: bool,
}

/// Looks through the whole catalog.
pub async fn search_catalog(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let filters = Form::parse(query.unwrap_or_default().as_bytes());
    let catalog = app.catalog.load();
    let found = find_providers(&catalog, filters.text("q"), filters.text("category"));
    let entries = found.iter().take(MOST).map(|provider| Entry {
        name: provider.name.clone(),
        title: provider.display_name.clone(),
        logo: logo(&page, &provider.name),
        mode: mode_title(provider.mode()),
        is_known: provider.mode().is_some(),
    });
    let shown = CatalogPage {
        page: &page,
        entries: entries.collect(),
        more: found.len().saturating_sub(MOST),
        total: catalog.len(),
        categories: catalog.iter().flat_map(|provider| provider.categories.iter().cloned()).collect(),
        filters,
    };
    page.show(&shown)
}

/// The providers whose name contains a text, those that begin with it first; an empty category is any.
pub fn find_providers<'c>(catalog: &'c Catalog, text: &str, category: &str) -> Vec<&'c Arc<Provider>> {
    let wanted = text.to_lowercase();
    let matches = |provider: &&Arc<Provider>| {
        let is_named = provider.name.to_lowercase().contains(&wanted)
            || provider.display_name.to_lowercase().contains(&wanted);
        is_named && (category.is_empty() || provider.categories.iter().any(|own| own == category))
    };
    let mut found: Vec<&Arc<Provider>> = catalog.iter().filter(matches).collect();
    found.sort_by_cached_key(|provider| {
        let title = provider.display_name.to_lowercase();
        (!title.starts_with(&wanted), title)
    });
    found
}

#[derive(Template)]
#[template(path = "dashboard/integration_new.html")]
struct NewIntegrationPage<'a> {
    page: &'a EnvironmentPage,
    provider: &'a Provider,
    provider_segment: String,
    logo: String,
    mode: &'static str,
    fields: Vec<Field>,
    callback_url: String,
    /// Whether the provider must know the callback.
    has_callback: bool,
    form: Form,
}

async fn load<'a>(
    app: &SharedApp,
    page: &'a EnvironmentPage,
    provider: &'a Provider,
    form: Form,
) -> Result<NewIntegrationPage<'a>, PageError> {
    Ok(NewIntegrationPage {
        logo: logo(page, &provider.name),
        mode: mode_title(provider.mode()),
        fields: client::fields(provider, None),
        callback_url: callback_url(app, page).await?,
        has_callback: provider.authorization_url.is_some(),
        provider_segment: segment(&provider.name),
        page,
        provider,
        form,
    })
}

fn find_provider(app: &SharedApp, name: &str) -> Result<Arc<Provider>, PageError> {
    let found = app.catalog.load().get(name).cloned();
    found.filter(|provider| provider.mode().is_some()).ok_or_else(PageError::not_found)
}

/// Shows the form for an integration with a provider.
pub async fn show_new_integration(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let provider = find_provider(&app, &name)?;
    let mut form = Form::default();
    form.set("unique_key", free_key(&app, &page, &name).await?);
    form.set(client::SCOPES, provider.default_scopes.join("\n"));
    page.show(&load(&app, &page, &provider, form).await?)
}

/// The provider's name, with a number when it is taken.
async fn free_key(app: &SharedApp, page: &EnvironmentPage, name: &str) -> Result<String, PageError> {
    let rows = integrations::list(&app.db, page.environment.id).await?;
    let is_free = |key: &String| rows.iter().all(|row| row.unique_key != *key);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    Ok(std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default())
}

/// Adds the integration of the form.
pub async fn create_integration(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, name)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response, PageError> {
    let provider = find_provider(&app, &name)?;
    let mut body = client::body(&provider, &form, None);
    body["provider"] = name.into();
    body["unique_key"] = form.text("unique_key").into();
    let created = match read_object(Some(&body), NewIntegration::read).in_body() {
        Ok(new) => create(&app, page.environment.id, new).await,
        Err(error) => Err(error),
    };
    match created {
        Ok(row) => {
            let message = Flash::done(format!("{} is ready. Connect an end user to try it.", row.unique_key));
            Ok(page.redirect_with(&path_of(&page, &row.unique_key), &message))
        }
        Err(error) => {
            let fields = client::fields(&provider, None);
            let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            names.extend(["unique_key", "display_name"]);
            form.refuse(error, &names)?;
            page.show_again(&load(&app, &page, &provider, form).await?)
        }
    }
}
