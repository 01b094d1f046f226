//! Bodies of `POST` and `PATCH /integrations` (`spec` http-api, sections 7.2 and 7.6).

use indexmap::IndexMap;

use crate::api::input::formats::{PRIVATE_KEY_PEM, PROVIDER_CONFIG_KEY, PROVIDER_NAME, SCOPES};
use crate::api::input::{ObjectReader, TextRule};
use crate::auth::AuthMode;

const NAME: TextRule = TextRule::length(1, 255);
const CONFIG_VALUE: TextRule = TextRule::length(0, 8192);

/// Operator-set values by name.
pub type Values = IndexMap<String, String>;

/// A new integration.
#[derive(Clone)]
pub struct NewIntegration {
    pub provider: String,
    pub unique_key: String,
    pub settings: Settings,
}

/// What an integration is created with and can be changed to.
#[derive(Clone)]
pub struct Settings {
    pub display_name: Option<String>,
    pub forward_webhooks: Option<bool>,
    pub accept_unverified_webhooks: Option<bool>,
    pub client: Option<Client>,
    pub integration_config: Option<Values>,
    pub custom: Option<Values>,
}

/// A changed integration; what is absent stays.
pub struct IntegrationPatch {
    pub unique_key: Option<String>,
    pub settings: Settings,
}

/// The body of `POST /integrations/quickstart`.
pub struct QuickstartIntegration {
    pub provider: String,
}

/// The customer's own application at the provider: the member `credentials`.
#[derive(Clone)]
pub struct Client {
    pub mode: AuthMode,
    /// Absent for `APP`.
    pub oauth: Option<OAuthClient>,
    /// Present for `APP` and `CUSTOM`.
    pub app: Option<InstalledApp>,
}

#[derive(Clone)]
pub struct OAuthClient {
    pub id: String,
    pub secret: String,
    pub scopes: Option<String>,
    pub webhook_secret: Option<String>,
}

/// An app that users install (GitHub).
#[derive(Clone)]
pub struct InstalledApp {
    pub id: String,
    pub link: String,
    /// PEM, without surrounding white space.
    pub private_key: String,
}

impl NewIntegration {
    pub fn read(body: &mut ObjectReader<'_>) -> Self {
        NewIntegration {
            provider: body.required_text("provider", &PROVIDER_NAME),
            unique_key: body.required_text("unique_key", &PROVIDER_CONFIG_KEY),
            settings: Settings::read(body),
        }
    }
}

impl IntegrationPatch {
    pub fn read(body: &mut ObjectReader<'_>) -> Self {
        IntegrationPatch {
            unique_key: body.optional_text("unique_key", &PROVIDER_CONFIG_KEY),
            settings: Settings::read(body),
        }
    }
}

impl QuickstartIntegration {
    pub fn read(body: &mut ObjectReader<'_>) -> Self {
        let provider = body.required_text("provider", &PROVIDER_NAME);
        body.required_text("unique_key", &PROVIDER_CONFIG_KEY);
        body.optional_text("display_name", &NAME);
        body.optional_bool("forward_webhooks");
        QuickstartIntegration { provider }
    }
}

impl Settings {
    /// Reads the members of an integration that can be changed.
    pub fn read(body: &mut ObjectReader<'_>) -> Self {
        Settings {
            display_name: body.optional_text("display_name", &NAME),
            forward_webhooks: body.optional_bool("forward_webhooks"),
            accept_unverified_webhooks: body.optional_bool("accept_unverified_webhooks"),
            client: body.optional_discriminated("credentials", "type", AuthMode::names(), Client::read),
            integration_config: body.text_map("integration_config", &TextRule::ANY, &CONFIG_VALUE),
            custom: body.text_map("custom", &TextRule::ANY, &TextRule::ANY),
        }
    }
}

impl Client {
    fn read(kind: &str, reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mode: AuthMode = kind.parse().ok()?;
        let (oauth, app) = match mode {
            AuthMode::OAuth1 | AuthMode::OAuth2 | AuthMode::Tba => (Some(OAuthClient::read(reader)), None),
            AuthMode::McpOAuth2 => (Some(OAuthClient::read_public(reader)), None),
            AuthMode::App => (None, Some(InstalledApp::read(reader))),
            AuthMode::Custom => (Some(OAuthClient::read_pair(reader)), Some(InstalledApp::read(reader))),
            _ => return None,
        };
        Some(Client { mode, oauth, app })
    }
}

impl OAuthClient {
    fn read(reader: &mut ObjectReader<'_>) -> Self {
        let pair = Self::read_pair(reader);
        OAuthClient {
            scopes: reader.optional_text_or_empty("scopes", &SCOPES),
            webhook_secret: reader.optional_text("webhook_secret", &TextRule::length(0, 255)),
            ..pair
        }
    }

    /// A client at an MCP server, which may be a public one.
    fn read_public(reader: &mut ObjectReader<'_>) -> Self {
        OAuthClient {
            id: reader.required_text("client_id", &NAME),
            secret: reader.optional_text("client_secret", &TextRule::ANY).unwrap_or_default(),
            scopes: reader.optional_text_or_empty("scopes", &SCOPES),
            webhook_secret: None,
        }
    }

    fn read_pair(reader: &mut ObjectReader<'_>) -> Self {
        OAuthClient {
            id: reader.required_text("client_id", &NAME),
            secret: reader.required_text("client_secret", &TextRule::NOT_EMPTY),
            scopes: None,
            webhook_secret: None,
        }
    }
}

impl InstalledApp {
    fn read(reader: &mut ObjectReader<'_>) -> Self {
        InstalledApp {
            id: reader.required_text("app_id", &NAME),
            link: reader.required_text("app_link", &TextRule::NOT_EMPTY),
            private_key: reader.required_text("private_key", &PRIVATE_KEY_PEM).trim().to_owned(),
        }
    }
}
