//! What the names in a template stand for during one evaluation.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Everything a template can look up, borrowed: building one allocates nothing.
///
/// `now` and `random` are fixed for the life of the context, so that all headers of a request agree.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    now: DateTime<Utc>,
    random: &'a str,
    connection_config: Option<&'a Object>,
    credentials: Option<&'a Object>,
    metadata: Option<&'a Object>,
    assertion_option: Option<&'a Object>,
    found: Option<&'a Object>,
    steps: &'a [Value],
    extras: &'a [(&'a str, &'a str)],
    flat: [Option<&'a Object>; 2],
}

impl<'a> Context<'a> {
    /// A context that knows the time and one random text (a UUID v4), and no names.
    pub fn new(now: DateTime<Utc>, random: &'a str) -> Self {
        Context {
            now,
            random,
            connection_config: None,
            credentials: None,
            metadata: None,
            assertion_option: None,
            found: None,
            steps: &[],
            extras: &[],
            flat: [None; 2],
        }
    }

    /// Values under `connectionConfig.`.
    pub fn connection_config(self, values: &'a Object) -> Self {
        Context { connection_config: Some(values), ..self }
    }

    /// Values under `connectionConfig.` and by bare name, as URL templates want them.
    pub fn flat_connection_config(self, values: &'a Object) -> Self {
        Context { connection_config: Some(values), flat: [self.flat[0], Some(values)], ..self }
    }

    /// Values under `credentials.` and by bare name (`apiKey`, `username` ...).
    pub fn credentials(self, values: &'a Object) -> Self {
        Context { credentials: Some(values), flat: [Some(values), self.flat[1]], ..self }
    }

    /// Values under `metadata.`.
    pub fn metadata(self, values: &'a Object) -> Self {
        Context { metadata: Some(values), ..self }
    }

    /// Values under `assertionOption.`.
    pub fn assertion_option(self, values: &'a Object) -> Self {
        Context { assertion_option: Some(values), ..self }
    }

    /// What a hook found so far, under the names of its members (`answer.`, `jwt.` ...).
    pub fn found(self, values: &'a Object) -> Self {
        Context { found: Some(values), ..self }
    }

    /// Bodies of earlier responses: the first is `step1`.
    pub fn steps(self, bodies: &'a [Value]) -> Self {
        Context { steps: bodies, ..self }
    }

    /// Plain names (`accessToken`, `clientId`, `endpoint` ...). They win over credential fields.
    pub fn extras(self, pairs: &'a [(&'a str, &'a str)]) -> Self {
        Context { extras: pairs, ..self }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub(super) fn random(&self) -> &'a str {
        self.random
    }

    /// The value of `name` as text; none when absent, null, an object or a list.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        if let Some((_, value)) = self.extras.iter().find(|(extra, _)| *extra == name) {
            return Some(Cow::Borrowed(value));
        }
        let namespaced = name.split_once('.').and_then(|(root, path)| self.in_namespace(root, path));
        namespaced.or_else(|| self.flat.iter().flatten().find_map(|object| in_object(object, name)))
    }

    fn in_namespace(&self, root: &str, path: &str) -> Option<Cow<'a, str>> {
        let object = match root {
            "connectionConfig" => self.connection_config?,
            "credentials" => self.credentials?,
            "metadata" => self.metadata?,
            "assertionOption" => self.assertion_option?,
            _ => return self.in_step(root, path).or_else(|| in_value(self.found?.get(root)?, path)),
        };
        in_object(object, path)
    }

    fn in_step(&self, root: &str, path: &str) -> Option<Cow<'a, str>> {
        let number: usize = root.strip_prefix("step")?.parse().ok()?;
        in_value(self.steps.get(number.checked_sub(1)?)?, path)
    }
}

/// Descends dot by dot, and at each level also tries what is left as one key that contains the dots.
fn in_object<'a>(object: &'a Object, path: &str) -> Option<Cow<'a, str>> {
    let deeper =
        path.match_indices('.').find_map(|(dot, _)| in_value(object.get(&path[..dot])?, &path[dot + 1..]));
    deeper.or_else(|| object.get(path).and_then(scalar))
}

fn in_value<'a>(value: &'a Value, path: &str) -> Option<Cow<'a, str>> {
    match value {
        Value::Object(object) => in_object(object, path),
        Value::Array(items) => in_array(items, path),
        _ => None,
    }
}

fn in_array<'a>(items: &'a [Value], path: &str) -> Option<Cow<'a, str>> {
    let (index, rest) = path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
    let item = items.get(index.parse::<usize>().ok()?)?;
    rest.map_or_else(|| scalar(item), |rest| in_value(item, rest))
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Number(number) => Some(Cow::Owned(decimal(number))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Decimal text without a fraction that says nothing: `1.0` is written `1`, as JavaScript does.
fn decimal(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}
