//! The credentials of a connection, in the shape in which they are stored and shown.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::ZeroizeOnDrop;

use super::AuthMode;

/// What a connection holds, by kind. The JSON form (tag `type`) is the wire's and the database's.
#[derive(Clone, PartialEq, Serialize, Deserialize, ZeroizeOnDrop)]
#[serde(tag = "type")]
pub enum Credentials {
    #[serde(rename = "OAUTH2")]
    OAuth2 {
        access_token: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token: Option<String>,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        /// The provider's answer.
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config_override: Option<ClientOverride>,
    },
    #[serde(rename = "OAUTH2_CC")]
    OAuth2Cc {
        token: String,
        client_id: String,
        client_secret: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_certificate: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_private_key: Option<String>,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
    },
    #[serde(rename = "OAUTH1")]
    OAuth1 {
        oauth_token: String,
        oauth_token_secret: String,
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
    },
    #[serde(rename = "BASIC")]
    Basic { username: String, password: String },
    #[serde(rename = "API_KEY")]
    ApiKey {
        #[serde(rename = "apiKey")]
        api_key: String,
    },
    #[serde(rename = "TBA")]
    Tba {
        token_id: String,
        token_secret: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config_override: Option<ClientOverride>,
    },
    /// A token of an app's installation (`spec` auth-flows, sections 5.12 and 5.13).
    #[serde(rename = "APP")]
    App {
        access_token: String,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
        /// The app's own proof, with which the token was asked for.
        #[serde(rename = "jwtToken", default, skip_serializing_if = "Option::is_none")]
        jwt_token: Option<String>,
    },
    /// A token that this server signs itself.
    #[serde(rename = "JWT")]
    Jwt {
        token: String,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        /// What the end user submitted, under the names of the entry's `credentials`.
        #[serde(flatten)]
        #[zeroize(skip)]
        fields: Map<String, Value>,
    },
    #[serde(rename = "BILL")]
    Bill {
        username: String,
        password: String,
        organization_id: String,
        dev_key: String,
        #[serde(default)]
        session_id: String,
        #[serde(default)]
        user_id: String,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
    },
    #[serde(rename = "TWO_STEP")]
    TwoStep {
        /// Text, or the whole answer where the entry says so.
        #[zeroize(skip)]
        token: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token: Option<String>,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
        /// What the end user submitted, what answers' headers brought, and the assertion.
        #[serde(flatten)]
        #[zeroize(skip)]
        fields: Map<String, Value>,
    },
    #[serde(rename = "SIGNATURE")]
    Signature {
        username: String,
        password: String,
        token: String,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
    },
    /// Temporary keys of an assumed role.
    #[serde(rename = "AWS_SIGV4")]
    AwsSigV4 {
        role_arn: String,
        region: String,
        service: String,
        access_key_id: String,
        secret_access_key: String,
        session_token: String,
        #[serde(default, with = "millis_z", skip_serializing_if = "Option::is_none")]
        #[zeroize(skip)]
        expires_at: Option<DateTime<Utc>>,
        external_id: String,
        #[serde(default)]
        #[zeroize(skip)]
        raw: Value,
    },
    /// Nothing is needed. Shown as `{}`.
    #[serde(rename = "NONE")]
    None,
}

/// A client of the end user's own, used instead of the integration's.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, ZeroizeOnDrop)]
pub struct ClientOverride {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
}

/// Stored credentials that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the stored credentials have an unknown shape")]
pub struct UnreadableCredentials;

impl Credentials {
    /// The object shown by the API; `{}` for [`Credentials::None`].
    pub fn to_json(&self) -> Value {
        match self {
            Credentials::None => json!({}),
            _ => serde_json::to_value(self).unwrap_or_else(|_| json!({})),
        }
    }

    /// Reads what [`Credentials::to_json`] wrote.
    ///
    /// # Errors
    /// A `type` that this version does not know, or missing members. The error does not repeat any value.
    pub fn from_json(value: Value) -> Result<Self, UnreadableCredentials> {
        if value.as_object().is_some_and(Map::is_empty) {
            return Ok(Credentials::None);
        }
        serde_json::from_value(value).map_err(|_| UnreadableCredentials)
    }

    /// The stored type, which is not always the provider's auth mode.
    pub fn mode(&self) -> AuthMode {
        match self {
            Credentials::OAuth2 { .. } => AuthMode::OAuth2,
            Credentials::OAuth2Cc { .. } => AuthMode::OAuth2Cc,
            Credentials::OAuth1 { .. } => AuthMode::OAuth1,
            Credentials::Basic { .. } => AuthMode::Basic,
            Credentials::ApiKey { .. } => AuthMode::ApiKey,
            Credentials::Tba { .. } => AuthMode::Tba,
            Credentials::App { .. } => AuthMode::App,
            Credentials::Jwt { .. } => AuthMode::Jwt,
            Credentials::Bill { .. } => AuthMode::Bill,
            Credentials::TwoStep { .. } => AuthMode::TwoStep,
            Credentials::Signature { .. } => AuthMode::Signature,
            Credentials::AwsSigV4 { .. } => AuthMode::AwsSigV4,
            Credentials::None => AuthMode::None,
        }
    }

    /// When the credentials stop working, if that is known.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Credentials::OAuth2 { expires_at, .. }
            | Credentials::OAuth2Cc { expires_at, .. }
            | Credentials::App { expires_at, .. }
            | Credentials::Jwt { expires_at, .. }
            | Credentials::Bill { expires_at, .. }
            | Credentials::TwoStep { expires_at, .. }
            | Credentials::Signature { expires_at, .. }
            | Credentials::AwsSigV4 { expires_at, .. } => *expires_at,
            Credentials::OAuth1 { .. }
            | Credentials::Basic { .. }
            | Credentials::ApiKey { .. }
            | Credentials::Tba { .. }
            | Credentials::None => None,
        }
    }

    /// Whether the provider can give a successor without the end user.
    pub fn is_refreshable(&self) -> bool {
        match self {
            Credentials::OAuth2 { refresh_token, .. } => refresh_token.is_some(),
            Credentials::OAuth2Cc { .. }
            | Credentials::App { .. }
            | Credentials::Jwt { .. }
            | Credentials::Bill { .. }
            | Credentials::TwoStep { .. }
            | Credentials::Signature { .. }
            | Credentials::AwsSigV4 { .. } => true,
            Credentials::OAuth1 { .. }
            | Credentials::Basic { .. }
            | Credentials::ApiKey { .. }
            | Credentials::Tba { .. }
            | Credentials::None => false,
        }
    }

    /// The bearer token, for the kinds that have one.
    pub fn bearer_token(&self) -> Option<&str> {
        match self {
            Credentials::OAuth2 { access_token, .. } | Credentials::App { access_token, .. } => {
                Some(access_token)
            }
            Credentials::OAuth2Cc { token, .. }
            | Credentials::Jwt { token, .. }
            | Credentials::Signature { token, .. } => Some(token),
            Credentials::TwoStep { token, .. } => token.as_str(),
            Credentials::OAuth1 { .. }
            | Credentials::Basic { .. }
            | Credentials::ApiKey { .. }
            | Credentials::Tba { .. }
            | Credentials::Bill { .. }
            | Credentials::AwsSigV4 { .. }
            | Credentials::None => None,
        }
    }

    /// The value of the column by which the periodic refresh finds connections (`spec` auth-flows, section 8.4).
    pub fn column_expiry(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        const NEVER: TimeDelta = TimeDelta::days(99 * 365);
        let default = match self {
            Credentials::OAuth1 { .. } | Credentials::None => NEVER,
            _ => TimeDelta::days(1),
        };
        self.expires_at().unwrap_or(now + default)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.mode())
    }
}

impl fmt::Debug for ClientOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientOverride(..)")
    }
}

/// Removes, at any depth, every member that is called "refresh token" in some spelling. The wire hides them
/// unless they are asked for.
pub fn hide_refresh_tokens(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !is_refresh_token_name(name));
            members.values_mut().for_each(hide_refresh_tokens);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_refresh_tokens),
        _ => {}
    }
}

fn is_refresh_token_name(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase());
    letters.eq("refreshtoken".chars())
}

/// Dates inside credentials: ISO 8601 with milliseconds and `Z`; any ISO text is read.
mod millis_z {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time_format::{format_millis_z, parse_date_text};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_str(&format_millis_z(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| parse_date_text(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_json_form() {
        for json in [
            json!({"type": "OAUTH2", "access_token": "a", "refresh_token": "r",
                   "expires_at": "2026-08-30T11:29:00.000Z", "raw": {"scope": "x"},
                   "config_override": {"client_id": "i", "client_secret": "s"}}),
            json!({"type": "OAUTH2", "access_token": "a", "raw": {}}),
            json!({"type": "OAUTH2_CC", "token": "t", "client_id": "i", "client_secret": "s", "raw": {}}),
            json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s", "raw": {}}),
            json!({"type": "BASIC", "username": "", "password": ""}),
            json!({"type": "API_KEY", "apiKey": "k"}),
            json!({"type": "TBA", "token_id": "i", "token_secret": "s"}),
            json!({"type": "APP", "access_token": "a", "expires_at": "2026-08-30T11:29:00.000Z", "raw": {}, "jwtToken": "j"}),
            json!({"type": "JWT", "token": "t", "expires_at": "2026-08-30T11:29:00.000Z", "privateKey": "k", "issuer": 5}),
            json!({"type": "BILL", "username": "u", "password": "p", "organization_id": "o", "dev_key": "d",
                   "session_id": "s", "user_id": "i", "expires_at": "2026-08-30T11:29:00.000Z", "raw": {}}),
            json!({"type": "TWO_STEP", "token": "t", "refresh_token": "r", "raw": {}, "user": "u", "_cookies": "a=b"}),
            json!({"type": "SIGNATURE", "username": "u", "password": "p", "token": "t"}),
            json!({"type": "AWS_SIGV4", "role_arn": "a", "region": "r", "service": "s3", "access_key_id": "i",
                   "secret_access_key": "s", "session_token": "t", "external_id": "e", "raw": {}}),
            json!({}),
        ] {
            assert_eq!(Credentials::from_json(json.clone()).unwrap().to_json(), json);
        }
    }

    #[test]
    fn unknown_shapes_are_refused_without_repeating_them() {
        for json in [json!({"type": "SECRET-TYPE"}), json!({"type": "OAUTH2"}), json!([]), json!(null)] {
            let error = Credentials::from_json(json).unwrap_err();
            assert!(!error.to_string().contains("SECRET"));
        }
    }

    #[test]
    fn refresh_tokens_are_hidden_in_every_spelling() {
        let mut value = json!({"refresh_token": 1, "raw": {"refreshToken": 2, "Refresh-Token": 3,
            "refresh_token_expires_in": 4}, "list": [{"REFRESH_TOKEN": 5}], "access_token": 6});
        hide_refresh_tokens(&mut value);
        let expected = json!({"raw": {"refresh_token_expires_in": 4}, "list": [{}], "access_token": 6});
        assert_eq!(value, expected);
    }

    #[test]
    fn debug_output_has_no_secret() {
        let credentials = Credentials::ApiKey { api_key: "hunter2".into() };
        assert_eq!(format!("{credentials:?}"), "Credentials(API_KEY)");
    }
}
