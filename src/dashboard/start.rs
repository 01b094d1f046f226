//! The first steps: a sign-in at the demo provider and a proxied call, before anything is registered anywhere.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method};
use serde_json::json;

use super::call::{self, Composed, Outcome};
use super::connections::{ProxiedCall, Snippet};
use super::error::PageError;
use super::flash::Flash;
use super::integrations::callback_url;
use super::page::EnvironmentPage;
use crate::access::Action;
use crate::api::connect_sessions::{open, read_operator_session};
use crate::api::extract::IntoApiError;
use crate::api::input::read_object;
use crate::api::integrations::input::NewIntegration;
use crate::api::integrations::{create, remove};
use crate::app::SharedApp;
use crate::db::connection_list::{Filter, list};
use crate::db::connections::{self as rows, Connection};
use crate::db::{ConnectionRowId, integrations};
use crate::demo::{self, CLIENT_ID, PROVIDER};

/// What the demo's API has to say to who signed in.
const FIRST_PATH: &str = "/notes";
const TESTER: &str = "ada";

#[derive(Template)]
#[template(path = "dashboard/start.html")]
struct StartPage<'a> {
    page: &'a EnvironmentPage,
    /// The demo provider runs, and this environment has an integration for it.
    is_ready: bool,
    /// There is an integration that needs the demo provider, which does not run.
    is_asleep: bool,
    connection: Option<Connection>,
    link: Option<String>,
    outcome: Option<Outcome>,
    snippets: Vec<Snippet>,
    may_write: bool,
    may_read_keys: bool,
}

async fn load<'a>(app: &SharedApp, page: &'a EnvironmentPage) -> Result<StartPage<'a>, PageError> {
    let has_integration = integrations::find(&app.db, page.environment.id, PROVIDER).await?.is_some();
    let connection = if has_integration { find_connection(app, page).await? } else { None };
    let is_running = app.demo.is_running();
    Ok(StartPage {
        is_ready: is_running && has_integration,
        is_asleep: !is_running && has_integration,
        snippets: connection.as_ref().map(|connection| snippets(app, connection)).unwrap_or_default(),
        connection,
        link: None,
        outcome: None,
        may_write: page.may(Action::Write),
        may_read_keys: page.may(Action::ReadSecrets),
        page,
    })
}

/// The newest connection of the demo.
async fn find_connection(app: &SharedApp, page: &EnvironmentPage) -> Result<Option<Connection>, PageError> {
    let filter = Filter { integrations: Some(vec![PROVIDER.to_owned()]), limit: 1, ..Filter::default() };
    let found = list(&app.db, &app.page_marks, page.environment.id, &filter, app.clock.now()).await?;
    let Some(newest) = found.first() else { return Ok(None) };
    Ok(rows::find_by_row(&app.db, page.environment.id, ConnectionRowId(newest.id)).await?)
}

fn snippets(app: &SharedApp, connection: &Connection) -> Vec<Snippet> {
    let call = ProxiedCall {
        server_url: &app.config.http.server_url,
        integration: PROVIDER,
        connection: &connection.connection_id,
        method: "GET",
        path: FIRST_PATH,
        body: "",
        headers: &[],
    };
    call.snippets()
}

/// Shows the first steps and how far one is.
pub async fn show_start(State(app): State<SharedApp>, page: EnvironmentPage) -> Result<Response, PageError> {
    page.show(&load(&app, &page).await?)
}

/// Starts the demo provider and adds an integration for it.
pub async fn start_demo(State(app): State<SharedApp>, page: EnvironmentPage) -> Result<Response, PageError> {
    demo::start(&app, &callback_url(&app, &page).await?).await?;
    let start = page.path_of("/start");
    if integrations::find(&app.db, page.environment.id, PROVIDER).await?.is_none() {
        let body = json!({
            "provider": PROVIDER,
            "unique_key": PROVIDER,
            "credentials": {
                "type": "OAUTH2",
                "client_id": CLIENT_ID,
                "client_secret": demo::client_secret(&app),
                "scopes": "profile,notes",
            },
        });
        let new = read_object(Some(&body), NewIntegration::read).in_body()?;
        if let Err(error) = create(&app, page.environment.id, new).await {
            return page.redirect_refused(&start, error);
        }
    }
    Ok(page.redirect_with(&start, &Flash::done("The demo provider is running.")))
}

/// Opens a session for the demo and shows its link.
pub async fn connect_demo(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
) -> Result<Response, PageError> {
    let body = json!({
        "end_user": {"id": TESTER, "display_name": "Ada Lovelace"},
        "allowed_integrations": [PROVIDER],
    });
    let request = read_operator_session(&app, Some(&body)).in_body()?;
    match open(&app, page.environment.id, request).await {
        Ok(session) => {
            let shown = load(&app, &page).await?;
            page.show(&StartPage { link: Some(session.connect_link), ..shown })
        }
        Err(error) if error.status().is_server_error() => Err(error.into()),
        Err(_) => {
            Ok(page.redirect_with(&page.path_of("/start"), &Flash::refused("Start the demo provider first.")))
        }
    }
}

/// Makes the first proxied call.
pub async fn call_demo(State(app): State<SharedApp>, page: EnvironmentPage) -> Result<Response, PageError> {
    let Some(connection) = find_connection(&app, &page).await? else {
        let message = Flash::refused("Connect an account of the demo provider first.");
        return Ok(page.redirect_with(&page.path_of("/start"), &message));
    };
    let composed = Composed {
        integration: PROVIDER,
        connection: &connection,
        method: Method::GET,
        path: FIRST_PATH,
        headers: HeaderMap::new(),
        body: String::new(),
        retries: 0,
    };
    let outcome = Some(call::make(&app, composed).await?);
    page.show(&StartPage { outcome, ..load(&app, &page).await? })
}

/// Stops the demo provider and removes what the first steps made here.
pub async fn stop_demo(State(app): State<SharedApp>, page: EnvironmentPage) -> Result<Response, PageError> {
    let start = page.path_of("/start");
    if integrations::find(&app.db, page.environment.id, PROVIDER).await?.is_some()
        && let Err(error) = remove(&app, page.environment.id, PROVIDER).await
    {
        return page.redirect_refused(&start, error);
    }
    demo::stop(&app);
    let message = "The demo provider is stopped, its integration and connections are deleted.";
    Ok(page.redirect_with(&start, &Flash::done(message)))
}
