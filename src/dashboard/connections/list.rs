//! The list of connections with its filters, all of them in the address.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::DateTime;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::logo;
use crate::access::Action;
use crate::app::SharedApp;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::page::EnvironmentPage;
use crate::dashboard::time::Moment;
use crate::db::connection_list::{Cursor, Filter, Position, Summary, list};
use crate::db::integrations;

/// Rows of a page.
const PAGE: i64 = 50;
/// Longer filters match nothing anyway.
const MAX_TEXT: usize = 255;
/// Tags shown in a row.
const SHOWN_TAGS: usize = 3;
/// The filters, under their names in the address.
const FILTERS: [&str; 5] = ["q", "integration", "user", "tag", "state"];

#[derive(Template)]
#[template(path = "dashboard/connections.html")]
struct ConnectionsPage<'a> {
    page: &'a EnvironmentPage,
    rows: Vec<Row>,
    integrations: Vec<String>,
    filters: Form,
    is_filtered: bool,
    previous: String,
    next: String,
    may_write: bool,
}

struct Row {
    id: i64,
    connection_id: String,
    integration: String,
    logo: String,
    /// The end user by the best name that is known.
    user: Option<String>,
    organization: Option<String>,
    tags: Vec<(String, String)>,
    more_tags: usize,
    problems: Vec<&'static str>,
    created: Moment,
}

impl Row {
    fn new(page: &EnvironmentPage, row: Summary) -> Self {
        let tags: Vec<(String, String)> = row
            .tags
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !is_derived(name))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        Row {
            id: row.id,
            connection_id: row.connection_id,
            logo: logo(page, &row.provider),
            integration: row.provider_config_key,
            user: row.end_user_display_name.or(row.end_user_email).or(row.end_user_id),
            organization: row.organization_display_name.or(row.organization_id),
            more_tags: tags.len().saturating_sub(SHOWN_TAGS),
            tags: tags.into_iter().take(SHOWN_TAGS).collect(),
            problems: problems(&row.errors),
            created: page.moment(row.created_at),
        }
    }
}

/// Whether a tag only repeats what the end user's own columns say.
fn is_derived(tag: &str) -> bool {
    tag.starts_with("end_user_") || tag.starts_with("organization_")
}

/// Short names of what is wrong with a connection.
fn problems(errors: &Value) -> Vec<&'static str> {
    let kinds = errors.as_array().into_iter().flatten().filter_map(|error| error["type"].as_str());
    kinds.map(|kind| if kind == "auth" { "Needs attention" } else { "Sync fails" }).collect()
}

/// Lists the connections that the filters of the address ask for.
pub async fn list_connections(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let mut filters = Form::parse(query.unwrap_or_default().as_bytes());
    let filter = read_filter(&mut filters);
    let mut found = if filters.has_problems() {
        Vec::new()
    } else {
        list(&app.db, &app.page_marks, page.environment.id, &filter, app.clock.now()).await?
    };
    let (previous, next) = neighbours(&page, &filters, filter.cursor, &mut found);
    let integrations = integrations::list(&app.db, page.environment.id).await?;
    page.show(&ConnectionsPage {
        rows: found.into_iter().map(|row| Row::new(&page, row)).collect(),
        integrations: integrations.into_iter().map(|row| row.unique_key).collect(),
        is_filtered: FILTERS.iter().any(|name| !filters.text(name).is_empty()),
        filters,
        previous,
        next,
        may_write: page.may(Action::Write),
        page: &page,
    })
}

/// The filters of an address. What cannot be understood is noted beside its field.
fn read_filter(form: &mut Form) -> Filter {
    let text = |form: &Form, name: &str| {
        let text: String = form.text(name).chars().take(MAX_TEXT).collect();
        (!text.is_empty()).then_some(text)
    };
    let tags = text(form, "tag").and_then(|tag| match tag.split_once('=') {
        Some((name, value)) => Some(json!({ name.trim(): value.trim() })),
        None => {
            form.problem("tag", "Write it as name=value, such as plan=pro.");
            None
        }
    });
    Filter {
        search: text(form, "q"),
        integrations: text(form, "integration").map(|key| vec![key]),
        end_user_id: text(form, "user"),
        tags,
        has_errors: match form.text("state") {
            "attention" => Some(true),
            "healthy" => Some(false),
            _ => None,
        },
        cursor: read_cursor(form),
        // One more than is shown tells whether there is another page.
        limit: PAGE + 1,
        ..Filter::default()
    }
}

fn read_cursor(form: &Form) -> Option<Cursor> {
    let position = |name: &str| {
        let (micros, id) = form.text(name).split_once('-')?;
        let created_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some(Position { created_at, id: id.parse().ok()? })
    };
    position("after").map(Cursor::After).or_else(|| position("before").map(Cursor::Before))
}

fn write_position(row: &Summary) -> String {
    format!("{}-{}", row.created_at.timestamp_micros(), row.id)
}

/// Cuts the rows to a page and returns the addresses of the pages beside it, empty where there is none.
fn neighbours(
    page: &EnvironmentPage,
    filters: &Form,
    cursor: Option<Cursor>,
    found: &mut Vec<Summary>,
) -> (String, String) {
    let has_more = i64::try_from(found.len()).is_ok_and(|count| count > PAGE);
    let is_backward = matches!(cursor, Some(Cursor::Before(_)));
    if has_more && is_backward {
        found.remove(0);
    } else if has_more {
        found.pop();
    }
    let address = |name: &str, row: Option<&Summary>| {
        row.map(|row| page.environment_link(&format!("/connections?{}", query(filters, name, row))))
    };
    let has_previous = if is_backward { has_more } else { cursor.is_some() };
    let has_next = is_backward || has_more;
    let previous = address("before", found.first().filter(|_| has_previous));
    let next = address("after", found.last().filter(|_| has_next));
    (previous.unwrap_or_default(), next.unwrap_or_default())
}

fn query(filters: &Form, name: &str, row: &Summary) -> String {
    let given = FILTERS.iter().map(|name| (*name, filters.text(name))).filter(|(_, text)| !text.is_empty());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(given).append_pair(name, &write_position(row)).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_from_the_address() {
        let mut form = Form::parse(b"q=+ann+&integration=gh&tag=plan%3Dpro&state=attention&after=1000000-7");
        let filter = read_filter(&mut form);
        assert_eq!(filter.search.as_deref(), Some("ann"));
        assert_eq!(filter.integrations, Some(vec!["gh".to_owned()]));
        assert_eq!(filter.tags, Some(json!({"plan": "pro"})));
        assert_eq!(filter.has_errors, Some(true));
        let created_at = DateTime::from_timestamp(1, 0).unwrap_or_default();
        assert_eq!(filter.cursor, Some(Cursor::After(Position { created_at, id: 7 })));

        let mut odd = Form::parse(b"tag=plan&after=x&before=9-9&state=what&user=");
        let filter = read_filter(&mut odd);
        assert!(odd.problem_of("tag").contains("name=value"));
        assert!(matches!(filter.cursor, Some(Cursor::Before(_))));
        assert!(filter.has_errors.is_none() && filter.end_user_id.is_none() && filter.tags.is_none());
    }
}
