//! How a provider lets a user in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A provider's `auth_mode`, as the catalog spells it (`spec` providers, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuthMode {
    #[serde(rename = "OAUTH1")]
    OAuth1,
    #[serde(rename = "OAUTH2")]
    OAuth2,
    #[serde(rename = "OAUTH2_CC")]
    OAuth2Cc,
    Basic,
    ApiKey,
    /// User sign-in plus app installation (GitHub).
    Custom,
    App,
    None,
    Tba,
    Jwt,
    Bill,
    TwoStep,
    Signature,
    #[serde(rename = "MCP_OAUTH2")]
    McpOAuth2,
    #[serde(rename = "MCP_OAUTH2_GENERIC")]
    McpOAuth2Generic,
    InstallPlugin,
    #[serde(rename = "AWS_SIGV4")]
    AwsSigV4,
}

impl AuthMode {
    /// Every mode with its wire name.
    pub const ALL: [(AuthMode, &'static str); 17] = [
        (AuthMode::OAuth1, "OAUTH1"),
        (AuthMode::OAuth2, "OAUTH2"),
        (AuthMode::OAuth2Cc, "OAUTH2_CC"),
        (AuthMode::Basic, "BASIC"),
        (AuthMode::ApiKey, "API_KEY"),
        (AuthMode::Custom, "CUSTOM"),
        (AuthMode::App, "APP"),
        (AuthMode::None, "NONE"),
        (AuthMode::Tba, "TBA"),
        (AuthMode::Jwt, "JWT"),
        (AuthMode::Bill, "BILL"),
        (AuthMode::TwoStep, "TWO_STEP"),
        (AuthMode::Signature, "SIGNATURE"),
        (AuthMode::McpOAuth2, "MCP_OAUTH2"),
        (AuthMode::McpOAuth2Generic, "MCP_OAUTH2_GENERIC"),
        (AuthMode::InstallPlugin, "INSTALL_PLUGIN"),
        (AuthMode::AwsSigV4, "AWS_SIGV4"),
    ];

    /// The wire names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(_, name)| name)
    }

    /// The wire name, for example `API_KEY`.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("NONE", |(_, name)| name)
    }
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A catalog names an auth mode that this server does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown auth mode `{0}`")]
pub struct UnknownAuthMode(pub String);

impl FromStr for AuthMode {
    type Err = UnknownAuthMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known.map(|(mode, _)| *mode).ok_or_else(|| UnknownAuthMode(text.to_owned()))
    }
}
