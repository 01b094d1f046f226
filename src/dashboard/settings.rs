//! The settings of an environment: webhook addresses, keys, sign-in, variables, and how the Connect UI looks. What forms
//! bring is judged by the readers of the JSON routes. Secrets are shown only when somebody asks, once.

mod forms;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value, json};
use url::Url;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::page::EnvironmentPage;
use crate::access::Action;
use crate::api::extract::IntoApiError;
use crate::api::input::{ObjectReader, read_object};
use crate::api::operator::input::{
    VARIABLE_NAME, VARIABLE_VALUE, read_connect_ui, read_environment, read_webhook_patch,
};
use crate::app::{App, SharedApp};
use crate::audit::{self, Event};
use crate::crypto::Secret;
use crate::db::api_keys::{self, KeyKind};
use crate::db::environments;
use crate::db::webhook_settings;
use crate::environments::settings::{self, EnvironmentPatch};
use crate::environments::variables::{self, Variable};
use crate::environments::{connect_ui, webhooks};
use crate::error::ApiError;
use crate::keys::{RotationError, rotate_signing_key};

/// The events that are worth a webhook: fields and their meaning.
const EVENTS: [(&str, &str); 5] = [
    ("on_auth_creation", "A connection was made"),
    ("on_auth_refresh_error", "A token could not be refreshed"),
    ("on_sync_completion_always", "A sync ended, even when it found nothing new"),
    ("on_sync_error", "A sync failed"),
    ("on_async_action_completion", "An asynchronous action ended"),
];
const THEMES: [(&str, &str); 3] =
    [("system", "As the user's device"), ("light", "Always light"), ("dark", "Always dark")];

#[derive(Template)]
#[template(path = "dashboard/settings.html")]
struct SettingsPage<'a> {
    page: &'a EnvironmentPage,
    /// Every form with what is stored, but for the one that was sent and has problems.
    webhooks: Form,
    addresses: Form,
    signature: Form,
    headers: Form,
    variable: Form,
    look: Form,
    events: [(&'static str, &'static str); 5],
    themes: [(&'static str, &'static str); 3],
    default_callback: String,
    has_signing_key: bool,
    has_hmac_key: bool,
    /// Names of the headers that the collector gets; their values are secrets.
    header_names: Vec<String>,
    /// Names alone: any value may be a secret.
    variables: Vec<String>,
    may_change_look: bool,
}

impl<'a> SettingsPage<'a> {
    async fn load(app: &App, page: &'a EnvironmentPage) -> Result<Self, PageError> {
        let id = page.environment.id;
        let stored = environments::find_settings(&app.db, id).await?.ok_or_else(PageError::not_found)?;
        let names = variables::list(app, id).await?.into_iter().map(|variable| variable.name);
        Ok(SettingsPage {
            page,
            webhooks: forms::of_webhooks(&webhook_settings::find(&app.db, id).await?),
            addresses: forms::of_addresses(&stored),
            signature: forms::of_signature(&stored),
            headers: Form::default(),
            variable: Form::default(),
            header_names: settings::open_secrets(app, &stored)?
                .otlp_headers
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            look: forms::of_look(&connect_ui::find(app, id).await?),
            events: EVENTS,
            themes: THEMES,
            default_callback: app.config.http.default_callback_url(),
            has_signing_key: find_signing_key(app, page).await?.is_some(),
            has_hmac_key: stored.hmac_key.is_some(),
            variables: names.collect(),
            may_change_look: page.may(Action::ManageConnectUi),
        })
    }
}

/// Shows the settings.
pub async fn show_settings(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
) -> Result<Response, PageError> {
    page.show(&SettingsPage::load(&app, &page).await?)
}

/// Sets where webhooks go and which events are worth one.
pub async fn update_webhooks(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let mut body =
        json!({"primary_url": form.text("primary_url"), "secondary_url": form.text("secondary_url")});
    for (name, _) in EVENTS {
        body[name] = form.is_on(name).into();
    }
    let is_allowed = |url: &Url| app.egress.proxy_policy.check_url(url).is_ok();
    if let Some(patch) = read(&mut form, &body, |body| read_webhook_patch(body, is_allowed)) {
        webhooks::change(&app, page.environment.id, &patch).await?;
        return Ok(saved(&page, "Webhook settings saved."));
    }
    page.show_again(&SettingsPage { webhooks: form, ..SettingsPage::load(&app, &page).await? })
}

/// Sets the callback address and where traces go.
pub async fn update_addresses(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let body =
        json!({"callback_url": form.text("callback_url"), "otlp_endpoint": form.text("otlp_endpoint")});
    if let Some(patch) = read(&mut form, &body, read_environment)
        && store(&app, &page, &mut form, patch, "callback_url").await?
    {
        return Ok(saved(&page, "Addresses saved."));
    }
    page.show_again(&SettingsPage { addresses: form, ..SettingsPage::load(&app, &page).await? })
}

/// Adds a header that the collector of traces gets, replaces its value, or takes headers away.
pub async fn update_headers(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let stored = environments::find_settings(&app.db, page.environment.id).await?;
    let stored = stored.ok_or_else(PageError::not_found)?;
    let headers = changed_headers(&mut form, settings::open_secrets(&app, &stored)?.otlp_headers);
    let list: Vec<Value> =
        headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    if !form.has_problems() {
        match read_object(Some(&json!({ "otlp_headers": list })), read_environment).in_body() {
            Ok(patch) => {
                if store(&app, &page, &mut form, patch, "header_name").await? {
                    return Ok(saved(&page, "Headers of the collector saved."));
                }
            }
            Err(error) => form.refuse(error, &[])?,
        }
    }
    page.show_again(&SettingsPage { headers: form, ..SettingsPage::load(&app, &page).await? })
}

/// The stored headers after a form; what cannot be a header is noted beside its field.
fn changed_headers(form: &mut Form, mut headers: Map<String, Value>) -> Map<String, Value> {
    headers.retain(|name, _| !form.has("remove", name));
    let (name, value) = (form.text("header_name").to_owned(), form.text("header_value").to_owned());
    if name.is_empty() && value.is_empty() {
        return headers;
    }
    if HeaderName::try_from(&name).is_err() {
        form.problem("header_name", "Use letters, digits and -, as in X-Api-Key.");
    }
    if value.is_empty() || HeaderValue::try_from(&value).is_err() {
        form.problem("header_value", "Fill this in, with one line of text.");
    }
    headers.retain(|known, _| !known.eq_ignore_ascii_case(&name));
    headers.insert(name, value.into());
    headers
}

/// Sets whether sign-ins need a signature, and its key; an empty field keeps the key.
pub async fn update_signature(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let mut body = json!({"hmac_enabled": form.is_on("hmac_enabled")});
    if !form.value("hmac_key").is_empty() {
        body["hmac_key"] = form.value("hmac_key").into();
    }
    let current = SettingsPage::load(&app, &page).await?;
    if form.is_on("hmac_enabled") && form.value("hmac_key").is_empty() && !current.has_hmac_key {
        form.problem("hmac_key", "Choose a key first: without one, nobody could sign in.");
    } else if let Some(patch) = read(&mut form, &body, read_environment)
        && store(&app, &page, &mut form, patch, "hmac_key").await?
    {
        return Ok(saved(&page, "Signature settings saved."));
    }
    page.show_again(&SettingsPage { signature: form, ..current })
}

/// Shows the key that webhooks are signed with, once.
pub async fn show_signing_key(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
) -> Result<Response, PageError> {
    let message = match find_signing_key(&app, &page).await? {
        Some(key) => {
            let event = Event::of_environment(page.environment.id, audit::Action::SigningKeyRevealed);
            audit::record(&app, &app.db, event).await?;
            Flash::done("The key that webhooks are signed with:").with_secret(key.expose())
        }
        None => Flash::refused("This environment has no signing key."),
    };
    Ok(page.redirect_with(&page.path_of("/settings"), &message))
}

/// Replaces the key that webhooks are signed with; the old one signs beside it for a day.
pub async fn replace_signing_key(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
) -> Result<Response, PageError> {
    let own = page.path_of("/settings");
    match rotate_signing_key(&app, &page.environment).await {
        Ok(key) => {
            let message = Flash::done("Signing key replaced. For 24 hours webhooks carry both signatures.");
            Ok(page.redirect_with(&own, &message.with_secret(key.expose())))
        }
        Err(RotationError::Failed(reason)) => Err(ApiError::from(reason).into()),
        Err(error) => Ok(page.redirect_with(&own, &Flash::refused(error.to_string()))),
    }
}

/// Makes a variable or replaces its value.
pub async fn set_variable(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let name = form.checked_text("name", &VARIABLE_NAME);
    let value = form.value("value").to_owned();
    if !VARIABLE_VALUE.accepts(&value) {
        form.problem("value", format!("Use at most {} characters.", VARIABLE_VALUE.max));
    }
    if form.has_problems() {
        return page.show_again(&SettingsPage { variable: form, ..SettingsPage::load(&app, &page).await? });
    }
    let variable = Variable { name: name.clone(), value: Secret::new(value) };
    variables::set(&app, page.environment.id, &variable).await?;
    Ok(saved(&page, &format!("Variable {name} saved.")))
}

/// Shows the value of a variable, once.
pub async fn show_variable(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    form: Form,
) -> Result<Response, PageError> {
    let stored = variables::list(&app, page.environment.id).await?;
    let message = match stored.into_iter().find(|variable| variable.name == form.value("name")) {
        Some(found) => {
            let event = Event::of_environment(page.environment.id, audit::Action::VariableRevealed);
            audit::record(&app, &app.db, event.with("name", found.name.clone())).await?;
            Flash::done(format!("The value of {}:", found.name)).with_secret(found.value.expose())
        }
        None => Flash::refused("There is no such variable any more."),
    };
    Ok(page.redirect_with(&page.path_of("/settings"), &message))
}

/// Removes a variable.
pub async fn remove_variable(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    form: Form,
) -> Result<Response, PageError> {
    variables::remove(&app, page.environment.id, form.value("name")).await?;
    Ok(saved(&page, &format!("Variable {} removed.", form.value("name"))))
}

/// Sets how the Connect UI looks.
pub async fn update_look(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let body = json!({
        "theme": {"light": {"primary": form.text("light")}, "dark": {"primary": form.text("dark")}},
        "defaultTheme": form.text("defaultTheme"),
        "showWatermark": form.is_on("showWatermark"),
        "logo": form.text("logo"),
        "fontFamily": form.text("fontFamily"),
        "borderRadius": form.text("borderRadius"),
    });
    if let Some(look) = read(&mut form, &body, read_connect_ui) {
        connect_ui::store(&app, page.environment.id, &look).await?;
        return Ok(saved(&page, "Look of the Connect UI saved."));
    }
    page.show_again(&SettingsPage { look: form, ..SettingsPage::load(&app, &page).await? })
}

/// Reads a body as the JSON routes do, and notes what is wrong beside the fields: a field has the name of the member, or of
/// the object around it (`theme.light.primary` is `light`).
fn read<'v, T>(form: &mut Form, body: &'v Value, read: impl FnOnce(&mut ObjectReader<'v>) -> T) -> Option<T> {
    match read_object(Some(body), read) {
        Ok(read) => Some(read),
        Err(issues) => {
            for issue in issues.as_slice() {
                let name = issue.path.get(1).or_else(|| issue.path.first());
                form.problem(name.map_or("", String::as_str), format!("This {}.", issue.message));
            }
            None
        }
    }
}

/// Stores a change of the environment; what the visitor can do something about is noted beside `field`.
async fn store(
    app: &App,
    page: &EnvironmentPage,
    form: &mut Form,
    patch: EnvironmentPatch,
    field: &str,
) -> Result<bool, PageError> {
    match settings::change(app, page.environment.id, patch).await {
        Ok(()) => Ok(true),
        Err(error) if error.status().is_server_error() => Err(error.into()),
        Err(error) => {
            form.problem(field, error.message());
            Ok(false)
        }
    }
}

fn saved(page: &EnvironmentPage, text: &str) -> Response {
    page.redirect_with(&page.path_of("/settings"), &Flash::done(text))
}

async fn find_signing_key(app: &App, page: &EnvironmentPage) -> Result<Option<Secret>, PageError> {
    let sealed = api_keys::find_secret(&app.db, page.environment.id, KeyKind::WebhookSigning).await?;
    let opened = sealed.map(|sealed| app.cipher.open_text(&sealed)).transpose();
    Ok(opened.map_err(ApiError::from)?)
}
