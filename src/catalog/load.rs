//! Texts to a catalog: parse, overlay, resolve aliases, compile, check.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::alias::{RawEntries, RawEntry, resolve};
use super::source::{self, Source};
use super::{Catalog, Provider};

/// Something that was skipped while loading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File name or URL.
    pub source: String,
    /// None: the whole source could not be used.
    pub entry: Option<String>,
    pub message: String,
}

/// A catalog, and what could not be put into it.
#[derive(Debug)]
pub struct Loaded {
    pub catalog: Catalog,
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// A source was lost as a whole; on a reload the caller does better to keep the catalog it has.
    pub fn has_unusable_source(&self) -> bool {
        self.problems.iter().any(|problem| problem.entry.is_none())
    }
}

/// Builds the catalog from the embedded files (name, text) and the overlays, in that order. Each source replaces
/// whole entries of those before it; aliases are resolved after that, so an overlay may alias an embedded entry.
pub fn load(embedded: &[(String, String)], overlays: &[Source]) -> Loaded {
    let mut entries = RawEntries::new();
    let mut problems = Vec::new();
    for (name, text) in embedded {
        overlay(&mut entries, name, text, &mut problems);
    }
    for read in overlays.iter().flat_map(source::read) {
        match read {
            Ok((name, text)) => overlay(&mut entries, &name, &text, &mut problems),
            Err((source, error)) => {
                problems.push(Problem { source, entry: None, message: error.to_string() })
            }
        }
    }
    let mut catalog = Catalog::default();
    for (name, entry) in &entries {
        match resolve(&entries, name).and_then(|definition| Provider::compile(name, definition)) {
            Ok(provider) => {
                catalog.providers.insert(name.clone(), Arc::new(provider));
            }
            Err(message) => {
                let source = entry.source.clone();
                problems.push(Problem { source, entry: Some(name.clone()), message });
            }
        }
    }
    Loaded { catalog, problems }
}

fn overlay(entries: &mut RawEntries, source: &str, text: &str, problems: &mut Vec<Problem>) {
    let parsed = match parse(source, text) {
        Ok(parsed) => parsed,
        Err(message) => {
            problems.push(Problem { source: source.to_owned(), entry: None, message });
            return;
        }
    };
    for (name, value) in parsed {
        let Value::Object(definition) = value else {
            let message = "an entry must be a mapping".to_owned();
            problems.push(Problem { source: source.to_owned(), entry: Some(name), message });
            continue;
        };
        entries.insert(name, RawEntry { source: source.to_owned(), definition });
    }
}

/// One mapping, `entry name -> entry`, in JSON or YAML 1.2.
fn parse(source: &str, text: &str) -> Result<Map<String, Value>, String> {
    if source.ends_with(".json") || text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let parsed: Option<Map<String, Value>> = serde_saphyr::from_str_with_options(text, yaml_options())
        .map_err(|error| error.without_snippet().to_string())?;
    Ok(parsed.unwrap_or_default())
}

/// The published file has 28,000 lines; the limits leave room for ten times that. No anchors are in use, so
/// alias bombs need no allowance.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 5_000_000,
            max_nodes: 2_500_000,
            max_total_scalar_bytes: 64 * 1024 * 1024,
            max_depth: 64,
            max_documents: 1,
        },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}
