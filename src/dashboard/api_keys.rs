//! The API keys of an environment: listing, making, replacing and revoking them. A secret is shown once.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::TimeDelta;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::page::EnvironmentPage;
use super::time::Moment;
use crate::api::api_keys::NAME;
use crate::app::SharedApp;
use crate::auth::scopes;
use crate::db::ApiKeyId;
use crate::db::api_keys::{self, ListedKey};
use crate::error::ApiError;
use crate::keys::{FULL_ACCESS, KeyOwner, NewApiKey, create_api_key, delete_api_key, rotate_api_key};

/// How long a replaced key may still work: the value of the form, its hours, its name.
const GRACE_PERIODS: [(&str, i64, &str); 4] =
    [("0", 0, "Stop at once"), ("1", 1, "1 hour"), ("24", 24, "24 hours"), ("168", 168, "7 days")];

#[derive(Template)]
#[template(path = "dashboard/api_keys.html")]
struct KeysPage<'a> {
    page: &'a EnvironmentPage,
    keys: Vec<KeyRow>,
    scopes: Vec<&'static str>,
    grace_periods: [(&'static str, i64, &'static str); 4],
    form: Form,
}

struct KeyRow {
    id: i64,
    name: String,
    scopes: Vec<String>,
    has_full_access: bool,
    created: Moment,
    last_used: Option<Moment>,
    /// When a replaced key stops.
    ends: Option<Moment>,
}

impl KeyRow {
    fn new(page: &EnvironmentPage, key: ListedKey) -> Self {
        KeyRow {
            id: key.id.0,
            name: key.display_name,
            has_full_access: key.scopes.iter().any(|scope| scope == FULL_ACCESS),
            scopes: key.scopes,
            created: page.moment(key.created_at),
            last_used: key.last_used_at.map(|time| page.moment(time)),
            ends: key.expires_at.map(|time| page.moment(time)),
        }
    }
}

impl<'a> KeysPage<'a> {
    async fn load(app: &SharedApp, page: &'a EnvironmentPage, form: Form) -> Result<Self, PageError> {
        let owner = owner(page);
        let keys = api_keys::list(&app.db, owner.account_id, owner.environment_id, page.now).await?;
        Ok(KeysPage {
            page,
            keys: keys.into_iter().map(|key| KeyRow::new(page, key)).collect(),
            scopes: scopes::OF_ENVIRONMENT.iter().copied().filter(|scope| *scope != FULL_ACCESS).collect(),
            grace_periods: GRACE_PERIODS,
            form,
        })
    }
}

/// Lists the keys, with the form for another one.
pub async fn list_keys(State(app): State<SharedApp>, page: EnvironmentPage) -> Result<Response, PageError> {
    let form = Form::filled([("access", "full")]);
    page.show(&KeysPage::load(&app, &page, form).await?)
}

/// Makes a key; the next page shows its secret.
pub async fn create_key(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let name = form.checked_text("name", &NAME);
    let chosen = chosen_scopes(&mut form);
    if !form.has_problems() {
        let new = NewApiKey { display_name: &name, scopes: &chosen, secret: None };
        match create_api_key(&app, owner(&page), new).await.map_err(ApiError::from) {
            Ok(created) => {
                let message = Flash::done(format!("Key {name} created. Copy it now: it is not shown again."));
                let message = message.with_secret(created.secret.expose());
                return Ok(page.redirect_with(&page.path_of("/api-keys"), &message));
            }
            Err(error) if error.status().is_server_error() => return Err(error.into()),
            Err(error) => form.problem("name", error.message()),
        }
    }
    page.show_again(&KeysPage::load(&app, &page, form).await?)
}

fn chosen_scopes(form: &mut Form) -> Vec<String> {
    if form.value("access") != "some" {
        return vec![FULL_ACCESS.to_owned()];
    }
    let asked = form.values("scope").into_iter().filter(|scope| scopes::OF_ENVIRONMENT.contains(scope));
    let chosen: Vec<String> = asked.map(str::to_owned).collect();
    if chosen.is_empty() {
        form.problem("scope", "Choose at least one scope, or full access.");
    }
    chosen
}

/// Replaces the secret of a key; the old one keeps working for the chosen time.
pub async fn rotate_key(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, key)): Path<(String, i64)>,
    form: Form,
) -> Result<Response, PageError> {
    let list = page.path_of("/api-keys");
    let chosen = GRACE_PERIODS.iter().find(|(value, ..)| *value == form.value("grace"));
    let Some((_, hours, _)) = chosen else {
        return Ok(page.redirect_with(&list, &Flash::refused("Choose how long the old key may still work.")));
    };
    let grace = TimeDelta::hours(*hours);
    match rotate_api_key(&app, owner(&page), ApiKeyId(key), grace).await.map_err(ApiError::from) {
        Ok(Some(created)) => {
            let message = Flash::done("Key replaced. Copy the new one now: it is not shown again.");
            Ok(page.redirect_with(&list, &message.with_secret(created.secret.expose())))
        }
        Ok(None) => Ok(page.redirect_with(&list, &Flash::refused("There is no such key any more."))),
        Err(error) => page.redirect_refused(&list, error),
    }
}

/// Revokes a key at once.
pub async fn revoke_key(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, key)): Path<(String, i64)>,
) -> Result<Response, PageError> {
    let is_revoked = delete_api_key(&app, owner(&page), ApiKeyId(key)).await.map_err(ApiError::from)?;
    let message = if is_revoked {
        Flash::done("Key revoked.")
    } else {
        Flash::refused("There is no such key any more.")
    };
    Ok(page.redirect_with(&page.path_of("/api-keys"), &message))
}

fn owner(page: &EnvironmentPage) -> KeyOwner {
    KeyOwner { account_id: page.environment.account_id, environment_id: Some(page.environment.id) }
}
