//! Form fields of an entry and the server-side check of what was typed into them.

use indexmap::IndexMap;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

/// Field name to schema, in form order of the file.
pub type Fields = IndexMap<String, FieldSchema>;

/// One form field (`spec` providers, section 7.1). Keys that only the browser needs stay in the raw entry.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FieldSchema {
    pub title: String,
    pub description: String,
    pub example: Option<String>,
    /// JavaScript regular expression, searched for, not anchored.
    pub pattern: Option<String>,
    pub format: Option<FieldFormat>,
    #[serde(rename = "enum")]
    pub options: Vec<String>,
    /// An empty default makes the empty value valid.
    pub default_value: Option<String>,
    pub hidden: bool,
    /// Set by the server, not part of the form.
    pub automated: bool,
    pub optional: bool,
    pub secret: bool,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub order: Option<f64>,
    pub doc_section: Option<String>,
    pub visible_when: Option<VisibleWhen>,
    pub warnings: IndexMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldFormat {
    Hostname,
    Uri,
    Uuid,
    Email,
    /// A format of a newer catalog: not checked.
    #[serde(untagged)]
    Unknown(String),
}

/// Shows a field only while another field of the section has a value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VisibleWhen {
    pub field: String,
    pub equals: String,
}

/// One field that was refused. Never contains the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    pub field: String,
    pub message: String,
}

impl FieldSchema {
    /// Must a form bring a value for it?
    pub fn is_required(&self) -> bool {
        !(self.optional || self.hidden || self.automated || self.default_value.is_some())
    }

    /// What is wrong with a value that is not empty.
    pub(super) fn refusal(&self, value: &str) -> Option<&'static str> {
        if !self.options.is_empty() && !self.options.iter().any(|option| option == value) {
            return Some("is not one of the allowed values");
        }
        // A pattern that Rust cannot compile counts as absent: the browser may know more than we do.
        let pattern = self.pattern.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        if pattern.is_some_and(|pattern| !pattern.is_match(value)) {
            return Some("does not have the required form");
        }
        self.format.as_ref().and_then(|format| format.refusal(value))
    }
}

impl FieldFormat {
    fn refusal(&self, value: &str) -> Option<&'static str> {
        let is_hostname_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        match self {
            FieldFormat::Hostname => (!value.bytes().all(is_hostname_byte)).then_some("is not a host name"),
            FieldFormat::Uri => Url::parse(value).is_err().then_some("is not a URL"),
            FieldFormat::Uuid => uuid::Uuid::try_parse(value).is_err().then_some("is not a UUID"),
            FieldFormat::Email => (!is_email(value)).then_some("is not an e-mail address"),
            FieldFormat::Unknown(_) => None,
        }
    }
}

/// Checks submitted values against a section. Values under names that the section does not know are not looked at.
pub fn validate_fields(fields: &Fields, values: &Map<String, Value>) -> Vec<FieldProblem> {
    let checked = fields.iter().filter(|(_, schema)| !schema.automated);
    let problem = |(name, schema): (&String, &FieldSchema)| {
        let message = field_refusal(schema, values.get(name))?;
        Some(FieldProblem { field: name.clone(), message: message.to_owned() })
    };
    checked.filter_map(problem).collect()
}

fn field_refusal(schema: &FieldSchema, value: Option<&Value>) -> Option<&'static str> {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Array(_) | Value::Object(_)) => return Some("must be a text"),
    };
    if text.is_empty() {
        return schema.is_required().then_some("is required");
    }
    schema.refusal(&text)
}

/// An ordinary ASCII local part and a dotted domain.
fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.rsplit_once('@') else { return false };
    let is_local_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    !local.is_empty()
        && local.bytes().all(is_local_byte)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, value: Value) -> Option<String> {
        let fields: Fields = serde_json::from_value(json!({ "f": schema })).unwrap_or_default();
        assert_eq!(fields.len(), 1, "{schema}");
        let values = value.as_object().cloned().unwrap_or_default();
        validate_fields(&fields, &values).pop().map(|problem| problem.message)
    }

    #[test]
    fn values_follow_their_schema() {
        let cases = [
            (json!({}), json!({}), "is required"),
            (json!({}), json!({"f": ""}), "is required"),
            (json!({}), json!({"f": null}), "is required"),
            (json!({}), json!({"f": "x", "other": [1]}), ""),
            (json!({}), json!({"f": {"a": 1}}), "must be a text"),
            (json!({"optional": true}), json!({}), ""),
            (json!({"hidden": true}), json!({}), ""),
            (json!({"default_value": ""}), json!({}), ""),
            (json!({"automated": true, "pattern": "^a$"}), json!({"f": "b"}), ""),
            (json!({"enum": ["a", "b"]}), json!({"f": "b"}), ""),
            (
                json!({"enum": ["a", "b"], "optional": true}),
                json!({"f": "c"}),
                "is not one of the allowed values",
            ),
            (json!({"pattern": "[0-9]"}), json!({"f": "ab1"}), ""),
            (json!({"pattern": "^[0-9]+$"}), json!({"f": 12}), ""),
            (json!({"pattern": "^[0-9]+$"}), json!({"f": "1a"}), "does not have the required form"),
            (json!({"pattern": "(?=x)"}), json!({"f": "y"}), ""),
            (json!({"format": "hostname"}), json!({"f": "a-b.C1"}), ""),
            (json!({"format": "hostname"}), json!({"f": "a/b"}), "is not a host name"),
            (json!({"format": "uri"}), json!({"f": "https://x/y"}), ""),
            (json!({"format": "uri"}), json!({"f": "x/y"}), "is not a URL"),
            (json!({"format": "uuid"}), json!({"f": "0f3f6f0e-7a55-4f0a-9d63-2f3f3f3f3f3f"}), ""),
            (json!({"format": "uuid"}), json!({"f": "0f3f"}), "is not a UUID"),
            (json!({"format": "email"}), json!({"f": "a.b+c@x.co"}), ""),
            (json!({"format": "email"}), json!({"f": "a@b"}), "is not an e-mail address"),
            (json!({"format": "email"}), json!({"f": "a b@x.co"}), "is not an e-mail address"),
            (json!({"format": "color"}), json!({"f": "red"}), ""),
        ];
        for (schema, value, expected) in cases {
            assert_eq!(
                check(schema.clone(), value.clone()).unwrap_or_default(),
                expected,
                "{schema} {value}"
            );
        }
    }
}
