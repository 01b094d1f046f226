//! The operator's own HTTP proxy (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) between this process and the world.
//! Called by the connector and by the clients. Host rules of the policy hold through it; address rules cannot, because the
//! proxy resolves the names.

use std::collections::HashSet;

use axum::BoxError;
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Uri, uri::Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tower::ServiceExt;
use url::Url;

use super::connector::{Link, tcp_connector};

/// The three settings as given.
#[derive(Debug, Clone, Default)]
pub struct OutboundProxyConfig {
    /// For `http` targets.
    pub http: Option<String>,
    /// For `https` targets.
    pub https: Option<String>,
    /// Comma-separated hosts, domains and address ranges that are reached directly.
    pub except: Option<String>,
}

/// Which targets go through which proxy.
pub(super) struct OutboundProxy {
    http: Option<Url>,
    https: Option<Url>,
    except: String,
    matcher: Matcher,
    connector: HttpConnector,
}

impl OutboundProxy {
    /// `None` when no proxy is configured.
    pub(super) fn new(config: &OutboundProxyConfig) -> Result<Option<Self>, String> {
        let http = parse("HTTP_PROXY", config.http.as_deref())?;
        let https = parse("HTTPS_PROXY", config.https.as_deref())?;
        if http.is_none() && https.is_none() {
            return Ok(None);
        }
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string).unwrap_or_default();
        let except = config.except.clone().unwrap_or_default();
        let matcher = Matcher::builder().http(text(&http)).https(text(&https)).no(except.clone()).build();
        let connector = tcp_connector(HttpConnector::new());
        Ok(Some(Self { http, https, except, matcher, connector }))
    }

    /// The proxy to use for a target, or `None` to connect directly.
    pub(super) fn hop_for(&self, target: &Uri) -> Option<Hop> {
        let via = self.matcher.intercept(target)?;
        Some(Hop { via, connector: self.connector.clone() })
    }

    /// Adds the proxy's credentials to a plain `http` request; tunnels carry them in their CONNECT request.
    pub(super) fn authorize(&self, target: &Uri, headers: &mut HeaderMap) {
        if target.scheme() != Some(&Scheme::HTTP) {
            return;
        }
        let via = self.matcher.intercept(target);
        if let Some(value) = via.as_ref().and_then(Intercept::basic_auth) {
            headers.insert(PROXY_AUTHORIZATION, value.clone());
        }
    }

    /// The same rules for reqwest.
    pub(super) fn reqwest_proxies(&self) -> Result<Vec<reqwest::Proxy>, String> {
        let except = reqwest::NoProxy::from_string(&self.except);
        let http = self.http.clone().map(reqwest::Proxy::http);
        let https = self.https.clone().map(reqwest::Proxy::https);
        let build = |proxy: reqwest::Result<reqwest::Proxy>| {
            let proxy = proxy.map_err(|_| "HTTP_PROXY or HTTPS_PROXY is not a usable URL".to_owned())?;
            Ok(proxy.no_proxy(except.clone()))
        };
        http.into_iter().chain(https).map(build).collect()
    }

    /// The host names of the proxies.
    pub(super) fn names(&self) -> HashSet<String> {
        let urls = [&self.http, &self.https].into_iter().flatten();
        urls.filter_map(Url::domain).map(str::to_owned).collect()
    }
}

/// A target's way through a proxy.
pub(super) struct Hop {
    via: Intercept,
    connector: HttpConnector,
}

impl Hop {
    /// Connects to the proxy; for an `https` target it also asks for a tunnel (RFC 9110 section 9.3.6).
    pub(super) async fn open(self, target: Uri) -> Result<Link, BoxError> {
        let proxy = self.via.uri().clone();
        if target.scheme() == Some(&Scheme::HTTP) {
            let tcp = self.connector.oneshot(proxy).await?;
            return Ok(Link { tcp, is_forwarded: true });
        }
        let mut tunnel = Tunnel::new(proxy, self.connector);
        if let Some(value) = self.via.basic_auth() {
            tunnel = tunnel.with_auth(value.clone());
        }
        let tcp = tunnel.oneshot(target).await.map_err(name_refusal)?;
        Ok(Link { tcp, is_forwarded: false })
    }
}

/// The proxy answered, but opened no tunnel. hyper-util's own error for this has no public name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TunnelRefused(pub(super) String);

fn name_refusal(error: impl std::error::Error + Send + Sync + 'static) -> BoxError {
    match error.source() {
        Some(_) => error.into(),
        None => TunnelRefused(error.to_string()).into(),
    }
}

/// Reads a proxy's URL. Its text may hold a password, so no message repeats it.
fn parse(variable: &str, text: Option<&str>) -> Result<Option<Url>, String> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    match url {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(Some(url)),
        _ => Err(format!(
            "{variable} must be a URL such as http://proxy.example.com:3128; only http proxies are supported"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(http: &str, https: &str, except: &str) -> Result<Option<OutboundProxy>, String> {
        let given = |text: &str| Some(text.to_owned());
        OutboundProxy::new(&OutboundProxyConfig {
            http: given(http),
            https: given(https),
            except: given(except),
        })
    }

    #[test]
    fn exceptions_are_reached_directly() {
        let outbound =
            proxy("p1.test:3128", "http://u:p%40ss@p2.test", "corp.test,10.0.0.0/8").unwrap().unwrap();
        let via = |target: &'static str| {
            outbound.hop_for(&Uri::from_static(target)).map(|hop| hop.via.uri().to_string())
        };
        assert_eq!(via("http://a.test/x").as_deref(), Some("http://p1.test:3128/"));
        assert_eq!(via("https://a.test/x").as_deref(), Some("http://p2.test/"));
        assert_eq!(via("https://git.corp.test/"), None);
        assert_eq!(via("http://10.1.1.1/"), None);
        assert_eq!(outbound.names(), HashSet::from(["p1.test".to_owned(), "p2.test".to_owned()]));
    }

    #[test]
    fn settings_without_a_proxy_cost_nothing_and_bad_ones_are_sentences() {
        assert!(proxy("", " ", "a.test").unwrap().is_none());
        for bad in ["socks5://p.test", "https://p.test", "http://", "http://user:hunter2@p:notaport"] {
            let problem = proxy("", bad, "").err().unwrap();
            assert!(problem.starts_with("HTTPS_PROXY must be") && !problem.contains("hunter2"), "{problem}");
        }
    }
}
