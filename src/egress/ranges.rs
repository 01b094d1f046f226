//! Which addresses are not the public internet: the table behind the outbound policy.
//! Called by `policy`; pure, and it never decides what is allowed, only what an address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of a non-public address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// This machine (RFC 1122, RFC 4291).
    Loopback,
    /// "This network", which most systems connect to as loopback.
    Unspecified,
    /// Private, shared (CGNAT), unique local, or able to hide one of these (local NAT64, Teredo).
    Private,
    /// Link local, where cloud metadata services live.
    LinkLocal,
    /// Multicast and broadcast.
    Multicast,
    /// Set aside by IANA: documentation, benchmarks, protocol assignments, future use.
    Reserved,
}

impl Range {
    /// The word used in messages, as in "a loopback address".
    pub fn label(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        }
    }
}

/// The range an address belongs to; `None` means public. An IPv4 address inside an IPv6 one counts as itself.
pub fn classify(ip: IpAddr) -> Option<Range> {
    match ip {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

fn classify_v4(ip: Ipv4Addr) -> Option<Range> {
    match ip.octets() {
        [127, ..] => Some(Range::Loopback),
        [0, ..] => Some(Range::Unspecified),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some(Range::Private),
        [169, 254, ..] => Some(Range::LinkLocal),
        [224..=239, ..] | [255, 255, 255, 255] => Some(Range::Multicast),
        [192, 0, 0 | 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => {
            Some(Range::Reserved)
        }
        _ => None,
    }
}

fn classify_v6(ip: Ipv6Addr) -> Option<Range> {
    if ip.is_loopback() {
        return Some(Range::Loopback);
    }
    if ip.is_unspecified() {
        return Some(Range::Unspecified);
    }
    if let Some(inner) = embedded_v4(ip) {
        return classify_v4(inner);
    }
    match ip.segments() {
        [0xfe80..=0xfebf, ..] => Some(Range::LinkLocal),
        // fec0::/10 is the retired site-local range.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => {
            Some(Range::Private)
        }
        [0xff00..=0xffff, ..] => Some(Range::Multicast),
        [0x100, 0, 0, 0, ..]
        | [0x2001, 2, 0, ..]
        | [0x2001, 0x10..=0x1f, ..]
        | [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0x0fff, ..] => Some(Range::Reserved),
        _ => None,
    }
}

/// The IPv4 address that a translating, mapped, compatible or 6to4 address stands for.
pub fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        // RFC 2765, IPv4-translated
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // RFC 6052, NAT64
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // RFC 3056, 6to4
        | [0x2002, high, low, ..] => from(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_known_to_its_last_address() {
        use Range::*;
        let table: &[(&str, Option<Range>)] = &[
            ("127.0.0.1", Some(Loopback)),
            ("127.255.255.255", Some(Loopback)),
            ("128.0.0.1", None),
            ("::1", Some(Loopback)),
            ("0.0.0.0", Some(Unspecified)),
            ("0.255.255.255", Some(Unspecified)),
            ("1.0.0.0", None),
            ("::", Some(Unspecified)),
            ("9.255.255.255", None),
            ("10.0.0.0", Some(Private)),
            ("10.255.255.255", Some(Private)),
            ("11.0.0.0", None),
            ("172.15.255.255", None),
            ("172.16.0.0", Some(Private)),
            ("172.31.255.255", Some(Private)),
            ("172.32.0.0", None),
            ("192.167.255.255", None),
            ("192.168.0.0", Some(Private)),
            ("192.168.255.255", Some(Private)),
            ("192.169.0.0", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some(Private)),
            ("100.127.255.255", Some(Private)),
            ("100.128.0.0", None),
            ("fc00::", Some(Private)),
            ("fdff:ffff::1", Some(Private)),
            ("fec0::1", Some(Private)),
            ("64:ff9b:1::1", Some(Private)),
            ("64:ff9b:1:ffff::808:808", Some(Private)),
            ("64:ff9b:2::1", None),
            ("2001::1", Some(Private)),
            ("2001:0:ffff::1", Some(Private)),
            ("2001:1::1", None),
            ("169.253.255.255", None),
            ("169.254.0.0", Some(LinkLocal)),
            ("169.254.169.254", Some(LinkLocal)),
            ("169.255.0.0", None),
            ("fe80::1", Some(LinkLocal)),
            ("febf:ffff::1", Some(LinkLocal)),
            ("224.0.0.1", Some(Multicast)),
            ("239.255.255.255", Some(Multicast)),
            ("255.255.255.255", Some(Multicast)),
            ("ff00::", Some(Multicast)),
            ("ff02::1", Some(Multicast)),
            ("192.0.0.0", Some(Reserved)),
            ("192.0.0.255", Some(Reserved)),
            ("192.0.1.1", None),
            ("192.0.2.1", Some(Reserved)),
            ("198.17.255.255", None),
            ("198.18.0.0", Some(Reserved)),
            ("198.19.255.255", Some(Reserved)),
            ("198.20.0.0", None),
            ("198.51.100.7", Some(Reserved)),
            ("203.0.113.7", Some(Reserved)),
            ("240.0.0.0", Some(Reserved)),
            ("255.255.255.254", Some(Reserved)),
            ("100::1", Some(Reserved)),
            ("2001:2::1", Some(Reserved)),
            ("2001:10::1", Some(Reserved)),
            ("2001:db8::1", Some(Reserved)),
            ("3fff::1", Some(Reserved)),
            ("8.8.8.8", None),
            ("93.184.216.34", None),
            ("2606:4700::1111", None),
        ];
        for (text, expected) in table {
            assert_eq!(classify(text.parse().unwrap()), *expected, "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_counts_as_itself() {
        use Range::*;
        let table: &[(&str, Option<Range>)] = &[
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("::ffff:10.1.2.3", Some(Private)),
            ("::ffff:8.8.8.8", None),
            ("::127.0.0.1", Some(Loopback)),
            ("::192.168.0.1", Some(Private)),
            ("::2", Some(Unspecified)),
            ("::8.8.8.8", None),
            ("::ffff:0:169.254.169.254", Some(LinkLocal)),
            ("64:ff9b::169.254.169.254", Some(LinkLocal)),
            ("64:ff9b::7f00:1", Some(Loopback)),
            ("64:ff9b::8.8.8.8", None),
            ("2002:7f00:1::", Some(Loopback)),
            ("2002:a9fe:a9fe::1", Some(LinkLocal)),
            ("2002:c0a8:1::1", Some(Private)),
            ("2002:0:0::", Some(Unspecified)),
            ("2002:808:808::1", None),
        ];
        for (text, expected) in table {
            assert_eq!(classify(text.parse().unwrap()), *expected, "{text}");
        }
    }
}
