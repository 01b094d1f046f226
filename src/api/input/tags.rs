//! Tags, end users and organizations as callers send them (`http-api` sections 4.4 and 4.5), and the tags a connection gets
//! from its end user. Called by the connection and connect session handlers. Pure.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::formats::{EMAIL, TAG_KEY, TAG_VALUE, TextRule, cut_to_length};
use super::issue::IssueCode;
use super::reader::ObjectReader;

/// Tags in the order given.
pub type Tags = IndexMap<String, String>;

const MAX_TAGS: usize = 10;
const EMAIL_TAG: &str = "end_user_email";

/// A rule about tags as a whole that is broken; the text is for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    #[error("at most {MAX_TAGS} tags are allowed")]
    TooMany,
    #[error("two tag keys differ only in letter case")]
    Duplicate,
    #[error("the tag {EMAIL_TAG} must be an e-mail address")]
    Email,
    #[error("a tag key or value is malformed")]
    Malformed,
}

/// The end user of a connection, as given in `end_user`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndUser {
    pub id: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    /// Letter case of the keys is kept; values may be empty.
    pub tags: Option<Tags>,
}

impl EndUser {
    /// Reads the object: `body.optional_nested("end_user", EndUser::read)`.
    pub fn read(reader: &mut ObjectReader<'_>) -> Self {
        Self {
            id: reader.required_text("id", &TextRule::length(1, 255)),
            email: reader.optional_text("email", &EMAIL),
            display_name: reader.optional_text("display_name", &TextRule::length(0, 255)),
            tags: read_tags_under(reader, "tags", &TextRule::length(0, 255)),
        }
    }
}

/// The organization of an end user, as given in `organization`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organization {
    /// May be empty.
    pub id: String,
    pub display_name: Option<String>,
}

impl Organization {
    /// Reads the object: `body.optional_nested("organization", Organization::read)`.
    pub fn read(reader: &mut ObjectReader<'_>) -> Self {
        Self {
            id: reader.required_text("id", &TextRule::length(0, 255)),
            display_name: reader.optional_text("display_name", &TextRule::length(0, 255)),
        }
    }
}

/// Reads tags and lower-cases their keys.
pub fn read_tags(reader: &mut ObjectReader<'_>, name: &'static str) -> Option<Tags> {
    let tags = read_tags_under(reader, name, &TAG_VALUE)?;
    Some(tags.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect())
}

/// The tags of a connection: those generated from its end user and organization, overridden key by key by the explicit ones
/// (keys already in lower case, as [`read_tags`] gives them). Troubles of the generated part only make it smaller.
///
/// # Errors
/// The union breaks a rule of section 4.4; the caller answers with a `custom` issue at `["tags"]`.
pub fn derived_tags(
    end_user: Option<&EndUser>,
    organization: Option<&Organization>,
    explicit: Option<&Tags>,
) -> Result<Tags, TagsError> {
    let mut tags = generated_tags(end_user, organization);
    tags.extend(explicit.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    check_tags(&tags)?;
    Ok(tags)
}

/// Whether tags as a whole satisfy section 4.4.
///
/// # Errors
/// The first rule broken.
pub fn check_tags(tags: &Tags) -> Result<(), TagsError> {
    if let Some(error) = broken_rules(tags).first() {
        return Err(*error);
    }
    let is_well_formed = |(key, value): (&String, &String)| TAG_KEY.accepts(key) && TAG_VALUE.accepts(value);
    if tags.iter().all(is_well_formed) { Ok(()) } else { Err(TagsError::Malformed) }
}

fn read_tags_under(reader: &mut ObjectReader<'_>, name: &'static str, value_rule: &TextRule) -> Option<Tags> {
    let tags = reader.text_map(name, &TAG_KEY, value_rule)?;
    for error in broken_rules(&tags) {
        reader.issue(IssueCode::Custom, name, error.to_string());
    }
    Some(tags)
}

fn broken_rules(tags: &Tags) -> Vec<TagsError> {
    let different: HashSet<String> = tags.keys().map(|key| key.to_ascii_lowercase()).collect();
    let is_bad_email =
        |(key, value): (&String, &String)| key.eq_ignore_ascii_case(EMAIL_TAG) && !EMAIL.accepts(value);
    [
        (tags.len() > MAX_TAGS, TagsError::TooMany),
        (different.len() < tags.len(), TagsError::Duplicate),
        (tags.iter().any(is_bad_email), TagsError::Email),
    ]
    .into_iter()
    .filter_map(|(is_broken, error)| is_broken.then_some(error))
    .collect()
}

fn generated_tags(end_user: Option<&EndUser>, organization: Option<&Organization>) -> Tags {
    let base = base_tags(end_user, organization);
    let own = end_user.and_then(|user| user.tags.as_ref()).map(normalized_own_tags).unwrap_or_default();
    let mut whole = base.clone();
    whole.extend(own);
    // Covers both "too many: without the own tags" and "still invalid: without the own tags, or none".
    [whole, base].into_iter().find(|tags| check_tags(tags).is_ok()).unwrap_or_default()
}

fn base_tags(end_user: Option<&EndUser>, organization: Option<&Organization>) -> Tags {
    let values = [
        ("end_user_id", end_user.map(|user| user.id.as_str())),
        (EMAIL_TAG, end_user.and_then(|user| user.email.as_deref())),
        ("end_user_display_name", end_user.and_then(|user| user.display_name.as_deref())),
        ("organization_id", organization.map(|organization| organization.id.as_str())),
        (
            "organization_display_name",
            organization.and_then(|organization| organization.display_name.as_deref()),
        ),
    ];
    values
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
        .map(|(key, value)| (key.to_owned(), cut_to_length(value, TAG_VALUE.max).to_owned()))
        .collect()
}

/// Keys in lower case and cut, invalid ones left out; values cut.
fn normalized_own_tags(own: &Tags) -> Tags {
    own.iter()
        .map(|(key, value)| (key.to_lowercase(), value))
        .map(|(key, value)| (cut_to_length(&key, TAG_KEY.max).to_owned(), value))
        .filter(|(key, _)| TAG_KEY.accepts(key))
        .map(|(key, value)| (key, cut_to_length(value, TAG_VALUE.max).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::reader::read_object;
    use super::super::{Issue, Issues};
    use super::*;

    fn shown(issues: &Issues) -> Vec<String> {
        let show = |issue: &Issue| {
            let code = serde_json::to_value(issue.code).unwrap();
            format!("{} {}", code.as_str().unwrap(), issue.path.join("|"))
        };
        issues.as_slice().iter().map(show).collect()
    }

    fn many(count: usize) -> Value {
        (0..count).map(|number| (format!("k{number}"), json!("v"))).collect()
    }

    fn tags_of(value: Value) -> Tags {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn tags_are_lower_cased_and_judged_one_by_one_then_as_a_whole() {
        let (x64, x65, x255, x256) = ("x".repeat(64), "x".repeat(65), "v".repeat(255), "v".repeat(256));
        let bad_key = format!("invalid_key tags|{x65}");
        let cases: Vec<(Value, Result<Value, Vec<&str>>)> = vec![
            (json!({}), Ok(json!({}))),
            (json!({"Plan": "Pro"}), Ok(json!({"plan": "Pro"}))),
            (json!({x64.clone(): x255}), Ok(json!({x64: x255}))),
            (json!({"end_user_email": "a@b.cd"}), Ok(json!({"end_user_email": "a@b.cd"}))),
            (many(10), Ok(many(10))),
            (many(11), Err(vec!["custom tags"])),
            (json!({"a": "1", "A": "2"}), Err(vec!["custom tags"])),
            (json!({"END_USER_EMAIL": "nobody"}), Err(vec!["custom tags"])),
            (json!({"a": ""}), Err(vec!["too_small tags|a"])),
            (json!({"a": x256}), Err(vec!["too_big tags|a"])),
            (json!({"a": 1}), Err(vec!["invalid_type tags|a"])),
            (json!({"1a": ""}), Err(vec!["invalid_key tags|1a"])),
            (json!({x65.clone(): "v"}), Err(vec![&bad_key])),
            (json!({"a b": "v", "c": ""}), Err(vec!["invalid_key tags|a b", "too_small tags|c"])),
            (json!([]), Err(vec!["invalid_type tags"])),
            (json!(null), Err(vec!["invalid_type tags"])),
        ];
        for (tags, expected) in cases {
            let body = json!({ "tags": tags });
            let read = read_object(Some(&body), |body| read_tags(body, "tags"));
            let read = read.map(|tags| json!(tags)).map_err(|issues| shown(&issues));
            let expected =
                expected.map_err(|issues| issues.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(read, expected, "{tags}");
        }
    }

    #[test]
    fn end_users_and_organizations_are_strict_and_report_in_order() {
        let x256 = "x".repeat(256);
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!({"end_user": {"id": "u1"}}), vec![]),
            (
                json!({"end_user": {"id": "u1", "email": "u1@example.com", "display_name": "", "tags": {"Seat": ""}},
                       "organization": {"id": ""}}),
                vec![],
            ),
            (json!({"end_user": "u1"}), vec!["invalid_type end_user"]),
            (json!({"end_user": {}}), vec!["invalid_type end_user|id"]),
            (
                json!({"end_user": {"plan": 1, "id": "", "email": "a@b", "display_name": x256, "tags": {"a": 1, "A": "2"}},
                       "organization": {"id": x256, "display_name": null, "x": 1}}),
                vec![
                    "too_small end_user|id",
                    "invalid_format end_user|email",
                    "too_small end_user|email",
                    "too_big end_user|display_name",
                    "invalid_type end_user|tags|a",
                    "custom end_user|tags",
                    "unrecognized_keys end_user",
                    "too_big organization|id",
                    "invalid_type organization|display_name",
                    "unrecognized_keys organization",
                ],
            ),
        ];
        for (body, expected) in cases {
            let read = read_object(Some(&body), |body| {
                body.optional_nested("end_user", EndUser::read);
                body.optional_nested("organization", Organization::read);
            });
            assert_eq!(read.map_err(|issues| shown(&issues)).err().unwrap_or_default(), expected, "{body}");
        }
    }

    #[test]
    fn end_user_tags_keep_their_letter_case() {
        let body = json!({"end_user": {"id": "123", "tags": {"projectId": "9"}}});
        let user = read_object(Some(&body), |body| body.required_nested("end_user", EndUser::read)).unwrap();
        assert_eq!(user.tags, Some(tags_of(json!({"projectId": "9"}))));
    }

    fn user(tags: Value) -> EndUser {
        EndUser {
            id: "u1".to_owned(),
            email: Some("u1@example.com".to_owned()),
            display_name: Some("Una".to_owned()),
            tags: Some(tags_of(tags)),
        }
    }

    #[test]
    fn tags_come_from_the_end_user_then_its_own_tags_then_the_explicit_ones() {
        let base =
            json!({"end_user_id": "u1", "end_user_email": "u1@example.com", "end_user_display_name": "Una"});
        let plus = |more: Value| {
            let mut tags = tags_of(base.clone());
            tags.extend(tags_of(more));
            json!(tags)
        };
        let cases = [
            ("no own tags", json!({}), json!({}), Ok(base.clone())),
            (
                "own keys are lower-cased",
                json!({"projectId": "9"}),
                json!({}),
                Ok(plus(json!({"projectid": "9"}))),
            ),
            (
                "own overrides base",
                json!({"End_User_Id": "x"}),
                json!({}),
                Ok(plus(json!({"end_user_id": "x"}))),
            ),
            ("explicit overrides own", json!({"a": "1"}), json!({"a": "2"}), Ok(plus(json!({"a": "2"})))),
            (
                "explicit overrides base",
                json!({}),
                json!({"end_user_id": "x"}),
                Ok(plus(json!({"end_user_id": "x"}))),
            ),
            (
                "invalid own keys are skipped",
                json!({"1a": "1", "b c": "2", "d": "3"}),
                json!({}),
                Ok(plus(json!({"d": "3"}))),
            ),
            ("seven own tags fit", many(7), json!({}), Ok(plus(many(7)))),
            ("eight own tags are all dropped", many(8), json!({}), Ok(base.clone())),
            (
                "an own tag that overrides does not count twice",
                many(7),
                json!({"k0": "w"}),
                Ok({
                    let mut tags = tags_of(plus(many(7)));
                    tags.insert("k0".to_owned(), "w".to_owned());
                    json!(tags)
                }),
            ),
            (
                "an empty own value drops the own tags",
                json!({"a": "", "b": "1"}),
                json!({}),
                Ok(base.clone()),
            ),
            (
                "a bad own e-mail drops the own tags",
                json!({"end_user_email": "x", "b": "1"}),
                json!({}),
                Ok(base.clone()),
            ),
            ("too many with the explicit ones", json!({}), many(8), Err(TagsError::TooMany)),
            ("a bad explicit e-mail", json!({}), json!({"end_user_email": "x"}), Err(TagsError::Email)),
        ];
        for (name, own, explicit, expected) in cases {
            let derived = derived_tags(Some(&user(own)), None, Some(&tags_of(explicit)));
            assert_eq!(derived.map(|tags| json!(tags)), expected, "{name}");
        }
    }

    #[test]
    fn empty_values_are_skipped_long_ones_cut_and_a_bad_base_gives_none() {
        let long = "\u{1F600}".repeat(200);
        let plain = |id: &str, email: Option<&str>| EndUser {
            id: id.to_owned(),
            email: email.map(str::to_owned),
            display_name: Some(String::new()),
            tags: None,
        };
        let organization = |id: &str, name: Option<&str>| Organization {
            id: id.to_owned(),
            display_name: name.map(str::to_owned),
        };
        let cases = [
            (None, None, json!({})),
            (
                Some(plain("u1", None)),
                Some(organization("", Some("O"))),
                json!({"end_user_id": "u1", "organization_display_name": "O"}),
            ),
            (None, Some(organization("o9", None)), json!({"organization_id": "o9"})),
            (Some(plain(&long, None)), None, json!({"end_user_id": "\u{1F600}".repeat(127)})),
            (Some(plain("u1", Some("nobody"))), None, json!({})),
        ];
        for (user, organization, expected) in cases {
            let derived = derived_tags(user.as_ref(), organization.as_ref(), None);
            assert_eq!(derived.map(|tags| json!(tags)), Ok(expected));
        }
    }

    #[test]
    fn long_own_keys_and_values_are_cut() {
        let own = json!({"K".repeat(70): "v".repeat(300)});
        let derived = derived_tags(
            Some(&EndUser { id: "u".to_owned(), tags: Some(tags_of(own)), ..EndUser::default() }),
            None,
            None,
        );
        assert_eq!(derived.map(|tags| tags.get(&"k".repeat(64)).map(String::len)), Ok(Some(255)));
    }
}
