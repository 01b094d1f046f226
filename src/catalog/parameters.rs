//! Parameters of requests whose values are templates: texts, numbers, booleans, or trees of them.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::template::{Context, Template, TemplateError, Unresolved};

/// Name to value, in catalog order.
pub type Parameters = IndexMap<String, Parameter>;

/// One value of `token_params`, `proxy.body` and their like.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    Text(Template),
    /// A number, a boolean or null.
    Plain(Value),
    List(Vec<Parameter>),
    Object(Parameters),
}

impl Parameter {
    /// The value with every template evaluated.
    ///
    /// # Errors
    /// The names without a value in the first incomplete leaf.
    pub fn resolve(&self, context: &Context<'_>) -> Result<Value, Unresolved> {
        Ok(match self {
            Parameter::Text(template) => Value::String(template.resolve(context)?.into_owned()),
            Parameter::List(items) => {
                Value::Array(items.iter().map(|item| item.resolve(context)).collect::<Result<_, _>>()?)
            }
            Parameter::Object(members) => {
                let pair = |(name, value): (&String, &Parameter)| Ok((name.clone(), value.resolve(context)?));
                Value::Object(members.iter().map(pair).collect::<Result<Map<_, _>, _>>()?)
            }
            Parameter::Plain(value) => value.clone(),
        })
    }

    /// The value without its incomplete leaves; none when nothing is left. The rule of `proxy.body`.
    pub fn resolve_or_drop(&self, context: &Context<'_>) -> Option<Value> {
        match self {
            Parameter::Text(template) => {
                template.resolve(context).ok().map(|text| Value::String(text.into_owned()))
            }
            Parameter::List(items) => {
                let kept: Vec<Value> =
                    items.iter().filter_map(|item| item.resolve_or_drop(context)).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            Parameter::Object(members) => {
                let pair = |(name, value): (&String, &Parameter)| {
                    Some((name.clone(), value.resolve_or_drop(context)?))
                };
                let kept: Map<String, Value> = members.iter().filter_map(pair).collect();
                (!kept.is_empty()).then_some(Value::Object(kept))
            }
            Parameter::Plain(value) => Some(value.clone()),
        }
    }

    /// The value as form or query text: templates evaluated, numbers and booleans printed, trees as JSON text.
    ///
    /// # Errors
    /// The names without a value.
    pub fn resolve_text(&self, context: &Context<'_>) -> Result<String, Unresolved> {
        Ok(match self.resolve(context)? {
            Value::String(text) => text,
            other => other.to_string(),
        })
    }

    /// Every template in the tree.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Parameter::Text(template) => vec![template],
            Parameter::List(items) => items.iter().flat_map(Parameter::templates).collect(),
            Parameter::Object(members) => members.values().flat_map(Parameter::templates).collect(),
            Parameter::Plain(_) => Vec::new(),
        }
    }

    fn parse(value: Value) -> Result<Self, TemplateError> {
        Self::parse_with(value, Template::parse)
    }

    fn parse_with(
        value: Value,
        text_as: fn(&str) -> Result<Template, TemplateError>,
    ) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Parameter::Text(text_as(&text)?),
            Value::Array(items) => {
                let parse = |item| Parameter::parse_with(item, text_as);
                Parameter::List(items.into_iter().map(parse).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let pair = |(name, value)| Ok((name, Parameter::parse_with(value, text_as)?));
                Parameter::Object(members.into_iter().map(pair).collect::<Result<_, _>>()?)
            }
            plain => Parameter::Plain(plain),
        })
    }
}

/// A value whose templates take `||` as text.
///
/// # Errors
/// As [`Template::parse_without_fallback`].
pub(super) fn parse_without_fallback(value: Value) -> Result<Parameter, TemplateError> {
    Parameter::parse_with(value, Template::parse_without_fallback)
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parameter::parse(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn parameter() -> Parameter {
        let tree = json!({ "a": "${x}", "n": 1, "t": true, "deep": { "gone": "${y}", "list": ["${y}", "${x}!"] }, "empty": { "z": "${y}" } });
        Parameter::parse(tree).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn incomplete_leaves_are_dropped_or_refused() {
        let extras = [("x", "${y}")];
        let context = Context::new(DateTime::UNIX_EPOCH, "").extras(&extras);
        let kept = json!({ "a": "${y}", "n": 1, "t": true, "deep": { "list": ["${y}!"] } });
        assert_eq!(parameter().resolve_or_drop(&context), Some(kept));
        assert_eq!(parameter().resolve(&context), Err(Unresolved { names: vec!["y".to_owned()] }));
        let extras = [("x", "1"), ("y", "2")];
        let context = context.extras(&extras);
        let full = json!({ "a": "1", "n": 1, "t": true, "deep": { "gone": "2", "list": ["2", "1!"] }, "empty": { "z": "2" } });
        assert_eq!(parameter().resolve(&context), Ok(full));
        assert_eq!(parameter().templates().len(), 5);
    }

    #[test]
    fn form_text_prints_plain_values() {
        let context = Context::new(DateTime::UNIX_EPOCH, "r");
        for (value, expected) in [
            (json!("a${random}"), "ar"),
            (json!(5), "5"),
            (json!(false), "false"),
            (json!({"a": [1]}), "{\"a\":[1]}"),
        ] {
            let text = Parameter::parse(value.clone()).map(|parameter| parameter.resolve_text(&context));
            assert_eq!(text, Ok(Ok(expected.to_owned())), "{value}");
        }
    }
}
