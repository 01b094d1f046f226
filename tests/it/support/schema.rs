//! JSON Schema, as much of it as the OpenAPI document uses. A keyword that is not known here fails the test that meets it.

use regex::Regex;
use serde_json::Value;

/// Keywords that say nothing about a value.
const ANNOTATIONS: [&str; 6] = ["description", "format", "title", "example", "default", "deprecated"];

/// What is wrong with `value`, by its path; `root` is the document in which references are looked up.
pub fn problems(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    judge(root, schema, value, "", &mut found);
    found
}

fn judge(root: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else {
        assert!(schema.is_boolean(), "not a schema: {schema}");
        if schema == &Value::Bool(false) {
            found.push(format!("{path}: nothing is allowed here"));
        }
        return;
    };
    for (keyword, rule) in keywords {
        if let Some(problem) = broken(root, keyword, rule, value, schema) {
            found.push(format!("{path}: {problem}"));
        }
        judge_inside(root, keyword, rule, value, schema, path, found);
    }
}

/// Keywords about the value itself.
fn broken(root: &Value, keyword: &str, rule: &Value, value: &Value, schema: &Value) -> Option<String> {
    let fits = |schema: &Value| problems(root, schema, value).is_empty();
    let length = || value.as_str().map(|text| text.chars().count());
    let count = || value.as_array().map(Vec::len);
    let members = || value.as_object();
    let at_least = |found: Option<usize>| found.is_none_or(|found| found as u64 >= rule.as_u64().unwrap());
    let at_most = |found: Option<usize>| found.is_none_or(|found| found as u64 <= rule.as_u64().unwrap());
    let number = value.as_f64();
    let is_kept = match keyword {
        "type" => match rule {
            Value::String(name) => is_a(value, name),
            names => names.as_array().unwrap().iter().any(|name| is_a(value, name.as_str().unwrap())),
        },
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "anyOf" => rule.as_array().unwrap().iter().any(fits),
        "oneOf" => rule.as_array().unwrap().iter().filter(|schema| fits(schema)).count() == 1,
        "minLength" => at_least(length()),
        "maxLength" => at_most(length()),
        "minItems" => at_least(count()),
        "maxItems" => at_most(count()),
        "maxProperties" => at_most(members().map(serde_json::Map::len)),
        "minimum" => number.is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => number.is_none_or(|number| number <= rule.as_f64().unwrap()),
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
        }
        "required" => {
            let names = || rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            members().is_none_or(|members| names().all(|name| members.contains_key(name)))
        }
        "additionalProperties" if rule == &Value::Bool(false) => {
            let known = |name: &String| schema["properties"].get(name).is_some();
            members().is_none_or(|members| members.keys().all(known))
        }
        "$ref" | "allOf" | "properties" | "items" | "additionalProperties" | "propertyNames" => true,
        annotation => {
            assert!(ANNOTATIONS.contains(&annotation), "the tests do not know the keyword {annotation}");
            true
        }
    };
    (!is_kept).then(|| format!("breaks {keyword} {rule}: {value}"))
}

/// Keywords that hand over to other schemas.
fn judge_inside(
    root: &Value,
    keyword: &str,
    rule: &Value,
    value: &Value,
    schema: &Value,
    path: &str,
    found: &mut Vec<String>,
) {
    match (keyword, value) {
        ("$ref", _) => judge(root, resolve(root, rule), value, path, found),
        ("allOf", _) => rule.as_array().unwrap().iter().for_each(|one| judge(root, one, value, path, found)),
        ("properties", Value::Object(members)) => {
            for (name, one) in rule.as_object().unwrap() {
                if let Some(member) = members.get(name) {
                    judge(root, one, member, &format!("{path}/{name}"), found);
                }
            }
        }
        ("additionalProperties", Value::Object(members)) if rule.is_object() => {
            for (name, member) in members.iter().filter(|(name, _)| schema["properties"].get(name).is_none())
            {
                judge(root, rule, member, &format!("{path}/{name}"), found);
            }
        }
        ("propertyNames", Value::Object(members)) => {
            for name in members.keys() {
                judge(root, rule, &Value::String(name.clone()), &format!("{path}/{name}"), found);
            }
        }
        ("items", Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                judge(root, rule, item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// What a reference points at.
pub fn resolve<'d>(root: &'d Value, reference: &Value) -> &'d Value {
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a local reference");
    root.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the document"))
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the tests do not know the type {other}"),
    }
}

#[test]
fn schemas_are_judged() {
    use serde_json::json;
    let root = json!({"a": {"type": "string", "maxLength": 2}});
    let cases = [
        (json!({"$ref": "#/a"}), json!("ab"), json!("abc")),
        (json!({"type": ["string", "null"]}), json!(null), json!(1)),
        (json!({"type": "integer", "minimum": 1, "maximum": 2}), json!(2), json!(3)),
        (json!({"enum": ["a"]}), json!("a"), json!("b")),
        (json!({"pattern": "^a+$"}), json!("aa"), json!("ab")),
        (json!({"oneOf": [{"const": 1}, {"type": "integer"}]}), json!(2), json!(1)),
        (json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!(2), json!(3)),
        (json!({"allOf": [{"type": "object"}, {"required": ["x"]}]}), json!({"x": 1}), json!({})),
        (json!({"properties": {"x": {"$ref": "#/a"}}}), json!({"x": "a"}), json!({"x": "abc"})),
        (json!({"properties": {"x": {}}, "additionalProperties": false}), json!({"x": 1}), json!({"y": 1})),
        (json!({"additionalProperties": {"type": "string"}}), json!({"x": "a"}), json!({"x": 1})),
        (json!({"propertyNames": {"maxLength": 1}}), json!({"x": 1}), json!({"xy": 1})),
        (json!({"items": {"const": 1}, "minItems": 1}), json!([1, 1]), json!([1, 2])),
        (json!({"maxProperties": 0}), json!({}), json!({"x": 1})),
    ];
    for (schema, good, bad) in cases {
        assert_eq!(problems(&root, &schema, &good), [""; 0], "{schema}");
        assert_ne!(problems(&root, &schema, &bad), [""; 0], "{schema}");
    }
}
