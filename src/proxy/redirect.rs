//! The request that a redirect asks for (`spec` proxy, section 10; RFC 9110 section 15.4). Pure.

use http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use url::Url;

use crate::egress::EgressError;

/// One request on the way to the final answer.
pub(super) struct Hop {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub sends_body: bool,
}

/// What must not follow a redirect to another origin.
pub(super) struct Guarded<'a> {
    /// Headers that came from the credentials or the entry.
    pub headers: &'a [HeaderName],
    /// The body holds values of the entry.
    pub body: bool,
    /// The caller asked for all headers to follow.
    pub forwards_all: bool,
}

/// Whether an answer asks for another request.
pub(super) fn is_redirect(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED && headers.contains_key(LOCATION)
}

/// The next request, and its URL for the policy.
///
/// # Errors
/// The target is no http(s) URL, or values of the entry would leave their origin.
pub(super) fn next_hop(
    mut hop: Hop,
    status: StatusCode,
    answer: &HeaderMap,
    guarded: &Guarded<'_>,
) -> Result<(Hop, Url), EgressError> {
    let (from, to) = target(&hop.uri, answer)?;
    if becomes_get(status, &hop.method) {
        hop.method = Method::GET;
        hop.sends_body = false;
        drop_content(&mut hop.headers);
    }
    if from.origin() != to.origin() && !guarded.forwards_all {
        if hop.sends_body && guarded.body {
            return Err(EgressError::RefusedRedirect("it would carry credentials to another origin"));
        }
        drop_credentials(&mut hop.headers, guarded.headers);
    }
    hop.headers.remove(HOST);
    hop.uri = to.as_str().parse().map_err(|_| EgressError::RefusedRedirect("its Location is not a URL"))?;
    Ok((hop, to))
}

/// Whether the next request is a GET without the body.
pub(super) fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        StatusCode::SEE_OTHER => !matches!(*method, Method::GET | Method::HEAD),
        _ => false,
    }
}

/// Whether two URLs have scheme, host and port in common.
pub(super) fn is_same_origin(from: &Uri, to: &Uri) -> bool {
    let origin = |uri: &Uri| Url::parse(&uri.to_string()).ok().map(|url| url.origin());
    origin(from).is_some_and(|from| Some(from) == origin(to))
}

/// Where the answer points, and where it came from. User and password are dropped: they would become a header.
fn target(uri: &Uri, answer: &HeaderMap) -> Result<(Url, Url), EgressError> {
    let refused = EgressError::RefusedRedirect("its Location is not a URL");
    let Ok(from) = Url::parse(&uri.to_string()) else { return Err(refused) };
    let location = answer.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let Some(mut to) = location.and_then(|location| from.join(location).ok()) else { return Err(refused) };
    if !matches!(to.scheme(), "http" | "https") {
        return Err(EgressError::RefusedRedirect("it leads to neither http nor https"));
    }
    let _ = to.set_username("").and_then(|()| to.set_password(None));
    to.set_fragment(None);
    Ok((from, to))
}

fn drop_content(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("content-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn drop_credentials(headers: &mut HeaderMap, guarded: &[HeaderName]) {
    for name in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].iter().chain(guarded) {
        let is_harmless =
            name.as_str().starts_with("accept") || *name == http::header::CONTENT_TYPE || *name == USER_AGENT;
        if !is_harmless {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn run(status: u16, method: &Method, location: &str, forwards_all: bool) -> Result<String, EgressError> {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "x-api-key", "cookie", "x-mine", "accept", "content-type"] {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        let uri = Uri::from_static("https://a.test/v1/x?y");
        let hop = Hop { method: method.clone(), uri, headers, sends_body: *method == Method::POST };
        let answer = [(LOCATION, HeaderValue::from_str(location).unwrap())].into_iter().collect();
        let names = [HeaderName::from_static("x-api-key"), HeaderName::from_static("accept")];
        let guarded = Guarded { headers: &names, body: true, forwards_all };
        let (hop, _) = next_hop(hop, StatusCode::from_u16(status).unwrap(), &answer, &guarded)?;
        let names: Vec<&str> = hop.headers.keys().map(HeaderName::as_str).collect();
        Ok(format!("{} {} {}", hop.method, hop.uri, names.join(",")))
    }

    #[test]
    fn redirects_become_requests() {
        let all = "authorization,x-api-key,cookie,x-mine,accept,content-type";
        for (status, method, location, forwards_all, expected) in [
            (302, Method::GET, "/z", false, format!("GET https://a.test/z {all}")),
            (307, Method::POST, "z", false, format!("POST https://a.test/v1/z {all}")),
            (
                302,
                Method::POST,
                "/z",
                false,
                "GET https://a.test/z authorization,x-api-key,cookie,x-mine,accept".to_owned(),
            ),
            (303, Method::PUT, "/z", false, format!("GET https://a.test/z {}", &all[..all.len() - 13])),
            (301, Method::PUT, "/z", false, format!("PUT https://a.test/z {all}")),
            (
                302,
                Method::GET,
                "https://b.test/z",
                false,
                "GET https://b.test/z x-mine,accept,content-type".to_owned(),
            ),
            (
                302,
                Method::GET,
                "http://a.test/z",
                false,
                "GET http://a.test/z x-mine,accept,content-type".to_owned(),
            ),
            (302, Method::GET, "https://b.test/z", true, format!("GET https://b.test/z {all}")),
            (302, Method::GET, "https://u:p@a.test/z#f", false, format!("GET https://a.test/z {all}")),
        ] {
            // A removed header leaves the order of the others open.
            let sorted = |text: &str| {
                let (head, names) = text.rsplit_once(' ').unwrap_or((text, ""));
                let mut names: Vec<String> = names.split(',').map(str::to_owned).collect();
                names.sort();
                (head.to_owned(), names)
            };
            let found = run(status, &method, location, forwards_all).unwrap();
            assert_eq!(sorted(&found), sorted(&expected), "{status} {method} {location}");
        }
    }

    #[test]
    fn values_of_the_entry_do_not_leave_in_a_body() {
        assert!(matches!(
            run(307, &Method::POST, "https://b.test/", false),
            Err(EgressError::RefusedRedirect(_))
        ));
        assert!(run(302, &Method::POST, "https://b.test/", false).is_ok());
        for location in ["ftp://b.test/", "http://", "javascript:alert(1)"] {
            assert!(run(302, &Method::GET, location, false).is_err(), "{location}");
        }
    }
}
