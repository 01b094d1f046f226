//! Limits, the guard of outgoing requests, and the proxy.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Lookup, Reader};
use crate::egress::PolicySet;

#[derive(Debug)]
pub struct LimitConfig {
    pub enabled: bool,
    /// Requests per minute and account.
    pub per_minute: u64,
    /// Whether the limit was set explicitly: only then does it cover `/proxy`.
    pub covers_proxy: bool,
    pub oauth_token_max_length: usize,
}

impl LimitConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        LimitConfig {
            enabled: reader.bool("FLAG_API_RATE_LIMIT_ENABLED", true),
            per_minute: reader.number("DEFAULT_RATE_LIMIT_PER_MIN", 3000),
            covers_proxy: reader.text("DEFAULT_RATE_LIMIT_PER_MIN").is_some(),
            oauth_token_max_length: reader.number("NANGO_SERVER_OAUTH2_TOKEN_MAX_LENGTH", 16_384) as usize,
        }
    }
}

/// The guard of outgoing requests; the policy texts are parsed by `egress`.
#[derive(Debug, Clone)]
pub struct OutboundConfig {
    pub policy: Option<String>,
    pub oauth_policy: Option<String>,
    /// `Some("")` empties the default denylist.
    pub override_denylist: Option<String>,
    pub https_proxy: Option<String>,
    pub http_proxy: Option<String>,
    pub no_proxy: Option<String>,
    pub extra_certificates: Option<PathBuf>,
    /// Where STS is, instead of the region's public endpoint.
    pub sts_url: Option<String>,
}

impl OutboundConfig {
    /// The outbound policies of the settings.
    ///
    /// # Errors
    /// Every mistake, one sentence each.
    pub fn policies(&self) -> Result<PolicySet, Vec<String>> {
        PolicySet::parse(
            self.policy.as_deref(),
            self.oauth_policy.as_deref(),
            self.override_denylist.as_deref(),
        )
    }

    pub(super) fn read(reader: &Reader<'_>, lookup: Lookup<'_>) -> Self {
        const DENYLIST: &str = "NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST";
        let proxy =
            |name: &str| reader.text(name).or_else(|| lookup(&name.to_lowercase()).filter(|v| !v.is_empty()));
        OutboundConfig {
            policy: reader.text("NANGO_OUTBOUND_URL_POLICY"),
            oauth_policy: reader.text("NANGO_OUTBOUND_URL_POLICY_OAUTH"),
            // Here an empty text means something else than an unset one.
            override_denylist: reader.text(DENYLIST).or_else(|| lookup(DENYLIST)),
            https_proxy: proxy("HTTPS_PROXY"),
            http_proxy: proxy("HTTP_PROXY"),
            no_proxy: proxy("NO_PROXY"),
            extra_certificates: reader.text("NODE_EXTRA_CA_CERTS").map(PathBuf::from),
            sts_url: reader.text("AWS_ENDPOINT_URL_STS"),
        }
    }
}

#[derive(Debug)]
pub struct ProxyConfig {
    pub base_url_override: bool,
    pub timeout: Duration,
    pub refresh_on_401: bool,
    pub forward_set_cookie: bool,
    pub strict_base_path: bool,
    pub legacy_status: bool,
    pub legacy_errors: bool,
    pub retryable_network_errors: Vec<String>,
}

impl ProxyConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        ProxyConfig {
            base_url_override: reader.bool("NANGO_PROXY_BASE_URL_OVERRIDE_ENABLED", true),
            timeout: Duration::from_millis(reader.number("HITCHPOST_PROXY_TIMEOUT_MS", 300_000)),
            refresh_on_401: reader.bool("HITCHPOST_PROXY_REFRESH_ON_401", true),
            forward_set_cookie: reader.bool("HITCHPOST_PROXY_FORWARD_SET_COOKIE", false),
            strict_base_path: reader.bool("HITCHPOST_PROXY_STRICT_BASE_PATH", false),
            legacy_status: reader.bool("HITCHPOST_PROXY_LEGACY_STATUS", false),
            legacy_errors: reader.bool("HITCHPOST_PROXY_LEGACY_ERRORS", false),
            retryable_network_errors: reader.list("NANGO_RETRYABLE_NETWORK_ERRORS"),
        }
    }
}
