//! Bodies of `POST /connect/sessions` and `/connect/sessions/reconnect` (`spec` http-api, sections 10.1 and 10.2).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use crate::api::input::formats::{CONNECTION_ID, PROVIDER_CONFIG_KEY};
use crate::api::input::tags::{EndUser, Organization, Tags, read_tags};
use crate::api::input::{ObjectReader, TextRule};

/// Where an old client puts the webhook override of an integration.
const NESTED_WEBHOOK: &str = "webhook_url";
// Wire: what marks the end user of a session that an operator opened.
const ORIGIN_TAG: &str = "origin";
const ORIGIN: &str = "nango_dashboard";

/// A new session.
pub struct SessionRequest {
    pub subject: Subject,
    /// Empty: every integration.
    pub allowed_integrations: Vec<String>,
    pub options: Options,
}

/// A new session that authorizes one connection again.
pub struct ReconnectRequest {
    pub connection_id: String,
    pub integration_id: String,
    pub subject: Subject,
    pub options: Options,
}

/// On whose behalf connections are made.
pub struct Subject {
    pub end_user: Option<EndUser>,
    pub organization: Option<Organization>,
    pub tags: Option<Tags>,
}

/// What a session prescribes.
pub struct Options {
    pub defaults: Option<IndexMap<String, Defaults>>,
    pub overrides: Option<IndexMap<String, Overrides>>,
    /// Empty text: given, to clear the connection's.
    pub webhook_url_override: Option<String>,
}

/// Values for the sign-in of one integration; stored and, without `user_scopes`, shown in this form.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ConfigDefaults)]
pub struct Defaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_scopes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub authorization_params: Option<IndexMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub connection_config: Option<Map<String, Value>>,
}

/// What Connect UI shows differently for one integration.
#[derive(Serialize)]
pub struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs_connect: Option<String>,
}

impl SessionRequest {
    /// Reads the body; `is_allowed` is the outbound policy for webhooks.
    pub fn read(body: &mut ObjectReader<'_>, is_allowed: impl Fn(&Url) -> bool) -> Self {
        // Wire: tags alone are enough, but an end user that is given must be right.
        let end_user = body.nested_unless("end_user", "tags", EndUser::read);
        SessionRequest {
            subject: Subject::read(body, end_user),
            allowed_integrations: body
                .list_of_text("allowed_integrations", &PROVIDER_CONFIG_KEY, usize::MAX)
                .unwrap_or_default(),
            options: Options::read(body, &is_allowed),
        }
    }
}

impl SessionRequest {
    /// The body as operators send it to try a sign-in themselves: always with an end user, never with tags.
    pub fn read_of_operator(body: &mut ObjectReader<'_>, is_allowed: impl Fn(&Url) -> bool) -> Self {
        let mut end_user = body.required_nested("end_user", EndUser::read);
        end_user.tags.get_or_insert_default().insert(ORIGIN_TAG.to_owned(), ORIGIN.to_owned());
        SessionRequest {
            subject: Subject {
                end_user: Some(end_user),
                organization: body.optional_nested("organization", Organization::read),
                tags: None,
            },
            allowed_integrations: body
                .list_of_text("allowed_integrations", &PROVIDER_CONFIG_KEY, usize::MAX)
                .unwrap_or_default(),
            options: Options::read(body, &is_allowed),
        }
    }
}

impl ReconnectRequest {
    /// Reads the body; `is_allowed` is the outbound policy for webhooks.
    pub fn read(body: &mut ObjectReader<'_>, is_allowed: impl Fn(&Url) -> bool) -> Self {
        let connection_id = body.required_text("connection_id", &CONNECTION_ID);
        let integration_id = body.required_text("integration_id", &PROVIDER_CONFIG_KEY);
        let end_user = body.optional_nested("end_user", EndUser::read);
        ReconnectRequest {
            connection_id,
            integration_id,
            subject: Subject::read(body, end_user),
            options: Options::read(body, &is_allowed),
        }
    }
}

impl Subject {
    fn read(body: &mut ObjectReader<'_>, end_user: Option<EndUser>) -> Self {
        Subject {
            end_user,
            organization: body.optional_nested("organization", Organization::read),
            tags: read_tags(body, "tags"),
        }
    }

    /// Whether the session says what tags its connections get.
    pub fn gives_tags(&self) -> bool {
        self.end_user.is_some() || self.tags.is_some()
    }
}

impl Options {
    fn read(body: &mut ObjectReader<'_>, is_allowed: &impl Fn(&Url) -> bool) -> Self {
        let mut nested_webhook = None;
        let defaults = body.map_of_objects("integrations_config_defaults", &PROVIDER_CONFIG_KEY, |entry| {
            let (defaults, webhook) = Defaults::read(entry, is_allowed);
            nested_webhook = nested_webhook.take().or(webhook);
            defaults
        });
        let overrides = body.map_of_objects("overrides", &PROVIDER_CONFIG_KEY, Overrides::read);
        let webhook_url_override = body.webhook_url("webhook_url_override", is_allowed);
        Options { defaults, overrides, webhook_url_override: webhook_url_override.or(nested_webhook) }
    }
}

impl Defaults {
    /// The entry, and the webhook override that old clients put into its connection config.
    fn read(entry: &mut ObjectReader<'_>, is_allowed: &impl Fn(&Url) -> bool) -> (Self, Option<String>) {
        let user_scopes = entry.optional_text("user_scopes", &TextRule::ANY);
        let authorization_params = entry.text_map("authorization_params", &TextRule::ANY, &TextRule::ANY);
        let config = entry.optional_nested("connection_config", |config| read_config(config, is_allowed));
        let (connection_config, webhook) = config.unwrap_or_default();
        (Defaults { user_scopes, authorization_params, connection_config }, webhook)
    }
}

fn read_config(
    config: &mut ObjectReader<'_>,
    is_allowed: &impl Fn(&Url) -> bool,
) -> (Option<Map<String, Value>>, Option<String>) {
    config.ignore_unknown();
    config.optional_text("oauth_scopes_override", &TextRule::ANY);
    let webhook = config.webhook_url(NESTED_WEBHOOK, is_allowed).filter(|url| !url.is_empty());
    let mut members = config.members().clone();
    let had_webhook = members.shift_remove(NESTED_WEBHOOK).is_some();
    let is_left_empty = had_webhook && members.is_empty();
    ((!is_left_empty).then_some(members), webhook)
}

impl Overrides {
    fn read(entry: &mut ObjectReader<'_>) -> Self {
        entry.ignore_unknown();
        Overrides { docs_connect: entry.optional_text("docs_connect", &TextRule::ANY) }
    }
}
