//! The gate in front of every page: who is it, may they do this here, and does the form come from a page of ours? Handlers
//! behind it find the answer as [`Page`], and the form as [`Form`].

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::{Url, form_urlencoded};

use super::denial;
use super::error::PageError;
use super::form::{CSRF, Form};
use super::outside::{Outside, note_member};
use super::page::Page;
use super::viewer::Viewer;
use crate::access::{Action, Zone};
use crate::api::json::read_limited;
use crate::api::operator::{CHALLENGE, authenticate_password};
use crate::app::{App, SharedApp};
use crate::audit::{self, Actor};
use crate::config::DashboardAccess;
use crate::crypto::{Secret, constant_time_eq};
use crate::db::{AccountId, accounts};
use crate::error::ApiError;
use crate::members::sessions;

/// Bytes of a form.
const MAX_FORM: u64 = 2 << 20;
const FETCH_SITE: &str = "sec-fetch-site";

/// What it takes to get to a page.
#[derive(Clone)]
pub struct Gate {
    pub app: SharedApp,
    pub action: Action,
}

/// The middleware around the handlers of a page.
pub async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let outside = Outside::of(&gate.app, &parts);
    let viewer = match find_viewer(&gate.app, &outside, &parts).await {
        Ok(viewer) => viewer,
        Err(response) => return *response,
    };
    note_actor(&viewer);
    let renewed = viewer.member.as_ref().filter(|member| member.is_renewed).is_some();
    let token = outside.session_token(&parts.headers).filter(|_| renewed).map(Secret::new);
    let mut response = match open(&gate, &mut parts, viewer).await {
        Ok((page, None)) => pass(&gate.app, parts, body, page, next).await,
        Ok((page, Some(refusal))) => refuse(&gate.app, &parts, &page, refusal).await,
        Err(error) => error.into_response(),
    };
    if let Some(token) = token.filter(|_| !response.headers().contains_key(header::SET_COOKIE)) {
        outside.set_session(response.headers_mut(), Some(&token));
    }
    response
}

/// The refusal of somebody whose role does not allow this. Looking at a page changes nothing, so that only forms are recorded.
async fn refuse(app: &App, parts: &Parts, page: &Page, refusal: PageError) -> Response {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return refusal.within(page);
    }
    match denial::note(app, parts, page).await {
        Ok(()) => refusal.within(page),
        Err(error) => PageError::from(error).within(page),
    }
}

/// Who the audit trail says made the changes of this request.
fn note_actor(viewer: &Viewer) {
    match &viewer.member {
        Some(logged_in) => note_member(&logged_in.member),
        None if viewer.is_unknown => {}
        None => audit::note_actor(|| Actor::user(&viewer.name, &viewer.name)),
    }
}

/// Runs the handler, and puts the navigation around what it could not do.
async fn pass(app: &App, mut parts: Parts, body: Body, page: Page, next: Next) -> Response {
    let response = match read_form(app, &parts, &page.viewer, body).await {
        Ok(form) => {
            parts.extensions.insert(form);
            parts.extensions.insert(page.clone());
            next.run(Request::from_parts(parts, Body::empty())).await
        }
        Err(error) => error.into_response(),
    };
    match response.extensions().get::<PageError>() {
        Some(error) => error.within(&page),
        None => response,
    }
}

/// The visitor, or what somebody sees who is not let in.
async fn find_viewer(app: &SharedApp, outside: &Outside, parts: &Parts) -> Result<Viewer, Box<Response>> {
    let refuse = |error: PageError| Box::new(error.into_response());
    match app.config.dashboard.access {
        DashboardAccess::Accounts => by_session(app, outside, parts).await,
        DashboardAccess::Password => by_password(app, parts).await,
        DashboardAccess::Open => {
            let account = first_account(app).await.map_err(refuse)?;
            Ok(Viewer::without_account(app, account, None))
        }
        DashboardAccess::Closed => Err(refuse(closed())),
    }
}

async fn by_session(app: &App, outside: &Outside, parts: &Parts) -> Result<Viewer, Box<Response>> {
    if let Some(token) = outside.session_token(&parts.headers) {
        let found = sessions::find(app, token).await;
        match found.map_err(|error| Box::new(PageError::from(error).into_response()))? {
            Some(logged_in) => {
                note_member(&logged_in.member);
                return Ok(Viewer::of_member(logged_in, token));
            }
            None => tracing::debug!("a session of the dashboard is over"),
        }
    }
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if parts.method != Method::GET || wanted == "/" {
        return Err(Box::new(outside.redirect("/login")));
    }
    let next = form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish();
    Err(Box::new(outside.redirect(&format!("/login?{next}"))))
}

async fn by_password(app: &App, parts: &Parts) -> Result<Viewer, Box<Response>> {
    let challenge = |message: &str| {
        let error = PageError::new(StatusCode::UNAUTHORIZED, "Who are you?", message);
        Box::new(([(header::WWW_AUTHENTICATE, CHALLENGE)], error).into_response())
    };
    match authenticate_password(parts, app).await {
        Ok(Some(account)) => {
            let name = app.config.dashboard.credentials.as_ref().map(|expected| expected.username.as_str());
            Ok(Viewer::without_account(app, account, name))
        }
        Ok(None) => Err(challenge("This dashboard asks for a name and a password.")),
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
            Err(challenge("The name or the password is wrong."))
        }
        Err(error) => Err(Box::new(PageError::from(error).into_response())),
    }
}

async fn first_account(app: &App) -> Result<AccountId, PageError> {
    let found = accounts::find_first(&app.db).await?;
    found.ok_or_else(|| ApiError::server_error("The database has no account.").into())
}

fn closed() -> PageError {
    let message = "Accounts are switched off (FLAG_AUTH_ENABLED=false), and no other way in was chosen. Set \
                   NANGO_DASHBOARD_USERNAME and NANGO_DASHBOARD_PASSWORD to ask for a name and a password, or \
                   HITCHPOST_OPEN_DASHBOARD=true to let in everybody who reaches this port.";
    PageError::new(StatusCode::FORBIDDEN, "The dashboard is closed", message)
}

/// What the page needs to know, and the refusal of those who may not do this here.
async fn open(
    gate: &Gate,
    parts: &mut Parts,
    viewer: Viewer,
) -> Result<(Page, Option<PageError>), PageError> {
    let params = RawPathParams::from_request_parts(parts, &gate.app).await;
    let params = params.map_err(|_| PageError::not_found())?;
    let name = params.iter().find_map(|(name, value)| (name == "environment").then(|| value.to_owned()));
    let page = Page::load(&gate.app, parts, viewer, name.as_deref()).await?;
    let zone = page.current.as_ref().map_or(Zone::Production, |current| Zone::of(current.is_production));
    if page.viewer.role.may(gate.action, zone) {
        return Ok((page, None));
    }
    let place = page.current.as_ref().map(|current| format!(" in {}", current.name)).unwrap_or_default();
    let role = page.viewer.role.title();
    let message = format!("Your role, {role}, does not allow this{place}. Ask an administrator.");
    Ok((page, Some(PageError::forbidden(message))))
}

/// The form of a request that changes something, which must come from a page of ours that this visitor saw.
async fn read_form(app: &App, parts: &Parts, viewer: &Viewer, body: Body) -> Result<Form, PageError> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(Form::default());
    }
    let form = read_own_form(app, parts, body).await?;
    if constant_time_eq(form.value(CSRF), &viewer.csrf) { Ok(form) } else { Err(foreign_form()) }
}

/// The same for visitors whom nobody knows yet, who have no token.
pub async fn read_own_form(app: &App, parts: &Parts, body: Body) -> Result<Form, PageError> {
    if !is_own(app, &parts.headers) {
        return Err(foreign_form());
    }
    Ok(Form::parse(&read_limited(&parts.headers, body, MAX_FORM).await?))
}

fn foreign_form() -> PageError {
    PageError::forbidden(
        "This form is too old, or another site sent it. Go back, reload the page and try again.",
    )
}

/// Whether a request was started by a page of this server, as browsers tell it.
fn is_own(app: &App, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    if let Some(site) = text(FETCH_SITE) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else { return true };
    let Ok(origin) = Url::parse(origin).map(|url| url.origin()) else { return false };
    let http = &app.config.http;
    let is_public = [&http.server_url, &http.public_server_url]
        .into_iter()
        .any(|url| Url::parse(url).is_ok_and(|url| url.origin() == origin));
    let host = text(header::HOST.as_str()).unwrap_or_default();
    is_public || origin.ascii_serialization().split_once("://").is_some_and(|(_, found)| found == host)
}
