//! What happens beside a sign-in, as data: steps after a connection was made and before it is deleted, and when an answer
//! proves credentials (`docs/CATALOG.md`; `spec` auth-flows, section 9). Run by `crate::hooks` and `crate::proxy`.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Parameter, Parameters, StatusMatch};
use crate::template::{Template, TemplateError};

/// One step of `post_connection` or `pre_deletion`. Its parts happen in the order in which they stand here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookStep {
    /// Skipped unless this holds.
    pub when: Option<HookCondition>,
    /// Skipped when this holds.
    pub unless: Option<HookCondition>,
    /// Made while the user of a `CUSTOM` provider signs in, with the user's own token.
    #[serde(default)]
    pub during_sign_in: bool,
    pub request: Option<HookRequest>,
    #[serde(default)]
    pub source: HookSource,
    pub select: Option<HookSelect>,
    /// What the connection config gains.
    #[serde(default)]
    pub set: IndexMap<String, HookValue>,
    /// What the metadata gain.
    #[serde(default)]
    pub set_metadata: IndexMap<String, HookValue>,
    /// What the connection config loses.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Also sets what the connect session decided.
    #[serde(default)]
    pub overwrite: bool,
}

/// Everything in it has to hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookCondition {
    /// Connection config that has no value.
    #[serde(deserialize_with = "one_or_many")]
    pub unset: Vec<String>,
    /// Connection config that has one.
    #[serde(deserialize_with = "one_or_many")]
    pub set: Vec<String>,
    /// Dotted name to value.
    pub equals: IndexMap<String, Value>,
    /// Dotted name to a part of the text, or of one of the texts, that it names.
    pub contains: IndexMap<String, String>,
}

/// A call with the connection's credentials.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    #[serde(default)]
    pub method: CallMethod,
    pub url: HookUrl,
    /// They win over `proxy.headers`.
    #[serde(default)]
    pub headers: IndexMap<String, Template>,
    pub json: Option<Parameter>,
    #[serde(default)]
    pub form: Parameters,
    /// Sends neither the credentials nor what `proxy` adds.
    #[serde(default)]
    pub without_credentials: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CallMethod {
    #[default]
    Get,
    Post,
    Put,
    Patch,
    Delete,
    /// Of WebDAV (RFC 4918, section 9.1).
    Propfind,
}

/// Where a call goes: below the base URL, or to a host that the entry spells out, so that no value of a connection can send
/// credentials elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum HookUrl {
    /// Starts with [`HookUrl::BELOW`], which stands for the base URL, so that values are encoded by their place.
    Below(Template),
    Absolute(Template),
}

/// Where a step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookSource {
    /// The last answer.
    #[default]
    Answer,
    /// What the last `select` found.
    Picked,
    /// The claims of the access token, whose signature is not looked at.
    Jwt,
    /// The answer of the token endpoint.
    RawToken,
    Credentials,
    Config,
}

/// Picks a part of the source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSelect {
    /// Dotted; absent: the whole source.
    pub path: Option<String>,
    /// Tried in order until one finds something; none: what is at the path.
    #[serde(default)]
    pub pick: Vec<HookPick>,
}

/// How an item of a list is picked; what is no list is a list of one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPick {
    First,
    /// The one item of a list of one.
    Only,
    /// The first in which every path has this value.
    Equals(Parameters),
    /// The first in which every path holds this text, whatever its case.
    Contains(IndexMap<String, Template>),
    /// The first in which every path is an address on a host that begins with this label.
    HostLabel(IndexMap<String, Template>),
}

/// One value to keep.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookValue {
    /// Dotted paths in the source, of which the first with a value counts; none: the whole source.
    #[serde(deserialize_with = "one_or_many")]
    pub path: Vec<String>,
    /// Instead of a path.
    pub value: Option<Template>,
    /// Instead of a path: whether the step's request was answered with 2xx.
    pub succeeded: bool,
    #[serde(rename = "as")]
    pub kind: Option<HookKind>,
    /// Of a path or address.
    pub last_path_segment: bool,
    /// What follows this text.
    pub after: Option<String>,
    pub hash: Option<HookHash>,
}

/// What a value is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    String,
    Number,
    Boolean,
    /// The answer of a token endpoint, which gets the time at which its token ends.
    Token,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookHash {
    /// Finds the connection of an address without keeping the address (`spec` auth-flows, section 9.1).
    EmailV1,
}

/// When an answer proves credentials. Everything in it has to hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidWhen {
    /// None: 2xx.
    pub status: Vec<StatusMatch>,
    /// Dotted path in the JSON or XML answer to the value that is there.
    pub equals: IndexMap<String, Value>,
    /// Paths that have a value.
    #[serde(deserialize_with = "one_or_many")]
    pub present: Vec<String>,
    /// Paths that have none.
    #[serde(deserialize_with = "one_or_many")]
    pub absent: Vec<String>,
    /// Texts that the body does not hold, whatever their case; a list of texts: not all of them together.
    #[serde(deserialize_with = "texts_together")]
    pub body_lacks: Vec<Vec<String>>,
}

impl HookStep {
    /// What is wrong with a step that can be read.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn check(&self) -> Result<(), String> {
        let does_something = self.request.is_some()
            || self.select.is_some()
            || !(self.set.is_empty() && self.set_metadata.is_empty() && self.unset.is_empty());
        if !does_something {
            return Err(
                "the step does nothing: it needs `request`, `select`, `set`, `set_metadata` or `unset`"
                    .to_owned(),
            );
        }
        if let Some(request) = &self.request {
            request.check()?;
        }
        for (name, value) in self.set.iter().chain(&self.set_metadata) {
            value.check(self.request.is_some()).map_err(|problem| format!("`{name}`: {problem}"))?;
        }
        Ok(())
    }
}

impl HookRequest {
    fn check(&self) -> Result<(), String> {
        let has_body = self.json.is_some() || !self.form.is_empty();
        if self.json.is_some() && !self.form.is_empty() {
            return Err("a request has `json` or `form`, not both".to_owned());
        }
        if has_body && self.method == CallMethod::Get {
            return Err("a GET has no body".to_owned());
        }
        Ok(())
    }
}

impl HookValue {
    fn check(&self, has_request: bool) -> Result<(), String> {
        let origins = [!self.path.is_empty(), self.value.is_some(), self.succeeded];
        if origins.iter().filter(|is_used| **is_used).count() > 1 {
            return Err("only one of `path`, `value` and `succeeded` says where it comes from".to_owned());
        }
        if self.succeeded && !has_request {
            return Err("`succeeded` tells of the step's `request`, and there is none".to_owned());
        }
        Ok(())
    }
}

impl HookCondition {
    /// Every dotted name that is looked at, the connection config apart.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.equals.keys().chain(self.contains.keys()).map(String::as_str)
    }
}

impl HookUrl {
    /// A base URL that cannot be reached, in front of the paths of [`HookUrl::Below`].
    pub const BELOW: &str = "https://base.invalid/";

    fn parse(text: &str) -> Result<Self, String> {
        let syntax = |error: TemplateError| error.to_string();
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '$']))
        else {
            let below = format!("{}{}", Self::BELOW, text.trim_start_matches('/'));
            return Template::parse_without_fallback(&below).map(HookUrl::Below).map_err(syntax);
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['$', '@']) {
            return Err(format!(
                "`{text}` must be a path below the base URL, or an address whose host is written out"
            ));
        }
        Template::parse_without_fallback(text).map(HookUrl::Absolute).map_err(syntax)
    }
}

impl<'de> Deserialize<'de> for HookUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        HookUrl::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The value at a dotted path, in which numbers are places in lists and a key may itself have dots; an empty path is the whole.
pub fn value_at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return Some(value);
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Value::Object(members) => match members.get(path) {
            Some(whole) => Some(whole),
            None => value_at(members.get(first)?, rest),
        },
        Value::Array(items) => value_at(items.get(first.parse::<usize>().ok()?)?, rest),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(texts: OneOrMany) -> Self {
        match texts {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany::deserialize(deserializer)
        .map(Vec::from)
        .map_err(|_| serde::de::Error::custom("expected a text or a list of texts"))
}

fn texts_together<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<String>>, D::Error> {
    let items = Vec::<OneOrMany>::deserialize(deserializer);
    items
        .map(|items| items.into_iter().map(Vec::from).collect())
        .map_err(|_| serde::de::Error::custom("expected a list of texts, or of lists of them"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(step: Value) -> Option<String> {
        match serde_json::from_value::<HookStep>(step) {
            Ok(step) => step.check().err(),
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn bad_steps_are_told_what_is_wrong() {
        let cases = [
            (json!({}), "the step does nothing"),
            (json!({"set": {"a": {"path": "x", "value": "y"}}}), "`a`: only one of `path`"),
            (json!({"set": {"a": {"succeeded": true}}}), "there is none"),
            (json!({"sets": {}}), "unknown field `sets`"),
            (json!({"request": {"url": "/x", "json": {}}}), "a GET has no body"),
            (json!({"request": {"url": "/x", "method": "POST", "json": {}, "form": {"a": 1}}}), "not both"),
            (json!({"request": {"url": "https://${connectionConfig.h}/x"}}), "whose host is written out"),
            (json!({"request": {"url": "https://a@b/x"}}), "whose host is written out"),
            (json!({"request": {"url": "ftp://a/x"}}), "whose host is written out"),
            (json!({"request": {"url": "/x/${"}}), "template syntax error"),
            (json!({"source": "moon", "unset": ["a"]}), "unknown variant `moon`"),
            (json!({"select": {"pick": ["last"]}}), "unknown variant `last`"),
            (json!({"when": {"unset": 1}, "unset": ["a"]}), "a text or a list of texts"),
        ];
        for (step, expected) in cases {
            let found = problem(step.clone()).unwrap_or_default();
            assert!(found.contains(expected), "{step}: {found}");
        }
        assert_eq!(problem(json!({"request": {"url": "https://a.test/${connectionConfig.x}"}})), None);
        assert_eq!(
            problem(json!({"when": {"unset": "x"}, "select": {"pick": ["only", {"equals": {"a": true}}]}})),
            None
        );
    }

    #[test]
    fn paths_and_addresses_are_told_apart() {
        for (text, is_absolute) in [
            ("/v1/me", false),
            ("v1/me?to=https://x", false),
            ("https://a.test/me", true),
            ("${x}://y", false),
        ] {
            let url = HookUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(matches!(url, HookUrl::Absolute(_)), is_absolute, "{text}");
        }
    }
}
