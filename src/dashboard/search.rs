//! Finding things, and getting to what can be done: the search of an environment. Its page works without scripts; with them
//! the same results, asked for with `part=results`, fill the palette that every page can open (`js/dashboard/palette.js`).
//! Only what the viewer may see and do is found.

mod commands;
mod found;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::error::PageError;
use super::form::Form;
use super::page::EnvironmentPage;
use crate::app::SharedApp;

/// Longest text that is looked for, in characters.
const LONGEST: usize = 255;

/// Things of one kind.
pub struct Group {
    pub title: &'static str,
    pub hits: Vec<Hit>,
    /// Path of the page that has all of them; none where there is no such page.
    pub all: Option<String>,
}

impl Group {
    /// Whether the first hit has the wanted words in its title.
    fn is_called(&self, wanted: &Wanted) -> bool {
        self.hits.first().is_some_and(|hit| wanted.is_in(&[&hit.title]))
    }
}

/// Something that was found.
pub struct Hit {
    pub icon: &'static str,
    pub title: String,
    /// What tells it from others of its name; may be empty.
    pub note: String,
    pub target: Target,
}

/// What choosing a hit does.
pub enum Target {
    /// Shows the page of this path.
    Page(String),
    /// Changes the theme.
    Theme(&'static str),
    LogOut,
}

impl Hit {
    fn page(icon: &'static str, title: impl Into<String>, note: impl Into<String>, path: String) -> Self {
        Hit { icon, title: title.into(), note: note.into(), target: Target::Page(path) }
    }
}

/// What somebody looks for.
pub struct Wanted {
    /// As it was typed, without the space around it.
    pub text: String,
    /// Its words in lower case.
    words: Vec<String>,
}

impl Wanted {
    fn new(text: &str) -> Self {
        let text: String = text.trim().chars().take(LONGEST).collect();
        let words = text.to_lowercase().split_whitespace().map(str::to_owned).collect();
        Wanted { text, words }
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether every word is in one of the texts.
    fn is_in(&self, texts: &[&str]) -> bool {
        let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

#[derive(Template)]
#[template(path = "dashboard/search.html")]
struct SearchPage<'a> {
    page: &'a EnvironmentPage,
    wanted: &'a Wanted,
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "dashboard/search_results.html")]
struct Results<'a> {
    page: &'a EnvironmentPage,
    wanted: &'a Wanted,
    groups: Vec<Group>,
}

/// Shows what the text of the address finds; without a text, everything that can be done.
pub async fn show_search(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let wanted = &Wanted::new(form.text("q"));
    let mut groups = vec![commands::pages_to_go_to(&page, wanted)];
    groups.extend(found::groups(&app, &page, wanted).await?);
    let to_do = commands::things_to_do(&page, wanted);
    // What has the name comes before what has only to do with it.
    let place = if to_do.is_called(wanted) { 1 } else { groups.len() };
    groups.insert(place, to_do);
    groups.retain(|group| !group.hits.is_empty());
    let page = &page;
    match form.text("part") {
        "results" => page.show(&Results { page, wanted, groups }),
        _ => page.show(&SearchPage { page, wanted, groups }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_wanted_in_any_order() {
        let wanted = Wanted::new("  Key  api ");
        assert_eq!(wanted.text, "Key  api");
        assert!(wanted.is_in(&["Create API key"]) && wanted.is_in(&["API", "a key"]));
        assert!(!wanted.is_in(&["API"]) && Wanted::new(" ").is_empty());
        assert_eq!(Wanted::new(&"ä".repeat(400)).text.chars().count(), LONGEST);
    }
}
