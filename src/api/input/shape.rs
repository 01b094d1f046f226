//! What readers accept, as JSON Schema: a reader is run over nothing, and its reads note what they would take. The OpenAPI
//! document is made of this, so it says what the code judges. Rules across fields, and forms without a pattern, are not in it.

use serde_json::{Map, Value, json};

use super::formats::TextRule;
use super::reader::ObjectReader;

/// The members that a reader has named so far.
#[derive(Default)]
pub(super) struct Shape {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    /// Of each group, one member at least is required.
    one_of: Vec<[&'static str; 2]>,
}

impl Shape {
    /// The first note about a member counts: the read that knows most makes it.
    pub fn note(&mut self, name: &str, schema: Value) {
        self.properties.entry(name).or_insert(schema);
    }

    pub fn require(&mut self, name: &'static str) {
        if !self.required.contains(&name) {
            self.required.push(name);
        }
    }

    pub fn require_one_of(&mut self, names: [&'static str; 2]) {
        self.one_of.push(names);
    }

    pub fn into_schema(self, ignores_unknown: bool) -> Value {
        let mut schema = json!({"type": "object", "properties": self.properties});
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        if !ignores_unknown {
            schema["additionalProperties"] = json!(false);
        }
        for names in self.one_of {
            schema["anyOf"] = names.map(|name| json!({"required": [name]})).into_iter().collect();
        }
        schema
    }
}

/// The schema of the objects that `read` accepts.
pub fn describe_object<'a, T>(read: impl FnOnce(&mut ObjectReader<'a>) -> T) -> Value {
    describe(read).1
}

/// The placeholder that `read` makes of nothing, and the schema of what it accepts.
pub(super) fn describe<'a, T>(read: impl FnOnce(&mut ObjectReader<'a>) -> T) -> (T, Value) {
    let mut reader = ObjectReader::describing();
    let placeholder = read(&mut reader);
    (placeholder, reader.into_schema())
}

/// A text without U+0000.
const STORABLE: &str = r"^[^\u0000]*$";

/// A text under a rule.
pub fn text(rule: &TextRule) -> Value {
    let mut schema = json!({"type": "string"});
    if rule.min > 0 {
        schema["minLength"] = json!(rule.min);
    }
    if rule.max < usize::MAX {
        schema["maxLength"] = json!(rule.max);
    }
    if rule.format.is_none() {
        schema["pattern"] = json!(STORABLE);
    }
    if let Some(format) = rule.format {
        schema["description"] = json!(format!("Must be {}.", format.description()));
        if let Some(pattern) = format.pattern() {
            schema["pattern"] = json!(pattern);
        }
        if let Some(name) = format.name() {
            schema["format"] = json!(name);
        }
    }
    schema
}

/// A text under a rule, or the empty text.
pub(super) fn text_or_empty(rule: &TextRule) -> Value {
    json!({"anyOf": [text(rule), {"const": ""}]})
}

/// A list; `max` is the most items.
pub(super) fn list(items: Value, max: usize) -> Value {
    let mut schema = json!({"type": "array", "items": items});
    if max < usize::MAX {
        schema["maxItems"] = json!(max);
    }
    schema
}

/// A map from texts under a rule.
pub(super) fn map(key_rule: &TextRule, values: Value) -> Value {
    json!({"type": "object", "propertyNames": text(key_rule), "additionalProperties": values})
}

#[cfg(test)]
mod tests {
    use super::super::formats::{PROVIDER_CONFIG_KEY, SCOPES};
    use super::super::tags::{EndUser, read_tags};
    use super::*;

    #[test]
    fn a_reader_says_what_it_accepts() {
        let schema = describe_object(|body| {
            body.required_text("key", &PROVIDER_CONFIG_KEY);
            body.optional_text_or_empty("scopes", &SCOPES);
            body.nested_unless("end_user", "tags", |user| user.required_text("id", &TextRule::length(1, 2)));
            body.text_map("tags", &TextRule::ANY, &TextRule::NOT_EMPTY);
            body.optional_bool("flag");
            body.required_integer_text("id", 1..=9);
            body.required_one_of("kind", &[("a", 1), ("b", 2)]);
            body.list_of_objects("list", 3, |item| {
                item.ignore_unknown();
                item.value("any");
            });
            body.optional_discriminated("client", "type", ["x", "y", "z"], |kind, client| {
                client.required_text(if kind == "x" { "a" } else { "b" }, &TextRule::ANY);
                (kind != "z").then_some(())
            });
        });
        let scopes = text(&SCOPES);
        assert_eq!(
            text(&TextRule::length(1, 2)),
            json!({"type": "string", "minLength": 1, "maxLength": 2, "pattern": r"^[^\u0000]*$"})
        );
        let variant = |kind: &str, member: &str| {
            json!({"type": "object", "properties": {"type": {"const": kind}, member: text(&TextRule::ANY)},
                "required": ["type", member], "additionalProperties": false})
        };
        let expected = json!({
            "type": "object",
            "properties": {
                "key": text(&PROVIDER_CONFIG_KEY),
                "scopes": {"anyOf": [scopes, {"const": ""}]},
                "end_user": {"type": "object", "properties": {"id": text(&TextRule::length(1, 2))},
                    "required": ["id"], "additionalProperties": false},
                "tags": {"type": "object", "propertyNames": text(&TextRule::ANY),
                    "additionalProperties": text(&TextRule::NOT_EMPTY)},
                "flag": {"type": "boolean"},
                "id": {"type": ["integer", "string"], "minimum": 1, "maximum": 9, "pattern": "^[0-9]+$"},
                "kind": {"enum": ["a", "b"]},
                "list": {"type": "array", "items": {"type": "object", "properties": {"any": {}}}, "maxItems": 3},
                "client": {"oneOf": [variant("x", "a"), variant("y", "b")]},
            },
            "required": ["key", "id", "kind"],
            "additionalProperties": false,
            "anyOf": [{"required": ["end_user"]}, {"required": ["tags"]}],
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn what_is_described_is_what_is_read() {
        let schema = describe_object(|body| {
            body.required_nested("end_user", EndUser::read);
            read_tags(body, "tags");
        });
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&schema["properties"]), ["end_user", "tags"]);
        let user = &schema["properties"]["end_user"];
        assert_eq!(names(&user["properties"]), ["id", "email", "display_name", "tags"]);
        assert_eq!((&user["required"], &schema["required"]), (&json!(["id"]), &json!(["end_user"])));
    }
}
