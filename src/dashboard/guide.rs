//! The guides that come with the server, as pages: they are there without the network, and always of this version.

mod markdown;

use std::sync::OnceLock;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

pub use self::markdown::{Block, Span};

use super::error::PageError;
use super::page::Page;

/// Name in the address, title, file in the repository, and text.
const FILES: [(&str, &str, &str, &str); 2] = [
    ("hitchpost", "Running Hitchpost", "README.md", include_str!("../../README.md")),
    ("catalog", "The provider catalog", "docs/CATALOG.md", include_str!("../../docs/CATALOG.md")),
];

/// One guide, read once.
pub struct Guide {
    pub name: &'static str,
    pub title: &'static str,
    file: &'static str,
    pub blocks: Vec<Block>,
}

/// A part of a guide, from one heading to the next.
pub struct Section<'a> {
    pub guide: &'a Guide,
    pub title: &'a str,
    pub id: &'a str,
    /// Everything it says, in lower case.
    pub words: &'a str,
}

/// All guides.
pub fn guides() -> &'static [Guide] {
    static READ: OnceLock<Vec<Guide>> = OnceLock::new();
    READ.get_or_init(|| {
        let read = |(name, title, file, text)| Guide { name, title, file, blocks: markdown::read(text) };
        FILES.map(read).into()
    })
}

/// Every part of every guide.
pub fn sections() -> impl Iterator<Item = Section<'static>> {
    let of_guide = |guide: &'static Guide| {
        guide.blocks.iter().filter_map(move |block| match block {
            Block::Heading { text, id, words, .. } => Some(Section { guide, title: text, id, words }),
            _ => None,
        })
    };
    guides().iter().flat_map(of_guide)
}

/// The path of a guide, or of a part of it.
pub fn path_of(name: &str, id: &str) -> String {
    if id.is_empty() { format!("/guide/{name}") } else { format!("/guide/{name}#{id}") }
}

impl Guide {
    /// Where a link of a guide leads: into a guide, or to another site. Files that are no guides are not here.
    fn target(&self, page: &Page, href: &str) -> Option<String> {
        if href.starts_with("https://") || href.starts_with('#') {
            return Some(href.to_owned());
        }
        let (file, id) = href.split_once('#').unwrap_or((href, ""));
        let file = file.trim_start_matches("../");
        let is_meant = |guide: &&Guide| guide.file == file || guide.file.ends_with(&format!("/{file}"));
        let guide = guides().iter().find(is_meant)?;
        Some(page.link(&path_of(guide.name, id)))
    }
}

#[derive(Template)]
#[template(path = "dashboard/guide.html")]
struct GuidePage<'a> {
    page: &'a Page,
    guide: &'static Guide,
    others: Vec<&'static Guide>,
}

/// Shows a guide.
pub async fn show_guide(page: Page, Path(name): Path<String>) -> Result<Response, PageError> {
    let guide = guides().iter().find(|guide| guide.name == name).ok_or_else(PageError::not_found)?;
    let others = guides().iter().filter(|other| other.name != name).collect();
    page.show(&GuidePage { page: &page, guide, others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_inside_the_guides_leads_somewhere() {
        for guide in guides() {
            let ids: Vec<&str> = guide.blocks.iter().filter_map(Block::id).collect();
            assert!(ids.len() > 5, "{}", guide.name);
            for link in guide.blocks.iter().flat_map(Block::links).filter_map(|href| href.strip_prefix('#')) {
                assert!(ids.contains(&link), "{}: #{link} is not among {ids:?}", guide.name);
            }
        }
        assert!(sections().any(|section| section.id == "hooks" && section.words.contains("post_connection")));
    }
}
