//! The catalog as the API serves it: rendered once for each catalog and language, then the same bytes for everybody.
//! Called by the provider routes. Knows no HTTP beyond the names of content codings.

mod body;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use serde::Serialize;

use crate::catalog::{Catalog, CatalogHandle, Language};

pub use self::body::{Coding, PreparedBody};

/// Keeps the rendered texts of the catalog of this moment.
#[derive(Default)]
pub struct PublishedCatalog {
    current: ArcSwapOption<Published>,
}

impl PublishedCatalog {
    /// The texts of the current catalog. `base_url` is the public URL of this server.
    pub fn of(&self, catalog: &CatalogHandle, base_url: &str) -> Arc<Published> {
        let catalog = Arc::clone(&catalog.load());
        let current = self.current.load_full().filter(|published| Arc::ptr_eq(&published.catalog, &catalog));
        // Two requests may both make one; the texts are equal, and one is kept.
        current.unwrap_or_else(|| {
            let published = Arc::new(Published::new(catalog, base_url.to_owned()));
            self.current.store(Some(published.clone()));
            published
        })
    }
}

/// The texts of one catalog, each made when it is first asked for.
pub struct Published {
    pub catalog: Arc<Catalog>,
    base_url: String,
    lists: [OnceLock<List>; Language::ALL.len()],
    raw: OnceLock<PreparedBody>,
}

/// `GET /providers`, and where each provider stands in it.
struct List {
    body: PreparedBody,
    members: Vec<Range<usize>>,
}

const HEAD: &[u8] = b"{\"data\":[";
const TAIL: &[u8] = b"]}";

impl Published {
    fn new(catalog: Arc<Catalog>, base_url: String) -> Self {
        Published { catalog, base_url, lists: Default::default(), raw: OnceLock::new() }
    }

    /// Every provider, as `GET /providers` shows them.
    pub fn list(&self, language: Language) -> &PreparedBody {
        &self.rendered(language).body
    }

    /// The same with the providers that [`Catalog::search`] finds.
    pub fn search(&self, text: &str, language: Language) -> Vec<u8> {
        let list = self.rendered(language);
        let found = self.catalog.search(text).filter_map(|provider| self.catalog.position(&provider.name));
        join(found.filter_map(|position| list.body.plain().get(list.members.get(position)?.clone())))
    }

    /// `GET /providers.json`.
    pub fn raw(&self) -> &PreparedBody {
        self.raw.get_or_init(|| PreparedBody::new(to_json(&self.catalog.raw_json())))
    }

    fn rendered(&self, language: Language) -> &List {
        self.lists[language as usize].get_or_init(|| {
            let providers = self.catalog.iter();
            let texts: Vec<Vec<u8>> = providers
                .map(|provider| to_json(&self.catalog.public_json(provider, &self.base_url, language)))
                .collect();
            let mut at = HEAD.len();
            let members = texts.iter().map(|text| {
                let member = at..at + text.len();
                at = member.end + 1;
                member
            });
            let members = members.collect();
            List { body: PreparedBody::new(join(texts.iter().map(Vec::as_slice))), members }
        })
    }
}

fn join<'t>(members: impl Iterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut text = HEAD.to_vec();
    for (number, member) in members.enumerate() {
        if number > 0 {
            text.push(b',');
        }
        text.extend_from_slice(member);
    }
    text.extend_from_slice(TAIL);
    text
}

/// Maps with text keys cannot fail to become JSON.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Source, load};

    fn catalog(names: &[&str]) -> Catalog {
        let entry =
            |name: &&str| format!("{name}: {{display_name: 'Ä, ]', docs: 'https://d', auth_mode: NONE}}\n");
        load(&[], &[Source::Text { name: "t.yaml".to_owned(), text: names.iter().map(entry).collect() }])
            .catalog
    }

    fn names(text: &[u8]) -> Vec<String> {
        let json: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        let list = json["data"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|provider| provider["name"].as_str().map(str::to_owned)).collect()
    }

    #[test]
    fn the_list_and_its_parts_are_the_same_objects() {
        let handle = CatalogHandle::new(catalog(&["a-one", "b", "a-two"]));
        let published = PublishedCatalog::default().of(&handle, "http://h");
        assert_eq!(names(published.list(Language::En).plain()), ["a-one", "b", "a-two"]);
        assert_eq!(names(&published.search("A-", Language::En)), ["a-one", "a-two"]);
        assert_eq!(published.search("none", Language::En), b"{\"data\":[]}");
        let whole = published.search("", Language::En);
        assert_eq!(&whole, published.list(Language::En).plain());
        assert!(published.raw().plain().starts_with(b"{\"a-one\":{"));
    }

    #[test]
    fn texts_are_kept_until_the_catalog_changes() {
        let handle = CatalogHandle::new(catalog(&["a"]));
        let cache = PublishedCatalog::default();
        let first = cache.of(&handle, "http://h");
        assert!(Arc::ptr_eq(&first, &cache.of(&handle, "http://h")));
        handle.replace(catalog(&["b"]));
        assert_eq!(names(cache.of(&handle, "http://h").list(Language::En).plain()), ["b"]);
    }
}
