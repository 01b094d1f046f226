//! What was sent to the webhook addresses of an environment: deliveries under filters, one with its attempts, and sending
//! them again.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::Value;
use url::form_urlencoded;
use uuid::Uuid;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::page::EnvironmentPage;
use super::time::Moment;
use crate::access::Action;
use crate::app::SharedApp;
use crate::db::WebhookDeliveryId;
use crate::db::webhook_deliveries::{Delivery, DeliveryState, Filter, WebhookTarget, WebhookType};
use crate::db::webhook_settings;
use crate::webhooks::deliveries::{self, ShownAttempt};
use crate::webhooks::outgoing::operation_id;

/// Deliveries on a page.
const ROWS: i64 = 50;
/// The fields of the form, which are the parameters of the address.
const FILTERS: [&str; 4] = ["state", "type", "integration", "connection"];

const STATES: [(&str, &str); 5] = [
    ("", "Any outcome"),
    ("waiting", "Waiting"),
    ("delivered", "Delivered"),
    ("failed", "Given up"),
    ("refused", "Not allowed"),
];
const TYPES: [(&str, &str); 5] = [
    ("", "Everything"),
    ("auth", "Sign-ins and refreshes"),
    ("sync", "Syncs"),
    ("async_action", "Actions"),
    ("forward", "Passed on from providers"),
];

/// A delivery in a row of the list, or at the head of its page.
struct Row {
    id: Uuid,
    title: String,
    /// Kind and text of a badge.
    state: (&'static str, &'static str),
    url: String,
    target: &'static str,
    integration: String,
    connection: String,
    attempts: i32,
    /// What came of the last attempt.
    last: String,
    made: Moment,
    next: Option<Moment>,
    finished: Option<Moment>,
    is_waiting: bool,
    log_link: String,
}

impl Row {
    fn new(page: &EnvironmentPage, delivery: Delivery) -> Self {
        let status = delivery.last_status.map(|status| format!("answered {status}"));
        let is_waiting = delivery.state == DeliveryState::Waiting;
        let operation = operation_id(delivery.created_at, delivery.uuid);
        Row {
            id: delivery.uuid,
            title: title(&delivery),
            state: badge(delivery.state, delivery.attempts),
            url: delivery.url,
            target: target(delivery.target),
            integration: delivery.provider_config_key,
            connection: delivery.connection_id.unwrap_or_default(),
            attempts: delivery.attempts,
            last: delivery.last_error.or(status).unwrap_or_default(),
            made: page.moment(delivery.created_at),
            next: delivery.next_attempt_at.filter(|_| is_waiting).map(|time| page.moment(time)),
            finished: delivery.finished_at.map(|time| page.moment(time)),
            is_waiting,
            log_link: page.environment_link("/logs/") + &operation,
        }
    }
}

fn title(delivery: &Delivery) -> String {
    let kind = match delivery.kind {
        WebhookType::Auth => "Connection",
        WebhookType::Sync => "Sync",
        WebhookType::AsyncAction => "Action",
        WebhookType::Forward => "Provider webhook",
    };
    match &delivery.event {
        Some(event) => format!("{kind}: {event}"),
        None => kind.to_owned(),
    }
}

fn badge(state: DeliveryState, attempts: i32) -> (&'static str, &'static str) {
    match state {
        DeliveryState::Waiting if attempts > 0 => ("warn", "Retrying"),
        DeliveryState::Waiting => ("calm", "Waiting"),
        DeliveryState::Delivered => ("good", "Delivered"),
        DeliveryState::Failed => ("bad", "Given up"),
        DeliveryState::Refused => ("bad", "Not allowed"),
    }
}

fn target(target: WebhookTarget) -> &'static str {
    match target {
        WebhookTarget::Primary => "Primary address",
        WebhookTarget::Secondary => "Secondary address",
        WebhookTarget::Connection => "Address of the connection",
    }
}

#[derive(Template)]
#[template(path = "dashboard/webhooks.html")]
struct WebhooksPage<'a> {
    page: &'a EnvironmentPage,
    form: Form,
    states: [(&'static str, &'static str); 5],
    types: [(&'static str, &'static str); 5],
    deliveries: Vec<Row>,
    has_filters: bool,
    has_address: bool,
    /// Whether the viewer may send webhooks again, and there may be some to send.
    can_send_failed: bool,
    /// Empty on the first page.
    newest: String,
    /// Empty on the last page.
    older: String,
}

/// Lists the deliveries that the filters of the address let through, the newest first.
pub async fn list_deliveries(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let settings = webhook_settings::find(&app.db, page.environment.id).await?;
    let found = deliveries::list(&app, page.environment.id, &filter_of(&form)).await?;
    let list = page.environment_link("/webhooks");
    page.show(&WebhooksPage {
        page: &page,
        states: STATES,
        types: TYPES,
        deliveries: found.deliveries.into_iter().map(|delivery| Row::new(&page, delivery)).collect(),
        has_filters: FILTERS.iter().any(|name| !form.text(name).is_empty()),
        has_address: settings.primary_url.is_some() || settings.secondary_url.is_some(),
        can_send_failed: page.may(Action::Write) && form.text("state") == "failed",
        newest: if form.text("before").is_empty() {
            String::new()
        } else {
            list.clone() + &query_of(&form, None)
        },
        older: found.next.map(|next| list + &query_of(&form, Some(next))).unwrap_or_default(),
        form,
    })
}

/// What the form asks for. A value that means nothing filters nothing.
fn filter_of(form: &Form) -> Filter {
    let text = |name: &str| Some(form.text(name).to_owned()).filter(|text| !text.is_empty());
    let find = |name: &str| form.text(name);
    Filter {
        state: DeliveryState::WORDS.iter().find(|(word, _)| *word == find("state")).map(|(_, state)| *state),
        kind: WebhookType::WORDS.iter().find(|(word, _)| *word == find("type")).map(|(_, kind)| *kind),
        provider_config_key: text("integration"),
        connection_id: text("connection"),
        before: form.text("before").parse().ok().map(WebhookDeliveryId),
        limit: ROWS,
    }
}

/// The query of a page of the list under the filters of the form, with its question mark.
fn query_of(form: &Form, before: Option<WebhookDeliveryId>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in FILTERS.iter().filter(|name| !form.text(name).is_empty()) {
        query.append_pair(name, form.text(name));
    }
    if let Some(before) = before {
        query.append_pair("before", &before.0.to_string());
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

struct AttemptRow {
    number: i32,
    began: Moment,
    milliseconds: i32,
    /// Kind and text of a badge.
    outcome: (&'static str, String),
    answer: String,
}

impl AttemptRow {
    fn new(page: &EnvironmentPage, attempt: ShownAttempt) -> Self {
        let outcome = match (attempt.status, attempt.error) {
            (Some(status @ 200..300), _) => ("good", status.to_string()),
            (Some(status), _) => ("bad", status.to_string()),
            (None, error) => ("bad", error.unwrap_or_else(|| "No answer".to_owned())),
        };
        AttemptRow {
            number: attempt.number,
            began: page.moment(attempt.started_at),
            milliseconds: attempt.duration_ms,
            outcome,
            answer: attempt.answer.unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/webhook.html")]
struct WebhookPage<'a> {
    page: &'a EnvironmentPage,
    delivery: Row,
    attempts: Vec<AttemptRow>,
    body: String,
    headers: Vec<(String, String)>,
    can_send: bool,
}

/// Shows a delivery: what is sent, and what came of every attempt.
pub async fn show_delivery(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let uuid = read_id(&id)?;
    let found = deliveries::find(&app, page.environment.id, uuid).await?;
    let detail = found.ok_or_else(PageError::not_found)?;
    page.show(&WebhookPage {
        page: &page,
        delivery: Row::new(&page, detail.delivery),
        attempts: detail.attempts.into_iter().map(|attempt| AttemptRow::new(&page, attempt)).collect(),
        body: readable(detail.body),
        headers: detail.headers,
        can_send: page.may(Action::Write),
    })
}

/// JSON with line breaks; anything else as it is.
fn readable(body: String) -> String {
    let pretty = serde_json::from_str::<Value>(&body).ok();
    pretty.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or(body)
}

fn read_id(text: &str) -> Result<Uuid, PageError> {
    Uuid::parse_str(text).map_err(|_| PageError::not_found())
}

/// Sends a delivery again, or now when it still waits.
pub async fn send_again(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let uuid = read_id(&id)?;
    let found = deliveries::replay(&app, page.environment.id, uuid).await?;
    found.ok_or_else(PageError::not_found)?;
    tracing::info!(environment.id = page.environment.id.0, delivery.id = %uuid, "a webhook is sent again");
    let message = Flash::done("It is on its way. Reload to see what came of it.");
    Ok(page.redirect_with(&page.path_of(&format!("/webhooks/{uuid}")), &message))
}

/// Sends everything again that was given up and that the filters let through, a thousand at most.
pub async fn send_failed_again(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    form: Form,
) -> Result<Response, PageError> {
    let sent = deliveries::replay_failed(&app, page.environment.id, &filter_of(&form)).await?;
    tracing::info!(environment.id = page.environment.id.0, replayed = sent, "failed webhooks are sent again");
    let message = match sent {
        0 => Flash::refused("Nothing was given up under these filters."),
        1 => Flash::done("1 webhook is on its way again."),
        sent => Flash::done(format!("{sent} webhooks are on their way again.")),
    };
    Ok(page.redirect_with(&page.path_of("/webhooks"), &message))
}
