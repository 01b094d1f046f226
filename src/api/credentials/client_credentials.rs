//! `POST /oauth2/auth/:providerConfigKey` (`spec` auth-flows, section 5.3).

use serde_json::{Value, json};

use super::attempt::{Legacy, describe};
use super::submission::{Connected, Submission};
use super::token_error;
use crate::api::loose_body::LooseBody;
use crate::api::openapi::Operation;
use crate::auth::AuthMode;
use crate::catalog::{Provider, TokenAuthMethod};
use crate::error::ApiError;
use crate::oauth::{self, ClientCredentialsInput};

/// This route in the OpenAPI document.
pub fn operation() -> Operation {
    const PATH: &str = "/oauth2/auth/{provider_config_key}";
    let body = || {
        let text = json!({"type": "string"});
        json!({
            "type": "object",
            "properties": {
                "client_id": {"type": "string", "minLength": 1},
                "client_secret": text,
                "client_certificate": text,
                "client_private_key": text,
            },
            "required": ["client_id"],
        })
    };
    describe(
        Operation::post(PATH, "connect_client_credentials", "Connect with client credentials"),
        Legacy::Yes,
    )
    .body_schema("application/json", body(), true)
    .body_schema("application/x-www-form-urlencoded", body(), true)
    .refuses(413, &["request_too_large"])
    .refuses(
        400,
        &[
            "invalid_json",
            "invalid_body",
            "missing_client_id",
            "missing_client_secret",
            "missing_client_private_key",
            "missing_token_url",
            "invalid_certificate_or_key_format",
            "client_credentials_fetch_error",
        ],
    )
}

/// Connects with client credentials, by obtaining a token with them (RFC 6749, section 4.4).
pub async fn connect_client_credentials(
    submission: Submission,
    body: Result<LooseBody, ApiError>,
) -> Connected {
    submission
        .connect(|submission| async move {
            let LooseBody(body) = body?;
            submission.caller.operation.hide_body(body.as_ref().unwrap_or(&Value::Null));
            let input = client_credentials_input(body.as_ref())?;
            let mut attempt = submission.begin(AuthMode::OAuth2Cc, Legacy::Yes).await?;
            require_secret(attempt.integration.provider.as_deref(), &input)?;
            let (integration, config) = (&attempt.integration, &attempt.connection_config);
            let obtained = oauth::obtain_client_credentials(&attempt.app, integration, input, config).await;
            let renewed = obtained.map_err(token_error)?;
            attempt.connection_config.extend(renewed.connection_config);
            attempt.store(&renewed.credentials).await
        })
        .await
}

/// The members of the body, of which this route judges only the presence; a wrong type counts as absent.
fn client_credentials_input(body: Option<&Value>) -> Result<ClientCredentialsInput, ApiError> {
    let text = |name: &str| {
        let value = body.and_then(|body| body.get(name)).and_then(Value::as_str);
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    Ok(ClientCredentialsInput {
        client_id: text("client_id").ok_or_else(|| missing_member("client_id"))?,
        client_secret: text("client_secret").unwrap_or_default().into(),
        client_certificate: text("client_certificate"),
        client_private_key: text("client_private_key").map(Into::into),
    })
}

fn missing_member(name: &str) -> ApiError {
    ApiError::bad_request(format!("missing_{name}"), format!("The body lacks `{name}`.")).legacy()
}

/// A client that signs its requests has no secret.
fn require_secret(provider: Option<&Provider>, input: &ClientCredentialsInput) -> Result<(), ApiError> {
    let method = provider.and_then(|provider| provider.token_request_auth_method);
    let is_needed = method != Some(TokenAuthMethod::PrivateKeyJwt);
    if is_needed && input.client_secret.is_empty() { Err(missing_member("client_secret")) } else { Ok(()) }
}
