//! Recursive-descent parser: text to a small tree of literal text, names, calls, clocks and `random`.

use super::TemplateError;
use super::clock::Clock;
use super::function::Function;

/// What to do with a `${` that does not follow the grammar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Strict,
    /// Keep it as literal text.
    Lenient,
}

/// Literal text and expressions, in order.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Sequence {
    pub parts: Vec<Part>,
}

#[derive(Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    Expression(Expression),
}

/// One `${...}`.
#[derive(Clone, PartialEq)]
pub(super) struct Expression {
    /// The text as written, braces included: what stays when there is no value.
    pub source: String,
    pub kind: Kind,
}

#[derive(Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Call(Function, Vec<Sequence>),
    Clock(Clock),
    Random,
}

impl Sequence {
    /// The text, when there is no expression in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Shows every name to `visit` until it says true; says whether it did.
    pub fn any_name<'a>(&'a self, visit: &mut dyn FnMut(&'a str) -> bool) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Expression(expression) => expression.any_name(visit),
        })
    }
}

impl Expression {
    /// As [`Sequence::any_name`]: names in arguments first, then those the function reads by itself.
    pub fn any_name<'a>(&'a self, visit: &mut dyn FnMut(&'a str) -> bool) -> bool {
        match &self.kind {
            Kind::Name(name) => visit(name),
            Kind::Call(function, arguments) => {
                arguments.iter().any(|argument| argument.any_name(visit))
                    || function.implicit_names().iter().any(|name| visit(name))
            }
            Kind::Clock(_) | Kind::Random => false,
        }
    }

    /// What errors call the expression: its first name, else its text.
    pub fn label(&self) -> &str {
        let mut first = None;
        self.any_name(&mut |name| {
            first = Some(name);
            true
        });
        first.unwrap_or(&self.source)
    }
}

/// Far beyond any real template; callers may send templates too, and the parser recurses.
const DEEPEST: usize = 64;

/// Refuses text whose braces nest, or stay open, more than [`DEEPEST`] times.
pub(super) fn check_depth(text: &str) -> Result<(), TemplateError> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if depth == DEEPEST => return Err(TemplateError { at, reason: "nested too deeply" }),
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Byte offsets of every `||` that is template text, that is outside of `${...}`.
pub(super) fn fallback_bars(text: &str) -> Vec<usize> {
    let mut bars = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("${") {
            at += expression_end(rest).unwrap_or(2);
        } else if rest.starts_with("||") {
            bars.push(at);
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    bars
}

/// Parses literal text with expressions. `offset` is where `text` starts in the whole template.
pub(super) fn sequence(text: &str, offset: usize, mode: Mode) -> Result<Sequence, TemplateError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("${").map(|found| at + found) {
        literal.push_str(&text[at..start]);
        match expression_at(text, start, offset, mode) {
            Ok((expression, end)) => {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Expression(expression));
                at = end;
            }
            Err(problem) if mode == Mode::Strict => return Err(problem),
            Err(_) => {
                literal.push_str("${");
                at = start + 2;
            }
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(Sequence { parts })
}

fn expression_at(
    text: &str,
    start: usize,
    offset: usize,
    mode: Mode,
) -> Result<(Expression, usize), TemplateError> {
    let failed = |reason| TemplateError { at: offset + start, reason };
    let length = expression_end(&text[start..]).ok_or_else(|| failed("`${` is not closed"))?;
    let source = &text[start..start + length];
    let inside = &source[2..length - 1];
    let kind = kind(inside, offset + start + 2, mode)?;
    Ok((Expression { source: source.to_owned(), kind }, start + length))
}

/// Length of the expression at the start of `text`, which begins with `${`; none when it is not closed.
fn expression_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn kind(inside: &str, at: usize, mode: Mode) -> Result<Kind, TemplateError> {
    let failed = |reason| TemplateError { at, reason };
    if inside == "random" {
        return Ok(Kind::Random);
    }
    if let Some(clock) = Clock::parse(inside) {
        return clock.map(Kind::Clock).map_err(failed);
    }
    if let Some((name, rest)) = inside.split_once('(') {
        let function = Function::named(name).ok_or_else(|| failed("unknown function"))?;
        let arguments = rest.strip_suffix(')').ok_or_else(|| failed("a call must end in `)}`"))?;
        return call(function, arguments, at + name.len() + 1, mode);
    }
    if inside.is_empty() || !inside.bytes().all(is_name_byte) {
        return Err(failed("a name may contain letters, digits, `_`, `-` and `.` only"));
    }
    Ok(Kind::Name(inside.to_owned()))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn call(function: Function, text: &str, at: usize, mode: Mode) -> Result<Kind, TemplateError> {
    let commas = top_level_commas(text).ok_or(TemplateError { at, reason: "parentheses do not match" })?;
    let pieces = function
        .split_arguments(text, &commas)
        .ok_or(TemplateError { at, reason: "wrong number of arguments" })?;
    let arguments: Result<Vec<_>, _> = pieces.iter().map(|piece| sequence(piece, at, mode)).collect();
    Ok(Kind::Call(function, arguments?))
}

/// Offsets of the commas outside of `${...}`; none when literal parentheses do not match.
fn top_level_commas(text: &str) -> Option<Vec<usize>> {
    let mut commas = Vec::new();
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        match text.as_bytes()[at] {
            b'$' if text[at..].starts_with("${") => {
                at += expression_end(&text[at..])?;
                continue;
            }
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b',' => commas.push(at),
            _ => {}
        }
        at += 1;
    }
    (depth == 0).then_some(commas)
}
