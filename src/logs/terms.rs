//! What the index of operations holds: one term per filter, and the words of all texts. Pure.
//!
//! Words are pieces of letters and digits, so that `https://api.acme.example/v2` is found by `acme`; terms of filters start
//! with `=`, which no word does.

use std::collections::BTreeSet;

/// Words of one operation that are remembered.
const MOST_WORDS: usize = 200;
/// Bytes of one word; the rest of a longer one is noise.
const LONGEST_WORD: usize = 40;
/// Bytes of a name in a term; PostgreSQL takes 2046.
const LONGEST_NAME: usize = 500;

/// The terms of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    filters: BTreeSet<String>,
    words: BTreeSet<String>,
}

/// What a term of a filter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facet {
    Environment,
    State,
    Type,
    Kind,
    Integration,
    Connection,
    Function,
    /// The hour of the day in which it began, in UTC.
    Hour,
}

impl Facet {
    fn letter(self) -> char {
        match self {
            Facet::Environment => 'e',
            Facet::State => 's',
            Facet::Type => 't',
            Facet::Kind => 'k',
            Facet::Integration => 'i',
            Facet::Connection => 'c',
            Facet::Function => 'f',
            Facet::Hour => 'h',
        }
    }

    /// The term for one value.
    pub fn term(self, value: &str) -> String {
        format!("={}:{}", self.letter(), cut(value, LONGEST_NAME))
    }
}

impl Terms {
    pub fn add(&mut self, facet: Facet, value: &str) {
        if !value.is_empty() {
            self.filters.insert(facet.term(value));
        }
    }

    /// Adds the words of a text.
    pub fn add_text(&mut self, text: &str) {
        for word in words(text) {
            if self.words.len() >= MOST_WORDS {
                return;
            }
            self.words.insert(word);
        }
    }

    /// Takes the terms of states out: which one is current is known to the database only.
    pub fn forget_states(&mut self) {
        self.filters.retain(|term| !term.starts_with("=s:"));
    }

    pub fn merge(&mut self, other: Terms) {
        self.filters.extend(other.filters);
        let room = MOST_WORDS.saturating_sub(self.words.len());
        self.words.extend(other.words.into_iter().take(room));
    }

    /// The text form of a `tsvector`.
    pub fn to_vector(&self) -> String {
        let all: Vec<String> = self.filters.iter().chain(&self.words).map(|term| quote(term)).collect();
        all.join(" ")
    }
}

/// What a search asks for, as text forms of a `tsquery`: every group of terms must match, by any of them, and every word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TermQuery {
    groups: Vec<String>,
    words: Vec<String>,
}

impl TermQuery {
    /// Any of these values; an empty list says nothing.
    pub fn any(&mut self, terms: impl IntoIterator<Item = String>) {
        let terms: Vec<String> = terms.into_iter().map(|term| quote(&term)).collect();
        if !terms.is_empty() {
            self.groups.push(format!("({})", terms.join(" | ")));
        }
    }

    /// Every word of what somebody searches for, each as the start of a word.
    pub fn search(&mut self, text: &str) {
        self.words.extend(words(text).map(|word| format!("{}:*", quote(&word))));
    }

    /// One query for all groups, empty when there are none, and one for each word.
    pub fn into_queries(self) -> (String, Vec<String>) {
        (self.groups.join(" & "), self.words)
    }
}

/// The pieces of letters and digits, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    let pieces = text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty());
    pieces.map(|piece| cut(&piece.to_lowercase(), LONGEST_WORD).to_owned())
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A lexeme as PostgreSQL reads it; quotes and backslashes are doubled.
fn quote(term: &str) -> String {
    format!("'{}'", term.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_quoted_and_told_apart() {
        let mut terms = Terms::default();
        terms.add(Facet::Integration, "it's\\here");
        terms.add(Facet::Connection, "");
        terms.add_text("GET https://Api.acme.example/v2?page=3 \u{2192} 503");
        assert_eq!(
            terms.to_vector(),
            "'=i:it''s\\\\here' '3' '503' 'acme' 'api' 'example' 'get' 'https' 'page' 'v2'"
        );
    }

    #[test]
    fn a_query_needs_every_group() {
        let mut query = TermQuery::default();
        query.any([]);
        assert_eq!(query, TermQuery::default());
        query.any([Facet::State.term("failed"), Facet::State.term("timeout")]);
        query.search("Acme  /v2/tick' | x");
        let words = ["'acme':*", "'v2':*", "'tick':*", "'x':*"].map(str::to_owned);
        assert_eq!(query.into_queries(), ("('=s:failed' | '=s:timeout')".to_owned(), words.to_vec()));
    }

    #[test]
    fn one_operation_has_a_bounded_number_of_words() {
        let mut terms = Terms::default();
        terms.add_text(&(0..1000).map(|n| format!("w{n} ")).collect::<String>());
        terms.add_text(&"\u{e9}".repeat(100));
        assert_eq!(terms.words.len(), MOST_WORDS);
        let long: Vec<String> = words(&"\u{e9}".repeat(100)).collect();
        assert_eq!(long, ["\u{e9}".repeat(20)]);
    }
}
