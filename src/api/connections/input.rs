//! The body of `POST /connections` (`spec` http-api, section 8.3).

use serde_json::{Map, Value};
use url::Url;

use crate::api::input::formats::CONNECTION_ID;
use crate::api::input::tags::{EndUser, Tags, read_tags};
use crate::api::input::{ObjectReader, TextRule};
use crate::auth::{AuthMode, ClientOverride, Credentials};
use crate::modes::Installation;

const ID: TextRule = TextRule::length(1, 255);
const CLIENT_SECRET: TextRule = TextRule::length(1, 2048);
const OAUTH1_TOKEN: TextRule = TextRule::length(1, 2048);
const CC_TOKEN: TextRule = TextRule::length(1, 4096);
const PEM: TextRule = TextRule::length(1, 10_000);
// IMPROVE: upstream stops at 1024 characters, which some providers' keys exceed.
const API_KEY: TextRule = TextRule::length(1, 65_536);
const PASSWORD: TextRule = TextRule::length(0, 65_536);

/// Members of submitted credentials that `raw` does not repeat.
const NOT_IN_RAW: [&str; 3] = ["config_override", "client_secret", "client_private_key"];

/// A connection as another system hands it over.
pub struct Import {
    pub provider_config_key: String,
    pub connection_id: Option<String>,
    pub credentials: Submitted,
    pub metadata: Map<String, Value>,
    pub connection_config: Map<String, Value>,
    pub webhook_url_override: Option<String>,
    pub end_user: Option<EndUser>,
    pub tags: Option<Tags>,
}

/// Submitted credentials.
pub struct Submitted {
    pub mode: AuthMode,
    pub given: Given,
}

/// What a caller hands over.
pub enum Given {
    Credentials(Box<Credentials>),
    /// The token must be obtained from the provider.
    Installation(Installation),
}

impl Default for Submitted {
    fn default() -> Self {
        Submitted { mode: AuthMode::None, given: Given::Credentials(Box::new(Credentials::None)) }
    }
}

impl Submitted {
    fn read(kind: &str, reader: &mut ObjectReader<'_>, token: &TextRule) -> Option<Self> {
        let mode: AuthMode = kind.parse().ok()?;
        let credentials = match mode {
            AuthMode::OAuth2 => read_oauth2(reader, token),
            AuthMode::OAuth2Cc => read_oauth2_cc(reader),
            AuthMode::OAuth1 => read_oauth1(reader),
            AuthMode::ApiKey => Credentials::ApiKey { api_key: reader.required_text("apiKey", &API_KEY) },
            AuthMode::Basic => Credentials::Basic {
                username: reader.required_text("username", &PASSWORD),
                password: reader.required_text("password", &PASSWORD),
            },
            AuthMode::Tba => read_tba(reader),
            AuthMode::None => Credentials::None,
            AuthMode::App | AuthMode::Custom => {
                let given = Given::Installation(Installation {
                    app_id: reader.required_text("app_id", &ID),
                    installation_id: reader.required_text("installation_id", &ID),
                });
                return Some(Submitted { mode, given });
            }
            _ => return None,
        };
        Some(Submitted { mode, given: Given::Credentials(Box::new(credentials)) })
    }
}

impl Import {
    /// Reads the body; `token_max` bounds OAuth 2 tokens, `is_allowed` is the outbound policy for webhooks.
    pub fn read(body: &mut ObjectReader<'_>, token_max: usize, is_allowed: impl Fn(&Url) -> bool) -> Self {
        let token = TextRule::length(1, token_max);
        Import {
            provider_config_key: body.required_text("provider_config_key", &TextRule::ANY),
            connection_id: body.optional_text("connection_id", &CONNECTION_ID),
            credentials: body.required_discriminated(
                "credentials",
                "type",
                AuthMode::names(),
                |kind, reader| Submitted::read(kind, reader, &token),
            ),
            metadata: body.optional_object("metadata").cloned().unwrap_or_default(),
            connection_config: body.optional_nested("connection_config", read_config).unwrap_or_default(),
            webhook_url_override: body.webhook_url("webhook_url_override", is_allowed),
            end_user: body.optional_nested("end_user", EndUser::read),
            tags: read_tags(body, "tags"),
        }
    }
}

/// Anything is kept; one member has a form.
fn read_config(config: &mut ObjectReader<'_>) -> Map<String, Value> {
    config.ignore_unknown();
    config.list_of_text("oauth_scopes_override", &TextRule::ANY, usize::MAX);
    config.members().clone()
}

fn read_oauth2(reader: &mut ObjectReader<'_>, token: &TextRule) -> Credentials {
    Credentials::OAuth2 {
        access_token: reader.required_text("access_token", token),
        refresh_token: reader.optional_text("refresh_token", token),
        expires_at: reader.optional_date("expires_at"),
        config_override: read_override(reader),
        raw: raw(reader),
    }
}

fn read_oauth2_cc(reader: &mut ObjectReader<'_>) -> Credentials {
    Credentials::OAuth2Cc {
        token: reader.required_text("token", &CC_TOKEN),
        client_id: reader.required_text("client_id", &ID),
        client_secret: reader.required_text("client_secret", &CLIENT_SECRET),
        client_certificate: reader.optional_text("client_certificate", &PEM),
        client_private_key: reader.optional_text("client_private_key", &PEM),
        expires_at: reader.optional_date("expires_at"),
        raw: raw(reader),
    }
}

fn read_oauth1(reader: &mut ObjectReader<'_>) -> Credentials {
    Credentials::OAuth1 {
        oauth_token: reader.required_text("oauth_token", &OAUTH1_TOKEN),
        oauth_token_secret: reader.required_text("oauth_token_secret", &OAUTH1_TOKEN),
        raw: raw(reader),
    }
}

fn read_tba(reader: &mut ObjectReader<'_>) -> Credentials {
    Credentials::Tba {
        token_id: reader.required_text("token_id", &TextRule::NOT_EMPTY),
        token_secret: reader.required_text("token_secret", &TextRule::NOT_EMPTY),
        config_override: read_override(reader),
    }
}

fn read_override(reader: &mut ObjectReader<'_>) -> Option<ClientOverride> {
    reader.optional_nested("config_override", |client| ClientOverride {
        client_id: client.optional_text("client_id", &ID),
        client_secret: client.optional_text("client_secret", &CLIENT_SECRET),
    })
}

// IMPROVE: upstream's `raw` repeats the client's secrets too.
fn raw(reader: &ObjectReader<'_>) -> Value {
    let kept = reader.members().iter().filter(|(name, _)| !NOT_IN_RAW.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}
