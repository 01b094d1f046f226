//! Turns a parsed template and a context into text.

use std::borrow::Cow;

use super::parse::{Kind, Part};
use super::{Context, Expression, Sequence, Template, Unresolved};

/// The text of a template in which what had no value was left as written. No `Debug`: it may hold credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered<'t> {
    pub text: Cow<'t, str>,
    /// Names without a value, in order, without repeats. Empty when the text is complete.
    pub unresolved: Vec<String>,
}

pub(super) fn render<'t>(template: &'t Template, context: &Context<'_>) -> Rendered<'t> {
    if let Some(text) = template.literal() {
        return Rendered { text: Cow::Borrowed(text), unresolved: Vec::new() };
    }
    let (text, unresolved) = sequence_text(&template.primary, context);
    match &template.fallback {
        Some(fallback) if !unresolved.is_empty() || text.is_empty() => {
            let (text, unresolved) = sequence_text(fallback, context);
            Rendered { text: Cow::Owned(text), unresolved }
        }
        _ => Rendered { text: Cow::Owned(text), unresolved },
    }
}

pub(super) fn resolve<'t>(template: &'t Template, context: &Context<'_>) -> Result<Cow<'t, str>, Unresolved> {
    let rendered = render(template, context);
    if rendered.unresolved.is_empty() {
        return Ok(rendered.text);
    }
    let mut names = rendered.unresolved;
    if template.fallback.is_some() {
        let (_, mut all) = sequence_text(&template.primary, context);
        names.drain(..).for_each(|name| remember(&mut all, &name));
        names = all;
    }
    Err(Unresolved { names })
}

fn sequence_text(sequence: &Sequence, context: &Context<'_>) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut missing = Vec::new();
    for part in &sequence.parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Expression(expression) => {
                if !write_value(expression, context, &mut text, &mut missing) {
                    text.push_str(&expression.source);
                }
            }
        }
    }
    (text, missing)
}

/// The value of one expression, or the names that are missing for it.
pub(super) fn expression_value(
    expression: &Expression,
    context: &Context<'_>,
) -> Result<String, Vec<String>> {
    let mut value = String::new();
    let mut missing = Vec::new();
    if write_value(expression, context, &mut value, &mut missing) { Ok(value) } else { Err(missing) }
}

/// Appends the value; when there is none, appends nothing, notes the missing names and returns false.
fn write_value(
    expression: &Expression,
    context: &Context<'_>,
    out: &mut String,
    missing: &mut Vec<String>,
) -> bool {
    match &expression.kind {
        Kind::Random => out.push_str(context.random()),
        Kind::Name(name) => match context.text(name) {
            Some(value) => out.push_str(&value),
            None => {
                remember(missing, name);
                return false;
            }
        },
        Kind::Clock(clock) => {
            let is_written = clock.write(context.now(), out);
            if !is_written {
                remember(missing, &expression.source);
            }
            return is_written;
        }
        Kind::Call(..) => match call_value(expression, context) {
            Ok(value) => out.push_str(&value),
            Err(names) => {
                names.iter().for_each(|name| remember(missing, name));
                return false;
            }
        },
    }
    true
}

/// A call with an incomplete argument has no value: half a credential must not be hashed and sent.
fn call_value(expression: &Expression, context: &Context<'_>) -> Result<String, Vec<String>> {
    let Kind::Call(function, arguments) = &expression.kind else { return Err(Vec::new()) };
    let mut values = Vec::with_capacity(arguments.len());
    let mut missing = Vec::new();
    for argument in arguments {
        let (value, unresolved) = sequence_text(argument, context);
        values.push(value);
        unresolved.iter().for_each(|name| remember(&mut missing, name));
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    function.call(&values, context).ok_or_else(|| vec![function.name().to_owned()])
}

pub(super) fn remember(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
