//! The integrations of an environment as a grid.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::mode_title;
use crate::access::Action;
use crate::app::SharedApp;
use crate::dashboard::connections::logo;
use crate::dashboard::error::PageError;
use crate::dashboard::page::{EnvironmentPage, segment};
use crate::db::integrations;

#[derive(Template)]
#[template(path = "dashboard/integrations.html")]
struct IntegrationsPage<'a> {
    page: &'a EnvironmentPage,
    cards: Vec<Card>,
    may_write: bool,
}

/// One integration.
struct Card {
    key: String,
    segment: String,
    title: String,
    logo: String,
    mode: &'static str,
    /// What is missing before anybody can connect.
    lack: Option<&'static str>,
}

/// Lists the integrations.
pub async fn list_integrations(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
) -> Result<Response, PageError> {
    let rows = integrations::list(&app.db, page.environment.id).await?;
    let catalog = app.catalog.load();
    let cards = rows.into_iter().map(|row| {
        let provider = catalog.get(&row.provider);
        let title = row.display_name.as_ref().or(provider.map(|provider| &provider.display_name));
        Card {
            segment: segment(&row.unique_key),
            title: title.unwrap_or(&row.provider).clone(),
            logo: logo(&page, &row.provider),
            mode: mode_title(provider.and_then(|provider| provider.mode())),
            lack: provider.is_none().then_some("Not in the catalog"),
            key: row.unique_key,
        }
    });
    let cards: Vec<Card> = cards.collect();
    page.show(&IntegrationsPage { page: &page, cards, may_write: page.may(Action::Write) })
}
