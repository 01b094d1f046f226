//! Reading what callers send: query strings, JSON bodies, path parameters and headers become typed structs, and everything
//! that is wrong with them is reported at once. Called by handlers before they load anything. Pure: never does I/O, never
//! panics on any input, and never repeats a caller's value in a message (it may be a secret).
//!
//! A handler's input struct reads itself; fields are judged in the order in which they are written:
//!
//! ```
//! use hitchpost::api::input::{Issues, TextRule, formats, read_object};
//! use serde_json::{Value, json};
//!
//! struct NewEnvironment {
//!     name: String,
//!     is_production: Option<bool>,
//! }
//!
//! fn read_new_environment(body: Option<&Value>) -> Result<NewEnvironment, Issues> {
//!     read_object(body, |body| NewEnvironment {
//!         name: body.required_text("name", &formats::ENVIRONMENT_NAME),
//!         is_production: body.optional_bool("is_production"),
//!     })
//! }
//!
//! assert_eq!(read_new_environment(Some(&json!({"name": "staging"}))).map(|new| new.name).ok().as_deref(), Some("staging"));
//! assert!(read_new_environment(Some(&json!({"name": "staging", "colour": "red"}))).is_err());
//! ```

mod discriminated;
pub mod formats;
mod headers;
mod issue;
mod query;
mod reader;
mod scalars;
pub mod shape;
pub mod tags;
mod webhook_url;

pub use formats::TextRule;
pub use headers::headers_as_object;
pub use issue::{Issue, IssueCode, Issues};
pub use query::parse_query;
pub use reader::{ObjectReader, read_nothing, read_object};

/// Row ids: positive, and exact in JavaScript.
pub const ROW_ID: std::ops::RangeInclusive<i64> = 1..=9_007_199_254_740_991;

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::{Map, Value, json};
    use url::Url;

    use super::formats::PROVIDER_CONFIG_KEY;
    use super::tags::{EndUser, Organization, Tags, read_tags};
    use super::*;

    /// The richest body of the API, as a handler would declare it.
    struct NewSession {
        end_user: Option<EndUser>,
        organization: Option<Organization>,
        tags: Option<Tags>,
        allowed_integrations: Option<Vec<String>>,
        config_defaults: Option<IndexMap<String, ConfigDefaults>>,
        overrides: Option<IndexMap<String, Option<String>>>,
        webhook_url_override: Option<String>,
    }

    struct ConfigDefaults {
        authorization_params: Option<IndexMap<String, String>>,
        connection_config: Option<(Map<String, Value>, Option<String>)>,
    }

    fn allows(url: &Url) -> bool {
        url.host_str() != Some("localhost")
    }

    fn read_session(body: &mut ObjectReader<'_>) -> NewSession {
        let tags_alone = body.has("tags") && !body.has("end_user");
        NewSession {
            end_user: (!tags_alone).then(|| body.required_nested("end_user", EndUser::read)),
            organization: body.optional_nested("organization", Organization::read),
            tags: read_tags(body, "tags"),
            allowed_integrations: body.list_of_text("allowed_integrations", &PROVIDER_CONFIG_KEY, usize::MAX),
            config_defaults: body.map_of_objects(
                "integrations_config_defaults",
                &PROVIDER_CONFIG_KEY,
                read_config_defaults,
            ),
            overrides: body.map_of_objects("overrides", &PROVIDER_CONFIG_KEY, |entry| {
                entry.ignore_unknown();
                entry.optional_text("docs_connect", &TextRule::ANY)
            }),
            webhook_url_override: body.webhook_url("webhook_url_override", allows),
        }
    }

    fn read_config_defaults(entry: &mut ObjectReader<'_>) -> ConfigDefaults {
        ConfigDefaults {
            authorization_params: entry.text_map("authorization_params", &TextRule::ANY, &TextRule::ANY),
            connection_config: entry.optional_nested("connection_config", |config| {
                config.ignore_unknown();
                config.optional_text("oauth_scopes_override", &TextRule::ANY);
                (config.members().clone(), config.webhook_url("webhook_url", allows))
            }),
        }
    }

    #[test]
    fn a_whole_connect_session_body_is_read() {
        let body = json!({
            "end_user": {"id": "u1", "email": "u1@example.com", "tags": {"seat": "7"}}, "organization": {"id": "o9"},
            "tags": {"Plan": "pro"}, "allowed_integrations": ["acme-prod"],
            "integrations_config_defaults": {"acme-prod": {
                "authorization_params": {"prompt": "consent"}, "connection_config": {"subdomain": "una", "n": 1}}},
            "overrides": {"acme-prod": {"docs_connect": "https://docs.example.com", "other": 1}},
            "webhook_url_override": "https://hooks.example.com/in"});
        let session = read_object(Some(&body), read_session).unwrap_or_else(|issues| panic!("{issues:?}"));
        let defaults = session.config_defaults.unwrap_or_default().shift_remove("acme-prod").unwrap();
        let read = json!({
            "end_user": session.end_user.map(|user| user.id),
            "organization": session.organization.map(|organization| organization.id),
            "tags": session.tags,
            "allowed": session.allowed_integrations,
            "params": defaults.authorization_params,
            "config": defaults.connection_config,
            "overrides": session.overrides,
            "webhook": session.webhook_url_override,
        });
        let expected = json!({
            "end_user": "u1",
            "organization": "o9",
            "tags": {"plan": "pro"},
            "allowed": ["acme-prod"],
            "params": {"prompt": "consent"},
            "config": [{"subdomain": "una", "n": 1}, null],
            "overrides": {"acme-prod": "https://docs.example.com"},
            "webhook": "https://hooks.example.com/in",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn connect_session_bodies_are_refused_with_the_documented_issues() {
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!({}), vec!["invalid_type end_user"]),
            (json!({"tags": {}}), vec![]),
            (json!({"tags": {}, "end_user": {}}), vec!["invalid_type end_user|id"]),
            (
                json!({"tags": {}, "webhook_url_override": "http://localhost", "foo": 1, "allowed_integrations": ["a", "/"],
                       "integrations_config_defaults": {"k": {"x": 1, "connection_config": {
                           "oauth_scopes_override": 1, "webhook_url": "nowhere"}}}}),
                vec![
                    "invalid_format allowed_integrations|1",
                    "invalid_type integrations_config_defaults|k|connection_config|oauth_scopes_override",
                    "invalid_union integrations_config_defaults|k|connection_config|webhook_url",
                    "unrecognized_keys integrations_config_defaults|k",
                    "custom webhook_url_override",
                    "unrecognized_keys ",
                ],
            ),
        ];
        let show =
            |issue: &Issue| format!("{} {}", json!(issue.code).as_str().unwrap(), issue.path.join("|"));
        for (body, expected) in cases {
            let issues = read_object(Some(&body), read_session).err().unwrap_or_default();
            assert_eq!(issues.as_slice().iter().map(show).collect::<Vec<_>>(), expected, "{body}");
        }
    }

    #[test]
    fn a_query_string_is_read_like_a_body() {
        let read = |text: &str| {
            let query = parse_query(text.as_bytes());
            read_object(Some(&query), |query| {
                (read_tags(query, "tags"), query.integer_text("limit", 1..=2000).unwrap_or(10_000))
            })
        };
        assert_eq!(read("limit=5").ok(), Some((None, 5)));
        let tags = Tags::from([("plan".to_owned(), "pro plus".to_owned())]);
        assert_eq!(read("tags%5BPlan%5D=pro+plus").ok(), Some((Some(tags), 10_000)));
        assert!(read("limit=5&limit=6").is_err());
        assert!(read("cursor=x").is_err());
    }
}
