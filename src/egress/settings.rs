//! Reads the outbound policies from their JSON settings (spec `proxy.md` 14.1 and 14.2).
//! Called once at start with the texts of the variables. Pure; it reports every problem as a sentence and guesses nothing.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::policy::{Mode, OutboundPolicy, bare_host};

const GENERAL: &str = "NANGO_OUTBOUND_URL_POLICY";
const OAUTH: &str = "NANGO_OUTBOUND_URL_POLICY_OAUTH";
const DENYLIST: &str = "NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST";
const DEFAULT_MAX_REDIRECTS: usize = 5;
const DEFAULT_DENYLIST: [&str; 7] = [
    "169.254.169.254",
    "metadata.google.internal",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
];

/// The two effective policies of the server.
#[derive(Debug, Clone)]
pub struct PolicySet {
    /// Proxied calls, webhooks, verification, hooks.
    pub proxy: OutboundPolicy,
    /// OAuth and token endpoints, where private networks are normal.
    pub oauth: OutboundPolicy,
}

/// One JSON setting as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyText {
    mode: Option<Mode>,
    denylist: Option<Vec<String>>,
    allowlist: Option<Vec<String>>,
    block_private_ips: Option<bool>,
    block_link_local: Option<bool>,
    max_redirects: Option<Value>,
    allow_loopback: Option<bool>,
    allow_cidrs: Option<Vec<String>>,
}

impl PolicyText {
    /// Field by field, `self` over `base`.
    fn or(self, base: &PolicyText) -> PolicyText {
        let base = base.clone();
        PolicyText {
            mode: self.mode.or(base.mode),
            denylist: self.denylist.or(base.denylist),
            allowlist: self.allowlist.or(base.allowlist),
            block_private_ips: self.block_private_ips.or(base.block_private_ips),
            block_link_local: self.block_link_local.or(base.block_link_local),
            max_redirects: self.max_redirects.or(base.max_redirects),
            allow_loopback: self.allow_loopback.or(base.allow_loopback),
            allow_cidrs: self.allow_cidrs.or(base.allow_cidrs),
        }
    }
}

/// The base-URL denylist as given: entries on top of the defaults, or none at all.
enum BaseDenylist {
    Defaults,
    Emptied,
    Extended(Vec<String>),
}

impl PolicySet {
    /// Builds both policies from `NANGO_OUTBOUND_URL_POLICY`, `NANGO_OUTBOUND_URL_POLICY_OAUTH` and
    /// `NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST`; `None` is an unset variable.
    ///
    /// # Errors
    /// Every problem found, one sentence each, naming the variable.
    pub fn parse(
        general: Option<&str>,
        oauth: Option<&str>,
        denylist: Option<&str>,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let general = parse_policy(GENERAL, general, &mut problems);
        let overlay = parse_policy(OAUTH, oauth, &mut problems);
        let base = parse_denylist(denylist, &mut problems);
        check_entries(GENERAL, &general, &mut problems);
        check_entries(OAUTH, &overlay, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let oauth = overlay.or(&general);
        Ok(Self { proxy: proxy_policy(general, &base), oauth: oauth_policy(oauth, &base) })
    }
}

fn parse_policy(variable: &str, text: Option<&str>, problems: &mut Vec<String>) -> PolicyText {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return PolicyText::default();
    };
    serde_json::from_str(text).unwrap_or_else(|error| {
        problems.push(format!("{variable} is not a JSON object of policy settings: {error}"));
        PolicyText::default()
    })
}

fn parse_denylist(text: Option<&str>, problems: &mut Vec<String>) -> BaseDenylist {
    let Some(text) = text else {
        return BaseDenylist::Defaults;
    };
    // Wire: set but empty opts out, unlike every other variable, where empty means unset.
    if text.trim().is_empty() {
        return BaseDenylist::Emptied;
    }
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(entries) if entries.is_empty() => BaseDenylist::Emptied,
        Ok(entries) => {
            check_hosts(DENYLIST, &entries, problems);
            BaseDenylist::Extended(entries)
        }
        Err(error) => {
            problems.push(format!("{DENYLIST} is not a JSON array of host names or URLs: {error}"));
            BaseDenylist::Defaults
        }
    }
}

fn check_entries(variable: &str, text: &PolicyText, problems: &mut Vec<String>) {
    check_hosts(variable, text.denylist.iter().flatten(), problems);
    check_hosts(variable, text.allowlist.iter().flatten(), problems);
    for entry in text.allow_cidrs.iter().flatten().filter(|entry| parse_cidr(entry).is_none()) {
        problems.push(format!(
            "{variable}: \"{entry}\" in \"allowCidrs\" is not an address range such as 10.20.0.0/16"
        ));
    }
}

fn check_hosts<'a>(
    variable: &str,
    entries: impl IntoIterator<Item = &'a String>,
    problems: &mut Vec<String>,
) {
    for entry in entries.into_iter().filter(|entry| parse_host(entry).is_none()) {
        problems.push(format!("{variable}: \"{entry}\" is not a host name or URL"));
    }
}

fn proxy_policy(text: PolicyText, base: &BaseDenylist) -> OutboundPolicy {
    let (entries, has_defaults) = match (&text.denylist, base) {
        (Some(entries), _) => (entries.clone(), true),
        (None, BaseDenylist::Defaults) => (Vec::new(), true),
        (None, BaseDenylist::Emptied) => (Vec::new(), false),
        (None, BaseDenylist::Extended(entries)) => (entries.clone(), true),
    };
    let mode = if has_defaults { Mode::Denylist } else { Mode::Permissive };
    build(GENERAL, text, Fallback { mode, block_private_ips: true, entries, has_defaults })
}

fn oauth_policy(text: PolicyText, base: &BaseDenylist) -> OutboundPolicy {
    let entries = match (&text.denylist, base) {
        (Some(entries), _) | (None, BaseDenylist::Extended(entries)) => entries.clone(),
        (None, BaseDenylist::Defaults | BaseDenylist::Emptied) => Vec::new(),
    };
    build(
        OAUTH,
        text,
        Fallback { mode: Mode::Denylist, block_private_ips: false, entries, has_defaults: true },
    )
}

/// What one kind of traffic uses where the setting is silent, and its denylist.
struct Fallback {
    mode: Mode,
    block_private_ips: bool,
    entries: Vec<String>,
    has_defaults: bool,
}

fn build(variable: &'static str, text: PolicyText, fallback: Fallback) -> OutboundPolicy {
    let mode = text.mode.unwrap_or(fallback.mode);
    let allow_loopback = text.allow_loopback.unwrap_or(false);
    let mut denied: Vec<DeniedHost> = fallback.entries.iter().filter_map(|entry| parse_host(entry)).collect();
    if fallback.has_defaults {
        denied.extend(default_denylist(allow_loopback));
    }
    if mode == Mode::Permissive {
        denied.clear();
    }
    let (denied_names, denied_ips) = split_hosts(denied);
    OutboundPolicy {
        variable,
        mode,
        denied_names,
        denied_ips,
        allowed_hosts: text
            .allowlist
            .iter()
            .flatten()
            .filter_map(|entry| parse_host(entry))
            .map(host_text)
            .collect(),
        block_private_ips: text.block_private_ips.unwrap_or(fallback.block_private_ips),
        block_link_local: text.block_link_local.unwrap_or(true),
        allow_loopback,
        allow_cidrs: text.allow_cidrs.iter().flatten().filter_map(|entry| parse_cidr(entry)).collect(),
        max_redirects: max_redirects(text.max_redirects.as_ref()),
    }
}

/// A listed host: a name, or an address with an IPv4-mapped one written as IPv4.
enum DeniedHost {
    Name(String),
    Ip(IpAddr),
}

fn default_denylist(allow_loopback: bool) -> impl Iterator<Item = DeniedHost> {
    DEFAULT_DENYLIST.into_iter().filter_map(parse_host).filter(move |host| match host {
        DeniedHost::Name(name) => !(allow_loopback && name == "localhost"),
        DeniedHost::Ip(ip) => !(allow_loopback && ip.is_loopback()),
    })
}

fn split_hosts(hosts: Vec<DeniedHost>) -> (HashSet<String>, HashSet<IpAddr>) {
    let (mut names, mut ips) = (HashSet::new(), HashSet::new());
    for host in hosts {
        match host {
            DeniedHost::Name(name) => names.insert(name),
            DeniedHost::Ip(ip) => ips.insert(ip),
        };
    }
    (names, ips)
}

fn host_text(host: DeniedHost) -> String {
    match host {
        DeniedHost::Name(name) => name,
        DeniedHost::Ip(ip) => ip.to_string(),
    }
}

/// Reads a list entry: a host, a host with a port, or a URL; in the form in which hosts of parsed URLs are compared.
fn parse_host(entry: &str) -> Option<DeniedHost> {
    let entry = entry.trim().trim_start_matches('.');
    if let Ok(ip) = bare_host(entry).parse::<IpAddr>() {
        return Some(DeniedHost::Ip(ip.to_canonical()));
    }
    let url = if entry.contains("://") { Url::parse(entry) } else { Url::parse(&format!("http://{entry}")) };
    match url.ok()?.host()? {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            (!name.is_empty()).then_some(DeniedHost::Name(name))
        }
        Host::Ipv4(ip) => Some(DeniedHost::Ip(ip.into())),
        Host::Ipv6(ip) => Some(DeniedHost::Ip(IpAddr::from(ip).to_canonical())),
    }
}

fn parse_cidr(entry: &str) -> Option<IpNet> {
    let entry = entry.trim();
    entry.parse::<IpNet>().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Wire: anything but an integer of at least 0 means the default, without complaint.
fn max_redirects(value: Option<&Value>) -> usize {
    let number = value.and_then(Value::as_f64).filter(|number| *number >= 0.0 && number.fract() == 0.0);
    number.map_or(DEFAULT_MAX_REDIRECTS, |number| number as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(policy: &OutboundPolicy, url: &str) -> bool {
        policy.check_url(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn bad_settings_are_sentences_naming_their_variable() {
        let table = [
            ((Some("{"), None, None), "NANGO_OUTBOUND_URL_POLICY is not"),
            ((Some("[]"), None, None), "NANGO_OUTBOUND_URL_POLICY is not"),
            ((Some(r#"{"denyList":[]}"#), None, None), "unknown field `denyList`"),
            ((Some(r#"{"mode":"open"}"#), None, None), "unknown variant `open`"),
            ((Some(r#"{"allowCidrs":["10.0.0.0/99"]}"#), None, None), "\"10.0.0.0/99\" in \"allowCidrs\""),
            ((Some(r#"{"denylist":["a b"]}"#), None, None), "\"a b\" is not a host name or URL"),
            ((Some(r#"{"allowlist":["."]}"#), None, None), "\".\" is not a host name or URL"),
            ((None, Some(r#"{"blockPrivateIps":"no"}"#), None), "NANGO_OUTBOUND_URL_POLICY_OAUTH is not"),
            ((None, None, Some(r#"{"a":1}"#)), "NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST is not a JSON array"),
            ((None, None, Some("[1]")), "NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST is not a JSON array"),
        ];
        for ((general, oauth, denylist), expected) in table {
            let problems = PolicySet::parse(general, oauth, denylist).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(expected), "{problems:?}");
        }
        assert_eq!(PolicySet::parse(Some("x"), Some("y"), Some("z")).unwrap_err().len(), 3);
    }

    #[test]
    fn empty_policies_are_unset_ones() {
        let set = PolicySet::parse(Some(""), Some(" "), None).unwrap();
        assert!(!is_allowed(&set.proxy, "http://10.0.0.1"));
        assert!(is_allowed(&set.oauth, "http://10.0.0.1"));
        assert!(!is_allowed(&set.oauth, "http://localhost"));
        assert!(!is_allowed(&set.oauth, "http://169.254.1.1"));
        assert_eq!((set.proxy.max_redirects(), set.oauth.max_redirects()), (5, 5));
    }

    #[test]
    fn the_base_url_denylist_extends_or_empties_the_defaults() {
        let metadata = "http://metadata.google.internal";
        let table = [
            (None, None, metadata, false),
            (None, Some(""), metadata, true),
            (None, Some("[]"), metadata, true),
            (None, Some(r#"["evil.test"]"#), metadata, false),
            (None, Some(r#"["evil.test"]"#), "http://evil.test", false),
            (Some(r#"{"denylist":["other.test"]}"#), Some(r#"["evil.test"]"#), "http://evil.test", true),
            (Some(r#"{"denylist":["other.test"]}"#), Some("[]"), metadata, false),
            (Some(r#"{"denylist":[]}"#), Some("[]"), metadata, false),
            (None, Some("[]"), "http://127.0.0.1", false),
        ];
        for (general, denylist, url, expected) in table {
            let set = PolicySet::parse(general, None, denylist).unwrap();
            assert_eq!(is_allowed(&set.proxy, url), expected, "{general:?} {denylist:?} {url}");
        }
        let emptied = PolicySet::parse(None, None, Some("[]")).unwrap();
        assert_eq!(emptied.proxy.mode, Mode::Permissive);
        assert!(!is_allowed(&emptied.oauth, metadata), "token traffic always keeps the defaults");
    }

    #[test]
    fn the_oauth_overlay_wins_field_by_field() {
        let general =
            r#"{"mode":"allowlist","allowlist":["a.test"],"blockPrivateIps":true,"maxRedirects":2}"#;
        let overlay = r#"{"allowlist":["b.test"],"maxRedirects":0}"#;
        let set = PolicySet::parse(Some(general), Some(overlay), None).unwrap();
        assert!(is_allowed(&set.proxy, "http://a.test") && !is_allowed(&set.proxy, "http://b.test"));
        assert!(is_allowed(&set.oauth, "http://b.test") && !is_allowed(&set.oauth, "http://a.test"));
        assert_eq!((set.proxy.max_redirects(), set.oauth.max_redirects()), (2, 0));
        assert!(set.oauth.block_private_ips);
    }

    #[test]
    fn odd_redirect_limits_mean_five() {
        for (value, expected) in
            [("0", 0), ("7", 7), ("3.0", 3), ("-1", 5), ("1.5", 5), ("\"9\"", 5), ("true", 5), ("null", 5)]
        {
            let set = PolicySet::parse(Some(&format!(r#"{{"maxRedirects":{value}}}"#)), None, None).unwrap();
            assert_eq!(set.proxy.max_redirects(), expected, "{value}");
        }
    }
}
