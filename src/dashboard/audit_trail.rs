//! The audit trail: who changed what, under filters that are the page's address, and as a file under the same filters.

mod changes;
mod event;
mod filter;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use self::event::EventRow;
use self::filter::{ActionGroup, Wanted};
use super::error::PageError;
use super::form::Form;
use super::page::Page;
use crate::api::operator::download;
use crate::app::{App, SharedApp};
use crate::audit::{self, Action, Event, ExportFormat};
use crate::db::audit_events::{self, AuditEvent, SEARCHED};
use crate::db::audit_targets::{self, Living, Named};

/// Events on a page.
const ROWS: i64 = 50;
const PATH: &str = "/settings/audit-trail";

#[derive(Template)]
#[template(path = "dashboard/audit_trail.html")]
struct TrailPage<'a> {
    page: &'a Page,
    form: Form,
    action_groups: Vec<ActionGroup>,
    outcomes: [(&'static str, &'static str); 4],
    events: Vec<EventRow>,
    has_filters: bool,
    is_kept: bool,
    /// How long events are kept, in words.
    kept: String,
    /// Empty on the first page.
    newest: String,
    /// Empty on the last page.
    older: String,
    /// The addresses of the files, with their names.
    files: [(&'static str, String); 2],
    /// How far back a search reads at a time.
    searched: i64,
}

/// Lists the events that the filters of the address let through, the newest first.
pub async fn show_trail(
    State(app): State<SharedApp>,
    page: Page,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let mut form = Form::parse(query.unwrap_or_default().as_bytes());
    let wanted = Wanted::read(&mut form);
    let below = form.text("below").parse().ok();
    let account = page.viewer.account_id;
    let found = audit_events::list(&app.db, account, &wanted.filter, below, ROWS).await?;
    if below.is_none() {
        // Once for each look at the trail, not for each page.
        audit::record(&app, &app.db, Event::of_account(account, Action::AuditTrailQueried)).await?;
    }
    let living = audit_targets::list_living(&app.db, account, &named(&found.events)).await?;
    let shown = TrailPage {
        page: &page,
        action_groups: filter::action_groups(),
        outcomes: filter::OUTCOMES,
        events: found.events.iter().map(|event| EventRow::new(&page, event, &living)).collect(),
        has_filters: wanted.is_any,
        is_kept: app.config.audit.is_enabled,
        kept: kept(&app),
        newest: if below.is_some() { address(&page, &form, None) } else { String::new() },
        older: found.next.map(|next| address(&page, &form, Some(next))).unwrap_or_default(),
        files: [
            ("Download CSV", file_address(&page, &form, "csv")),
            ("Download JSON lines", file_address(&page, &form, "jsonl")),
        ],
        searched: SEARCHED,
        form,
    };
    if shown.form.has_problems() { page.show_again(&shown) } else { page.show(&shown) }
}

/// The events that the filters of the address let through, as a file.
pub async fn export_trail(
    State(app): State<SharedApp>,
    page: Page,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let mut form = Form::parse(query.unwrap_or_default().as_bytes());
    let wanted = Wanted::read(&mut form);
    if form.has_problems() {
        return Err(PageError::bad_request(
            "A filter of this file cannot be read. Go back and choose it again.",
        ));
    }
    let format = ExportFormat::WORDS.iter().find(|(word, _)| *word == form.text("format"));
    let format = format.map_or(ExportFormat::Csv, |(_, format)| *format);
    let file = audit::export(app, page.viewer.account_id, wanted.filter, format).await?;
    Ok(download(format, file))
}

fn kept(app: &App) -> String {
    match app.config.audit.kept {
        Some(time) => format!("for {} days", time.num_days()),
        None => "for ever".to_owned(),
    }
}

/// The ids that events name, to be asked for together.
fn named(events: &[AuditEvent]) -> Named {
    let mut named = Named::default();
    for target in events.iter().flat_map(event::targets) {
        let ids = match target.kind {
            "connection" => &mut named.connections,
            "integration" => &mut named.integrations,
            "api_key" => &mut named.api_keys,
            "environment" => &mut named.environments,
            "member" => &mut named.members,
            _ => continue,
        };
        ids.extend(target.row);
    }
    named
}

/// The page of something that is still there.
fn link(page: &Page, living: &Living) -> String {
    let environment = format!("/env/{}", living.environment);
    page.link(&match living.kind.as_str() {
        "connection" => format!("{environment}/connections/{}", living.id),
        "integration" => format!("{environment}/integrations/{}", super::page::segment(&living.key)),
        "api_key" => format!("{environment}/api-keys"),
        "environment" => format!("/settings/environments/{}", living.environment),
        _ => "/settings/team".to_owned(),
    })
}

/// The address of a page of the list under the filters of the form.
fn address(page: &Page, form: &Form, below: Option<i64>) -> String {
    let below = below.map(|below| below.to_string());
    page.link(PATH) + &filter::query(form, below.as_deref().map(|below| ("below", below)))
}

fn file_address(page: &Page, form: &Form, format: &str) -> String {
    page.link(PATH) + "/export" + &filter::query(form, Some(("format", format)))
}
