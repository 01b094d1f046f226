//! Which addresses an MCP sign-in may use. They come from end users and from documents of servers that nobody vetted, so
//! the rules are stricter than those for addresses of the catalog (`spec` auth-flows, sections 5.15 and 14). Pure: the
//! addresses that a name resolves to are judged when they are connected to.

use url::{Host, Url};

use crate::egress::OutboundPolicy;

/// Longer ones serve nobody.
const LONGEST: usize = 2048;

/// Reads an address that tokens, codes or metadata are fetched from.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn read(policy: &OutboundPolicy, text: &str) -> Result<Url, &'static str> {
    if text.len() > LONGEST {
        return Err("is too long");
    }
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    check(policy, &url)?;
    Ok(url)
}

/// # Errors
/// What is wrong with the address, as the end of a sentence.
pub fn check(policy: &OutboundPolicy, url: &Url) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password");
    }
    if url.fragment().is_some() {
        return Err("has a fragment");
    }
    let host = url.host().ok_or("has no host")?;
    // Only an operator who develops on this machine opens loopback; certificates are rare there.
    if is_loopback(&host) && policy.allows_loopback() {
        return if matches!(url.scheme(), "http" | "https") { Ok(()) } else { Err("is not http or https") };
    }
    if url.scheme() != "https" {
        return Err("is not https");
    }
    match host {
        Host::Domain(_) if is_loopback(&host) => Err("names this machine"),
        Host::Domain(_) => Ok(()),
        Host::Ipv4(_) | Host::Ipv6(_) => Err("has an IP address where a host name belongs"),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// A URL of the same host and port with another path, and no query.
pub fn at_path(url: &Url, path: &str) -> Url {
    let mut found = url.clone();
    found.set_path(path);
    found.set_query(None);
    found.set_fragment(None);
    found
}

/// The path without a slash at its end; empty for the root.
pub fn path_of(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::PolicySet;

    fn policy(text: Option<&str>) -> OutboundPolicy {
        PolicySet::parse(text, None, None).unwrap().proxy
    }

    #[test]
    fn only_https_and_host_names_are_called() {
        for (text, expected) in [
            ("https://mcp.acme.test/mcp?x=1", Ok(())),
            ("https://mcp.acme.test:8443", Ok(())),
            ("http://mcp.acme.test", Err("is not https")),
            ("ftp://mcp.acme.test", Err("is not https")),
            ("https://93.184.216.34/mcp", Err("has an IP address where a host name belongs")),
            ("https://[2606:2800::1]/mcp", Err("has an IP address where a host name belongs")),
            // URL parsing reads this as 127.0.0.1.
            ("https://2130706433/", Err("has an IP address where a host name belongs")),
            ("https://localhost/mcp", Err("names this machine")),
            ("https://LOCALHOST./mcp", Err("names this machine")),
            ("https://a.localhost/mcp", Err("names this machine")),
            ("https://user:pw@mcp.acme.test", Err("holds a user name or password")),
            ("https://mcp.acme.test/#x", Err("has a fragment")),
            ("mailto:x@acme.test", Err("has no host")),
            ("mcp.acme.test", Err("is not a URL")),
        ] {
            assert_eq!(read(&policy(None), text).map(|_| ()), expected, "{text}");
        }
        assert_eq!(read(&policy(None), &format!("https://a.test/{}", "x".repeat(2048))), Err("is too long"));
    }

    #[test]
    fn loopback_is_open_only_when_the_policy_says_so() {
        let open = policy(Some(r#"{"allowLoopback":true}"#));
        for text in ["http://127.0.0.1:3000/mcp", "http://localhost:3000", "https://[::1]:3000"] {
            assert!(read(&open, text).is_ok(), "{text}");
        }
        assert_eq!(read(&open, "http://10.0.0.1/"), Err("is not https"));
        assert_eq!(read(&open, "ftp://localhost/"), Err("is not http or https"));
    }
}
