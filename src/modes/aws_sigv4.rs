//! Temporary AWS keys of a role in the end user's account (`spec` auth-flows, section 5.11): obtained from STS with the
//! operator's own keys, or from a token broker of the operator's; checked by asking STS who they are; renewed the same way.

mod settings;
mod sts;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use self::settings::{Settings, Source};
use self::sts::{Caller, Role, TemporaryKeys};
use super::Renewed;
use crate::app::App;
use crate::auth::{AwsSigner, Credentials};
use crate::integrations::OpenIntegration;
use crate::oauth::TokenError;

pub use self::settings::{is_external_id, is_region};

const REFUSED: &str = "aws_sigv4_sts_request_failed";
const NOT_TRUSTED: &str = "connection_test_failed";
/// Of keys whose answer names no end.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// What an end user, or the session, says about the role.
pub struct RoleInput<'a> {
    pub role_arn: &'a str,
    /// Absent: that of the integration.
    pub region: Option<&'a str>,
    /// What the role's trust policy asks for.
    pub external_id: &'a str,
}

/// Assumes the role and makes sure that the keys are that role's. The returned connection config holds what the connection
/// gains.
///
/// # Errors
/// `missing_aws_sigv4_*` and `invalid_aws_sigv4_config` before anything was sent, `aws_sigv4_sts_request_failed` with
/// the words of STS, `connection_test_failed` when the keys are not those of the role.
pub async fn assume_role(
    app: &App,
    integration: &OpenIntegration,
    input: RoleInput<'_>,
) -> Result<Renewed, TokenError> {
    let settings = Settings::read(&integration.custom)?;
    let region = settings.region(input.region)?;
    let role = Role {
        arn: known_role(input.role_arn)?,
        external_id: known_external_id(input.external_id)?,
        region,
        service: settings.service,
    };
    let keys = obtain(app, &settings, &role).await?;
    check(app, &role, &keys).await?;
    let connection_config = json!({"external_id": role.external_id, "role_arn": role.arn, "region": role.region,
        "service": role.service});
    let connection_config = connection_config.as_object().cloned().unwrap_or_default();
    Ok(Renewed { credentials: credentials(&role, keys, app.clock.now()), connection_config })
}

/// New keys for the role of a connection.
///
/// # Errors
/// As [`assume_role`], without the check.
pub async fn renew(
    app: &App,
    integration: &OpenIntegration,
    credentials: &Credentials,
) -> Result<Renewed, TokenError> {
    let Credentials::AwsSigV4 { role_arn, region, external_id, .. } = credentials else {
        return Err(TokenError::new(REFUSED, "Only AWS_SIGV4 credentials are renewed by assuming a role."));
    };
    let settings = Settings::read(&integration.custom)?;
    let role = Role {
        arn: known_role(role_arn)?,
        external_id: known_external_id(external_id)?,
        region: settings.region(Some(region))?,
        service: settings.service,
    };
    let keys = obtain(app, &settings, &role).await?;
    let credentials = self::credentials(&role, keys, app.clock.now());
    Ok(Renewed { credentials, connection_config: Map::new() })
}

fn known_role(arn: &str) -> Result<&str, TokenError> {
    let is_role = arn.starts_with("arn:") && role_name(arn).is_some();
    let message = "`role_arn` is not the ARN of a role, such as arn:aws:iam::123456789012:role/name.";
    if is_role { Ok(arn) } else { Err(TokenError::new("missing_aws_sigv4_role_arn", message)) }
}

fn known_external_id(id: &str) -> Result<&str, TokenError> {
    let message = "The external id has 2 to 1224 letters, digits or characters of + = , . @ : / - _";
    if is_external_id(id) { Ok(id) } else { Err(TokenError::new("missing_aws_sigv4_external_id", message)) }
}

/// The last part of the ARN, without its path.
fn role_name(arn: &str) -> Option<&str> {
    let (_, name) = arn.rsplit_once('/')?;
    Some(name).filter(|name| !name.is_empty())
}

async fn obtain(app: &App, settings: &Settings<'_>, role: &Role<'_>) -> Result<TemporaryKeys, TokenError> {
    match &settings.source {
        Source::Sts { access_key_id, secret_access_key } => {
            let caller = Caller { app, signer: signer(role, access_key_id, secret_access_key, None) };
            caller.assume_role(role).await
        }
        Source::Broker(broker) => sts::ask_broker(app, broker, role).await,
    }
}

/// STS says whose the keys are: a broker that hands out other keys, or a role of another name, does not pass.
async fn check(app: &App, role: &Role<'_>, keys: &TemporaryKeys) -> Result<(), TokenError> {
    let token = Some(keys.session_token.as_str());
    let signer = signer(role, &keys.access_key_id, &keys.secret_access_key, token);
    let arn = Caller { app, signer }.own_arn().await.map_err(|error| {
        TokenError::new(NOT_TRUSTED, format!("The keys of the role could not be checked: {}", error.message))
    })?;
    // arn:aws:sts::123456789012:assumed-role/name/session
    if arn.split('/').any(|part| Some(part) == role_name(role.arn)) {
        return Ok(());
    }
    Err(TokenError::new(NOT_TRUSTED, "The keys that were handed out are not those of the role."))
}

/// STS is asked in the region of the role.
fn signer<'a>(
    role: &Role<'a>,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: Option<&'a str>,
) -> AwsSigner<'a> {
    AwsSigner { access_key_id, secret_access_key, session_token, region: role.region, service: "sts" }
}

fn credentials(role: &Role<'_>, keys: TemporaryKeys, now: DateTime<Utc>) -> Credentials {
    Credentials::AwsSigV4 {
        role_arn: role.arn.to_owned(),
        region: role.region.to_owned(),
        service: role.service.to_owned(),
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: keys.session_token,
        expires_at: Some(keys.expires_at.unwrap_or(now + DEFAULT_LIFETIME)),
        external_id: role.external_id.to_owned(),
        raw: Value::Object(keys.raw),
    }
}
