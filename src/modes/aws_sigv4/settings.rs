//! What the operator set for an integration of AWS_SIGV4 (`spec` auth-flows, section 5.11). Pure.

use serde_json::{Map, Value};
use url::Url;

use crate::oauth::TokenError;

/// The settings of one integration. Deliberately without `Debug`.
pub struct Settings<'a> {
    pub service: &'a str,
    default_region: Option<&'a str>,
    pub source: Source<'a>,
}

/// Where temporary keys come from.
pub enum Source<'a> {
    /// AWS itself, asked with the operator's own keys.
    Sts {
        access_key_id: &'a str,
        secret_access_key: &'a str,
    },
    Broker(Broker<'a>),
}

/// A server of the operator's that hands out keys.
pub struct Broker<'a> {
    pub url: Url,
    pub proof: Proof<'a>,
}

/// How a broker knows who asks.
pub enum Proof<'a> {
    None,
    Header { name: &'a str, value: &'a str },
    Basic { user: &'a str, password: &'a str },
}

impl<'a> Settings<'a> {
    /// Reads `custom` of an integration.
    ///
    /// # Errors
    /// What is missing or contradictory; no value is repeated.
    pub fn read(custom: &'a Map<String, Value>) -> Result<Self, TokenError> {
        if custom.is_empty() {
            return refuse("missing_aws_sigv4_config", "The integration has no AWS settings.");
        }
        let text = |name: &str| setting(custom, name);
        let service = text("service").map_or_else(
            || refuse("missing_aws_sigv4_service", "The integration names no AWS `service`."),
            Ok,
        )?;
        let mode =
            text("stsMode").unwrap_or(if text("stsEndpointUrl").is_some() { "custom" } else { "builtin" });
        let source = match mode {
            "builtin" => own_keys(custom)?,
            "custom" => Source::Broker(broker(custom)?),
            _ => return refuse("invalid_aws_sigv4_config", "`stsMode` is neither `builtin` nor `custom`."),
        };
        Ok(Settings { service, default_region: text("defaultRegion"), source })
    }

    /// The region to sign for.
    ///
    /// # Errors
    /// There is none, or it has characters that no region has: it becomes part of a host name.
    pub fn region<'r>(&self, chosen: Option<&'r str>) -> Result<&'r str, TokenError>
    where
        'a: 'r,
    {
        match chosen.filter(|region| !region.is_empty()).or(self.default_region) {
            Some(region) if is_region(region) => Ok(region),
            Some(_) => refuse("missing_aws_sigv4_region", "The region is not the name of an AWS region."),
            None => {
                refuse("missing_aws_sigv4_region", "Neither the caller nor the integration names a region.")
            }
        }
    }
}

/// Lower-case letters, digits and dashes.
pub fn is_region(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_known)
}

/// What AWS accepts as an external id.
pub fn is_external_id(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@:/-_".contains(&byte);
    (2..=1224).contains(&text.len()) && text.bytes().all(is_known)
}

fn own_keys<'a>(custom: &'a Map<String, Value>) -> Result<Source<'a>, TokenError> {
    match (setting(custom, "awsAccessKeyId"), setting(custom, "awsSecretAccessKey")) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Ok(Source::Sts { access_key_id, secret_access_key })
        }
        _ => refuse(
            "missing_aws_sigv4_builtin_credentials",
            "The integration has no `awsAccessKeyId` with its `awsSecretAccessKey`.",
        ),
    }
}

fn broker(custom: &Map<String, Value>) -> Result<Broker<'_>, TokenError> {
    let Some(url) = setting(custom, "stsEndpointUrl") else {
        return refuse("missing_aws_sigv4_sts_endpoint", "The integration has no `stsEndpointUrl`.");
    };
    let Some(url) = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return refuse("invalid_aws_sigv4_config", "`stsEndpointUrl` is not an http(s) URL.");
    };
    Ok(Broker { url, proof: proof(custom)? })
}

fn proof(custom: &Map<String, Value>) -> Result<Proof<'_>, TokenError> {
    let text = |name: &str| setting(custom, name);
    match text("stsAuthType").unwrap_or("none") {
        "none" => Ok(Proof::None),
        "api_key" => match text("stsApiKey") {
            Some(value) => Ok(Proof::Header { name: text("stsAuthHeader").unwrap_or("x-api-key"), value }),
            None => {
                refuse("invalid_aws_sigv4_config", "`stsAuthType` is `api_key`, but there is no `stsApiKey`.")
            }
        },
        "basic" => match text("stsAuthUsername") {
            Some(user) => Ok(Proof::Basic { user, password: text("stsAuthPassword").unwrap_or_default() }),
            None => refuse(
                "invalid_aws_sigv4_config",
                "`stsAuthType` is `basic`, but there is no `stsAuthUsername`.",
            ),
        },
        _ => refuse("invalid_aws_sigv4_config", "`stsAuthType` is none of `none`, `api_key` and `basic`."),
    }
}

fn setting<'a>(custom: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    custom.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn refuse<T>(kind: &'static str, message: &str) -> Result<T, TokenError> {
    Err(TokenError::new(kind, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn incomplete_settings_are_named() {
        let builtin = json!({"service": "s3", "awsAccessKeyId": "AKID", "awsSecretAccessKey": "s"});
        let broker = json!({"service": "s3", "stsMode": "custom", "stsEndpointUrl": "https://b.test/"});
        let with = |base: &Value, name: &str, value: Value| {
            let mut settings = base.clone();
            settings[name] = value;
            settings
        };
        for (custom, expected) in [
            (builtin.clone(), Ok(())),
            (broker.clone(), Ok(())),
            (with(&broker, "stsMode", json!(null)), Ok(())),
            (json!({}), Err("missing_aws_sigv4_config")),
            (with(&builtin, "service", json!(" ")), Err("missing_aws_sigv4_service")),
            (with(&builtin, "stsMode", json!("other")), Err("invalid_aws_sigv4_config")),
            (with(&builtin, "awsSecretAccessKey", json!("")), Err("missing_aws_sigv4_builtin_credentials")),
            (with(&broker, "stsEndpointUrl", json!(null)), Err("missing_aws_sigv4_sts_endpoint")),
            (with(&broker, "stsEndpointUrl", json!("ftp://b.test")), Err("invalid_aws_sigv4_config")),
            (with(&broker, "stsAuthType", json!("api_key")), Err("invalid_aws_sigv4_config")),
            (with(&broker, "stsAuthType", json!("basic")), Err("invalid_aws_sigv4_config")),
            (with(&broker, "stsAuthType", json!("oauth")), Err("invalid_aws_sigv4_config")),
        ] {
            let object = custom.as_object().cloned().unwrap_or_default();
            let found = Settings::read(&object).map(|_| ()).map_err(|error| error.kind);
            assert_eq!(found, expected, "{custom}");
        }
    }

    #[test]
    fn the_region_is_the_callers_or_the_default() {
        let custom = json!({"service": "s3", "awsAccessKeyId": "a", "awsSecretAccessKey": "s"});
        let mut custom = custom.as_object().cloned().unwrap_or_default();
        let region = |custom: &Map<String, Value>, chosen: Option<&'static str>| {
            let settings = Settings::read(custom).unwrap();
            settings.region(chosen).map(str::to_owned).map_err(|error| error.kind)
        };
        assert_eq!(region(&custom, None), Err("missing_aws_sigv4_region"));
        assert_eq!(region(&custom, Some("eu-west-1")), Ok("eu-west-1".to_owned()));
        assert_eq!(region(&custom, Some("evil.test/")), Err("missing_aws_sigv4_region"));
        custom.insert("defaultRegion".to_owned(), "us-east-1".into());
        assert_eq!(region(&custom, Some("")), Ok("us-east-1".to_owned()));
    }
}
