//! `ALL /proxy/*`: reads the control headers and hands the call to the proxy. The key is checked before the body is read.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::edge::Handled;
use super::extract::{IntoApiError, SecretKey};
use super::input::shape::text;
use super::input::{Issue, IssueCode, Issues, TextRule, formats};
use super::openapi::{Operation, Tag};
use super::scope;
use crate::app::SharedApp;
use crate::proxy::{self, Call, Control, ProxyError};

const MOST_RETRIES: f64 = 10.0;

/// The proxy in the OpenAPI document. It takes every method; these are the usual ones.
pub fn operations() -> Vec<Operation> {
    const PATH: &str = "/proxy/{*path}";
    let anything = || json!({});
    vec![
        describe(Operation::get(PATH, "proxy_get", "Call a provider with GET")),
        describe(Operation::post(PATH, "proxy_post", "Call a provider with POST")).body_schema(
            "*/*",
            anything(),
            false,
        ),
        describe(Operation::put(PATH, "proxy_put", "Call a provider with PUT")).body_schema(
            "*/*",
            anything(),
            false,
        ),
        describe(Operation::patch(PATH, "proxy_patch", "Call a provider with PATCH")).body_schema(
            "*/*",
            anything(),
            false,
        ),
        describe(Operation::delete(PATH, "proxy_delete", "Call a provider with DELETE")),
    ]
}

fn describe(operation: Operation) -> Operation {
    const NO_ANSWER: [&str; 5] = [
        "proxy_connect_failed",
        "proxy_dns_failed",
        "proxy_tls_failed",
        "proxy_upstream_aborted",
        "proxy_too_many_redirects",
    ];
    let flag = || json!({"enum": ["true", "false"]});
    operation
        .describe(
            "Path, query, body and other headers go to the provider, signed with the connection's credentials, and its \
             answer comes back as it is. Answers of this server itself carry `X-Hitchpost-Error`.",
        )
        .tag(Tag::Proxy)
        .key::<scope::Proxy>()
        .path_parameter("path", json!({"type": "string"}))
        .parameter("header", "Provider-Config-Key", text(&formats::PROVIDER_CONFIG_KEY))
        .required()
        .parameter("header", "Connection-Id", text(&formats::CONNECTION_ID))
        .required()
        .parameter("header", "Retries", json!({"type": "number"}))
        .parameter("header", "Retry-On", json!({"type": "string", "pattern": "^([0-9]+(,[0-9]+)*)?$"}))
        .parameter("header", "Base-Url-Override", json!({"type": "string", "format": "uri"}))
        .parameter("header", "Decompress", flag())
        .parameter("header", "Forward-Headers-On-Redirect", flag())
        .forwards()
        .refuses(
            400,
            &[
                "invalid_headers",
                "invalid_body",
                "invalid_json",
                "base_url_override_disabled",
                "base_url_override_not_allowed",
                "server_error",
                "unknown_provider",
                "unsupported_provider",
                "unsupported_auth",
                "missing_api_url",
                "missing_connection_config",
                "failed_to_get_connection",
                "invalid_certificate_or_key_format",
            ],
        )
        .refuses(404, &["unknown_provider_config"])
        .refuses(413, &["request_too_large"])
        .refuses(424, &["connection_refresh_backoff", "server_error"])
        // With NANGO_PROXY_LEGACY_ERROR_STATUS these have status 500.
        .refuses(500, &NO_ANSWER)
        .refuses(500, &["proxy_timeout"])
        .refuses(502, &NO_ANSWER)
        .refuses(504, &["proxy_timeout"])
}

/// Calls the provider's API with the credentials of a connection and streams its answer back.
pub async fn call_proxy(app: &SharedApp, request: Request) -> Handled {
    match answer(app, request).await {
        Ok(response) => Handled { response, is_providers: true },
        Err(error) => error.into_response().into(),
    }
}

async fn answer(app: &SharedApp, request: Request) -> Result<Response, ProxyError> {
    let (mut parts, body) = request.into_parts();
    let key = SecretKey::<scope::Proxy>::from_request_parts(&mut parts, app).await?;
    let joined = Joined::of(&parts.headers);
    let control = read_control(&parts.headers, &joined).in_headers()?;
    let call = Call {
        environment: key.environment.id,
        control,
        method: parts.method,
        endpoint: endpoint(&parts.uri),
        headers: &parts.headers,
    };
    proxy::call(app, call, body).await
}

/// Path and query below `/proxy`, undecoded.
fn endpoint(uri: &Uri) -> &str {
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    target.strip_prefix("/proxy").unwrap_or(target)
}

/// The two ids as texts. Wire: like Node, repeated headers are joined with ", ".
struct Joined<'a> {
    integration: Option<Cow<'a, str>>,
    connection: Option<Cow<'a, str>>,
}

impl<'a> Joined<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        Joined {
            integration: joined(headers, "provider-config-key"),
            connection: joined(headers, "connection-id"),
        }
    }
}

fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |text, value| Cow::Owned(format!("{text}, {value}"))))
}

/// Reads the control headers (`spec` proxy, section 2). Nothing is allocated while all is well.
fn read_control<'a>(headers: &'a HeaderMap, joined: &'a Joined<'_>) -> Result<Control<'a>, Issues> {
    let mut reader = Reader { headers, issues: Vec::new() };
    let control = Control {
        integration: reader.id(
            "provider-config-key",
            joined.integration.as_deref(),
            &formats::PROVIDER_CONFIG_KEY,
        ),
        connection: reader.id("connection-id", joined.connection.as_deref(), &formats::CONNECTION_ID),
        retries: reader.retries(),
        retry_on: reader.retry_on(),
        base_url_override: reader.base_url(),
        decompress: reader.flag("decompress").unwrap_or(false),
        forward_headers_on_redirect: reader.flag("forward-headers-on-redirect"),
    };
    // Accepted, and without effect here: what is logged of the call is decided by the logs.
    reader.flag("nango-is-sync");
    reader.flag("nango-is-dry-run");
    reader.text("nango-activity-log-id").filter(|id| id.len() > 255).into_iter().for_each(|_| {
        reader.issues.push(issue(IssueCode::TooBig, "nango-activity-log-id", "is longer than 255"));
    });
    if reader.issues.is_empty() { Ok(control) } else { Err(reader.issues.into()) }
}

struct Reader<'a> {
    headers: &'a HeaderMap,
    issues: Vec<Issue>,
}

impl<'a> Reader<'a> {
    /// The header's text; empty counts as absent, because the SDK sends some headers empty.
    fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.headers.get(name).filter(|value| !value.is_empty())?;
        let text = value.to_str().ok();
        if text.is_none() {
            self.issues.push(issue(IssueCode::InvalidFormat, name, "is not plain text"));
        }
        text
    }

    fn id(&mut self, name: &'static str, value: Option<&'a str>, rule: &TextRule) -> &'a str {
        match value {
            Some(text) if rule.accepts(text) => return text,
            Some(text) if text.len() > rule.max => {
                self.issues.push(issue(IssueCode::TooBig, name, "is too long"));
            }
            Some(_) => {
                let expected = rule.format.map_or("another text", |format| format.description());
                self.issues.push(issue(IssueCode::InvalidFormat, name, &format!("must be {expected}")));
            }
            None => self.issues.push(issue(IssueCode::InvalidType, name, "is required")),
        }
        ""
    }

    fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.headers.get(name)?.as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => {
                self.issues.push(issue(IssueCode::InvalidValue, name, "must be true or false"));
                None
            }
        }
    }

    /// Wire: any number is accepted; Hitchpost takes whole retries, from 0 to 10.
    fn retries(&mut self) -> u32 {
        let Some(text) = self.text("retries") else { return 0 };
        match text.trim().parse::<f64>() {
            Ok(number) if !number.is_nan() => number.clamp(0.0, MOST_RETRIES) as u32,
            _ => {
                self.issues.push(issue(IssueCode::InvalidType, "retries", "must be a number"));
                0
            }
        }
    }

    fn retry_on(&mut self) -> Vec<u16> {
        let Some(text) = self.text("retry-on") else { return Vec::new() };
        let is_list =
            text.split(',').all(|item| !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_list {
            self.issues.push(issue(IssueCode::InvalidFormat, "retry-on", "must be statuses such as 409,423"));
        }
        // Numbers that are no status match nothing.
        text.split(',').filter_map(|item| item.parse().ok()).collect()
    }

    fn base_url(&mut self) -> Option<&'a str> {
        let text = self.text("base-url-override")?;
        let is_url = text.contains("${") || url::Url::parse(text).is_ok();
        if !is_url {
            self.issues.push(issue(IssueCode::InvalidFormat, "base-url-override", "must be an absolute URL"));
        }
        Some(text)
    }
}

fn issue(code: IssueCode, name: &str, message: &str) -> Issue {
    Issue::new(code, vec![name.to_owned()], format!("The header {name} {message}."))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<String, Vec<String>> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let joined = Joined::of(&headers);
        let control = read_control(&headers, &joined).map_err(|issues| {
            let show = |issue: &Issue| {
                format!("{} {}", serde_json::json!(issue.code).as_str().unwrap(), issue.path[0])
            };
            issues.as_slice().iter().map(show).collect::<Vec<_>>()
        })?;
        Ok(format!(
            "{} {} {} {:?} {:?} {} {:?}",
            control.integration,
            control.connection,
            control.retries,
            control.retry_on,
            control.base_url_override,
            control.decompress,
            control.forward_headers_on_redirect
        ))
    }

    const IDS: [(&str, &str); 2] = [("provider-config-key", "i"), ("connection-id", "c")];

    #[test]
    fn control_headers_are_read() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[], "i c 0 [] None false None"),
            (
                &[("retries", "2.9"), ("retry-on", "409,423,99999"), ("decompress", "true")],
                "i c 2 [409, 423] None true None",
            ),
            (&[("retries", "-1"), ("retry-on", ""), ("base-url-override", "")], "i c 0 [] None false None"),
            (
                &[("retries", "1e9"), ("forward-headers-on-redirect", "false")],
                "i c 10 [] None false Some(false)",
            ),
            (&[("base-url-override", "https://x.test")], "i c 0 [] Some(\"https://x.test\") false None"),
            (&[("connection-id", "d")], "i c, d 0 [] None false None"),
        ];
        for (more, expected) in cases {
            let pairs: Vec<_> = IDS.iter().chain(more).copied().collect();
            assert_eq!(read(&pairs).as_deref(), Ok(expected), "{more:?}");
        }
    }

    #[test]
    fn every_bad_control_header_is_named() {
        let bad = [
            ("provider-config-key", "a/b"),
            ("retries", "many"),
            ("retry-on", "4xx"),
            ("base-url-override", "nowhere"),
            ("decompress", "yes"),
            ("nango-is-sync", "1"),
        ];
        assert_eq!(
            read(&bad).unwrap_err(),
            [
                "invalid_format provider-config-key",
                "invalid_type connection-id",
                "invalid_type retries",
                "invalid_format retry-on",
                "invalid_format base-url-override",
                "invalid_value decompress",
                "invalid_value nango-is-sync",
            ]
        );
    }
}
