//! From the address of an MCP server to its authorization server: protected-resource metadata (RFC 9728), then server
//! metadata (RFC 8414) or its OpenID variants (`spec` auth-flows, section 5.15).
//!
//! What servers say about each other is checked: a resource speaks for itself only, and metadata must name the issuer
//! that it was asked of. Every address must pass `endpoint`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use super::endpoint::{self, at_path, path_of};
use crate::app::App;
use crate::caches::TimedCache;
use crate::egress::OutgoingRequest;
use crate::oauth::PopupError;

const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");
const VERSION: HeaderValue = HeaderValue::from_static("2025-06-18");
/// Of one document.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of one document.
const SIZE_LIMIT: usize = 256 * 1024;
const CACHE_SIZE: usize = 256;
const CACHE_TIME: TimeDelta = TimeDelta::minutes(5);

/// Metadata of authorization servers, by issuer.
pub struct MetadataCache(TimedCache<String, Arc<ServerMetadata>>);

impl Default for MetadataCache {
    fn default() -> Self {
        MetadataCache(TimedCache::new(CACHE_SIZE, CACHE_TIME))
    }
}

/// What a sign-in needs to know about an MCP server.
pub struct Discovered {
    /// What tokens are asked for (RFC 8707).
    pub resource: String,
    /// All scopes that the resource, or else its authorization server, has.
    pub scopes: Vec<String>,
    pub server: Arc<ServerMetadata>,
}

/// An authorization server (RFC 8414, section 2), as far as sign-ins use it. The connection is stored with it.
#[derive(Clone, Serialize, Deserialize)]
pub struct ServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes_supported: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_types_supported: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_types_supported: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// RFC 9207: the callback names its issuer.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// RFC 9728, section 2.
#[derive(Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    scopes_supported: Option<Vec<String>>,
}

/// Finds the authorization server of an MCP server.
///
/// # Errors
/// What the servers lack, or say wrong.
pub async fn discover(app: &App, server: &Url) -> Result<Discovered, PopupError> {
    let resource = fetch_resource(app, server).await?;
    let named = resource.as_ref().and_then(|resource| resource.authorization_servers.first());
    let issuer = match named {
        Some(issuer) => read_issuer(app, issuer)?,
        // Wire: a server without metadata is its own authorization server.
        None => at_path(server, ""),
    };
    let metadata = server_metadata(app, &issuer).await?;
    let (identifier, scopes) = match resource {
        Some(resource) => (resource.resource, resource.scopes_supported),
        None => (canonical(server), None),
    };
    let scopes = scopes.or_else(|| metadata.scopes_supported.clone()).unwrap_or_default();
    Ok(Discovered { resource: identifier, scopes, server: metadata })
}

/// The metadata of the path, else that of the whole host; none when there is neither.
async fn fetch_resource(app: &App, server: &Url) -> Result<Option<ResourceMetadata>, PopupError> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let path = path_of(server);
    let own = at_path(server, &format!("{WELL_KNOWN}{path}"));
    let mut found = fetch::<ResourceMetadata>(app, own).await?;
    if matches!(found, Fetched::Absent(_)) && !path.is_empty() {
        found = fetch(app, at_path(server, WELL_KNOWN)).await?;
    }
    let Fetched::Document(metadata) = found else { return Ok(None) };
    if !speaks_for(&metadata.resource, server) {
        return Err(failed("The metadata of the MCP server is that of another resource."));
    }
    Ok(Some(metadata))
}

/// Whether `resource` is the server's address or a parent of it. Otherwise a server could have tokens of another made out
/// to itself (RFC 9728, section 3.3).
fn speaks_for(resource: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let (parent, path) = (path_of(&resource), path_of(server));
    let is_parent = path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    resource.origin() == server.origin() && resource.fragment().is_none() && is_parent
}

fn read_issuer(app: &App, text: &str) -> Result<Url, PopupError> {
    let issuer = endpoint::read(&app.egress.proxy_policy, text).and_then(|issuer| match issuer.query() {
        None => Ok(issuer),
        // RFC 8414, section 2.
        Some(_) => Err("has a query"),
    });
    issuer.map_err(|reason| failed(format!("The address of the authorization server {reason}.")))
}

/// The address of a server as resource servers spell it.
fn canonical(server: &Url) -> String {
    let text = server.as_str();
    if server.query().is_none() { text.trim_end_matches('/').to_owned() } else { text.to_owned() }
}

async fn server_metadata(app: &App, issuer: &Url) -> Result<Arc<ServerMetadata>, PopupError> {
    let cache = &app.mcp_metadata.0;
    if let Some(known) = cache.get(issuer.as_str(), app.clock.now()) {
        return Ok(known);
    }
    let mark = cache.begin();
    let metadata = Arc::new(fetch_server(app, issuer).await?);
    cache.insert(mark, issuer.as_str().to_owned(), Arc::clone(&metadata), app.clock.now());
    Ok(metadata)
}

async fn fetch_server(app: &App, issuer: &Url) -> Result<ServerMetadata, PopupError> {
    let mut reasons = Vec::new();
    for url in metadata_urls(issuer) {
        match fetch::<ServerMetadata>(app, url).await? {
            Fetched::Document(metadata) => {
                check_metadata(app, issuer, &metadata)?;
                return Ok(metadata);
            }
            Fetched::Absent(reason) => reasons.push(reason),
        }
    }
    let host = issuer.host_str().unwrap_or_default();
    Err(failed(format!("{host} has no metadata of an authorization server: {}.", reasons.join("; "))))
}

/// RFC 8414, section 3.1; OpenID Connect puts its document behind the issuer's path, or in the same way.
fn metadata_urls(issuer: &Url) -> Vec<Url> {
    let path = path_of(issuer);
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    paths.iter().map(|path| at_path(issuer, path)).collect()
}

fn check_metadata(app: &App, issuer: &Url, metadata: &ServerMetadata) -> Result<(), PopupError> {
    // RFC 8414, section 3.3. Compared as URLs: `https://a.test` and `https://a.test/` are one.
    if Url::parse(&metadata.issuer).ok().as_ref() != Some(issuer) {
        return Err(failed("The metadata of the authorization server names another issuer."));
    }
    let endpoints = [
        ("authorization_endpoint", Some(&metadata.authorization_endpoint)),
        ("token_endpoint", Some(&metadata.token_endpoint)),
        ("registration_endpoint", metadata.registration_endpoint.as_ref()),
    ];
    for (name, text) in endpoints.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        endpoint::read(&app.egress.proxy_policy, text)
            .map_err(|reason| failed(format!("The `{name}` of the authorization server {reason}.")))?;
    }
    if lacks(metadata.response_types_supported.as_deref(), "code") {
        return Err(failed("The authorization server does not give authorization codes."));
    }
    // Absent is not refused: many servers know PKCE and do not say so, and the challenge harms nowhere.
    if lacks(metadata.code_challenge_methods_supported.as_deref(), "S256") {
        return Err(failed("The authorization server does not support PKCE with S256."));
    }
    Ok(())
}

/// Whether a list is given and does not have `name`.
pub fn lacks(list: Option<&[String]>, name: &str) -> bool {
    list.is_some_and(|list| !list.iter().any(|known| known == name))
}

enum Fetched<T> {
    Document(T),
    /// Why not, with the address.
    Absent(String),
}

/// Fetches a JSON document. A refusal, or a page for people, means that there is none.
async fn fetch<T: DeserializeOwned>(app: &App, url: Url) -> Result<Fetched<T>, PopupError> {
    let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let accept = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(ACCEPT, accept), (VERSION_HEADER, VERSION)]);
    let request = OutgoingRequest { method: Method::GET, url, headers, body: Bytes::new(), follow: true };
    // The client for addresses that are not the operator's: private networks are closed to it.
    let answer = app.egress.webhooks.send_within(request, TIME_LIMIT).await;
    let answer = answer.map_err(|error| failed(format!("{place} gave no usable answer: {error}.")))?;
    endpoint::check(&app.egress.proxy_policy, &answer.final_url)
        .map_err(|reason| failed(format!("{place} redirects to an address that {reason}.")))?;
    if answer.status.is_client_error() {
        return Ok(Fetched::Absent(format!("{place} answered {}", answer.status.as_u16())));
    }
    if !answer.status.is_success() {
        return Err(failed(format!("{place} answered {}.", answer.status.as_u16())));
    }
    if answer.body.len() > SIZE_LIMIT {
        return Err(failed(format!("{place} answered with more than {SIZE_LIMIT} bytes.")));
    }
    match serde_json::from_slice::<serde_json::Value>(&answer.body) {
        Ok(value) => serde_json::from_value(value).map(Fetched::Document).map_err(|error| {
            // Other texts of the reader repeat values.
            let reason = Some(error.to_string()).filter(|text| text.starts_with("missing field"));
            let reason = reason.unwrap_or_else(|| "a member has an unexpected form".to_owned());
            failed(format!("{place} is no usable metadata: {reason}."))
        }),
        Err(_) => Ok(Fetched::Absent(format!("{place} did not answer with JSON"))),
    }
}

fn failed(message: impl Into<String>) -> PopupError {
    PopupError::new("unknown_err", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_issuers_put_it() {
        for (issuer, expected) in [
            (
                "https://a.test",
                vec![
                    "https://a.test/.well-known/oauth-authorization-server",
                    "https://a.test/.well-known/openid-configuration",
                ],
            ),
            (
                "https://a.test:8443/tenant/1/",
                vec![
                    "https://a.test:8443/.well-known/oauth-authorization-server/tenant/1",
                    "https://a.test:8443/.well-known/openid-configuration/tenant/1",
                    "https://a.test:8443/tenant/1/.well-known/openid-configuration",
                ],
            ),
        ] {
            let urls = metadata_urls(&Url::parse(issuer).unwrap());
            assert_eq!(urls.iter().map(Url::as_str).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_resource_speaks_for_itself_and_what_is_below() {
        let server = Url::parse("https://m.test/a/mcp").unwrap();
        for (resource, expected) in [
            ("https://m.test/a/mcp", true),
            ("https://m.test/a/mcp/", true),
            ("https://m.test/a", true),
            ("https://m.test", true),
            ("https://m.test/a/m", false),
            ("https://m.test/a/mcp/below", false),
            ("https://other.test/a/mcp", false),
            ("http://m.test/a/mcp", false),
            ("https://m.test:8443/a/mcp", false),
            ("m.test", false),
        ] {
            assert_eq!(speaks_for(resource, &server), expected, "{resource}");
        }
    }

    #[test]
    fn the_resource_of_a_server_without_metadata_is_its_address() {
        for (server, expected) in [
            ("https://m.test", "https://m.test"),
            ("https://m.test/mcp/", "https://m.test/mcp"),
            ("https://m.test/mcp?t=1", "https://m.test/mcp?t=1"),
        ] {
            assert_eq!(canonical(&Url::parse(server).unwrap()), expected);
        }
    }
}
