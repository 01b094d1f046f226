//! One integration: what the provider has to be told, its credentials, and how it is removed.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::client::{self, Field};
use super::{callback_url, mode_title, path_of};
use crate::access::Action;
use crate::api::extract::IntoApiError;
use crate::api::input::read_object;
use crate::api::integrations::input::IntegrationPatch;
use crate::api::integrations::{change, remove, shown_credentials, webhook_url};
use crate::app::SharedApp;
use crate::audit::{self, Event, Target};
use crate::catalog::Provider;
use crate::dashboard::connections::logo;
use crate::dashboard::error::PageError;
use crate::dashboard::flash::Flash;
use crate::dashboard::form::Form;
use crate::dashboard::page::{EnvironmentPage, segment};
use crate::dashboard::time::Moment;
use crate::db::connections;
use crate::integrations::{self, OpenIntegration};

#[derive(Template)]
#[template(path = "dashboard/integration.html")]
struct IntegrationPage<'a> {
    page: &'a EnvironmentPage,
    key: String,
    key_segment: String,
    title: String,
    provider_name: String,
    /// Missing when the provider left the catalog.
    provider: Option<Arc<Provider>>,
    mode: &'static str,
    logo: String,
    callback_url: String,
    has_callback: bool,
    webhook_url: Option<String>,
    connections: i64,
    created: Moment,
    updated: Moment,
    fields: Vec<Field>,
    has_webhook_secret: bool,
    has_secrets: bool,
    /// Every secret, when it was asked for.
    revealed: Option<String>,
    form: Form,
    may_write: bool,
    may_reveal: bool,
}

async fn load<'a>(
    app: &SharedApp,
    page: &'a EnvironmentPage,
    integration: &OpenIntegration,
    form: Option<Form>,
) -> Result<IntegrationPage<'a>, PageError> {
    let (row, provider) = (&integration.row, integration.provider.clone());
    let filled =
        provider.as_deref().map(|provider| client::filled(provider, integration)).unwrap_or_default();
    let title = row.display_name.as_ref().or(provider.as_ref().map(|provider| &provider.display_name));
    Ok(IntegrationPage {
        key: row.unique_key.clone(),
        key_segment: segment(&row.unique_key),
        title: title.unwrap_or(&row.unique_key).clone(),
        provider_name: row.provider.clone(),
        mode: mode_title(provider.as_ref().and_then(|provider| provider.mode())),
        logo: logo(page, &row.provider),
        callback_url: callback_url(app, page).await?,
        has_callback: provider.as_ref().is_some_and(|provider| provider.authorization_url.is_some()),
        webhook_url: webhook_url(app, page.environment.uuid, integration),
        connections: connections::count_of_integration(&app.db, page.environment.id, row.id).await?,
        created: page.moment(row.created_at),
        updated: page.moment(row.updated_at),
        fields: provider
            .as_deref()
            .map(|provider| client::fields(provider, Some(integration)))
            .unwrap_or_default(),
        has_webhook_secret: provider
            .as_deref()
            .is_some_and(|provider| client::has_webhook_secret(provider, integration)),
        has_secrets: integration.client_secret.is_some() || !integration.custom.is_empty(),
        revealed: None,
        form: form.unwrap_or(filled),
        may_write: page.may(Action::Write),
        may_reveal: page.may(Action::ReadSecrets),
        provider,
        page,
    })
}

async fn find(app: &SharedApp, page: &EnvironmentPage, key: &str) -> Result<OpenIntegration, PageError> {
    integrations::find(app, page.environment.id, key).await?.ok_or_else(PageError::not_found)
}

/// Shows an integration.
pub async fn show_integration(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, key)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let integration = find(&app, &page, &key).await?;
    page.show(&load(&app, &page, &integration, None).await?)
}

/// Changes what the form says.
pub async fn update_integration(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, key)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response, PageError> {
    let integration = find(&app, &page, &key).await?;
    let Some(provider) = integration.provider.clone() else {
        let message = Flash::refused("The provider is not in the catalog any more; nothing can be changed.");
        return Ok(page.redirect_with(&path_of(&page, &key), &message));
    };
    let mut body = client::body(&provider, &form, Some(&integration));
    if form.is_on("unique_key") {
        body["unique_key"] = form.text("unique_key").into();
    }
    let changed = match read_object(Some(&body), IntegrationPatch::read).in_body() {
        Ok(patch) => change(&app, page.environment.id, &key, patch).await,
        Err(error) => Err(error),
    };
    match changed {
        Ok(row) => Ok(page.redirect_with(&path_of(&page, &row.unique_key), &Flash::done("Saved."))),
        Err(error) => {
            let fields = client::fields(&provider, Some(&integration));
            let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            names.extend(["unique_key", "display_name"]);
            form.refuse(error, &names)?;
            page.show_again(&load(&app, &page, &integration, Some(form)).await?)
        }
    }
}

/// Shows the integration with its secrets, this once, and says so in the audit trail.
pub async fn reveal_secrets(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, key)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let integration = find(&app, &page, &key).await?;
    let event = Event::of_environment(page.environment.id, audit::Action::IntegrationRevealed);
    audit::record(&app, &app.db, event.target(Target::integration(&integration.row))).await?;
    let mut secrets = json!({ "credentials": shown_credentials(&integration) });
    if !integration.custom.is_empty() {
        secrets["custom"] = Value::Object(integration.custom.clone());
    }
    let shown = load(&app, &page, &integration, None).await?;
    let revealed = serde_json::to_string_pretty(&secrets).ok();
    page.show(&IntegrationPage { revealed, ..shown })
}

/// Deletes an integration with all its connections, once its key was typed.
pub async fn delete_integration(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, key)): Path<(String, String)>,
    form: Form,
) -> Result<Response, PageError> {
    if form.text("confirmation") != key {
        let text = format!("Nothing was deleted: type {key} to confirm.");
        return Ok(page.redirect_with(&path_of(&page, &key), &Flash::refused(text)));
    }
    let list = page.path_of("/integrations");
    match remove(&app, page.environment.id, &key).await {
        Ok(()) => Ok(page.redirect_with(&list, &Flash::done(format!("Integration {key} deleted.")))),
        Err(error) => page.redirect_refused(&list, error),
    }
}
