//! The address of the caller, as far as the proxies in front can be believed.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

/// The entry of `X-Forwarded-For` written by the outermost of `hops` trusted proxies, else the peer's address.
pub fn client_address(parts: &Parts, hops: usize) -> Option<IpAddr> {
    address_of(&parts.headers, &parts.extensions, hops)
}

/// The same of a request that is not taken apart.
pub fn address_of(headers: &HeaderMap, extensions: &Extensions, hops: usize) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    forwarded(headers, hops).or(peer)
}

fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    if hops == 0 {
        return None;
    }
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let index = entries.len().checked_sub(hops)?;
    entries.get(index)?.parse().ok()
}

/// Whether the caller reached us, or the nearest trusted proxy, over https.
pub fn is_https(headers: &HeaderMap, hops: usize) -> bool {
    let proto = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    hops > 0 && proto.is_some_and(|proto| proto.rsplit(',').next().is_some_and(|last| last.trim() == "https"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_entries_of_trusted_proxies_are_believed() {
        for (header, hops, expected) in [
            ("1.1.1.1, 2.2.2.2", 1, Some("2.2.2.2")),
            ("1.1.1.1, 2.2.2.2", 2, Some("1.1.1.1")),
            ("1.1.1.1", 2, None),
            ("1.1.1.1", 0, None),
            ("nonsense", 1, None),
            ("::1", 1, Some("::1")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static(header));
            assert_eq!(forwarded(&headers, hops), expected.map(|ip| ip.parse().unwrap()), "{header} {hops}");
        }
    }
}
