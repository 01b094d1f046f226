//! An event in a row of the trail, and what the row opens to.

use serde_json::Value;

use super::changes::{Change, changes, facts};
use super::filter::title;
use super::link;
use crate::dashboard::page::Page;
use crate::dashboard::time::Moment;
use crate::db::audit_events::AuditEvent;
use crate::db::audit_targets::Living;

/// Something that an event names.
pub struct Target<'e> {
    pub kind: &'e str,
    /// The id of its row, where it has one.
    pub row: Option<i64>,
    id: &'e str,
    display: &'e str,
}

/// What an event names.
pub fn targets(event: &AuditEvent) -> impl Iterator<Item = Target<'_>> {
    event.targets.as_array().into_iter().flatten().map(|target| {
        let text = |name: &str| target[name].as_str().unwrap_or_default();
        Target { kind: text("type"), row: text("id").parse().ok(), id: text("id"), display: text("display") }
    })
}

/// Something that an event names, as the page shows it.
pub struct ShownTarget {
    pub kind: String,
    pub name: String,
    /// Empty when it is gone, or has no page.
    pub href: String,
}

pub struct EventRow {
    pub id: String,
    pub title: String,
    /// Kind and text of a badge; none for what was simply done.
    pub outcome: Option<(&'static str, &'static str)>,
    pub when: Moment,
    pub actor: String,
    /// What the actor is, for those who look closer.
    pub actor_kind: String,
    pub actor_id: String,
    /// Empty for what concerns no environment.
    pub environment: String,
    pub targets: Vec<ShownTarget>,
    pub changes: Vec<Change>,
    /// Whether the changes tell of something that was there before.
    pub had_before: bool,
    pub facts: Vec<(String, String)>,
    pub address: String,
    pub user_agent: String,
    /// How the change was asked for.
    pub way: &'static str,
}

impl EventRow {
    pub fn new(page: &Page, event: &AuditEvent, living: &[Living]) -> Self {
        let text = |object: &Value, name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let metadata = event.metadata.as_ref().unwrap_or(&Value::Null);
        let changes = changes(metadata);
        let actor_id = text(&event.actor, "id");
        EventRow {
            id: event.id.to_string(),
            title: title(&event.resource, &event.action),
            outcome: match event.outcome.as_str() {
                "success" => None,
                "denied" => Some(("warn", "Denied")),
                _ => Some(("bad", "Failed")),
            },
            when: page.moment(event.occurred_at),
            actor: actor(&event.actor),
            actor_kind: text(&event.actor, "type").replace('_', " "),
            actor_id,
            environment: event.environment_name.clone().unwrap_or_default(),
            targets: targets(event).map(|target| shown(page, &target, living)).collect(),
            had_before: changes.iter().any(|change| change.before.is_some()),
            changes,
            facts: facts(metadata),
            address: text(&event.context, "ip"),
            user_agent: text(&event.context, "userAgent"),
            way: match (event.context["interface"].as_str(), event.context.get("ip")) {
                (Some(_), _) => "API",
                (None, Some(_)) => "Dashboard",
                (None, None) => "This server itself",
            },
        }
    }
}

/// Who did it. The name of a key says nothing without the word.
fn actor(actor: &Value) -> String {
    let text = |name: &str| actor[name].as_str().unwrap_or_default();
    let name = Some(text("display")).filter(|name| !name.is_empty()).unwrap_or_else(|| text("id"));
    if text("type") == "api_key" { format!("API key {name}") } else { name.to_owned() }
}

fn shown(page: &Page, target: &Target<'_>, living: &[Living]) -> ShownTarget {
    let found = living.iter().find(|one| one.kind == target.kind && Some(one.id) == target.row);
    ShownTarget {
        kind: target.kind.replace('_', " "),
        name: if target.display.is_empty() { target.id } else { target.display }.to_owned(),
        href: found.map(|found| link(page, found)).unwrap_or_default(),
    }
}
