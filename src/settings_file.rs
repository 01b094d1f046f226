//! Settings files: environments, their settings, keys, variables and integrations as YAML. `hitchpost apply` makes the
//! database agree with one, `hitchpost export` writes one, and the start applies the one that `HITCHPOST_SETTINGS` names.
//!
//! A file is read and judged as a whole ([`SettingsFile::read`]), compared with the database ([`Plan::build`]), and only then
//! carried out ([`Plan::run`]), through the same functions as the JSON routes. Members have the names that the JSON routes
//! have. What a file does not name stays, unless pruning is asked for. Secrets are named by `${VARIABLE}`.

mod content;
mod document;
mod export;
mod integrations;
mod plan;
mod problem;
mod references;
mod run;
mod state;
mod steps;

use url::Url;

pub use export::export;
pub use plan::{Plan, PlanOptions};
pub use run::MadeKey;

use self::content::Content;
use self::document::Document;
use crate::config::Lookup;

/// A file that was read without a mistake.
pub struct SettingsFile {
    /// What messages call it.
    name: String,
    document: Document,
    content: Content,
}

impl SettingsFile {
    /// Reads the text of a file. `lookup` knows the variables that the file may refer to, and `is_allowed` is the policy for
    /// addresses of webhooks.
    ///
    /// # Errors
    /// Every mistake, one line each: the file, the line, what is wrong, and what would be right.
    pub fn read(
        name: &str,
        text: &str,
        lookup: Lookup<'_>,
        is_allowed: impl Fn(&Url) -> bool,
    ) -> Result<Self, Vec<String>> {
        let document = Document::parse(name, text, lookup)?;
        let content = content::read(&document, is_allowed).map_err(|problems| {
            problems.iter().map(|problem| problem.show(name, &document)).collect::<Vec<_>>()
        })?;
        Ok(SettingsFile { name: name.to_owned(), document, content })
    }
}
