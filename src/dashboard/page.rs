//! What every page knows, and how it is answered: shown, or left behind for another one.

use std::ops::Deref;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use percent_encoding::utf8_percent_encode;
use url::Url;

use super::cookies::{self, Cookie};
use super::error::PageError;
use super::flash::{self, Flash};
use super::navigation::{self, Group};
use super::time::Moment;
use super::viewer::{Viewer, chosen_theme, is_secure};
use crate::access::Action;
use crate::app::{App, SharedApp};
use crate::assets::assets;
use crate::db::environments::{self, Environment};
use crate::error::ApiError;
use crate::template::COMPONENT;

/// The environment that was looked at last, by name.
const ENVIRONMENT: &str = "hitchpost_environment";
const A_YEAR: i64 = 365 * 24 * 3600;

/// Who looks, where they are, and what was told them. Handlers take it as a parameter; templates have it as `page`.
#[derive(Clone)]
pub struct Page {
    pub viewer: Viewer,
    /// The environments that the viewer may enter, oldest first.
    pub environments: Vec<Environment>,
    /// The environment that the path names.
    pub current: Option<Environment>,
    /// The environment whose pages the navigation shows: the current one, else the one that was looked at last.
    pub nearest: Option<Environment>,
    pub flash: Option<Flash>,
    /// `light`, `dark`, or none to follow the system.
    pub theme: Option<&'static str>,
    /// What a reverse proxy takes off the paths; without a slash at the end.
    pub base: String,
    /// The path without [`Page::base`].
    pub path: String,
    pub now: DateTime<Utc>,
    pub build: &'static str,
    is_secure: bool,
    app: SharedApp,
}

impl Page {
    /// Loads what the pages of this viewer share. `environment` is the name in the path, if there is one.
    pub async fn load(
        app: &SharedApp,
        parts: &Parts,
        viewer: Viewer,
        environment: Option<&str>,
    ) -> Result<Self, PageError> {
        let mut environments = environments::list_of_account(&app.db, viewer.account_id).await?;
        let find = |name: &str| environments.iter().find(|one| one.name == name).cloned();
        let current = match environment {
            Some(name) => Some(find(name).ok_or_else(PageError::not_found)?),
            None => None,
        };
        let seen_last = cookies::find(&parts.headers, ENVIRONMENT).and_then(find);
        environments.retain(|one| viewer.may_in(Action::Read, one));
        let may_enter = |one: &Environment| environments.iter().any(|open| open.id == one.id);
        let nearest =
            current.clone().or(seen_last).filter(may_enter).or_else(|| environments.first().cloned());
        Ok(Page {
            viewer,
            environments,
            current,
            nearest,
            flash: Flash::find(app, &parts.headers),
            theme: chosen_theme(&parts.headers),
            base: base_path(app),
            path: parts.uri.path().to_owned(),
            now: app.clock.now(),
            build: assets().build(),
            is_secure: is_secure(app, parts),
            app: app.clone(),
        })
    }

    /// The address of a path of the dashboard.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of a path below the nearest environment, such as `/api-keys`.
    pub fn environment_link(&self, path: &str) -> String {
        match &self.nearest {
            Some(environment) => self.link(&environment_path(environment, path)),
            None => self.link("/"),
        }
    }

    /// The address of an embedded file.
    pub fn asset(&self, path: &str) -> String {
        format!("{}/assets/{}/{path}", self.base, self.build)
    }

    /// The links beside the page.
    pub fn navigation(&self) -> Vec<Group> {
        navigation::groups(self)
    }

    /// Whether the viewer may do something here.
    pub fn may(&self, action: Action) -> bool {
        match &self.current {
            Some(environment) => self.viewer.may_in(action, environment),
            None => self.viewer.may(action),
        }
    }

    /// A point in time as pages show it.
    pub fn moment(&self, time: DateTime<Utc>) -> Moment {
        Moment::new(time, self.now)
    }

    /// Shows the page.
    pub fn show(&self, template: &impl Template) -> Result<Response, PageError> {
        self.show_with(StatusCode::OK, template)
    }

    /// Shows the page again because its form has problems.
    pub fn show_again(&self, template: &impl Template) -> Result<Response, PageError> {
        self.show_with(StatusCode::UNPROCESSABLE_ENTITY, template)
    }

    fn show_with(&self, status: StatusCode, template: &impl Template) -> Result<Response, PageError> {
        let mut response = (status, Html(template.render()?)).into_response();
        if self.flash.is_some() {
            self.set_cookie(response.headers_mut(), cookies::FLASH, "", 0);
        }
        if let Some(current) = &self.current {
            self.set_cookie(response.headers_mut(), ENVIRONMENT, &current.name, A_YEAR);
        }
        Ok(response)
    }

    /// Sends the browser to another path of the dashboard after a form has done its work.
    pub fn redirect(&self, path: &str) -> Response {
        Redirect::to(&self.link(path)).into_response()
    }

    /// The same, with a message for the next page.
    pub fn redirect_with(&self, path: &str, message: &Flash) -> Response {
        let mut response = self.redirect(path);
        if let Some(sealed) = message.seal(&self.app) {
            self.set_cookie(response.headers_mut(), cookies::FLASH, &sealed, flash::SECONDS);
        }
        response
    }

    /// Sends the browser back with the sentence of an error that the visitor can do something about.
    ///
    /// # Errors
    /// The server is to blame.
    pub fn redirect_refused(&self, path: &str, error: ApiError) -> Result<Response, PageError> {
        if error.status().is_server_error() {
            return Err(error.into());
        }
        Ok(self.redirect_with(path, &Flash::refused(error.message())))
    }

    /// Sets a cookie that lives `seconds`.
    pub fn set_cookie(&self, headers: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
        cookies::set(headers, &Cookie { name, value, max_age: seconds, is_secure: self.is_secure });
    }
}

/// The path of the server's public address.
pub fn base_path(app: &App) -> String {
    let url = Url::parse(&app.config.http.server_url);
    url.map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}

/// A text as one segment of a path, or one value of a query.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// The path of a page of an environment.
pub fn environment_path(environment: &Environment, path: &str) -> String {
    format!("/env/{}{path}", environment.name)
}

impl FromRequestParts<SharedApp> for Page {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, PageError> {
        let page = parts.extensions.get::<Page>().cloned();
        page.ok_or_else(|| ApiError::unexpected("a page is not behind the gate").into())
    }
}

/// A page of one environment.
pub struct EnvironmentPage {
    pub page: Page,
    pub environment: Environment,
}

impl EnvironmentPage {
    /// The path of another page of this environment.
    pub fn path_of(&self, path: &str) -> String {
        environment_path(&self.environment, path)
    }
}

impl Deref for EnvironmentPage {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.page
    }
}

impl FromRequestParts<SharedApp> for EnvironmentPage {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, PageError> {
        let page = Page::from_request_parts(parts, app).await?;
        let environment = page.current.clone();
        let environment = environment.ok_or_else(|| ApiError::unexpected("the path names no environment"))?;
        Ok(EnvironmentPage { page, environment })
    }
}

/// Where a browser is sent back to: the page that the form was on, when it is one of ours.
pub fn back_path(app: &App, headers: &HeaderMap) -> String {
    let referer = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let path = referer.and_then(|text| Url::parse(text).ok()).map(|url| url.path().to_owned());
    let base = base_path(app);
    let own = path.as_deref().and_then(|path| path.strip_prefix(&base));
    // `//host` would be another site.
    own.filter(|path| path.starts_with('/') && !path.starts_with("//")).unwrap_or("/").to_owned()
}
