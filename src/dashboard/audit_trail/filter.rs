//! What the form of the audit trail asks for.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use url::form_urlencoded;

use crate::audit::Action;
use crate::dashboard::form::Form;
use crate::db::audit_events::Filter;

/// The fields of the form, which are the parameters of the address.
const FIELDS: [&str; 7] = ["text", "who", "action", "environment", "outcome", "from", "to"];
/// Longest text of a filter, in characters.
const LONGEST: usize = 256;

pub const OUTCOMES: [(&str, &str); 4] =
    [("", "Any outcome"), ("success", "Done"), ("failure", "Failed"), ("denied", "Denied")];

/// What is wanted, and whether anything was asked for at all.
pub struct Wanted {
    pub filter: Filter,
    pub is_any: bool,
}

impl Wanted {
    /// Reads the form. A choice that means nothing filters nothing; a time that cannot be read is a problem.
    pub fn read(form: &mut Form) -> Self {
        let (from, to) = (time(form, "from", Edge::Start), time(form, "to", Edge::End));
        let (resource, verb) = match form.text("action").split_once(':') {
            Some((resource, verb)) => (resource, Some(verb)),
            None => (form.text("action"), None),
        };
        let known = Action::ALL
            .iter()
            .find(|action| action.resource() == resource && verb.is_none_or(|verb| action.verb() == verb));
        let one = |name: &str| vec![name.to_owned()];
        let outcome = OUTCOMES.iter().map(|(word, _)| *word).find(|word| *word == form.text("outcome"));
        Wanted {
            filter: Filter {
                from,
                to,
                environment: text(form, "environment"),
                resources: known.map(|_| one(resource)),
                actions: known.and(verb).map(one),
                outcome: outcome.filter(|word| !word.is_empty()).map(str::to_owned),
                actor: text(form, "who"),
                text: text(form, "text"),
            },
            is_any: FIELDS.iter().any(|name| !form.text(name).is_empty()),
        }
    }
}

fn text(form: &Form, name: &str) -> Option<String> {
    let text: String = form.text(name).chars().take(LONGEST).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// Which moment a date, or a minute, stands for.
#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

/// A point in time (UTC) as browsers send it, or a date.
fn time(form: &mut Form, name: &str, edge: Edge) -> Option<DateTime<Utc>> {
    let text = form.text(name).to_owned();
    if text.is_empty() {
        return None;
    }
    let read = read_time(&text, edge);
    if read.is_none() {
        form.problem(name, "Use a date and a time, such as 2026-11-22T09:30.");
    }
    read
}

fn read_time(text: &str, edge: Edge) -> Option<DateTime<Utc>> {
    let whole = |start: NaiveDateTime, length: TimeDelta| {
        let moment = match edge {
            Edge::Start => Some(start),
            Edge::End => start.checked_add_signed(length - TimeDelta::microseconds(1)),
        };
        moment.map(|moment| moment.and_utc())
    };
    let minute = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok();
    let second = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    None.or_else(|| minute.and_then(|start| whole(start, TimeDelta::minutes(1))))
        .or_else(|| second.and_then(|start| whole(start, TimeDelta::seconds(1))))
        .or_else(|| day.and_then(|start| whole(start, TimeDelta::days(1))))
}

/// Actions on one kind of thing, for the list to choose from.
pub struct ActionGroup {
    pub resource: &'static str,
    pub title: String,
    /// Values and titles.
    pub actions: Vec<(String, String)>,
}

/// Every action that the trail tells of.
pub fn action_groups() -> Vec<ActionGroup> {
    let mut groups: Vec<ActionGroup> = Vec::new();
    for action in Action::ALL {
        let (resource, verb) = (action.resource(), action.verb());
        let choice = (format!("{resource}:{verb}"), title(resource, verb));
        match groups.iter_mut().find(|group| group.resource == resource) {
            Some(group) => group.actions.push(choice),
            None => {
                groups.push(ActionGroup { resource, title: resource_title(resource), actions: vec![choice] })
            }
        }
    }
    groups
}

/// `api_key`, `created`: API key created.
pub fn title(resource: &str, verb: &str) -> String {
    format!("{} {}", resource_title(resource), verb.replace('_', " "))
}

fn resource_title(resource: &str) -> String {
    match resource {
        "api_key" => "API key".to_owned(),
        "app_auth" => "Dashboard".to_owned(),
        "mfa" => "Second factor".to_owned(),
        other => {
            let words = other.replace('_', " ");
            let mut letters = words.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
        }
    }
}

/// The query of the form's filters and one parameter more, with its question mark.
pub fn query(form: &Form, more: Option<(&str, &str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in FIELDS.iter().filter(|name| !form.text(name).is_empty()) {
        query.append_pair(name, form.text(name));
    }
    query.extend_pairs(more);
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> (Filter, bool) {
        let mut form = Form::parse(query.as_bytes());
        let wanted = Wanted::read(&mut form);
        (wanted.filter, form.has_problems())
    }

    #[test]
    fn a_form_becomes_a_filter() {
        let (filter, has_problems) =
            wanted("who=+Ada&action=api_key%3Acreated&environment=dev&outcome=denied&text=x");
        assert!(!has_problems);
        assert_eq!((filter.actor.as_deref(), filter.environment.as_deref()), (Some("Ada"), Some("dev")));
        assert_eq!(filter.resources, Some(vec!["api_key".to_owned()]));
        assert_eq!(filter.actions, Some(vec!["created".to_owned()]));
        assert_eq!((filter.outcome.as_deref(), filter.text.as_deref()), (Some("denied"), Some("x")));
        let (filter, _) = wanted("action=connection&outcome=nonsense");
        assert_eq!(
            (filter.resources, filter.actions, filter.outcome),
            (Some(vec!["connection".into()]), None, None)
        );
        for nothing in ["", "action=nothing", "action=connection:nothing", "outcome=&who=+&text="] {
            let (filter, _) = wanted(nothing);
            assert!(
                filter.resources.is_none() && filter.actor.is_none() && filter.text.is_none(),
                "{nothing}"
            );
        }
    }

    #[test]
    fn days_and_minutes_are_meant_as_a_whole() {
        for (query, expected) in [
            ("from=2026-11-22", Some("2026-11-22T00:00:00+00:00")),
            ("from=2026-11-22T09:30", Some("2026-11-22T09:30:00+00:00")),
            ("to=2026-11-22", Some("2026-11-22T23:59:59.999999+00:00")),
            ("to=2026-11-22T09:30", Some("2026-11-22T09:30:59.999999+00:00")),
            ("to=2026-11-22T09:30:15", Some("2026-11-22T09:30:15.999999+00:00")),
            ("from=yesterday", None),
        ] {
            let (filter, has_problems) = wanted(query);
            let time = filter.from.or(filter.to).map(|time| time.to_rfc3339());
            assert_eq!(time.as_deref(), expected, "{query}");
            assert_eq!(has_problems, expected.is_none(), "{query}");
        }
    }

    #[test]
    fn every_action_can_be_chosen_and_reads_well() {
        let groups = action_groups();
        assert_eq!(groups.iter().map(|group| group.actions.len()).sum::<usize>(), Action::ALL.len());
        assert_eq!(title("api_key", "created"), "API key created");
        assert_eq!(title("connection", "metadata_updated"), "Connection metadata updated");
    }
}
