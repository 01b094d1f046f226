//! The catalog's `${...}` template language: parsed once at load, evaluated against a borrowed [`Context`].
//!
//! Called by `catalog` (parsing), `oauth`, `refresh` and `proxy` (evaluation). Pure: the time and the random
//! text come with the context. Values are never scanned for templates, and values never appear in errors.

mod aws;
mod clock;
mod context;
mod evaluate;
mod function;
mod parse;
mod pem;
mod url;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};

pub use self::context::Context;
pub use self::evaluate::Rendered;
use self::parse::{Expression, Part, Sequence};
pub use self::url::{Escape, UrlError, authority_names, build_url, is_authority, url_text};

/// A template text that does not follow the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template syntax error at byte {at}: {reason}")]
pub struct TemplateError {
    /// Byte offset of the offending expression in the template text.
    pub at: usize,
    pub reason: &'static str,
}

/// Names a template needs and the context does not have, in order of appearance, without repeats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value for {}", .names.join(", "))]
pub struct Unresolved {
    pub names: Vec<String>,
}

/// A parsed template: `A`, or `A || B` where `B` is used when `A` is incomplete or empty.
#[derive(Clone, PartialEq)]
pub struct Template {
    source: String,
    primary: Sequence,
    fallback: Option<Sequence>,
}

impl Template {
    /// Parses a template in which `||` separates a fallback (only the first two parts count).
    ///
    /// # Errors
    /// An unbalanced or empty `${`, an unknown function, or a call with the wrong number of arguments.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::with_fallback(text, parse::Mode::Strict)
    }

    /// Parses a template where `||` is plain text: `token.*` and `assertion.*` do not know the fallback.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_without_fallback(text: &str) -> Result<Self, TemplateError> {
        let primary = parse::sequence(text, 0, parse::Mode::Strict)?;
        Ok(Template { source: text.to_owned(), primary, fallback: None })
    }

    /// Parses what an operator or caller typed: a `${` that cannot be parsed stays literal text.
    pub fn parse_lenient(text: &str) -> Self {
        Self::with_fallback(text, parse::Mode::Lenient).unwrap_or_else(|_| Template {
            source: text.to_owned(),
            primary: Sequence { parts: vec![Part::Text(text.to_owned())] },
            fallback: None,
        })
    }

    fn with_fallback(text: &str, mode: parse::Mode) -> Result<Self, TemplateError> {
        let bars = parse::fallback_bars(text);
        let Some(first) = bars.first().copied() else {
            let primary = parse::sequence(text, 0, mode)?;
            return Ok(Template { source: text.to_owned(), primary, fallback: None });
        };
        let second = bars.get(1).copied().unwrap_or(text.len());
        let primary = parse::sequence(text[..first].trim(), 0, mode)?;
        let fallback = parse::sequence(text[first + 2..second].trim(), first + 2, mode)?;
        Ok(Template { source: text.to_owned(), primary, fallback: Some(fallback) })
    }

    /// The text the template was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True when evaluation cannot depend on the context.
    pub fn is_literal(&self) -> bool {
        self.literal().is_some()
    }

    /// Every name the template looks up, in order, function arguments included. Names that `awsSigV4` reads
    /// from the request without spelling them (`path`, `urlCanonicalParams` ...) are listed too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        for sequence in self.sides() {
            sequence.collect_names(&mut names);
        }
        names.into_iter()
    }

    /// Does the template look up `name`, or a member of it (`connectionConfig` matches `connectionConfig.x`)?
    pub fn mentions(&self, name: &str) -> bool {
        self.names()
            .any(|used| used.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Evaluates; expressions without a value stay in the text as they were written and are reported.
    pub fn render<'t>(&'t self, context: &Context<'_>) -> Rendered<'t> {
        evaluate::render(self, context)
    }

    /// Evaluates, refusing when an expression has no value.
    ///
    /// # Errors
    /// The names without a value, those of both sides when there is a fallback.
    pub fn resolve<'t>(&'t self, context: &Context<'_>) -> Result<Cow<'t, str>, Unresolved> {
        evaluate::resolve(self, context)
    }

    fn sides(&self) -> impl Iterator<Item = &Sequence> {
        std::iter::once(&self.primary).chain(&self.fallback)
    }

    fn literal(&self) -> Option<&str> {
        let primary = self.primary.literal()?;
        match &self.fallback {
            Some(fallback) if primary.is_empty() => fallback.literal(),
            _ => Some(primary),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Template::parse(&text).map_err(|problem| serde::de::Error::custom(format!("{problem} in `{text}`")))
    }
}
