//! What can be wrong with an input: the members of `errors` in the validation envelope. Built by the readers; the edge puts
//! them under `invalid_body`, `invalid_query_params`, `invalid_uri_params` or `invalid_headers`.

use serde::Serialize;
use utoipa::ToSchema;

/// The kind of an issue; serialised as its wire code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssueCode {
    /// Wrong JSON type, missing required member, unparsable number or date.
    InvalidType,
    /// Unknown members of a strict object; one issue lists them all.
    UnrecognizedKeys,
    /// Text that does not have the required form.
    InvalidFormat,
    TooSmall,
    TooBig,
    /// Outside an enumeration or the boolean texts.
    InvalidValue,
    /// No alternative matches, or an unknown discriminator.
    InvalidUnion,
    /// A map key of the wrong form.
    InvalidKey,
    /// A rule across fields, or one that needs more than the value.
    Custom,
    // Wire: only `POST /integrations` answers this code, for an unknown provider and a taken key.
    InvalidString,
}

/// One thing wrong with one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Issue {
    pub code: IssueCode,
    /// Free text for a person; never contains the value.
    pub message: String,
    // Wire: array indexes are texts too, `["syncs","0"]`.
    pub path: Vec<String>,
}

impl Issue {
    /// An issue at `path`.
    pub fn new(code: IssueCode, path: Vec<String>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path }
    }
}

/// Everything wrong with one part of a request, in the order in which its members are declared. Never empty in an `Err`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
#[error("{} invalid input field(s)", .0.len())]
pub struct Issues(Vec<Issue>);

impl Issues {
    /// A single issue found after reading, for example an unknown integration at `["allowed_integrations","0"]`.
    pub fn one(code: IssueCode, path: &[&str], message: impl Into<String>) -> Self {
        Self(vec![Issue::new(code, path.iter().map(ToString::to_string).collect(), message)])
    }

    /// The issues, in order.
    pub fn as_slice(&self) -> &[Issue] {
        &self.0
    }
}

impl From<Vec<Issue>> for Issues {
    fn from(issues: Vec<Issue>) -> Self {
        Self(issues)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_code_has_its_wire_spelling() {
        let cases = [
            (IssueCode::InvalidType, "invalid_type"),
            (IssueCode::UnrecognizedKeys, "unrecognized_keys"),
            (IssueCode::InvalidFormat, "invalid_format"),
            (IssueCode::TooSmall, "too_small"),
            (IssueCode::TooBig, "too_big"),
            (IssueCode::InvalidValue, "invalid_value"),
            (IssueCode::InvalidUnion, "invalid_union"),
            (IssueCode::InvalidKey, "invalid_key"),
            (IssueCode::Custom, "custom"),
            (IssueCode::InvalidString, "invalid_string"),
        ];
        for (code, expected) in cases {
            assert_eq!(serde_json::to_value(code).ok(), Some(json!(expected)));
        }
    }

    #[test]
    fn issues_serialise_as_a_bare_list_with_text_paths() {
        let issues = Issues::one(IssueCode::Custom, &["allowed_integrations", "0"], "no such integration");
        let expected = json!([{"code": "custom", "message": "no such integration", "path": ["allowed_integrations", "0"]}]);
        assert_eq!(serde_json::to_value(issues).ok(), Some(expected));
    }
}
