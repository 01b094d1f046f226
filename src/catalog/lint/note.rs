//! What the checks work on and what they leave behind.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::auth::AuthMode;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The entry is refused, or cannot do what it says.
    Error,
    /// The entry works; somebody probably meant something else.
    Warning,
}

/// An entry with its aliases applied.
pub(super) struct Entry<'a> {
    pub name: &'a str,
    pub definition: &'a Map<String, Value>,
    /// None: absent, or not known to this server.
    pub mode: Option<AuthMode>,
}

impl<'a> Entry<'a> {
    pub fn new(name: &'a str, definition: &'a Map<String, Value>) -> Self {
        let mode = definition.get("auth_mode").and_then(Value::as_str);
        Entry { name, definition, mode: mode.and_then(|mode| mode.parse().ok()) }
    }

    /// The value at a path of keys; null counts as absent.
    pub fn at(&self, path: &[&str]) -> Option<&'a Value> {
        let (first, rest) = path.split_first()?;
        let first = self.definition.get(*first)?;
        rest.iter().try_fold(first, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    pub fn text(&self, path: &[&str]) -> Option<&'a str> {
        self.at(path)?.as_str()
    }

    /// The members of a mapping; none when it is absent or no mapping.
    pub fn members(&self, path: &[&str]) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.at(path).and_then(Value::as_object).into_iter().flatten()
    }

    /// The texts of a list of texts.
    pub fn texts(&self, path: &[&str]) -> impl Iterator<Item = &'a str> + use<'a> {
        self.at(path).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// A finding that does not know yet where its entry stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Note {
    pub is_error: bool,
    pub rule: &'static str,
    /// Keys from the top of the entry; empty: the entry as a whole.
    pub path: Vec<String>,
    pub message: String,
    pub advice: String,
}

/// The notes on one entry.
#[derive(Debug, Default)]
pub(super) struct Notes(pub Vec<Note>);

impl Notes {
    pub fn error(
        &mut self,
        rule: &'static str,
        path: &[&str],
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(true, rule, path, message.into(), advice.into());
    }

    pub fn warn(
        &mut self,
        rule: &'static str,
        path: &[&str],
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(false, rule, path, message.into(), advice.into());
    }

    fn add(&mut self, is_error: bool, rule: &'static str, path: &[&str], message: String, advice: String) {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        self.0.push(Note { is_error, rule, path, message, advice });
    }
}

/// The known word that was probably meant, as the end of a sentence, or `otherwise`.
pub(super) fn suggestion<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
    otherwise: impl Into<String>,
) -> String {
    let nearest = known.into_iter().map(|known| (distance(word, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + word.len() / 5 => format!("Did you mean `{known}`?"),
        _ => otherwise.into(),
    }
}

/// Levenshtein's: letters to insert, drop or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["token_url", "token_params", "docs"];
        for (word, expected) in [
            ("token_ulr", "Did you mean `token_url`?"),
            ("tokenparams", "Did you mean `token_params`?"),
            ("doc", "Did you mean `docs`?"),
            ("", "nothing"),
            ("x", "nothing"),
            ("webhook", "nothing"),
        ] {
            assert_eq!(suggestion(word, known, "nothing"), expected, "{word}");
        }
    }
}
