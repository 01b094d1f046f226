//! Limits, the guard of outgoing requests, the proxy, and outgoing webhooks.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;

use super::reader::{Lookup, Reader};
use crate::db::webhook_endpoints::BreakerRule;
use crate::egress::PolicySet;

#[derive(Debug)]
pub struct LimitConfig {
    pub enabled: bool,
    /// Requests per minute and account.
    pub per_minute: u64,
    /// Whether the limit was set explicitly: only then does it cover `/proxy`.
    pub covers_proxy: bool,
    pub oauth_token_max_length: usize,
    /// Webhooks of providers per minute and integration; zero: not counted.
    pub incoming_webhooks: u64,
    /// Whether those above the limit are refused.
    pub refuses_webhooks: bool,
}

impl LimitConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        LimitConfig {
            enabled: reader.bool("FLAG_API_RATE_LIMIT_ENABLED", true),
            per_minute: reader.number("DEFAULT_RATE_LIMIT_PER_MIN", 3000),
            covers_proxy: reader.text("DEFAULT_RATE_LIMIT_PER_MIN").is_some(),
            oauth_token_max_length: reader.number("NANGO_SERVER_OAUTH2_TOKEN_MAX_LENGTH", 16_384) as usize,
            incoming_webhooks: reader.number("NANGO_WEBHOOK_INGRESS_RATE_LIMIT_PER_MIN", 4000),
            refuses_webhooks: reader.bool("NANGO_WEBHOOK_INGRESS_RATE_LIMIT_ENFORCE", false),
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
    /// Whether providers are told the caller's trace and the request id.
    pub trace_headers: bool,
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
            trace_headers: reader.bool("HITCHPOST_PROXY_TRACE_HEADERS", false),
            retryable_network_errors: reader.list("NANGO_RETRYABLE_NETWORK_ERRORS"),
        }
    }
}

#[derive(Debug)]
pub struct WebhookConfig {
    pub timeout: Duration,
    /// Retries seconds after a failure; slow ones follow.
    pub quick_retries: i32,
    pub max_age: TimeDelta,
    pub retention_days: i32,
    /// Zero: this process sends only what it queued itself.
    pub poll: Duration,
    pub breaker: BreakerRule,
}

impl WebhookConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        // Times stay within what the database can store.
        let at_most = |name, default, most: i32| {
            i32::try_from(reader.number(name, default)).map_or(most, |number| number.min(most))
        };
        let small = |name, default| at_most(name, default, i32::MAX);
        let seconds = |name, default| TimeDelta::seconds(small(name, default).into());
        WebhookConfig {
            timeout: Duration::from_millis(reader.number("NANGO_WEBHOOK_TIMEOUT_MS", 20_000).max(1)),
            quick_retries: small("NANGO_WEBHOOK_RETRY_ATTEMPTS", 2),
            max_age: TimeDelta::hours(at_most("HITCHPOST_WEBHOOK_MAX_AGE_HOURS", 24, 87_600).into()),
            retention_days: at_most("HITCHPOST_WEBHOOK_RETENTION_DAYS", 7, 36_500),
            poll: Duration::from_millis(reader.number("HITCHPOST_WEBHOOK_POLL_MS", 1_000).min(3_600_000)),
            breaker: BreakerRule {
                threshold: small("NANGO_WEBHOOK_CIRCUIT_BREAKER_FAILURE_THRESHOLD", 5),
                window: seconds("NANGO_WEBHOOK_CIRCUIT_BREAKER_WINDOW_SECS", 10),
                cooldown: seconds("NANGO_WEBHOOK_CIRCUIT_BREAKER_COOLDOWN_DURATION_SECS", 60),
                reset_after: seconds("NANGO_WEBHOOK_CIRCUIT_BREAKER_AUTO_RESET_SECS", 3_600),
            },
        }
    }
}
