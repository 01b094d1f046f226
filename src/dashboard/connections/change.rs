//! What can be done to a connection: refreshing it, revealing its secrets, changing and deleting it.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::detail::ConnectionPage;
use super::{find, path_of};
use crate::api::connections::{ConnectionPatch, Write, remove, store_metadata, store_patch};
use crate::api::extract::IntoApiError;
use crate::api::input::read_object;
use crate::app::SharedApp;
use crate::audit::{self, Action, Event, Outcome, Target};
use crate::connections::open;
use crate::dashboard::error::PageError;
use crate::dashboard::flash::Flash;
use crate::dashboard::form::Form;
use crate::dashboard::page::EnvironmentPage;
use crate::db::connections::Connection;
use crate::integrations::OpenIntegration;
use crate::refresh::{self, Force, fresh_credentials};

/// Connections that may be deleted together.
const MOST_CHOSEN: usize = 200;

/// Asks the provider for new credentials, or whether it still accepts those that do not end.
pub async fn refresh_connection(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    let credentials = open(&app, &connection)?;
    let own = path_of(&page, connection.id);
    let target = Target::connection(&connection);
    let outcome = if refresh::is_tested(&credentials) {
        refresh::test_credentials(&app, &integration, &connection).await
    } else {
        fresh_credentials(&app, &integration, connection, Force::Yes).await.map(|_| ())
    };
    let event = Event::of_environment(page.environment.id, Action::ConnectionRefreshed).target(target);
    let told = if outcome.is_ok() { Outcome::Success } else { Outcome::Failure };
    audit::record(&app, &app.db, event.outcome(told)).await?;
    let message = match outcome {
        Ok(()) => Flash::done("The credentials are good."),
        Err(error) => Flash::refused(format!("That did not work: {}", error.message)),
    };
    Ok(page.redirect_with(&own, &message))
}

/// Shows the connection with its secrets, this once, and says so in the audit trail.
pub async fn reveal_credentials(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    let credentials = open(&app, &connection)?;
    let event = Event::of_environment(page.environment.id, Action::ConnectionRevealed);
    audit::record(&app, &app.db, event.target(Target::connection(&connection))).await?;
    let shown = ConnectionPage::load(&app, &page, &integration, connection.clone(), None).await?;
    page.show(&shown.revealed(&app, &credentials, &connection))
}

/// Replaces the metadata.
pub async fn update_metadata(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    match serde_json::from_str::<Map<String, Value>>(form.text("metadata")) {
        Ok(metadata) => {
            let found = [(connection.id, connection.connection_id.clone())];
            store_metadata(&app, page.environment.id, &found, &Value::Object(metadata), Write::Replace)
                .await?;
            Ok(page.redirect_with(&path_of(&page, connection.id), &Flash::done("Metadata saved.")))
        }
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            form.problem("metadata", format!("This is not a JSON object ({place})."));
            show_again(&app, &page, &integration, connection, form).await
        }
    }
}

/// Replaces the tags: a line `name=value` each.
pub async fn update_tags(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    let Some(tags) = read_tags(form.value("tags")) else {
        form.problem("tags", "Write each tag on a line of its own, as name=value.");
        return show_again(&app, &page, &integration, connection, form).await;
    };
    let body = json!({ "tags": tags });
    let patch = read_object(Some(&body), |body| ConnectionPatch::read(body, |_| false)).in_body();
    let stored = match patch {
        Ok(patch) => store_patch(&app, &connection, patch).await,
        Err(error) => Err(error),
    };
    match stored {
        Ok(()) => Ok(page.redirect_with(&path_of(&page, connection.id), &Flash::done("Tags saved."))),
        Err(error) if error.status().is_server_error() => Err(error.into()),
        Err(error) => {
            let issue = error.issues().first().map(|issue| issue["message"].as_str().unwrap_or_default());
            form.problem("tags", format!("These tags cannot be used: {}.", issue.unwrap_or(error.message())));
            show_again(&app, &page, &integration, connection, form).await
        }
    }
}

/// Tags, a line each; none when a line is something else.
fn read_tags(text: &str) -> Option<Map<String, Value>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| line.split_once('='));
    pairs.map(|pair| pair.map(|(name, value)| (name.trim().to_owned(), value.trim().into()))).collect()
}

async fn show_again(
    app: &SharedApp,
    page: &EnvironmentPage,
    integration: &OpenIntegration,
    connection: Connection,
    typed: Form,
) -> Result<Response, PageError> {
    let shown = ConnectionPage::load(app, page, integration, connection, Some(typed)).await?;
    page.show_again(&shown)
}

/// Deletes one connection.
pub async fn delete_one(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    remove(&app, &connection, &integration.row.unique_key).await?;
    let message = Flash::done(format!("Connection {} deleted.", connection.connection_id));
    Ok(page.redirect_with(&page.path_of("/connections"), &message))
}

/// Deletes the connections that were chosen in the list.
pub async fn delete_chosen(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    form: Form,
) -> Result<Response, PageError> {
    let list = page.path_of("/connections");
    let chosen = form.values("connection");
    if chosen.is_empty() {
        return Ok(page.redirect_with(&list, &Flash::refused("Choose the connections to delete first.")));
    }
    let mut deleted = 0;
    for id in chosen.into_iter().take(MOST_CHOSEN) {
        // Somebody else may have been faster.
        let Ok((integration, connection)) = find(&app, &page, id).await else { continue };
        deleted += usize::from(remove(&app, &connection, &integration.row.unique_key).await?);
    }
    let plural = if deleted == 1 { "" } else { "s" };
    Ok(page.redirect_with(&list, &Flash::done(format!("{deleted} connection{plural} deleted."))))
}
