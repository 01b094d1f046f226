//! Where a call goes: the base URL and the caller's path and query, joined (`spec` proxy, section 6). Pure.
//! The caller's query bytes are never changed; the path only where a URL parser would change it.

use std::borrow::Cow;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::target::Unbuildable;
use crate::template::{Context, Template};

/// Unreserved characters of RFC 3986 stay as they are.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Who named a base URL; operators can forbid all but the catalog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum BaseOrigin {
    #[default]
    Catalog,
    /// `custom.baseUrl` of the integration.
    Custom,
    /// `base_url` of the connection config.
    Connection,
    /// The header `Base-Url-Override`.
    Caller,
}

/// A base URL, taken apart once. Without `Debug`: some entries put a key into it.
#[derive(Clone)]
pub(super) struct Base {
    /// For the outbound policy.
    pub url: Url,
    pub origin: BaseOrigin,
    scheme: Scheme,
    authority: Authority,
    /// Without the slash at its end.
    path: String,
    /// A base such as `https://api.test/v1?tenant=7&path=` swallows the caller's path into its query.
    query: Option<String>,
    /// As written in the catalog or in the header, without the slash at its end: callers may repeat it in the path.
    literal: String,
}

impl Base {
    /// Reads a base URL. `literal` is the text before interpolation.
    pub fn parse(text: &str, literal: &str, origin: BaseOrigin) -> Result<Self, Unbuildable> {
        let mut url = Url::parse(text.trim()).map_err(|_| Unbuildable::InvalidUrl)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Unbuildable::InvalidUrl);
        }
        // A user and password would have to become an Authorization header; nobody asks for that.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        url.set_fragment(None);
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        Ok(Base {
            scheme: if url.scheme() == "http" { Scheme::HTTP } else { Scheme::HTTPS },
            authority: host.parse().map_err(|_| Unbuildable::InvalidUrl)?,
            path: url.path().strip_suffix('/').unwrap_or(url.path()).to_owned(),
            query: url.query().map(str::to_owned),
            literal: literal.strip_suffix('/').unwrap_or(literal).to_owned(),
            origin,
            url,
        })
    }

    /// The URI of a call to `endpoint` (path and query below `/proxy`), with the entry's pairs appended.
    ///
    /// # Errors
    /// The result is no URL, or leaves the path of the base while `strict` forbids it.
    pub fn join(&self, endpoint: &str, added: &[(String, String)], strict: bool) -> Result<Uri, Unbuildable> {
        let (path, query) = split(self.strip(endpoint));
        let target = match &self.query {
            Some(base_query) => {
                let base_path = if self.path.is_empty() { "/" } else { &self.path };
                with_query(format!("{base_path}?{base_query}/{path}"), query, added)
            }
            None => with_query(self.clean_path(path, strict)?, query, added),
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query =
            Some(PathAndQuery::from_maybe_shared(target).map_err(|_| Unbuildable::InvalidUrl)?);
        Uri::from_parts(parts).map_err(|_| Unbuildable::InvalidUrl)
    }

    /// The endpoint without slashes at its start and without a repetition of the base.
    fn strip<'e>(&self, endpoint: &'e str) -> &'e str {
        let endpoint = endpoint.trim_start_matches('/');
        match endpoint.strip_prefix(self.literal.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => {
                rest.trim_start_matches('/')
            }
            _ => endpoint,
        }
    }

    fn clean_path(&self, path: &str, strict: bool) -> Result<String, Unbuildable> {
        let joined = format!("{}/{path}", self.path);
        if is_clean(path) {
            return Ok(joined);
        }
        // The path starts with a slash, so it cannot reach into the authority.
        let url = Url::parse(&format!("{}://{}{joined}", self.scheme, self.authority));
        let url = url.map_err(|_| Unbuildable::InvalidUrl)?;
        let stays = url.path().strip_prefix(self.path.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if strict && !stays {
            return Err(Unbuildable::PathEscapes);
        }
        Ok(url.path().to_owned())
    }
}

/// The caller's path and query with the templates in them evaluated; a name without a value stays as it was sent.
pub(super) fn interpolate<'e>(endpoint: &'e str, context: &Context<'_>) -> Cow<'e, str> {
    match Template::parse_without_fallback(endpoint) {
        Ok(template) => Cow::Owned(template.render(context).text.into_owned()),
        Err(_) => Cow::Borrowed(endpoint),
    }
}

/// One pair of a query: the name as callers would write it, and the encoded pair.
pub(super) fn query_pair(name: &str, value: &str) -> (String, String) {
    let pair = format!("{}={}", utf8_percent_encode(name, VALUE), utf8_percent_encode(value, VALUE));
    (name.to_owned(), pair)
}

fn split(endpoint: &str) -> (&str, Option<&str>) {
    let endpoint = endpoint.split_once('#').map_or(endpoint, |(before, _)| before);
    match endpoint.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (endpoint, None),
    }
}

/// Appends the caller's query as it is, and the entry's pairs, which replace the caller's of the same name.
fn with_query(mut target: String, query: Option<&str>, added: &[(String, String)]) -> String {
    let mut next = if target.contains('?') { '&' } else { '?' };
    if let Some(query) = query {
        target.push(next);
        next = '&';
        if added.is_empty() {
            target.push_str(query);
            return target;
        }
        let is_kept = |pair: &&str| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            !added.iter().any(|(taken, _)| taken == name)
        };
        let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
        target.push_str(&kept.join("&"));
    }
    for (_, pair) in added {
        if !target.ends_with('?') {
            target.push(next);
        }
        target.push_str(pair);
        next = '&';
    }
    target
}

/// Whether a URL parser would leave the path alone: no dot segments, nothing that it would encode.
fn is_clean(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%|[]".contains(&byte);
    let has_dots = path.starts_with('.')
        || path.contains("/.")
        || path.as_bytes().windows(3).any(|window| window.eq_ignore_ascii_case(b"%2e"));
    path.bytes().all(is_plain) && !has_dots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        Base::parse(text, text, BaseOrigin::Catalog).unwrap()
    }

    #[test]
    fn endpoints_are_joined_to_their_base() {
        let cases = [
            ("https://api.acme.test/", "/v1/x?a=1&a=2", "https://api.acme.test/v1/x?a=1&a=2"),
            ("https://api.acme.test", "", "https://api.acme.test/"),
            ("https://api.acme.test", "?x=1", "https://api.acme.test/?x=1"),
            ("https://api.acme.test", "//v1/x", "https://api.acme.test/v1/x"),
            ("https://api.acme.test", "/https://evil.test/x", "https://api.acme.test/https://evil.test/x"),
            ("https://api.acme.test", "/https://api.acme.test/v1", "https://api.acme.test/v1"),
            ("https://api.acme.test", "/https://api.acme.test", "https://api.acme.test/"),
            ("https://api.acme.test", "/https://api.acme.test?x", "https://api.acme.test/?x"),
            (
                "https://api.acme.test",
                "/https://api.acme.test.evil/x",
                "https://api.acme.test/https://api.acme.test.evil/x",
            ),
            (
                "https://api.acme.test",
                "/r?to=https://api.acme.test/b",
                "https://api.acme.test/r?to=https://api.acme.test/b",
            ),
            ("https://api.acme.test/v1/", "/x", "https://api.acme.test/v1/x"),
            ("https://api.acme.test/v1", "/../../x", "https://api.acme.test/x"),
            ("https://api.acme.test/v1", "/a/%2E%2e/b", "https://api.acme.test/v1/b"),
            ("https://api.acme.test/v1", "/.well-known", "https://api.acme.test/v1/.well-known"),
            ("https://api.acme.test:8443", "/x", "https://api.acme.test:8443/x"),
            ("https://u:p@api.acme.test", "/x", "https://api.acme.test/x"),
            (
                "https://api.acme.test",
                "/a%20b;c+d?q=a||b&r='x'&s=${y}&t=%",
                "https://api.acme.test/a%20b;c+d?q=a||b&r='x'&s=${y}&t=%",
            ),
            ("https://api.acme.test", "/a\"b{c}", "https://api.acme.test/a%22b%7Bc%7D"),
            ("https://api.acme.test/q?path=", "/x?y=1", "https://api.acme.test/q?path=/x&y=1"),
            ("https://api.acme.test", "/@evil.test/", "https://api.acme.test/@evil.test/"),
            ("https://api.acme.test", "/\\\\evil.test", "https://api.acme.test///evil.test"),
        ];
        for (text, endpoint, expected) in cases {
            let uri = base(text).join(endpoint, &[], false).map(|uri| uri.to_string());
            assert_eq!(uri.as_deref(), Ok(expected), "{text} {endpoint}");
        }
    }

    #[test]
    fn entry_pairs_are_appended_and_replace_those_of_the_same_name() {
        let added = [query_pair("key", "a b&c"), query_pair("v", "1")];
        let cases = [
            ("/x", "/x?key=a%20b%26c&v=1"),
            ("/x?", "/x?key=a%20b%26c&v=1"),
            ("/x?a=+%20&b", "/x?a=+%20&b&key=a%20b%26c&v=1"),
            ("/x?key=mine&a=1", "/x?a=1&key=a%20b%26c&v=1"),
            ("/x?key=mine", "/x?key=a%20b%26c&v=1"),
        ];
        for (endpoint, expected) in cases {
            let uri = base("https://h.test").join(endpoint, &added, false).unwrap();
            assert_eq!(uri.path_and_query().map(PathAndQuery::as_str), Some(expected), "{endpoint}");
        }
    }

    #[test]
    fn a_strict_base_keeps_its_path() {
        let base = base("https://h.test/v1");
        for (endpoint, allowed) in
            [("/x/../y", true), ("/../v1/x", true), ("/../v2", false), ("/../v10/x", false)]
        {
            assert_eq!(base.join(endpoint, &[], true).is_ok(), allowed, "{endpoint}");
        }
    }

    #[test]
    fn bases_that_are_no_web_addresses_are_refused() {
        for text in ["", "api.test", "ftp://api.test", "https://", "https://a b", "javascript:alert(1)"] {
            assert_eq!(
                Base::parse(text, text, BaseOrigin::Caller).err(),
                Some(Unbuildable::InvalidUrl),
                "{text}"
            );
        }
    }
}
