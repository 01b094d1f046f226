//! Form fields: patterns, examples, help anchors, and what shows a field.

use regex::Regex;
use serde_json::{Map, Value};

use super::super::fields::FieldSchema;
use super::note::{Entry, Notes};

pub(super) const SECTIONS: [&str; 4] =
    ["connection_config", "credentials", "integration_config", "assertion_option"];

pub(super) fn check(entry: &Entry<'_>, notes: &mut Notes) {
    for section in SECTIONS {
        let Some(Value::Object(fields)) = entry.at(&[section]) else { continue };
        for (name, definition) in fields {
            check_name(section, name, notes);
            // One that cannot be read is reported as what refuses the entry.
            let Ok(schema) = serde_json::from_value::<FieldSchema>(definition.clone()) else { continue };
            let place = Place { section, name };
            check_pattern(&place, &schema, notes);
            check_choices(&place, &schema, notes);
            check_words(&place, &schema, entry, notes);
            check_controller(&place, &schema, fields, notes);
        }
    }
}

struct Place<'a> {
    section: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn warn(
        &self,
        rule: &'static str,
        key: &str,
        message: impl Into<String>,
        advice: &str,
        notes: &mut Notes,
    ) {
        notes.warn(rule, &[self.section, self.name, key], message, advice);
    }
}

fn check_name(section: &str, name: &str, notes: &mut Notes) {
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !is_plain {
        let message = format!("`{name}` cannot be named in a placeholder");
        notes.warn("field-name", &[section, name], message, "Use letters, digits, `_`, `-` and `.`.");
    }
}

fn check_pattern(place: &Place<'_>, schema: &FieldSchema, notes: &mut Notes) {
    let Some(text) = &schema.pattern else { return };
    let Ok(pattern) = Regex::new(text) else {
        let advice =
            "Look-around and back-references are for browsers only; the server lets every value through.";
        place.warn("pattern", "pattern", "the pattern cannot be checked on the server", advice, notes);
        return;
    };
    let values = [("example", &schema.example), ("default_value", &schema.default_value)];
    for (key, value) in values {
        // An empty default means that the field may stay empty.
        let Some(value) = value.as_deref().filter(|value| !value.is_empty() && !is_elided(value)) else {
            continue;
        };
        if !pattern.is_match(value) {
            let message = format!("the {} does not match the pattern", key.replace("_value", ""));
            let advice = "Prefix and suffix are not part of the value. Correct one of the two.";
            place.warn("example", key, message, advice, notes);
        }
    }
    if schema.options.iter().any(|option| !pattern.is_match(option)) {
        let message = "a value of `enum` does not match the pattern, so it can never be chosen";
        place.warn("example", "enum", message, "A list of values needs no pattern.", notes);
    }
    // One anchor is somebody's decision; none is usually an oversight.
    if !text.contains('^') && !text.contains('$') {
        let advice = "Write ^...$ unless any text around it is fine.";
        place.warn(
            "pattern",
            "pattern",
            "the pattern is searched for, not matched as a whole",
            advice,
            notes,
        );
    }
}

/// `sk-...` shows the form of a secret without being one.
fn is_elided(example: &str) -> bool {
    ["...", "\u{2026}", "***", "xxx", "XXX"].iter().any(|gap| example.contains(gap))
}

fn check_choices(place: &Place<'_>, schema: &FieldSchema, notes: &mut Notes) {
    if schema.options.is_empty() {
        return;
    }
    let values = [("example", &schema.example), ("default_value", &schema.default_value)];
    for (key, value) in values {
        let value = value.as_deref().filter(|value| !value.is_empty());
        if value.is_some_and(|value| !schema.options.iter().any(|option| option == value)) {
            let message = format!("the {} is none of the values of `enum`", key.replace("_value", ""));
            place.warn("example", key, message, "Use one of the listed values.", notes);
        }
    }
}

fn check_words(place: &Place<'_>, schema: &FieldSchema, entry: &Entry<'_>, notes: &mut Notes) {
    if let Some(anchor) = &schema.doc_section {
        if !anchor.starts_with('#') {
            let advice = "Begin with `#`: the text is put behind `docs_connect`.";
            place.warn("doc-section", "doc_section", "the anchor does not begin with `#`", advice, notes);
        }
        if entry.at(&["docs_connect"]).is_none() {
            let advice = "Add the guide's address as `docs_connect`, or leave the anchor out.";
            place.warn(
                "doc-section",
                "doc_section",
                "there is no `docs_connect` that it could be a part of",
                advice,
                notes,
            );
        }
    }
    let is_shown = !schema.automated && !schema.hidden;
    if is_shown && schema.title.is_empty() {
        notes.warn(
            "field-title",
            &[place.section, place.name],
            "the form has no label for the field",
            "Add a `title`.",
        );
    }
}

fn check_controller(place: &Place<'_>, schema: &FieldSchema, fields: &Map<String, Value>, notes: &mut Notes) {
    let Some(condition) = &schema.visible_when else { return };
    let Some(controller) = fields.get(&condition.field) else {
        let message =
            format!("`{}` is no field of this section, so the field is never shown", condition.field);
        place.warn("visible-when", "visible_when", message, "Name another field of the same section.", notes);
        return;
    };
    let options: Vec<&str> = controller
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !options.is_empty() && !options.contains(&condition.equals.as_str()) {
        let message = format!("`{}` can never be `{}`", condition.field, condition.equals);
        place.warn("visible-when", "visible_when", message, "Use one of that field's `enum`.", notes);
    }
}
