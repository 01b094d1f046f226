//! What an environment has: connections, integrations, operations, and the providers of the catalog. A few rows of each, by
//! queries that stay quick over a million rows.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{Group, Hit, Wanted};
use crate::access::Action;
use crate::app::SharedApp;
use crate::dashboard::error::PageError;
use crate::dashboard::guide::{self, sections};
use crate::dashboard::integrations::find_providers;
use crate::dashboard::logs::{Summary, find_one, newest};
use crate::dashboard::page::{EnvironmentPage, segment};
use crate::db::connection_list::{self, Filter, Summary as Row};
use crate::db::integrations;
use crate::logs::OperationQuery;

/// Rows of a group.
const FEW: usize = 5;

/// Everything of the environment that fits; nothing when nothing is looked for.
pub async fn groups(
    app: &SharedApp,
    page: &EnvironmentPage,
    wanted: &Wanted,
) -> Result<Vec<Group>, PageError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![
        connections(app, page, wanted).await?,
        integrations(app, page, wanted).await?,
        operations(app, page, wanted).await?,
        providers(app, page, wanted),
        documentation(wanted),
    ])
}

/// The path of a list that looks for the same text.
fn all(page: &EnvironmentPage, list: &str, wanted: &Wanted) -> String {
    page.path_of(list) + &utf8_percent_encode(&wanted.text, NON_ALPHANUMERIC).to_string()
}

async fn connections(app: &SharedApp, page: &EnvironmentPage, wanted: &Wanted) -> Result<Group, PageError> {
    let mut rows: Vec<Row> = Vec::new();
    // Whoever pastes an id means that one.
    for filter in exact_filters(&wanted.text) {
        let found =
            connection_list::list(&app.db, &app.page_marks, page.environment.id, &filter, app.clock.now());
        add_new(&mut rows, found.await?);
    }
    if rows.len() < FEW {
        let limit = i64::try_from(FEW).unwrap_or(i64::MAX);
        let part = connection_list::find_parts(&app.db, page.environment.id, &wanted.text, limit);
        add_new(&mut rows, part.await?);
    }
    let hits = rows.into_iter().map(|row| connection(page, row));
    Ok(Group { title: "Connections", hits: hits.collect(), all: Some(all(page, "/connections?q=", wanted)) })
}

/// What a text may name as a whole: a connection, an end user, or a tag as `name=value`.
fn exact_filters(text: &str) -> Vec<Filter> {
    let limit = i64::try_from(FEW).unwrap_or(i64::MAX);
    let mut filters = vec![
        Filter { connection_id: Some(text.to_owned()), limit, ..Filter::default() },
        Filter { end_user_id: Some(text.to_owned()), limit, ..Filter::default() },
    ];
    if let Some((name, value)) = text.split_once(['=', ':']) {
        let tags = Some(json!({ name.trim(): value.trim() }));
        filters.push(Filter { tags, limit, ..Filter::default() });
    }
    filters
}

fn add_new(rows: &mut Vec<Row>, found: Vec<Row>) {
    for row in found {
        if rows.len() < FEW && rows.iter().all(|known| known.id != row.id) {
            rows.push(row);
        }
    }
}

fn connection(page: &EnvironmentPage, row: Row) -> Hit {
    let user = row.end_user_display_name.or(row.end_user_email).or(row.end_user_id);
    let note = match user {
        Some(user) => format!("{user}, {}", row.provider_config_key),
        None => row.provider_config_key,
    };
    let is_troubled = row.errors.as_array().is_some_and(|errors| !errors.is_empty());
    let note = if is_troubled { format!("{note}, needs attention") } else { note };
    Hit::page("link", row.connection_id, note, page.path_of(&format!("/connections/{}", row.id)))
}

async fn integrations(app: &SharedApp, page: &EnvironmentPage, wanted: &Wanted) -> Result<Group, PageError> {
    let rows = integrations::list(&app.db, page.environment.id).await?;
    let catalog = app.catalog.load();
    let mut hits = Vec::new();
    for row in rows {
        let provider = catalog.get(&row.provider).map_or(&*row.provider, |provider| &provider.display_name);
        let shown = row.display_name.as_deref().unwrap_or(provider);
        if hits.len() < FEW && wanted.is_in(&[&row.unique_key, shown, &row.provider, provider]) {
            let path = page.path_of(&format!("/integrations/{}", segment(&row.unique_key)));
            let note = if shown == row.unique_key { provider } else { shown };
            hits.push(Hit::page("plug", row.unique_key.clone(), note, path));
        }
    }
    Ok(Group { title: "Integrations", hits, all: None })
}

async fn operations(app: &SharedApp, page: &EnvironmentPage, wanted: &Wanted) -> Result<Group, PageError> {
    let mut found: Vec<Summary> = find_one(app, page, &wanted.text).await?.into_iter().collect();
    // A text without a word would let everything through.
    if found.is_empty() && wanted.text.contains(char::is_alphanumeric) {
        let query = OperationQuery { search: Some(wanted.text.clone()), ..OperationQuery::default() };
        found = newest(app, page, query).await?;
    }
    let hits = found.into_iter().map(|operation| {
        let about =
            [&*operation.integration, &*operation.connection].into_iter().filter(|text| !text.is_empty());
        let when = operation.began.as_ref().map_or("", |began| &*began.words);
        let note: Vec<&str> = std::iter::once(operation.state.1).chain(about).chain([when]).collect();
        let path = page.path_of(&format!("/logs/{}", operation.id));
        Hit::page("list", operation.message.clone(), note.join(", "), path)
    });
    Ok(Group { title: "Operations", hits: hits.collect(), all: Some(all(page, "/logs?search=", wanted)) })
}

fn providers(app: &SharedApp, page: &EnvironmentPage, wanted: &Wanted) -> Group {
    let catalog = app.catalog.load();
    // Those who may not add one look at the list.
    let may_add = page.may(Action::Write);
    let found = find_providers(&catalog, &wanted.text, "").into_iter();
    let hits = found.filter(|provider| provider.mode().is_some()).take(FEW).map(|provider| {
        let path = if may_add { "/catalog/" } else { "/catalog?q=" };
        let path = page.path_of(&format!("{path}{}", segment(&provider.name)));
        Hit::page("plug", provider.display_name.clone(), provider.name.clone(), path)
    });
    Group { title: "Catalog", hits: hits.collect(), all: Some(all(page, "/catalog?q=", wanted)) }
}

/// Parts of the guides: those whose heading fits, then those that say exactly this. Common words are in all of them.
fn documentation(wanted: &Wanted) -> Group {
    let titled = sections().filter(|section| wanted.is_in(&[section.title]));
    let phrase = wanted.words.join(" ");
    let said =
        sections().filter(|section| !wanted.is_in(&[section.title]) && section.words.contains(&phrase));
    let hits = titled.chain(said).take(FEW).map(|section| {
        Hit::page("book", section.title, section.guide.title, guide::path_of(section.guide.name, section.id))
    });
    Group { title: "Documentation", hits: hits.collect(), all: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_be_an_id_a_user_or_a_tag() {
        let tags = |text: &str| exact_filters(text).into_iter().find_map(|filter| filter.tags);
        assert_eq!(tags("plan = pro"), Some(json!({"plan": "pro"})));
        assert_eq!(tags("plan:pro=x"), Some(json!({"plan": "pro=x"})));
        assert_eq!(tags("plan"), None);
        assert_eq!(exact_filters("c-1").len(), 2);
    }
}
