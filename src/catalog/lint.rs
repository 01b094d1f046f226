//! The linter of catalog files: what is wrong in them, where, and what to do about it. Called by
//! `hitchpost catalog lint`; `docs/CATALOG.md` explains the grammar that it checks.
//!
//! Pure apart from the reading of path sources. Checks look at the definitions as written, so that an entry which the
//! loader refuses is explained as well.

mod blame;
mod fields;
mod grammar;
mod keys;
mod links;
mod names;
mod namespace;
mod note;
mod position;
mod proxy;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::HashSet;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::note::Severity;
use self::note::{Entry, Note, Notes};
use self::position::Positions;
use super::Catalog;
use super::alias::{RawEntries, RawEntry, resolve};
use super::load::{Duplicates, parse};
use super::source::{self, Source};

/// Something that is wrong, or looks wrong, in a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Names the kind of problem, for example `missing-key`.
    pub rule: &'static str,
    /// File name or URL.
    pub source: String,
    /// Counted from 1.
    pub line: Option<u32>,
    pub entry: Option<String>,
    /// Dotted path inside the entry; empty: the entry as a whole.
    pub path: String,
    pub message: String,
    pub advice: String,
}

/// What a linter run found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How many entries were looked at.
    pub entries: usize,
    /// In the order of the sources and their lines.
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Checks every entry of `sources`. Aliases may name entries of `base` (name and text of files), which are not checked
/// themselves.
pub fn lint(base: &[(String, String)], sources: &[Source]) -> Report {
    let mut linter = Linter::default();
    for (name, text) in base {
        for (entry, definition) in parse(name, text, Duplicates::LastWins).unwrap_or_default() {
            linter.insert(entry, name, definition);
        }
    }
    linter.read_sources(sources);
    linter.finish()
}

/// The same over a catalog that is loaded already.
pub fn lint_over(base: &Catalog, sources: &[Source]) -> Report {
    let mut linter = Linter::default();
    for provider in base.iter() {
        linter.insert(provider.name.clone(), "the catalog", Value::Object(provider.raw.clone()));
    }
    linter.read_sources(sources);
    linter.finish()
}

#[derive(Default)]
struct Linter {
    entries: RawEntries,
    /// Entry name to the source that has it, for the entries that are checked.
    checked: IndexMap<String, String>,
    positions: IndexMap<String, Positions>,
    findings: Vec<Finding>,
}

impl Linter {
    fn insert(&mut self, entry: String, source: &str, definition: Value) -> bool {
        let Value::Object(definition) = definition else { return false };
        self.entries.insert(entry, RawEntry { source: source.to_owned(), definition });
        true
    }

    fn read_sources(&mut self, sources: &[Source]) {
        for read in sources.iter().flat_map(source::read) {
            match read {
                Ok((name, text)) => self.read_text(name, &text),
                Err((name, error)) => self.refuse_source(name, error.to_string()),
            }
        }
    }

    fn read_text(&mut self, source: String, text: &str) {
        let parsed = match parse(&source, text, Duplicates::LastWins) {
            Ok(parsed) => parsed,
            Err(message) => return self.refuse_source(source, message),
        };
        let positions = Positions::of(text);
        for (path, line) in &positions.duplicates {
            self.findings.push(duplicate(&source, path, *line));
        }
        self.positions.insert(source.clone(), positions);
        for (entry, definition) in parsed {
            self.read_entry(&source, entry, definition);
        }
    }

    fn read_entry(&mut self, source: &str, entry: String, definition: Value) {
        let note = |is_error, rule, message: String, advice: &str| Note {
            is_error,
            rule,
            path: Vec::new(),
            message,
            advice: advice.to_owned(),
        };
        if let Some(earlier) = self.checked.get(&entry) {
            let message = format!("replaces the whole entry of {earlier}");
            let advice = "Keep one of the two, or give one another name.";
            self.findings.push(self.place(source, &entry, note(false, "replaced-entry", message, advice)));
        }
        if self.insert(entry.clone(), source, definition) {
            self.checked.insert(entry, source.to_owned());
        } else {
            let message = "an entry must be a mapping".to_owned();
            let advice = "Put the keys of the entry under its name, indented.";
            self.findings.push(self.place(source, &entry, note(true, "wrong-kind", message, advice)));
        }
    }

    fn refuse_source(&mut self, source: String, message: String) {
        self.findings.push(Finding {
            severity: Severity::Error,
            rule: "unreadable",
            source,
            line: None,
            entry: None,
            path: String::new(),
            message,
            advice: "A catalog is one mapping of entry names to entries, in YAML or JSON.".to_owned(),
        });
    }

    fn finish(mut self) -> Report {
        for (entry, source) in std::mem::take(&mut self.checked) {
            for note in self.notes_to_show(&entry) {
                self.findings.push(self.place(&source, &entry, note));
            }
            self.checked.insert(entry, source);
        }
        let order = |finding: &Finding| self.positions.get_index_of(&finding.source);
        // Stable: findings of one line stay in the order of the checks.
        self.findings.sort_by_key(|finding| (order(finding), finding.line));
        Report { entries: self.checked.len(), findings: self.findings }
    }

    /// The notes on an entry, without those on keys that it only inherits and that are told where they are written.
    fn notes_to_show(&self, name: &str) -> Vec<Note> {
        let notes = self.notes(name);
        let own = self.entries.get(name).map(|entry| &entry.definition);
        let target = own
            .and_then(|own| own.get("alias")?.as_str())
            .filter(|target| self.entries.contains_key(*target));
        let Some(target) = target else { return notes };
        let told: HashSet<Note> = self.notes(target).into_iter().collect();
        let is_own =
            |note: &Note| note.path.first().is_none_or(|key| own.is_some_and(|own| own.contains_key(key)));
        notes.into_iter().filter(|note| is_own(note) || !told.contains(note)).collect()
    }

    fn notes(&self, name: &str) -> Vec<Note> {
        let definition = match resolve(&self.entries, name) {
            Ok(definition) => definition,
            Err(message) => {
                let mut notes = Notes::default();
                notes.error(
                    "alias",
                    &["alias"],
                    message,
                    "Name an entry of this catalog or of the embedded one.",
                );
                return notes.0;
            }
        };
        let own = self.entries.get(name).map(|entry| &entry.definition);
        check(name, &definition, &|key| own.is_some_and(|own| own.contains_key(key)))
    }

    fn place(&self, source: &str, entry: &str, note: Note) -> Finding {
        let keys = |path: &[String]| [&[entry.to_owned()], path].concat();
        let positions = self.positions.get(source);
        let own = self.entries.get(entry).filter(|own| own.source == source).map(|own| &own.definition);
        let is_inherited = note.path.first().is_some_and(|key| own.is_some_and(|own| !own.contains_key(key)));
        let path = if is_inherited { vec!["alias".to_owned()] } else { note.path.clone() };
        Finding {
            severity: if note.is_error { Severity::Error } else { Severity::Warning },
            rule: note.rule,
            source: source.to_owned(),
            line: positions.and_then(|positions| positions.line(&keys(&path))),
            entry: Some(entry.to_owned()),
            path: note.path.join("."),
            message: note.message,
            advice: note.advice,
        }
    }
}

fn duplicate(source: &str, path: &[String], line: u32) -> Finding {
    let (entry, inner) = path.split_first().map_or((None, &[][..]), |(entry, inner)| (Some(entry), inner));
    let key = path.last().map_or("", String::as_str);
    Finding {
        severity: Severity::Error,
        rule: "duplicate-key",
        source: source.to_owned(),
        line: Some(line),
        entry: entry.cloned(),
        path: inner.join("."),
        message: format!("`{key}` stands twice in this mapping"),
        advice: "Keep one of the two: a YAML file with such a key is refused as a whole.".to_owned(),
    }
}

/// Everything there is to say about a resolved entry.
fn check(name: &str, definition: &Map<String, Value>, own: &dyn Fn(&str) -> bool) -> Vec<Note> {
    let entry = Entry::new(name, definition);
    let mut notes = Notes::default();
    keys::check(&entry, own, &mut notes);
    links::check(&entry, &mut notes);
    names::check(&entry, &mut notes);
    fields::check(&entry, &mut notes);
    proxy::check(&entry, &mut notes);
    webhook::check(&entry, &mut notes);
    if let Some((path, message)) = blame::blame(entry.name, definition) {
        add_refusal(path, message, &mut notes);
    }
    notes.0
}

/// The loader's refusal, unless a check has explained it better. A warning about the same key is then no news.
fn add_refusal(path: Vec<String>, message: String, notes: &mut Notes) {
    notes.0.retain(|note| note.is_error || note.path != path);
    if notes.0.iter().any(|note| note.is_error && note.path == path) {
        return;
    }
    let message = format!("the entry is refused: {message}");
    let advice = "docs/CATALOG.md describes the values of each key.".to_owned();
    notes.0.push(Note { is_error: true, rule: "refused", path, message, advice });
}
