//! URL templates: each value is encoded, or refused, by the place it takes in the URL.
//!
//! A value in the host position may not move the request to another host: upstream's "encode, and decode when
//! that does not parse" let `evil.test/` do so, together with the client secret that the request carries.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::evaluate::{expression_value, remember};
use super::{Context, Part, Sequence, Template};

/// What happens to values in path and query. Values in the authority are checked either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// As JavaScript's `encodeURIComponent`; an empty value counts as missing. For authorize and token URLs.
    Component,
    /// As they are. For `proxy.base_url` and URLs whose skip list contains `base_url`.
    Verbatim,
}

/// Why a URL could not be built. Carries names, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("no value for {}", .names.join(", "))]
    Missing { names: Vec<String> },
    #[error("the value of {name} {reason}")]
    Unsafe { name: String, reason: &'static str },
    #[error("`{template}` does not give a valid http(s) URL")]
    Invalid { template: String },
}

/// What JavaScript's `encodeURIComponent` encodes.
pub const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Evaluates a URL template and parses the result.
///
/// # Errors
/// Missing names, a value that is unsafe in its place, or a result that is no http(s) URL.
pub fn build_url(template: &Template, context: &Context<'_>, escape: Escape) -> Result<Url, UrlError> {
    let text = url_text(template, context, escape)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| UrlError::Invalid { template: template.source().to_owned() })
}

/// Evaluates a URL template with the same checks, without parsing the result: the proxy appends to it.
/// What is appended to a text that ends in its host must start with `/`.
///
/// # Errors
/// Missing names, or a value that is unsafe in its place.
pub fn url_text<'t>(
    template: &'t Template,
    context: &Context<'_>,
    escape: Escape,
) -> Result<Cow<'t, str>, UrlError> {
    if let Some(text) = template.literal() {
        return Ok(Cow::Borrowed(text));
    }
    let mut missing = Vec::new();
    for side in template.sides() {
        match Assembly::of(side, context, escape) {
            Ok(text) => return Ok(Cow::Owned(text)),
            Err(UrlError::Missing { names }) => names.iter().for_each(|name| remember(&mut missing, name)),
            Err(refusal) => return Err(refusal),
        }
    }
    Err(UrlError::Missing { names: missing })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before or inside the scheme.
    Start,
    Authority,
    Path,
    Query,
    Fragment,
}

impl Position {
    /// Where the URL stands after `literal`.
    fn after(self, literal: &str) -> Position {
        let (ends, text): (&[char], &str) = match self {
            Position::Start => match literal.split_once("://") {
                Some((_, rest)) => return Position::Authority.after(rest),
                None => return Position::Start,
            },
            Position::Authority => (&['/', '?', '#'], literal),
            Position::Path => (&['?', '#'], literal),
            Position::Query => (&['#'], literal),
            Position::Fragment => return Position::Fragment,
        };
        let Some(end) = text.find(ends) else { return self };
        let next = match text.as_bytes()[end] {
            b'/' => Position::Path,
            b'?' => Position::Query,
            _ => Position::Fragment,
        };
        next.after(&text[end + 1..])
    }
}

/// A URL text under construction.
struct Assembly {
    text: String,
    position: Position,
    escape: Escape,
}

impl Assembly {
    fn of(sequence: &Sequence, context: &Context<'_>, escape: Escape) -> Result<String, UrlError> {
        let mut url = Assembly { text: String::new(), position: Position::Start, escape };
        let mut missing = Vec::new();
        for (index, part) in sequence.parts.iter().enumerate() {
            let expression = match part {
                Part::Text(literal) => {
                    url.push_literal(literal);
                    continue;
                }
                Part::Expression(expression) => expression,
            };
            let name = expression.label();
            match expression_value(expression, context) {
                Ok(value) if value.is_empty() && !url.accepts_empty() => remember(&mut missing, name),
                Ok(value) => url
                    .push_value(&value, Next::of(sequence, index))
                    .map_err(|reason| UrlError::Unsafe { name: name.to_owned(), reason })?,
                Err(names) => names.iter().for_each(|name| remember(&mut missing, name)),
            }
        }
        if missing.is_empty() { Ok(url.text) } else { Err(UrlError::Missing { names: missing }) }
    }

    fn accepts_empty(&self) -> bool {
        self.escape == Escape::Verbatim && !matches!(self.position, Position::Start | Position::Authority)
    }

    fn push_literal(&mut self, literal: &str) {
        self.position = self.position.after(literal);
        self.text.push_str(literal);
    }

    fn push_value(&mut self, value: &str, next: Next<'_>) -> Result<(), &'static str> {
        match self.position {
            Position::Start => self.push_origin(value, next),
            Position::Authority => self.push_authority(value, next),
            Position::Path if matches!(value, "." | "..") => Err("is a path of dots"),
            Position::Path | Position::Query | Position::Fragment => self.push_component(value),
        }
    }

    /// A value that starts the URL must be an http(s) origin, with or without a path.
    fn push_origin(&mut self, value: &str, next: Next<'_>) -> Result<(), &'static str> {
        let refused = "must be a URL that starts with https:// or http://";
        let (scheme, rest) = value.split_once("://").ok_or(refused)?;
        if !self.text.is_empty() || !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(refused);
        }
        self.text = format!("{scheme}://");
        self.position = Position::Authority;
        self.push_authority(rest, next)
    }

    fn push_authority(&mut self, value: &str, next: Next<'_>) -> Result<(), &'static str> {
        if self.text.ends_with("://") && next.ends_authority() {
            return self.push_whole_authority(value, next);
        }
        let is_fit = if self.text.ends_with(':') {
            is_port(value)
        } else if next.ends_authority() {
            is_authority(value)
        } else {
            is_host(value)
        };
        if !is_fit {
            return Err("must be a host name, without scheme, path or other characters");
        }
        self.text.push_str(value);
        Ok(())
    }

    /// The value is the whole `host[:port]`. A path may follow it (the catalog has such values), because there
    /// is no static host that it could hide.
    fn push_whole_authority(&mut self, value: &str, next: Next<'_>) -> Result<(), &'static str> {
        let (authority, path) = match value.find('/') {
            Some(slash) => value.split_at(slash),
            None => (value, ""),
        };
        if !is_authority(authority) && !is_ipv6(authority) {
            return Err("must be a host name, with an optional port");
        }
        if !is_plain_path(path) {
            return Err("has a path with characters that are not allowed");
        }
        let path = if next.starts_with_slash() { path.trim_end_matches('/') } else { path };
        self.position = if path.is_empty() { Position::Authority } else { Position::Path };
        self.text.push_str(authority);
        self.text.push_str(path);
        Ok(())
    }

    fn push_component(&mut self, value: &str) -> Result<(), &'static str> {
        match self.escape {
            Escape::Component => self.text.extend(utf8_percent_encode(value, COMPONENT)),
            Escape::Verbatim if value.contains(|c: char| c.is_control() || matches!(c, '\\' | '?' | '#')) => {
                return Err("has characters that would end the path");
            }
            Escape::Verbatim => self.text.push_str(value),
        }
        Ok(())
    }
}

/// What follows a value in the template.
#[derive(Clone, Copy)]
enum Next<'t> {
    Literal(&'t str),
    Value,
    End,
}

impl<'t> Next<'t> {
    fn of(sequence: &'t Sequence, index: usize) -> Self {
        match sequence.parts.get(index + 1) {
            Some(Part::Text(literal)) => Next::Literal(literal),
            Some(Part::Expression(_)) => Next::Value,
            None => Next::End,
        }
    }

    fn ends_authority(self) -> bool {
        match self {
            Next::Literal(text) => text.starts_with(['/', '?', '#']),
            Next::Value => false,
            Next::End => true,
        }
    }

    fn starts_with_slash(self) -> bool {
        matches!(self, Next::Literal(text) if text.starts_with('/'))
    }
}

/// A host, part of one, or `host:port`?
fn is_authority(value: &str) -> bool {
    let (host, port) = value.split_once(':').map_or((value, None), |(host, port)| (host, Some(port)));
    is_host(host) && port.is_none_or(is_port)
}

fn is_host(text: &str) -> bool {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty()
        && text.bytes().all(is_host_byte)
        && !text.starts_with('.')
        && !text.ends_with('.')
        && !text.contains("..")
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_ipv6(text: &str) -> bool {
    let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    address.parse::<std::net::Ipv6Addr>().is_ok() && port_fits
}

/// Empty, or `/` and segments of unreserved characters that are not made of dots.
fn is_plain_path(path: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    path.split('/').all(|segment| segment.bytes().all(is_unreserved) && !matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::{Map, Value, json};

    use super::*;

    fn config(value: &str) -> Map<String, Value> {
        let mut config = Map::new();
        config.insert("v".to_owned(), json!(value));
        config.insert("w".to_owned(), json!("eu"));
        config
    }

    fn text(template: &str, value: &str, escape: Escape) -> Result<String, UrlError> {
        let config = config(value);
        let context = Context::new(DateTime::UNIX_EPOCH, "r").flat_connection_config(&config);
        url_text(&Template::parse_lenient(template), &context, escape).map(Cow::into_owned)
    }

    const SUB: &str = "https://${connectionConfig.v}.zendesk.com/oauth";
    const ALL: &str = "https://${v}/oauth";
    const ORIGIN: &str = "${connectionConfig.v}/oauth";

    #[test]
    fn values_fit_their_place() {
        let cases = [
            (SUB, "acme", "https://acme.zendesk.com/oauth"),
            (SUB, "a-b.c", "https://a-b.c.zendesk.com/oauth"),
            ("https://${v}", "host.test:8443", "https://host.test:8443"),
            (ALL, "host.test:8443", "https://host.test:8443/oauth"),
            (ALL, "[::1]:80", "https://[::1]:80/oauth"),
            (ALL, "stage.test/ema-dev", "https://stage.test/ema-dev/oauth"),
            (ALL, "stage.test/", "https://stage.test/oauth"),
            ("https://${v}-${w}.x.com", "sell", "https://sell-eu.x.com"),
            (ORIGIN, "https://accounts.zoho.eu", "https://accounts.zoho.eu/oauth"),
            (ORIGIN, "http://host:8080/apps/acme/", "http://host:8080/apps/acme/oauth"),
            ("https://x.com/${v}/t", "a/b?c", "https://x.com/a%2Fb%3Fc/t"),
            ("https://x.com/t?k=${v}", "p&q=é ", "https://x.com/t?k=p%26q%3D%C3%A9%20"),
            ("https://x.com/#${v}", "a#b", "https://x.com/#a%23b"),
            ("https://x.com/a?u=https://${v}/", "a/b", "https://x.com/a?u=https://a%2Fb/"),
            ("https://a.${missing} || ${v}/t", "https://b.test", "https://b.test/t"),
            ("https://x.com/${v}", "...", "https://x.com/..."),
        ];
        for (template, value, expected) in cases {
            assert_eq!(
                text(template, value, Escape::Component).as_deref(),
                Ok(expected),
                "{template} {value}"
            );
        }
    }

    #[test]
    fn values_that_could_move_the_request_are_refused() {
        let cases = [
            (SUB, "evil.test/"),
            (SUB, "evil.test/?"),
            (SUB, "evil.test#"),
            (SUB, "evil.test\\"),
            (SUB, "evil.test:80"),
            (SUB, "user@evil.test"),
            (SUB, "https://evil.test/"),
            (SUB, "a..b"),
            (SUB, ".a"),
            (SUB, "a."),
            (SUB, "evil.test%2F"),
            (SUB, "evil\u{ff0f}"),
            (SUB, "a b"),
            (SUB, "a\tb"),
            (ALL, "user@evil.test"),
            (ALL, "evil.test?x"),
            (ALL, "evil.test/../x"),
            (ALL, "evil.test:99999"),
            (ALL, "https://evil.test"),
            (ORIGIN, "evil.test"),
            (ORIGIN, "ftp://evil.test"),
            (ORIGIN, "https://user:pw@evil.test"),
            (ORIGIN, "https://evil.test?x="),
            (ORIGIN, "https:///evil.test"),
            (ORIGIN, "javascript:alert(1)"),
            ("${connectionConfig.v}.zendesk.com/x", "https://evil.test/"),
            ("${connectionConfig.v}.zendesk.com/x", "https://evil.test:80"),
            ("https://x.com:${v}/", "80@evil.test"),
            ("https://x.com:${v}/", "0"),
            ("https://x.com/${v}/", ".."),
            ("x${v}", "https://evil.test"),
        ];
        for (template, value) in cases {
            for escape in [Escape::Component, Escape::Verbatim] {
                let refused = text(template, value, escape);
                assert!(matches!(refused, Err(UrlError::Unsafe { .. })), "{template} {value}: {refused:?}");
            }
        }
    }

    #[test]
    fn verbatim_keeps_path_values_and_refuses_what_ends_a_path() {
        let base = "https://x.com/v1/${v}";
        assert_eq!(text(base, "a/b c", Escape::Verbatim).as_deref(), Ok("https://x.com/v1/a/b c"));
        assert_eq!(text(base, "", Escape::Verbatim).as_deref(), Ok("https://x.com/v1/"));
        for value in ["a?b", "a#b", "a\\b", "a\nb"] {
            assert!(matches!(text(base, value, Escape::Verbatim), Err(UrlError::Unsafe { .. })), "{value}");
        }
    }

    #[test]
    fn missing_and_empty_values_are_named() {
        let cases = [
            ("https://${connectionConfig.nope}.x.com/${nada}", "x", vec!["connectionConfig.nope", "nada"]),
            ("https://x.com/${v}", "", vec!["v"]),
            ("https://${v}.x.com || https://${nope}", "", vec!["v", "nope"]),
        ];
        for (template, value, expected) in cases {
            let names = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(
                text(template, value, Escape::Component),
                Err(UrlError::Missing { names }),
                "{template}"
            );
        }
    }

    #[test]
    fn urls_are_parsed_and_must_be_web_urls() {
        let config = config("acme");
        let context = Context::new(DateTime::UNIX_EPOCH, "r").connection_config(&config);
        let build = |text: &str| build_url(&Template::parse_lenient(text), &context, Escape::Component);
        assert_eq!(
            build(SUB).map(|url| url.host_str().map(str::to_owned)),
            Ok(Some("acme.zendesk.com".to_owned()))
        );
        for text in ["mailto:x", "nonsense", "ftp://x.com/${connectionConfig.v}"] {
            assert_eq!(build(text), Err(UrlError::Invalid { template: text.to_owned() }), "{text}");
        }
    }
}
