//! Credentials as they would be stored, for modes whose sign-in is not driven here.

use hitchpost::auth::{AuthMode, Credentials};
use hitchpost::catalog::Provider;
use serde_json::{Value, json};

use super::inputs;

/// Plausible stored credentials of a mode.
pub fn credentials(provider: &Provider, mode: AuthMode) -> Credentials {
    let mut value = by_mode(mode);
    if matches!(mode, AuthMode::TwoStep | AuthMode::Jwt)
        && let Some(members) = value.as_object_mut()
    {
        for (name, typed) in inputs::typed(provider, &provider.credentials) {
            members.entry(name).or_insert(typed);
        }
        members.insert("raw".to_owned(), inputs::answer(provider));
        for header in ["_cookies", "assertion"] {
            members.entry(header).or_insert("stored=1".into());
        }
    }
    Credentials::from_json(value).expect("credentials of a known form")
}

fn by_mode(mode: AuthMode) -> Value {
    let expires_at = "2040-01-01T00:00:00.000Z";
    match mode {
        AuthMode::OAuth2 | AuthMode::McpOAuth2 | AuthMode::McpOAuth2Generic => {
            json!({"type": "OAUTH2", "access_token": "a", "raw": {}})
        }
        AuthMode::OAuth2Cc => {
            json!({"type": "OAUTH2_CC", "token": "t", "client_id": "c", "client_secret": "s", "raw": {}})
        }
        AuthMode::OAuth1 => {
            json!({"type": "OAUTH1", "oauth_token": "t", "oauth_token_secret": "s", "raw": {}})
        }
        AuthMode::Basic | AuthMode::InstallPlugin => {
            json!({"type": "BASIC", "username": "u", "password": "p"})
        }
        AuthMode::ApiKey => json!({"type": "API_KEY", "apiKey": "k"}),
        AuthMode::App | AuthMode::Custom => {
            json!({"type": "APP", "access_token": "a", "expires_at": expires_at, "raw": {}})
        }
        AuthMode::Tba => json!({"type": "TBA", "token_id": "i", "token_secret": "s"}),
        AuthMode::Jwt => json!({"type": "JWT", "token": "t", "expires_at": expires_at}),
        AuthMode::Bill => json!({"type": "BILL", "username": "u", "password": "p", "organization_id": "o",
            "dev_key": "d", "session_id": "s", "user_id": "i", "expires_at": expires_at, "raw": {}}),
        AuthMode::TwoStep => json!({"type": "TWO_STEP", "token": "t", "expires_at": expires_at, "raw": {}}),
        AuthMode::Signature => json!({"type": "SIGNATURE", "username": "u", "password": "p", "token": "t",
            "expires_at": expires_at}),
        AuthMode::AwsSigV4 => json!({"type": "AWS_SIGV4", "role_arn": "arn:aws:iam::123456789012:role/acme",
            "region": "us-east-1", "service": "s3", "access_key_id": "i", "secret_access_key": "s",
            "session_token": "t", "external_id": "e", "expires_at": expires_at, "raw": {}}),
        AuthMode::None => json!({}),
    }
}
