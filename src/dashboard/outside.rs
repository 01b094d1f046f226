//! Pages for visitors who are not let in yet: they have no navigation, and nobody knows who looks at them.

use askama::Template;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::admission::read_own_form;
use super::cookies::{self, Cookie};
use super::error::PageError;
use super::flash::{self, Flash};
use super::login::takes_passwords;
use super::page::base_path;
use super::viewer::{chosen_theme, is_secure};
use crate::api::client_address::client_address;
use crate::app::{App, SharedApp};
use crate::assets::assets;
use crate::audit::note_actor;
use crate::config::DashboardAccess;
use crate::crypto::Secret;
use crate::db::members::Member;
use crate::members::sessions;

/// The middleware around pages that lead to an account; without accounts they do not exist.
pub async fn welcome(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    if app.config.dashboard.access != DashboardAccess::Accounts {
        return PageError::not_found().into_response();
    }
    let (mut parts, body) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        match read_own_form(&app, &parts, body).await {
            Ok(form) => parts.extensions.insert(form),
            Err(error) => return error.into_response(),
        };
    }
    next.run(Request::from_parts(parts, Body::empty())).await
}

/// The middleware around pages about passwords; where members log in elsewhere, they do not exist.
pub async fn with_passwords(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    if takes_passwords(&app) { next.run(request).await } else { PageError::not_found().into_response() }
}

/// What a page outside knows of its visitor. Handlers take it as a parameter; templates have it as `outside`.
#[derive(Clone)]
pub struct Outside {
    pub base: String,
    pub theme: Option<&'static str>,
    pub build: &'static str,
    pub flash: Option<Flash>,
    is_secure: bool,
    user_agent: Option<String>,
    address: Option<std::net::IpAddr>,
}

impl Outside {
    /// What can be told from the head of a request.
    pub fn of(app: &App, parts: &Parts) -> Self {
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Outside {
            base: base_path(app),
            theme: chosen_theme(&parts.headers),
            build: assets().build(),
            flash: Flash::find(app, &parts.headers),
            is_secure: is_secure(app, parts),
            user_agent: user_agent.map(str::to_owned),
            address: client_address(parts, app.config.http.trusted_proxy_hops),
        }
    }

    /// The address of a path of the dashboard.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of an embedded file.
    pub fn asset(&self, path: &str) -> String {
        format!("{}/assets/{}/{path}", self.base, self.build)
    }

    /// Where the visitor's requests come from.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        self.address
    }

    /// Shows a page.
    pub fn show(&self, template: &impl Template) -> Result<Response, PageError> {
        self.show_with(StatusCode::OK, template)
    }

    /// Shows a page again because its form has problems.
    pub fn show_again(&self, template: &impl Template) -> Result<Response, PageError> {
        self.show_with(StatusCode::UNPROCESSABLE_ENTITY, template)
    }

    fn show_with(&self, status: StatusCode, template: &impl Template) -> Result<Response, PageError> {
        let mut response = (status, Html(template.render()?)).into_response();
        if self.flash.is_some() {
            self.set_cookie(response.headers_mut(), cookies::FLASH, "", 0);
        }
        Ok(response)
    }

    /// Sends the browser to another path of the dashboard.
    pub fn redirect(&self, path: &str) -> Response {
        Redirect::to(&self.link(path)).into_response()
    }

    /// The same, with a message for the next page.
    pub fn redirect_with(&self, app: &App, path: &str, message: &Flash) -> Response {
        let mut response = self.redirect(path);
        if let Some(sealed) = message.seal(app) {
            self.set_cookie(response.headers_mut(), cookies::FLASH, &sealed, flash::SECONDS);
        }
        response
    }

    /// Logs somebody in, who proved who they are, and sends the browser to `next`.
    pub async fn let_in(&self, app: &App, member: &Member, next: &str) -> Result<Response, PageError> {
        let token = sessions::begin(app, member, self.user_agent.as_deref(), self.address).await?;
        let mut response = self.redirect(next);
        self.set_session(response.headers_mut(), Some(&token));
        Ok(response)
    }

    /// Gives the browser a session, or takes it away.
    pub fn set_session(&self, headers: &mut HeaderMap, token: Option<&Secret>) {
        let seconds = token.map_or(0, |_| sessions::LIFETIME.num_seconds());
        let value = token.map_or("", |token| token.expose());
        self.set_cookie(headers, cookies::session(self.is_secure), value, seconds);
    }

    /// The token of the browser's session.
    pub fn session_token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookies::find(headers, cookies::session(self.is_secure))
    }

    /// Sets a cookie that lives `seconds`.
    pub fn set_cookie(&self, headers: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
        cookies::set(headers, &Cookie { name, value, max_age: seconds, is_secure: self.is_secure });
    }
}

impl FromRequestParts<SharedApp> for Outside {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, PageError> {
        Ok(Outside::of(app, parts))
    }
}

/// Makes pages of errors that nobody put a navigation around; whatever else the answer says stays.
pub fn dress(outside: &Outside, response: Response) -> Response {
    let Some(error) = response.extensions().get::<PageError>().cloned() else { return response };
    let mut page = error.alone(outside);
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

/// A path of the dashboard that a visitor wanted before logging in; nothing else is believed.
pub fn safe_next(path: &str) -> &str {
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']);
    if is_path && path.len() < 2000 && HeaderValue::from_str(path).is_ok() { path } else { "/" }
}

/// Says in the audit trail who this is, for what follows in the same request.
pub fn note_member(member: &Member) {
    note_actor(|| crate::audit::Actor::user(member.id.0, &member.email));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (path, expected) in [
            ("/env/dev?x=1", "/env/dev?x=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("", "/"),
            ("/a\nb", "/"),
        ] {
            assert_eq!(safe_next(path), expected, "{path}");
        }
    }
}
