//! Path rules that the router does not know: trailing slashes do not count, and literals match in any letter case
//! (`spec` http-api, section 1.1). Parameters keep their case, and `/proxy/*` is passed on untouched.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The URI in the spelling of the route list.
pub fn normalize(uri: &Uri, patterns: &[&str]) -> Option<Uri> {
    let path = uri.path();
    let normal = normal_path(path, patterns)?;
    let target = match uri.query() {
        Some(query) => format!("{normal}?{query}"),
        None => normal,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// `None` when the path is in its normal spelling already.
fn normal_path(path: &str, patterns: &[&str]) -> Option<String> {
    let first = path.split('/').nth(1).unwrap_or_default();
    if first.eq_ignore_ascii_case("proxy") {
        return (first != "proxy").then(|| format!("/proxy{}", &path["/proxy".len()..]));
    }
    let trimmed = path.trim_end_matches('/');
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    let has_capitals = trimmed.bytes().any(|byte| byte.is_ascii_uppercase());
    let spelled = if has_capitals { spelling(trimmed, patterns) } else { None };
    spelled.or_else(|| (trimmed != path).then(|| trimmed.to_owned()))
}

/// The path with its literals as the first matching pattern writes them.
fn spelling(path: &str, patterns: &[&str]) -> Option<String> {
    let pattern = patterns.iter().find(|pattern| matches(path, pattern))?;
    let segments = path.split('/').zip(pattern.split('/'));
    let spelled: Vec<&str> =
        segments.map(|(given, wanted)| if is_parameter(wanted) { given } else { wanted }).collect();
    Some(spelled.join("/"))
}

fn matches(path: &str, pattern: &str) -> bool {
    let (mut given, mut wanted) = (path.split('/'), pattern.split('/'));
    loop {
        match (given.next(), wanted.next()) {
            (None, None) => return true,
            (Some(given), Some(wanted)) if is_parameter(wanted) || given.eq_ignore_ascii_case(wanted) => {}
            _ => return false,
        }
    }
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_lose_their_case_and_slashes_at_the_end_do_not_count() {
        let patterns = ["/connections/metadata", "/connections/{connection_id}", "/connections"];
        for (path, expected) in [
            ("/connections", None),
            ("/connections/", Some("/connections")),
            ("/Connections", Some("/connections")),
            ("/CONNECTIONS/AbC", Some("/connections/AbC")),
            ("/connections/AbC", Some("/connections/AbC")),
            ("/connections/Metadata/", Some("/connections/metadata")),
            ("/", None),
            ("//", Some("/")),
            ("/proxy/V1/X/", None),
            ("/Proxy/V1/X/", Some("/proxy/V1/X/")),
            ("/Elsewhere", None),
        ] {
            assert_eq!(normal_path(path, &patterns).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_query_is_kept() {
        let uri = Uri::from_static("/Connections/?a=B");
        assert_eq!(normalize(&uri, &["/connections"]).unwrap(), Uri::from_static("/connections?a=B"));
    }
}
