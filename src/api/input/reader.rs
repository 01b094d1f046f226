//! Reads one JSON object (or query tree) member by member and collects what is wrong with it, in the order of the reads.
//! Called by the input structs of the handlers. A required read that fails returns a placeholder, so that the struct can be
//! built and every later field is judged too; the placeholder cannot escape, because the whole read is then an `Err`.

use std::sync::LazyLock;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::formats::{TextRule, is_storable, text_length};
use super::issue::{Issue, IssueCode, Issues};
use super::shape::{self, Shape};

/// How many unknown members a message names; the answer to a hostile body must not grow with it.
const MAX_NAMED_KEYS: usize = 50;

static NO_MEMBERS: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// Reads a whole body, query or set of parameters. `None` is an absent body: one `invalid_type` issue with an empty path,
/// as for anything that is not an object.
///
/// # Errors
/// Every issue, in declaration order; unknown members of an object after that object's own.
pub fn read_object<'a, T>(
    value: Option<&'a Value>,
    read: impl FnOnce(&mut ObjectReader<'a>) -> T,
) -> Result<T, Issues> {
    let Some(Value::Object(members)) = value else {
        return Err(Issues::one(IssueCode::InvalidType, &[], not_a("object", value)));
    };
    let mut reader = ObjectReader::new(members, Vec::new());
    let result = read(&mut reader);
    match reader.finish() {
        issues if issues.is_empty() => Ok(result),
        issues => Err(issues.into()),
    }
}

/// Accepts only an absent body or an empty object, as the routes without input do.
///
/// # Errors
/// The unknown members, or the wrong type.
pub fn read_nothing(value: Option<&Value>) -> Result<(), Issues> {
    value.map_or(Ok(()), |value| read_object(Some(value), |_| ()))
}

/// One object being read. Members that no read named are unknown, which is an issue unless [`Self::ignore_unknown`].
pub struct ObjectReader<'a> {
    members: &'a Map<String, Value>,
    path: Vec<String>,
    known: Vec<&'static str>,
    ignores_unknown: bool,
    pub(super) issues: Vec<Issue>,
    /// Present when the reads are asked what they accept, instead of being given an object.
    shape: Option<Box<Shape>>,
}

impl<'a> ObjectReader<'a> {
    pub(super) fn new(members: &'a Map<String, Value>, path: Vec<String>) -> Self {
        Self { members, path, known: Vec::new(), ignores_unknown: false, issues: Vec::new(), shape: None }
    }

    pub(super) fn describing() -> Self {
        Self { shape: Some(Box::default()), ..Self::new(&NO_MEMBERS, Vec::new()) }
    }

    pub(super) fn into_schema(self) -> Value {
        let ignores_unknown = self.ignores_unknown;
        self.shape.map(|shape| shape.into_schema(ignores_unknown)).unwrap_or_default()
    }

    /// Says what a member may be, for reads that judge its value themselves. `schema` is JSON Schema.
    pub fn describes(&mut self, name: &'static str, schema: impl FnOnce() -> Value) {
        if let Some(shape) = &mut self.shape {
            shape.note(name, schema());
        }
    }

    fn describes_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut ObjectReader<'a>) -> T,
    ) -> T {
        let (placeholder, schema) = shape::describe(read);
        self.describes(name, || schema);
        placeholder
    }

    pub(super) fn describes_required(&mut self, name: &'static str) {
        if let Some(shape) = &mut self.shape {
            shape.require(name);
        }
    }

    fn is_describing(&self) -> bool {
        self.shape.is_some()
    }

    /// Unknown members are not an issue in this object.
    pub fn ignore_unknown(&mut self) {
        self.ignores_unknown = true;
    }

    /// Whether the member is there, whatever its value. Does not make it known.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Every member as it came, for free objects that are kept whole.
    pub fn members(&self) -> &'a Map<String, Value> {
        self.members
    }

    /// Any JSON value.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.describes(name, || Value::Object(Map::new()));
        self.known.push(name);
        self.members.get(name)
    }

    /// Records an issue at this object's member, for rules that go beyond one field.
    pub fn issue(&mut self, code: IssueCode, name: &str, message: impl Into<String>) {
        self.issues.push(Issue::new(code, self.path_to(&[name]), message));
    }

    /// Records an issue at one item of this object's member.
    pub fn issue_at_item(&mut self, code: IssueCode, name: &str, index: usize, message: impl Into<String>) {
        self.issues.push(Issue::new(code, self.path_to(&[name, &index.to_string()]), message));
    }

    /// A text, required.
    pub fn required_text(&mut self, name: &'static str, rule: &TextRule) -> String {
        self.required(name, "string", |reader| reader.optional_text(name, rule))
    }

    /// A text.
    pub fn optional_text(&mut self, name: &'static str, rule: &TextRule) -> Option<String> {
        self.describes(name, || shape::text(rule));
        let value = self.value(name)?;
        let path = self.path_to(&[name]);
        self.text_at(value, rule, path)
    }

    /// A text under `rule`, or the empty text; anything else is `invalid_union`.
    pub fn optional_text_or_empty(&mut self, name: &'static str, rule: &TextRule) -> Option<String> {
        self.describes(name, || shape::text_or_empty(rule));
        match self.value(name)? {
            Value::String(text) if text.is_empty() || rule.accepts(text) => Some(text.clone()),
            _ => {
                let expected = rule.format.map_or("a text", |format| format.description());
                self.issue(IssueCode::InvalidUnion, name, format!("must be {expected}, or empty"));
                None
            }
        }
    }

    /// An object kept as it came, whatever its members.
    pub fn optional_object(&mut self, name: &'static str) -> Option<&'a Map<String, Value>> {
        self.describes(name, || json!({"type": "object"}));
        let value = self.value(name)?;
        if value.is_object() { value.as_object() } else { self.wrong_type(name, "object", value) }
    }

    /// An object kept as it came, required.
    pub fn required_object(&mut self, name: &'static str) -> &'a Map<String, Value> {
        self.describes(name, || json!({"type": "object"}));
        self.describes_required(name);
        match self.value(name) {
            Some(Value::Object(members)) => members,
            value => {
                self.issue(IssueCode::InvalidType, name, not_a("object", value));
                &NO_MEMBERS
            }
        }
    }

    /// A list of at most `max` values of any type.
    pub fn optional_list(&mut self, name: &'static str, max: usize) -> Option<&'a [Value]> {
        self.describes(name, || shape::list(json!({}), max));
        let value = self.value(name)?;
        let Value::Array(items) = value else { return self.wrong_type(name, "array", value) };
        if items.len() > max {
            self.issue(IssueCode::TooBig, name, format!("must have at most {max} items"));
        }
        Some(items)
    }

    /// A list of texts; issues at `[name, index]`.
    pub fn list_of_text(&mut self, name: &'static str, rule: &TextRule, max: usize) -> Option<Vec<String>> {
        self.describes(name, || shape::list(shape::text(rule), max));
        self.list_of(name, max, |reader, item, path| reader.text_at(item, rule, path).unwrap_or_default())
    }

    /// A list of strict objects; issues at `[name, index, ..]`.
    pub fn list_of_objects<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut ObjectReader<'a>) -> T,
    ) -> Option<Vec<T>> {
        self.describes(name, || shape::list(shape::describe_object(&mut read), max));
        self.list_of(name, max, |reader, item, path| reader.object_at(Some(item), path, &mut read))
    }

    /// One text or a list of at most `max` texts, as a list; anything else is one `invalid_union` at the member.
    pub fn text_or_list(&mut self, name: &'static str, rule: &TextRule, max: usize) -> Option<Vec<String>> {
        self.describes(name, || {
            let text = shape::text(rule);
            json!({"anyOf": [text, shape::list(text.clone(), max)]})
        });
        let accepted = |item: &Value| item.as_str().filter(|text| rule.accepts(text)).map(str::to_owned);
        let texts = match self.value(name)? {
            Value::Array(items) if items.len() <= max => {
                items.iter().map(accepted).collect::<Option<Vec<_>>>()
            }
            value => accepted(value).map(|text| vec![text]),
        };
        if texts.is_none() {
            self.issue(IssueCode::InvalidUnion, name, "must be a valid text or a list of valid texts");
        }
        texts
    }

    /// One text or a list of texts, required.
    pub fn required_text_or_list(&mut self, name: &'static str, rule: &TextRule, max: usize) -> Vec<String> {
        self.describes_required(name);
        if !self.has(name) && !self.is_describing() {
            self.known.push(name);
            self.issue(IssueCode::InvalidUnion, name, "is required: a text or a list of texts");
            return Vec::new();
        }
        self.text_or_list(name, rule, max).unwrap_or_default()
    }

    /// A map from text to text; a bad key is `invalid_key` at `[name, key]` and its value is not judged.
    pub fn text_map(
        &mut self,
        name: &'static str,
        key_rule: &TextRule,
        value_rule: &TextRule,
    ) -> Option<IndexMap<String, String>> {
        self.describes(name, || shape::map(key_rule, shape::text(value_rule)));
        self.map_of(name, key_rule, |reader, value, path| {
            reader.text_at(value, value_rule, path).unwrap_or_default()
        })
    }

    /// A map from text to strict objects.
    pub fn map_of_objects<T>(
        &mut self,
        name: &'static str,
        key_rule: &TextRule,
        mut read: impl FnMut(&mut ObjectReader<'a>) -> T,
    ) -> Option<IndexMap<String, T>> {
        self.describes(name, || shape::map(key_rule, shape::describe_object(&mut read)));
        self.map_of(name, key_rule, |reader, value, path| reader.object_at(Some(value), path, &mut read))
    }

    /// A strict object, read by `read`.
    pub fn optional_nested<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut ObjectReader<'a>) -> T,
    ) -> Option<T> {
        if self.is_describing() {
            self.describes_object(name, read);
            return None;
        }
        let value = self.value(name)?;
        let path = self.path_to(&[name]);
        Some(self.object_at(Some(value), path, read))
    }

    /// A strict object, required.
    pub fn required_nested<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut ObjectReader<'a>) -> T,
    ) -> T {
        if self.is_describing() {
            self.describes_required(name);
            return self.describes_object(name, read);
        }
        let value = self.value(name);
        let path = self.path_to(&[name]);
        self.object_at(value, path, read)
    }

    /// A strict object, required unless the member `other` is there. When both are given, both are judged.
    pub fn nested_unless<T>(
        &mut self,
        name: &'static str,
        other: &'static str,
        read: impl FnOnce(&mut ObjectReader<'a>) -> T,
    ) -> Option<T> {
        if let Some(shape) = &mut self.shape {
            shape.require_one_of([name, other]);
        }
        if self.is_describing() || (self.has(other) && !self.has(name)) {
            return self.optional_nested(name, read);
        }
        Some(self.required_nested(name, read))
    }

    /// The issues of this object, the one about unknown members last.
    pub(super) fn finish(mut self) -> Vec<Issue> {
        let is_unknown = |name: &&String| !self.known.contains(&name.as_str());
        let unknown: Vec<&str> = self.members.keys().filter(is_unknown).map(String::as_str).collect();
        if !self.ignores_unknown && !unknown.is_empty() {
            let named = &unknown[..unknown.len().min(MAX_NAMED_KEYS)];
            let rest = if named.len() < unknown.len() { ", ..." } else { "" };
            let message = format!("unknown {}: {}{rest}", plural("key", unknown.len()), named.join(", "));
            self.issues.push(Issue::new(IssueCode::UnrecognizedKeys, self.path, message));
        }
        self.issues
    }

    pub(super) fn path_to(&self, names: &[&str]) -> Vec<String> {
        self.path.iter().cloned().chain(names.iter().map(ToString::to_string)).collect()
    }

    /// `read`, or an `invalid_type` issue and the default when the member is absent.
    pub(super) fn required<T: Default>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> T {
        self.describes_required(name);
        if !self.has(name) && !self.is_describing() {
            self.known.push(name);
            self.issue(IssueCode::InvalidType, name, not_a(expected, None));
            return T::default();
        }
        read(self).unwrap_or_default()
    }

    pub(super) fn wrong_type<T>(&mut self, name: &str, expected: &str, value: &Value) -> Option<T> {
        self.issue(IssueCode::InvalidType, name, not_a(expected, Some(value)));
        None
    }

    fn text_at(&mut self, value: &Value, rule: &TextRule, path: Vec<String>) -> Option<String> {
        let Value::String(text) = value else {
            self.issues.push(Issue::new(IssueCode::InvalidType, path, not_a("string", Some(value))));
            return None;
        };
        for (code, message) in text_problems(text, rule) {
            self.issues.push(Issue::new(code, path.clone(), message));
        }
        Some(text.clone())
    }

    fn object_at<T>(
        &mut self,
        value: Option<&'a Value>,
        path: Vec<String>,
        read: impl FnOnce(&mut ObjectReader<'a>) -> T,
    ) -> T {
        let Some(Value::Object(members)) = value else {
            self.issues.push(Issue::new(IssueCode::InvalidType, path, not_a("object", value)));
            return read(&mut ObjectReader::new(&NO_MEMBERS, Vec::new()));
        };
        let mut child = ObjectReader::new(members, path);
        let result = read(&mut child);
        self.issues.extend(child.finish());
        result
    }

    fn list_of<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Self, &'a Value, Vec<String>) -> T,
    ) -> Option<Vec<T>> {
        let value = self.value(name)?;
        let Value::Array(items) = value else { return self.wrong_type(name, "array", value) };
        let mut results = Vec::with_capacity(items.len().min(max));
        for (index, item) in items.iter().enumerate().take(max) {
            let path = self.path_to(&[name, &index.to_string()]);
            results.push(read(self, item, path));
        }
        if items.len() > max {
            self.issue(IssueCode::TooBig, name, format!("must have at most {max} items"));
        }
        Some(results)
    }

    fn map_of<T>(
        &mut self,
        name: &'static str,
        key_rule: &TextRule,
        mut read: impl FnMut(&mut Self, &'a Value, Vec<String>) -> T,
    ) -> Option<IndexMap<String, T>> {
        let members = self.optional_object(name)?;
        let mut results = IndexMap::new();
        for (key, value) in members {
            let path = self.path_to(&[name, key]);
            if let Some((_, problem)) = text_problems(key, key_rule).next() {
                self.issues.push(Issue::new(IssueCode::InvalidKey, path, format!("the key {problem}")));
            } else {
                results.insert(key.clone(), read(self, value, path));
            }
        }
        Some(results)
    }
}

/// What is wrong with a text: its form first, then its length.
fn text_problems(text: &str, rule: &TextRule) -> impl Iterator<Item = (IssueCode, String)> {
    let length = text_length(text);
    let form = rule
        .format
        .filter(|format| !format.matches(text))
        .map(|format| (IssueCode::InvalidFormat, format!("must be {}", format.description())));
    let nul = || (IssueCode::InvalidFormat, "must not hold the character U+0000".to_owned());
    let form = form.or_else(|| (!is_storable(text)).then(nul));
    let (min, max) = (rule.min, rule.max);
    let short = (length < min)
        .then(|| (IssueCode::TooSmall, format!("must have at least {min} {}", plural("character", min))));
    let long = (length > max)
        .then(|| (IssueCode::TooBig, format!("must have at most {max} {}", plural("character", max))));
    [form, short, long].into_iter().flatten()
}

/// "expected string, got number", or that the member is required.
pub(super) fn not_a(expected: &str, value: Option<&Value>) -> String {
    let got = match value {
        None => return format!("is required ({expected})"),
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
    };
    format!("expected {expected}, got {got}")
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::super::formats::{CONNECTION_ID, EMAIL, MODEL, PROVIDER_CONFIG_KEY, SCOPES};
    use super::*;

    const SHORT: TextRule = TextRule::length(1, 3);

    fn shown(issues: &Issues) -> Vec<String> {
        let show =
            |issue: &Issue| format!("{} {}", json!(issue.code).as_str().unwrap(), issue.path.join("|"));
        issues.as_slice().iter().map(show).collect()
    }

    /// Reads each body and compares the issues; no issues means that the read must succeed.
    fn check<T>(read: impl Fn(&mut ObjectReader<'_>) -> T, cases: &[(Value, &[&str])]) {
        for (body, expected) in cases {
            let issues =
                read_object(Some(body), &read).err().map(|issues| shown(&issues)).unwrap_or_default();
            assert_eq!(&issues, expected, "{body}");
        }
    }

    #[test]
    fn anything_but_an_object_is_one_issue_without_a_path() {
        for body in [None, Some(json!(null)), Some(json!([])), Some(json!("x")), Some(json!(1))] {
            let issues = read_object(body.as_ref(), |body| body.required_text("a", &SHORT)).unwrap_err();
            assert_eq!(shown(&issues), ["invalid_type "], "{body:?}");
        }
    }

    #[test]
    fn routes_without_input_take_nothing_or_an_empty_object() {
        let cases =
            [(None, true), (Some(json!({})), true), (Some(json!({"a": 1})), false), (Some(json!([])), false)];
        for (body, expected) in cases {
            assert_eq!(read_nothing(body.as_ref()).is_ok(), expected, "{body:?}");
        }
    }

    #[test]
    fn texts_report_the_form_before_the_length() {
        let long = "a".repeat(256);
        let long_and_bad = "/".repeat(256);
        check(
            |body| (body.required_text("k", &PROVIDER_CONFIG_KEY), body.optional_text("o", &SHORT)),
            &[
                (json!({"k": "acme"}), &[]),
                (json!({"k": "acme", "o": "abc"}), &[]),
                (json!({}), &["invalid_type k"]),
                (json!({"k": null, "o": null}), &["invalid_type k", "invalid_type o"]),
                (json!({"k": 1, "o": true}), &["invalid_type k", "invalid_type o"]),
                (json!({"k": ""}), &["invalid_format k"]),
                (json!({"k": "/"}), &["invalid_format k"]),
                (json!({"k": long}), &["too_big k"]),
                (json!({"k": long_and_bad}), &["invalid_format k", "too_big k"]),
                (json!({"k": "a", "o": ""}), &["too_small o"]),
                (json!({"k": "a", "o": "\u{1F600}\u{1F600}"}), &["too_big o"]),
            ],
        );
        check(|body| body.optional_text("m", &MODEL), &[(json!({"m": "A"}), &["invalid_format m"])]);
        check(
            |body| body.optional_text("e", &EMAIL),
            &[(json!({"e": "a@b"}), &["invalid_format e", "too_small e"])],
        );
    }

    #[test]
    fn issues_come_in_declaration_order_with_unknown_members_last() {
        let body = json!({"zzz": 1, "b": 1, "a": 1, "yyy": 2});
        let read =
            |body: &mut ObjectReader<'_>| (body.required_text("a", &SHORT), body.required_text("b", &SHORT));
        let issues = read_object(Some(&body), read).unwrap_err();
        assert_eq!(shown(&issues), ["invalid_type a", "invalid_type b", "unrecognized_keys "]);
        assert_eq!(issues.as_slice()[2].message, "unknown keys: zzz, yyy");
    }

    #[test]
    fn the_message_names_a_bounded_number_of_unknown_members() {
        let body: Value = (0..60).map(|number| (format!("k{number}"), json!(1))).collect();
        let issues = read_object(Some(&body), |_| ()).unwrap_err();
        let message = &issues.as_slice()[0].message;
        assert!(message.ends_with("k48, k49, ..."), "{message}");
    }

    #[test]
    fn unknown_members_can_be_ignored_per_object() {
        check(
            |body| {
                body.optional_nested("loose", |loose| {
                    loose.ignore_unknown();
                    loose.optional_text("a", &SHORT)
                })
            },
            &[
                (json!({"loose": {"a": "x", "b": 1}}), &[]),
                (json!({"loose": {"a": 1, "b": 1}}), &["invalid_type loose|a"]),
                (json!({"loose": {}, "b": 1}), &["unrecognized_keys "]),
            ],
        );
    }

    #[test]
    fn nested_objects_report_under_their_own_path() {
        check(
            |body| {
                body.required_nested("outer", |outer| {
                    outer.required_nested("inner", |inner| inner.required_text("a", &SHORT));
                    outer.optional_text("b", &SHORT)
                })
            },
            &[
                (json!({"outer": {"inner": {"a": "x"}}}), &[]),
                (json!({}), &["invalid_type outer"]),
                (json!({"outer": []}), &["invalid_type outer"]),
                (json!({"outer": {"b": ""}}), &["invalid_type outer|inner", "too_small outer|b"]),
                (
                    json!({"outer": {"inner": {"x": 1}, "b": "", "y": 1}, "z": 1}),
                    &[
                        "invalid_type outer|inner|a",
                        "unrecognized_keys outer|inner",
                        "too_small outer|b",
                        "unrecognized_keys outer",
                        "unrecognized_keys ",
                    ],
                ),
            ],
        );
    }

    #[derive(Debug, Default, PartialEq)]
    enum Credentials {
        #[default]
        None,
        ApiKey(String),
    }

    const KINDS: [&str; 2] = ["NONE", "API_KEY"];

    fn read_variant(kind: &str, reader: &mut ObjectReader<'_>) -> Option<Credentials> {
        match kind {
            "NONE" => Some(Credentials::None),
            "API_KEY" => Some(Credentials::ApiKey(reader.required_text("apiKey", &SHORT))),
            _ => None,
        }
    }

    #[test]
    fn discriminated_objects_point_at_the_discriminator() {
        check(
            |body| body.required_discriminated("c", "type", KINDS, read_variant),
            &[
                (json!({"c": {"type": "NONE"}}), &[]),
                (json!({"c": {"type": "API_KEY", "apiKey": "k"}}), &[]),
                (json!({}), &["invalid_type c"]),
                (json!({"c": null}), &["invalid_type c"]),
                (json!({"c": {}}), &["invalid_union c|type"]),
                (json!({"c": {"type": 1}}), &["invalid_union c|type"]),
                (json!({"c": {"type": "OTHER", "x": 1}}), &["invalid_union c|type"]),
                (
                    json!({"c": {"type": "API_KEY", "x": 1}}),
                    &["invalid_type c|apiKey", "unrecognized_keys c"],
                ),
                (json!({"c": {"type": "NONE", "apiKey": "k"}}), &["unrecognized_keys c"]),
            ],
        );
        let body = json!({"c": {"type": "API_KEY", "apiKey": "k"}});
        let read =
            read_object(Some(&body), |body| body.optional_discriminated("c", "type", KINDS, read_variant));
        assert_eq!(read, Ok(Some(Credentials::ApiKey("k".to_owned()))));
    }

    #[test]
    fn lists_report_each_bad_item() {
        check(
            |body| (body.list_of_text("l", &SHORT, 3), body.optional_list("raw", 1).map(<[_]>::len)),
            &[
                (json!({"l": [], "raw": [null]}), &[]),
                (json!({"l": ["a", 1, ""]}), &["invalid_type l|1", "too_small l|2"]),
                (json!({"l": ["a", "a", "a", 1]}), &["too_big l"]),
                (json!({"l": "a", "raw": {}}), &["invalid_type l", "invalid_type raw"]),
                (json!({"raw": [1, 2]}), &["too_big raw"]),
            ],
        );
        check(
            |body| body.list_of_objects("l", 2, |item| item.required_text("name", &SHORT)),
            &[
                (json!({"l": [{"name": "a"}]}), &[]),
                (json!({"l": [{"name": "a", "x": 1}, 5]}), &["unrecognized_keys l|0", "invalid_type l|1"]),
            ],
        );
    }

    #[test]
    fn unions_answer_one_issue_at_the_member() {
        check(
            |body| {
                (
                    body.required_text_or_list("id", &CONNECTION_ID, 2),
                    body.optional_text_or_empty("s", &SCOPES),
                )
            },
            &[
                (json!({"id": "c-1", "s": ""}), &[]),
                (json!({"id": [], "s": "read,write"}), &[]),
                (json!({"id": ["c-1", "c-2"]}), &[]),
                (json!({}), &["invalid_union id"]),
                (json!({"id": null, "s": null}), &["invalid_union id", "invalid_union s"]),
                (json!({"id": "", "s": "a b"}), &["invalid_union id", "invalid_union s"]),
                (json!({"id": ["c-1", "?"]}), &["invalid_union id"]),
                (json!({"id": ["a", "b", "c"]}), &["invalid_union id"]),
            ],
        );
        let one = read_object(Some(&json!({"id": "c-1"})), |body| body.text_or_list("id", &CONNECTION_ID, 2));
        assert_eq!(one, Ok(Some(vec!["c-1".to_owned()])));
    }

    #[test]
    fn maps_judge_keys_before_values() {
        check(
            |body| {
                body.text_map("m", &PROVIDER_CONFIG_KEY, &SHORT);
                body.map_of_objects("o", &PROVIDER_CONFIG_KEY, |entry| entry.optional_text("a", &SHORT))
            },
            &[
                (json!({"m": {}, "o": {}}), &[]),
                (json!({"m": {"k": "v"}, "o": {"k": {"a": "v"}}}), &[]),
                (
                    json!({"m": {"/": 1, "k": 1, "l": ""}}),
                    &["invalid_key m|/", "invalid_type m|k", "too_small m|l"],
                ),
                (
                    json!({"o": {"k": {"b": 1}, "/": 1, "l": 1}}),
                    &["unrecognized_keys o|k", "invalid_key o|/", "invalid_type o|l"],
                ),
                (json!({"m": [], "o": "x"}), &["invalid_type m", "invalid_type o"]),
            ],
        );
    }

    #[test]
    fn free_objects_and_values_are_kept_as_they_came() {
        let body = json!({"metadata": {"a": [1]}, "config": {"x": null}, "input": 0});
        let read = read_object(Some(&body), |body| {
            let metadata = body.required_object("metadata");
            (
                metadata.clone(),
                body.optional_object("config").cloned(),
                body.value("input").cloned(),
                body.members().len(),
            )
        });
        let (metadata, config, input, count) = read.unwrap();
        assert_eq!(
            (json!(metadata), json!(config), input, count),
            (json!({"a": [1]}), json!({"x": null}), Some(json!(0)), 3)
        );
        check(
            |body| (body.required_object("metadata").len(), body.optional_object("config").map(Map::len)),
            &[(json!({"config": 1}), &["invalid_type metadata", "invalid_type config"])],
        );
    }

    #[test]
    fn a_handler_adds_its_own_issues_in_place() {
        check(
            |body| {
                body.optional_text("a", &SHORT);
                body.issue(IssueCode::Custom, "a", "too old");
                body.issue_at_item(IssueCode::InvalidUnion, "syncs", 0, "must be a name");
                body.has("b")
            },
            &[(
                json!({"a": "", "b": 1}),
                &["too_small a", "custom a", "invalid_union syncs|0", "unrecognized_keys "],
            )],
        );
    }

    #[test]
    fn messages_never_repeat_a_value() {
        let body = json!({"a": "s3cret", "l": ["s3cret"], "m": {"k": "s3cret"}});
        let issues = read_object(Some(&body), |body| {
            body.optional_text("a", &SHORT);
            body.list_of_text("l", &SHORT, 9);
            body.text_map("m", &SHORT, &SHORT);
        });
        assert!(!json!(issues.unwrap_err()).to_string().contains("s3cret"));
    }
}
