//! The outbound policy: which hosts and addresses a request of ours may reach (spec `proxy.md` 14).
//! Called by the edge before a call and by the clients of this module at every connection and redirect.
//! Pure: it never resolves a name, and its messages never carry more of a URL than the host.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use url::{Host, Url};

use super::ranges::{self, Range};

/// Why a request was refused. Codes go to logs, not into answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedReason {
    InvalidUrl,
    InvalidScheme,
    AllowlistMiss,
    DeniedHostname,
    DeniedIp,
    DeniedDns,
}

impl DeniedReason {
    /// The code as written to logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidUrl => "invalid_url",
            Self::InvalidScheme => "invalid_scheme",
            Self::AllowlistMiss => "allowlist_miss",
            Self::DeniedHostname => "denied_hostname",
            Self::DeniedIp => "denied_ip",
            Self::DeniedDns => "denied_dns",
        }
    }
}

/// A refusal. Its text is a sentence that names the setting which would allow the call; it holds a host, never a path or query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    pub reason: DeniedReason,
    message: String,
}

impl Denied {
    pub(super) fn new(reason: DeniedReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// How host names are judged. Blocked address ranges hold in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Denylist,
    Allowlist,
    Permissive,
}

/// The effective rules of one kind of traffic; see `PolicySet::parse` for where the values come from.
#[derive(Debug, Clone)]
pub struct OutboundPolicy {
    /// The variable to name in refusals.
    pub(super) variable: &'static str,
    pub(super) mode: Mode,
    pub(super) denied_names: HashSet<String>,
    /// Held against resolved addresses as well, or a second name for a denied address would pass.
    pub(super) denied_ips: HashSet<IpAddr>,
    pub(super) allowed_hosts: HashSet<String>,
    pub(super) block_private_ips: bool,
    pub(super) block_link_local: bool,
    pub(super) allow_loopback: bool,
    pub(super) allow_cidrs: Vec<IpNet>,
    pub(super) max_redirects: usize,
}

impl OutboundPolicy {
    /// For addresses that the operator's settings name. Link-local ones, where clouds keep their metadata, stay closed: a name
    /// may resolve to anything.
    pub(super) fn of_operator() -> Self {
        OutboundPolicy {
            variable: "the server's settings",
            mode: Mode::Permissive,
            denied_names: HashSet::new(),
            denied_ips: HashSet::new(),
            allowed_hosts: HashSet::new(),
            block_private_ips: false,
            block_link_local: true,
            allow_loopback: true,
            allow_cidrs: Vec::new(),
            max_redirects: 0,
        }
    }

    /// How many redirects may be followed; 0 means that a 3xx answer is the answer.
    pub fn max_redirects(&self) -> usize {
        self.max_redirects
    }

    /// Whether addresses of this machine may be called.
    pub fn allows_loopback(&self) -> bool {
        self.allow_loopback
    }

    /// Judges scheme and host of a URL. A name that passes still has to resolve to allowed addresses.
    pub fn check_url(&self, url: &Url) -> Result<(), Denied> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Denied::new(DeniedReason::InvalidScheme, "only http and https URLs can be called"));
        }
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name),
            Some(Host::Ipv4(ip)) => self.check_literal(ip.into()),
            Some(Host::Ipv6(ip)) => self.check_literal(ip.into()),
            None => Err(Denied::new(DeniedReason::InvalidUrl, "the URL has no host")),
        }
    }

    /// Judges a host as it stands in a request target: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn check_host(&self, host: &str) -> Result<(), Denied> {
        match bare_host(host).parse::<IpAddr>() {
            Ok(ip) => self.check_literal(ip),
            Err(_) => self.check_name(&host.to_ascii_lowercase()),
        }
    }

    /// Judges one address, typed or resolved.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), Denied> {
        if self.denies_ip(ip) {
            return Err(self.denied_host(DeniedReason::DeniedIp, &ip));
        }
        match self.blocked_range(ip) {
            Some(range) => Err(self.blocked(DeniedReason::DeniedIp, &format_args!("{ip} is"), range)),
            None => Ok(()),
        }
    }

    /// Judges the addresses a name resolved to: a single bad one refuses them all. The addresses stay out of the message.
    pub fn check_answers(&self, name: &str, answers: &[IpAddr]) -> Result<(), Denied> {
        for ip in answers {
            if self.denies_ip(*ip) {
                return Err(self.denied_host(DeniedReason::DeniedDns, &format_args!("an address of {name}")));
            }
            if let Some(range) = self.blocked_range(*ip) {
                return Err(self.blocked(
                    DeniedReason::DeniedDns,
                    &format_args!("{name} resolves to"),
                    range,
                ));
            }
        }
        Ok(())
    }

    fn check_literal(&self, ip: IpAddr) -> Result<(), Denied> {
        if self.mode == Mode::Allowlist && !self.allowed_hosts.contains(&ip.to_canonical().to_string()) {
            return Err(self.allowlist_miss(&ip));
        }
        if self.denies_ip(ip) {
            return Err(self.denied_host(DeniedReason::DeniedHostname, &ip));
        }
        self.check_ip(ip)
    }

    /// `name` is lower case, as URL parsing leaves it.
    fn check_name(&self, name: &str) -> Result<(), Denied> {
        let name = name.trim_end_matches('.');
        if name.is_empty() {
            return Err(Denied::new(DeniedReason::InvalidUrl, "the URL has no host"));
        }
        if self.mode == Mode::Allowlist && !self.allows_name(name) {
            return Err(self.allowlist_miss(&name));
        }
        if self.denied_names.contains(name) {
            return Err(self.denied_host(DeniedReason::DeniedHostname, &name));
        }
        Ok(())
    }

    fn allows_name(&self, name: &str) -> bool {
        let mut rest = name;
        loop {
            if self.allowed_hosts.contains(rest) {
                return true;
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => return false,
            }
        }
    }

    fn denies_ip(&self, ip: IpAddr) -> bool {
        self.denied_ips.contains(&ip.to_canonical())
            || embedded(ip).is_some_and(|inner| self.denied_ips.contains(&inner))
    }

    fn blocked_range(&self, ip: IpAddr) -> Option<Range> {
        ranges::classify(ip).filter(|range| match range {
            Range::Loopback => !self.allow_loopback,
            Range::Private => self.block_private_ips && !self.is_opened(ip),
            Range::LinkLocal => self.block_link_local,
            Range::Reserved => !self.is_opened(ip),
            Range::Unspecified | Range::Multicast => true,
        })
    }

    /// Whether `allowCidrs` names the address, or the IPv4 address inside it. Loopback and link-local addresses have
    /// switches of their own, so that a generous `0.0.0.0/0` does not open a cloud's metadata service.
    fn is_opened(&self, ip: IpAddr) -> bool {
        let inner = embedded(ip);
        self.allow_cidrs
            .iter()
            .any(|net| net.contains(&ip) || inner.is_some_and(|inner| net.contains(&inner)))
    }

    fn allowlist_miss(&self, host: &dyn fmt::Display) -> Denied {
        let variable = self.variable;
        Denied::new(
            DeniedReason::AllowlistMiss,
            format!(
                "{host} is not on the outbound allowlist; add it to \"allowlist\" in {variable} to allow it"
            ),
        )
    }

    fn denied_host(&self, reason: DeniedReason, host: &dyn fmt::Display) -> Denied {
        let variable = self.variable;
        Denied::new(
            reason,
            format!(
                "{host} is on the outbound denylist; \"denylist\" and \"mode\" in {variable} and \
                 NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST decide what is on it"
            ),
        )
    }

    fn blocked(&self, reason: DeniedReason, subject: &dyn fmt::Display, range: Range) -> Denied {
        let (label, variable) = (range.label(), self.variable);
        let article = if matches!(range, Range::Unspecified) { "an" } else { "a" };
        let setting = match range {
            Range::Loopback => "set \"allowLoopback\": true",
            Range::Private => "add its range to \"allowCidrs\", or set \"blockPrivateIps\": false,",
            Range::LinkLocal => "set \"blockLinkLocal\": false",
            Range::Reserved => "add its range to \"allowCidrs\"",
            Range::Unspecified | Range::Multicast => {
                return Denied::new(
                    reason,
                    format!("{subject} {article} {label} address, which no setting allows"),
                );
            }
        };
        Denied::new(
            reason,
            format!("{subject} {article} {label} address; {setting} in {variable} to allow it"),
        )
    }
}

fn embedded(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => ranges::embedded_v4(ip).map(IpAddr::V4),
    }
}

/// The host of a request target without the brackets of an IPv6 address.
pub(super) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::super::settings::PolicySet;
    use super::*;

    fn policy(text: &str) -> OutboundPolicy {
        PolicySet::parse(Some(text), None, None).unwrap().proxy
    }

    fn reason(policy: &OutboundPolicy, url: &str) -> Option<&'static str> {
        policy.check_url(&Url::parse(url).unwrap()).err().map(|denied| denied.reason.code())
    }

    #[test]
    fn urls_are_judged_as_the_parser_reads_them() {
        let open = policy(r#"{"mode":"permissive"}"#);
        let table = [
            ("https://api.example.com/x?y=1", None),
            ("http://8.8.8.8", None),
            ("ftp://example.com", Some("invalid_scheme")),
            ("file:///etc/passwd", Some("invalid_scheme")),
            ("data:text/plain,x", Some("invalid_scheme")),
            ("http://127.0.0.1", Some("denied_ip")),
            ("http://127.0.0.1.", Some("denied_ip")),
            ("http://2130706433/", Some("denied_ip")),
            ("http://0x7f.1", Some("denied_ip")),
            ("http://0x7f000001", Some("denied_ip")),
            ("http://0177.0.0.1", Some("denied_ip")),
            ("http://017700000001", Some("denied_ip")),
            ("http://127.1", Some("denied_ip")),
            ("http://1２7.0.0.1", Some("denied_ip")),
            ("http://①②⑦.0.0.1", Some("denied_ip")),
            ("http://0", Some("denied_ip")),
            ("http://0.0.0.0", Some("denied_ip")),
            ("http://3232235777", Some("denied_ip")),
            ("http://0xa9fea9fe", Some("denied_ip")),
            ("http://user:pass@10.0.0.1:8080/", Some("denied_ip")),
            ("http://[::1]", Some("denied_ip")),
            ("http://[0:0:0:0:0:0:0:1]", Some("denied_ip")),
            ("http://[::]", Some("denied_ip")),
            ("http://[::ffff:7f00:1]", Some("denied_ip")),
            ("http://[::ffff:192.168.1.1]", Some("denied_ip")),
            ("http://[64:ff9b::a00:1]", Some("denied_ip")),
            ("http://[2002:a00:1::]", Some("denied_ip")),
            ("http://[fd00::1]", Some("denied_ip")),
            ("http://[fe80::1]", Some("denied_ip")),
            ("http://[2606:4700::1111]", None),
            ("https://203.0.113.9", Some("denied_ip")),
            ("https://224.0.0.1", Some("denied_ip")),
        ];
        for (url, expected) in table {
            assert_eq!(reason(&open, url), expected, "{url}");
        }
    }

    #[test]
    fn the_default_denylist_names_hosts_before_ranges() {
        let default = PolicySet::parse(None, None, None).unwrap().proxy;
        let table = [
            ("http://localhost", Some("denied_hostname")),
            ("http://LOCALHOST.", Some("denied_hostname")),
            ("http://localhost..:80", Some("denied_hostname")),
            ("http://metadata.google.internal", Some("denied_hostname")),
            ("http://169.254.169.254/latest", Some("denied_hostname")),
            ("http://0xa9.254.43518", Some("denied_hostname")),
            ("http://[::ffff:a9fe:a9fe]", Some("denied_hostname")),
            ("http://[64:ff9b::a9fe:a9fe]", Some("denied_hostname")),
            ("http://[::1]", Some("denied_hostname")),
            ("http://127.0.0.2", Some("denied_ip")),
            ("http://localhost.example.com", None),
            ("http://notlocalhost", None),
        ];
        for (url, expected) in table {
            assert_eq!(reason(&default, url), expected, "{url}");
        }
    }

    #[test]
    fn an_allowlist_allows_its_hosts_and_their_subdomains_only() {
        let listed =
            policy(r#"{"mode":"allowlist","allowlist":[".Example.com","https://api.acme.io/v1","8.8.8.8"]}"#);
        let table = [
            ("https://example.com", None),
            ("https://a.b.EXAMPLE.com.", None),
            ("https://badexample.com", Some("allowlist_miss")),
            ("https://api.acme.io", None),
            ("https://acme.io", Some("allowlist_miss")),
            ("https://8.8.8.8", None),
            ("https://1.1.1.1", Some("allowlist_miss")),
        ];
        for (url, expected) in table {
            assert_eq!(reason(&listed, url), expected, "{url}");
        }
        let empty = policy(r#"{"mode":"allowlist","allowlist":[]}"#);
        assert_eq!(reason(&empty, "https://example.com"), Some("allowlist_miss"));
        let unset = policy(r#"{"mode":"allowlist"}"#);
        assert_eq!(reason(&unset, "https://example.com"), Some("allowlist_miss"));
        let inner = policy(r#"{"mode":"allowlist","allowlist":["10.0.0.1"]}"#);
        assert_eq!(reason(&inner, "http://10.0.0.1"), Some("denied_ip"));
    }

    #[test]
    fn settings_open_exactly_their_range() {
        let table = [
            (r#"{"allowLoopback":true}"#, "http://127.0.0.1:9", None),
            (r#"{"allowLoopback":true}"#, "http://localhost:9", None),
            (r#"{"allowLoopback":true}"#, "http://[::1]:9", None),
            (r#"{"allowLoopback":true}"#, "http://[::ffff:127.0.0.1]", None),
            (r#"{"allowLoopback":true}"#, "http://0.0.0.0", Some("denied_ip")),
            (r#"{"allowLoopback":true}"#, "http://169.254.169.254", Some("denied_hostname")),
            (
                r#"{"allowLoopback":true,"denylist":["localhost"]}"#,
                "http://localhost",
                Some("denied_hostname"),
            ),
            (r#"{"blockPrivateIps":false}"#, "http://10.0.0.1", None),
            (r#"{"blockPrivateIps":false}"#, "http://[fd00::1]", None),
            (r#"{"blockPrivateIps":false}"#, "http://169.254.1.1", Some("denied_ip")),
            (r#"{"blockLinkLocal":false}"#, "http://169.254.1.1", None),
            (r#"{"blockLinkLocal":false}"#, "http://169.254.169.254", Some("denied_hostname")),
            (r#"{"allowCidrs":["10.20.0.0/16"]}"#, "http://10.20.255.1", None),
            (r#"{"allowCidrs":["10.20.0.0/16"]}"#, "http://[::ffff:10.20.0.1]", None),
            (r#"{"allowCidrs":["10.20.0.0/16"]}"#, "http://10.21.0.1", Some("denied_ip")),
            (r#"{"allowCidrs":["10.20.0.7"]}"#, "http://10.20.0.7", None),
            (r#"{"allowCidrs":["fd00:1::/32"]}"#, "http://[fd00:1::5]", None),
            (r#"{"allowCidrs":["198.18.0.0/15"]}"#, "http://198.18.0.1", None),
            (r#"{"allowCidrs":["0.0.0.0/0"]}"#, "http://169.254.1.1", Some("denied_ip")),
            (r#"{"allowCidrs":["0.0.0.0/0"]}"#, "http://127.0.0.2", Some("denied_ip")),
            (r#"{"allowCidrs":["0.0.0.0/0"]}"#, "http://224.0.0.1", Some("denied_ip")),
            (r#"{"denylist":["https://evil.test:1/x"]}"#, "http://evil.test", Some("denied_hostname")),
            (r#"{"denylist":["evil.test"]}"#, "http://sub.evil.test", None),
            (r#"{"mode":"permissive","denylist":["evil.test"]}"#, "http://evil.test", None),
        ];
        for (text, url, expected) in table {
            assert_eq!(reason(&policy(text), url), expected, "{text} {url}");
        }
    }

    #[test]
    fn one_bad_answer_refuses_a_name() {
        let default = policy(r#"{"denylist":["8.8.4.4"]}"#);
        let check = |answers: &[&str]| {
            let answers: Vec<IpAddr> = answers.iter().map(|ip| ip.parse().unwrap()).collect();
            default.check_answers("api.test", &answers).err().map(|denied| denied.reason.code())
        };
        assert_eq!(check(&["8.8.8.8", "2606:4700::1111"]), None);
        assert_eq!(check(&["8.8.8.8", "10.0.0.1"]), Some("denied_dns"));
        assert_eq!(check(&["::ffff:127.0.0.1"]), Some("denied_dns"));
        assert_eq!(check(&["8.8.4.4"]), Some("denied_dns"));
    }

    #[test]
    fn refusals_name_the_setting_and_hide_the_resolved_address() {
        let default = policy("{}");
        let text = |url: &str| default.check_url(&Url::parse(url).unwrap()).unwrap_err().to_string();
        assert_eq!(
            text("http://127.0.0.2/path?token=s3cret"),
            "127.0.0.2 is a loopback address; set \"allowLoopback\": true in NANGO_OUTBOUND_URL_POLICY to allow it"
        );
        assert_eq!(text("http://0.0.0.1"), "0.0.0.1 is an unspecified address, which no setting allows");
        let denied =
            default.check_answers("db.corp", &["10.7.7.7".parse().unwrap()]).unwrap_err().to_string();
        assert!(denied.starts_with("db.corp resolves to a private address; add its range"), "{denied}");
        assert!(!denied.contains("10.7"), "{denied}");
    }

    #[test]
    fn hosts_of_request_targets_are_judged_like_urls() {
        let default = policy("{}");
        for host in ["LocalHost", "[::1]", "127.0.0.1", "localhost.", ""] {
            assert!(default.check_host(host).is_err(), "{host}");
        }
        assert!(default.check_host("Example.com").is_ok());
    }
}
